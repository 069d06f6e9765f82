//! `/recommendations/{advertiser}/{model}`

use crate::harness::{NewDay, Site};

const BOTH: &[&str] = &["TopCTR", "TopProduct"];

/// Two days; `gone` is active on the first alone, `idle` has no events, the first has no view log.
async fn site() -> Site {
    let first = NewDay::new(&["TopCTR"]).ctr("acme", &[("a", 1, 8)]).ctr("gone", &[("g", 1, 1)]);
    let second = NewDay::new(BOTH)
        .ctr("acme", &[("b", 3, 4), ("a", 1, 3), ("c", 0, 5)])
        .views("acme", &[("c", 12)])
        .active("idle");
    Site::publishing(vec![("2024-11-19", first), ("2024-11-20", second)]).await
}

#[tokio::test]
async fn the_newest_published_day_is_served() {
    assert_eq!(
        site().await.check("GET /recommendations/acme/TopCTR").await,
        "200 · application/json · public, max-age=N\n\
        {\"advertiser_id\":\"acme\",\"model\":\"TopCTR\",\"day\":\"2024-11-20\",\
        \"run_id\":\"20241121T023000Z-00000001\",\"published_at\":\"2024-11-21T02:30:30Z\",\"stale\":false,\
        \"recommendations\":[\
        {\"rank\":1,\"product_id\":\"b\",\"score\":0.75,\"impressions\":4,\"clicks\":3,\"views\":0},\
        {\"rank\":2,\"product_id\":\"a\",\"score\":0.3333333333333333,\"impressions\":3,\"clicks\":1,\"views\":0},\
        {\"rank\":3,\"product_id\":\"c\",\"score\":0,\"impressions\":5,\"clicks\":0,\"views\":0}]}"
    );
}

#[tokio::test]
async fn model_names_match_in_either_case_and_answer_in_their_own_spelling() {
    let site = site().await;
    let own = site.check("GET /recommendations/acme/TopProduct").await;
    assert!(own.contains("\"model\":\"TopProduct\""), "{own}");
    assert!(own.contains("\"score\":12,"), "{own}");
    for name in ["topproduct", "TOPPRODUCT", "tOPpRODUCT", "%54opProduct"] {
        assert_eq!(site.check(&format!("GET /recommendations/acme/{name}")).await, own);
    }
}

#[tokio::test]
async fn another_published_day_can_be_asked_for() {
    let answer = site().await.check("GET /recommendations/gone/TopCTR?day=2024-11-19").await;
    assert!(answer.contains("\"day\":\"2024-11-19\",\"run_id\":\"20241120T023000Z-00000001\""), "{answer}");
}

#[tokio::test]
async fn each_refusal_has_its_code_and_says_what_there_is() {
    let site = site().await;
    let cases = [
        (
            "nobody/TopCTR",
            404,
            "unknown_advertiser",
            "advertiser \"nobody\" is on none of the published days from 2024-11-19 to 2024-11-20; ids are \
            compared byte by byte, check its spelling",
        ),
        (
            "gone/TopCTR",
            404,
            "inactive_advertiser",
            "advertiser \"gone\" was not active on 2024-11-20; the newest published day on which it was is 2024-11-19",
        ),
        (
            "idle/TopCTR?day=2024-11-19",
            404,
            "inactive_advertiser",
            "advertiser \"idle\" was not active on 2024-11-19; the newest published day on which it was is 2024-11-20",
        ),
        (
            "acme/Best",
            404,
            "unknown_model",
            "there is no model \"Best\"; the models are TopCTR, TopProduct, Trending",
        ),
        (
            "acme/TopProduct?day=2024-11-19",
            404,
            "model_not_computed",
            "model TopProduct was not computed for 2024-11-19, because a log it needs was not configured; the \
            models computed are TopCTR",
        ),
        (
            "acme/trending",
            404,
            "model_not_computed",
            "model Trending was not computed for 2024-11-20, because a log it needs was not configured; the \
            models computed are TopCTR, TopProduct",
        ),
        (
            "acme/TopCTR?day=2024-11-21",
            404,
            "no_publication_for_day",
            "nothing is published for 2024-11-21; the published days kept are from 2024-11-19 to 2024-11-20",
        ),
        (
            "idle/TopCTR",
            404,
            "insufficient_data",
            "advertiser \"idle\" was active, but TopCTR could rank none of its products on 2024-11-20",
        ),
        (
            "acme/TopCTR?day=yesterday",
            400,
            "bad_day",
            "day \"yesterday\" is not a day: expected YYYY-MM-DD, a date that exists",
        ),
        (
            "acme/TopCTR?date=2024-11-19",
            400,
            "bad_parameter",
            "there is no parameter \"date\" here: the parameters are day, limit",
        ),
        (
            "acme%/TopCTR",
            400,
            "bad_parameter",
            "the path segment \"acme%\" has a % that two hexadecimal digits do not follow: encode % as %25",
        ),
        ("/TopCTR", 400, "bad_parameter", "the path segment \"\" is empty: an id has at least one byte"),
        ("acme/%FF", 400, "bad_parameter", "the path segment \"%FF\" does not decode to UTF-8"),
    ];
    for (asked, status, code, detail) in cases {
        let answer = site.ask(&format!("GET /recommendations/{asked}")).await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(
            (answer.status, &body["code"], &body["detail"]),
            (status, &code.into(), &detail.into()),
            "{asked}"
        );
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("/docs/#{code}"));
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn a_problem_is_written_as_rfc_9457_says() {
    assert_eq!(
        site().await.check("GET /recommendations/gone/TopCTR").await,
        "404 · application/problem+json · no-store\n\
        {\"type\":\"/docs/#inactive_advertiser\",\"title\":\"the advertiser was not active\",\"status\":404,\
        \"detail\":\"advertiser \\\"gone\\\" was not active on 2024-11-20; the newest published day on which it was \
        is 2024-11-19\",\"code\":\"inactive_advertiser\"}"
    );
}
