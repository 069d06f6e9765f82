//! Ids may hold anything: what went into the store comes out of every route.

use crate::harness::{NewDay, Site};
use serde_json::Value;
use std::fmt::Write;

const NASTY: &[&str] = &[
    "two words",
    "a/b",
    "/",
    "//",
    "../../etc/passwd",
    ".",
    "..",
    "100%",
    "%2F",
    "%25",
    "a+b",
    "a?b=c&d#e",
    "\"quoted\" and 'single'",
    "back\\slash",
    "line\nbreak\r\n",
    "tab\t",
    "\u{1}\u{7f}",
    "<script>alert(1)</script>",
    "{advertiser}",
    "*",
    "café",
    "cafe\u{301}",
    "商品",
    "متجر",
    "🛒",
    "\u{feff}bom",
    " ",
    "TopCTR",
];

/// Every byte escaped, so that nothing about the path but its slashes is left to chance.
fn escaped(id: &str) -> String {
    id.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02x}").unwrap();
        text
    })
}

async fn site() -> Site {
    let longest = "ñ".repeat(127);
    let ids = NASTY.iter().copied().chain([longest.as_str()]);
    let new = ids.fold(NewDay::new(&["TopCTR"]), |day, id| day.ctr(id, &[(id, 1, 2)]));
    Site::publishing(vec![("2024-11-20", new)]).await
}

#[tokio::test]
async fn every_id_is_found_byte_by_byte_and_told_as_it_is() {
    let site = site().await;
    let longest = "ñ".repeat(127);
    for id in NASTY.iter().copied().chain([longest.as_str()]) {
        let id_escaped = escaped(id);
        for path in [format!("/recommendations/{id_escaped}/TopCTR"), format!("/history/{id_escaped}/")] {
            let answer = site.ask(&format!("GET {path}")).await;
            assert_eq!(answer.status, 200, "{id:?}: {}", answer.body);
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(body["advertiser_id"], id);
            let list = body.pointer("/recommendations").or(body.pointer("/days/0/models/TopCTR")).unwrap();
            assert_eq!(list[0]["product_id"], id);
        }
    }
    let stats = site.ask("GET /stats/?limit=1000").await;
    assert_eq!(stats.status, 200);
}

#[tokio::test]
async fn a_client_that_escapes_as_usual_finds_them() {
    let site = site().await;
    // The URL standard drops line breaks and tabs, and takes dots for a way up, however they are escaped.
    for id in NASTY.iter().filter(|id| ![".", ".."].contains(*id) && !id.contains(['\n', '\t'])) {
        let mut url = reqwest::Url::parse(&format!("http://{}/recommendations", site.address)).unwrap();
        url.path_segments_mut().unwrap().push(id).push("TopCTR");
        let body: Value = reqwest::get(url.clone()).await.unwrap().json().await.unwrap();
        assert_eq!(body["advertiser_id"], *id, "{url}");
    }
}

#[tokio::test]
async fn an_escape_is_decoded_once() {
    let site = site().await;
    let found = |path: &str| {
        let request = format!("GET /recommendations/{path}/TopCTR");
        let site = &site;
        async move {
            serde_json::from_str::<Value>(&site.ask(&request).await.body).unwrap()["advertiser_id"].clone()
        }
    };
    assert_eq!(found("%252F").await, "%2F");
    assert_eq!(found("%2F").await, "/");
    assert_eq!(found("a+b").await, "a+b");
    assert_eq!(found("..").await, "..");
    assert_eq!(found("caf%C3%A9").await, "café");
    assert_eq!(found("café").await, "café");
    assert_eq!(found("cafe%CC%81").await, "cafe\u{301}");
}

#[tokio::test]
async fn the_page_and_the_problems_tell_ids_harmlessly() {
    let new = NewDay::new(&["TopCTR"]).ctr("<script>alert(1)</script>", &[("x", 1, 1)]);
    let site = Site::publishing(vec![("2024-11-20", new)]).await;
    let page = site.check("GET /").await;
    assert!(
        page.contains("href=\"recommendations/%3Cscript%3Ealert%281%29%3C%2Fscript%3E/TopCTR\""),
        "{page}"
    );
    assert!(!page.contains("<script"), "{page}");
    let problem = site.ask(&format!("GET /recommendations/{}/TopCTR", escaped("no\"\n<b>"))).await;
    let problem: Value = serde_json::from_str(&problem.body).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains(r#""no\"\n<b>""#), "{problem}");
}
