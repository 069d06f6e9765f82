//! `POST /recommendations`, and `?limit=`.

use crate::harness::{NewDay, Site};
use serde_json::{Value, json};

async fn site() -> Site {
    let new = NewDay::new(&["TopCTR", "TopProduct"])
        .ctr("acme", &[("a", 1, 2), ("b", 1, 3), ("c", 1, 4)])
        .views("acme", &[("z", 7), ("y", 5)])
        .ctr("a/\"ü\"\n", &[("\u{7f}\"x\"\\\n", 1, 8)])
        .active("idle");
    Site::publishing(vec![("2024-11-20", new)]).await
}

/// The answer to the questions in the body.
async fn ask(site: &Site, body: &str) -> (u16, Value) {
    let answer = site.post("/recommendations", body).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

async fn get(site: &Site, path: &str) -> Value {
    serde_json::from_str(&site.ask(&format!("GET /recommendations/{path}")).await.body).unwrap()
}

#[tokio::test]
async fn each_question_is_answered_as_if_it_was_asked_alone_in_order() {
    let site = site().await;
    let questions = [
        ("acme", "TopProduct"),
        ("idle", "TopCTR"),
        ("a/\"ü\"\n", "topctr"),
        ("nobody", "TopCTR"),
        ("acme", "Best"),
    ];
    let body = json!({"requests": questions.map(|(advertiser, model)| json!({"advertiser_id": advertiser, "model": model}))});
    let (status, answer) = ask(&site, &body.to_string()).await;
    let paths =
        ["acme/TopProduct", "idle/TopCTR", "a%2F%22%C3%BC%22%0A/topctr", "nobody/TopCTR", "acme/Best"];
    let mut expected = Vec::new();
    for ((advertiser, model), path) in questions.iter().zip(paths) {
        let alone = get(&site, path).await;
        expected.push(match alone.get("code") {
            None => alone,
            Some(_) => json!({"advertiser_id": advertiser, "model": model, "problem": alone}),
        });
    }
    assert_eq!((status, answer), (200, json!({"results": expected})));
}

#[tokio::test]
async fn no_more_products_come_than_the_limit() {
    let site = site().await;
    let all = get(&site, "acme/TopCTR").await;
    for (limit, expected) in [(1, 1), (2, 2), (3, 3), (1000, 3)] {
        let some = get(&site, &format!("acme/TopCTR?limit={limit}")).await;
        let products = some["recommendations"].as_array().unwrap();
        assert_eq!(products[..], all["recommendations"].as_array().unwrap()[..expected]);
        let body = json!({"requests": [{"advertiser_id": "acme", "model": "TopCTR"}], "limit": limit});
        assert_eq!(ask(&site, &body.to_string()).await, (200, json!({"results": [some]})));
    }
    for wrong in ["0", "1001", "-1", "x", ""] {
        let answer = site.check(&format!("GET /recommendations/acme/TopCTR?limit={wrong}")).await;
        assert!(answer.starts_with("400"), "{wrong}: {answer}");
        assert!(answer.contains("expected a number from 1 to 1000"), "{wrong}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_understood_is_a_problem_that_says_what_is_expected() {
    let site = site().await;
    let question = r#"{"advertiser_id":"acme","model":"TopCTR"}"#;
    let many = format!(r#"{{"requests":[{}]}}"#, vec![question; 1001].join(","));
    for (body, told) in [
        ("", "EOF while parsing"),
        ("[]", "expected struct Questions"),
        ("{}", "missing field `requests`"),
        (r#"{"requests":[]}"#, "there are 0 requests: expected 1 to 1000"),
        (&many, "there are 1001 requests: expected 1 to 1000"),
        (
            r#"{"requests":[{"advertiser":"acme"}]}"#,
            "unknown field `advertiser`, expected `advertiser_id` or `model`",
        ),
        (r#"{"requests":[{"advertiser_id":"acme"}]}"#, "missing field `model`"),
        (
            &format!(r#"{{"requests":[{question}],"limit":0}}"#),
            "limit is 0: expected a number from 1 to 1000",
        ),
        (&format!(r#"{{"requests":[{question}],"day":"2024-11-20"}}"#), "unknown field `day`"),
    ] {
        let (status, problem) = ask(&site, body).await;
        assert_eq!((status, &problem["code"]), (400, &json!("bad_body")), "{body:.60}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(told) && detail.contains("\"requests\":["), "{body:.60}: {detail}");
    }
    let most = format!(r#"{{"requests":[{}]}}"#, vec![question; 1000].join(","));
    let (status, answer) = ask(&site, &most).await;
    assert_eq!((status, answer["results"].as_array().unwrap().len()), (200, 1000));
    let (status, problem) = ask(&site, &" ".repeat((2 << 20) + 1)).await;
    assert_eq!((status, &problem["code"]), (413, &json!("body_too_large")));
}

#[tokio::test]
async fn several_rankings_are_only_posted() {
    let site = site().await;
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let answer = site.check(&format!("{method} /recommendations/\nContent-Length: 0")).await;
        assert!(answer.starts_with("405 · application/problem+json · POST · no-store"), "{method}: {answer}");
    }
}
