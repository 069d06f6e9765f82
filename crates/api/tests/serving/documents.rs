//! The OpenAPI document, the page to try it, the page at the root.

use crate::harness::{NewDay, Site};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::{collections::BTreeSet, io::Read};

async fn site() -> Site {
    let new = NewDay::new(&["TopCTR"]).ctr("acme", &[("a", 1, 2)]);
    Site::publishing(vec![("2024-11-20", new)]).await
}

#[tokio::test]
async fn the_document_has_every_route_and_every_code() {
    let site = site().await;
    let answer = site.ask("GET /openapi.json").await;
    assert_eq!(answer.body, api::openapi_json(api::HISTORY_DAYS_KEPT));
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths: BTreeSet<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "/",
        "/docs/",
        "/health",
        "/health/live",
        "/health/ready",
        "/history/{advertiser}/",
        "/metrics",
        "/openapi.json",
        "/recommendations",
        "/recommendations/{advertiser}/{model}",
        "/stats/",
    ];
    assert_eq!(paths, BTreeSet::from(expected));
    for path in expected.into_iter().filter(|path| *path != "/recommendations") {
        let path = path.replace("{advertiser}", "acme").replace("{model}", "TopCTR");
        assert_eq!(site.ask(&format!("GET {path}")).await.status, 200, "{path}");
    }
    let codes = document["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
    let codes: Vec<_> = codes.iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(codes, api::Code::ALL.map(api::Code::name));
}

#[tokio::test]
async fn every_schema_that_is_named_is_there() {
    let document: Value = serde_json::from_str(&api::openapi_json(api::HISTORY_DAYS_KEPT)).unwrap();
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    assert!(references.contains("#/components/schemas/Recommendation"), "{references:?}");
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn an_answer_has_the_fields_of_its_schema_in_their_order() {
    let site = site().await;
    let document: Value = serde_json::from_str(&api::openapi_json(api::HISTORY_DAYS_KEPT)).unwrap();
    for (path, schema) in [
        ("/recommendations/acme/TopCTR", "Recommendations"),
        ("/history/acme", "History"),
        ("/stats", "Stats"),
    ] {
        let schema = &document["components"]["schemas"][schema];
        let body: Value = serde_json::from_str(&site.ask(&format!("GET {path}")).await.body).unwrap();
        let sent: BTreeSet<_> = body.as_object().unwrap().keys().collect();
        let described: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().collect();
        let required = schema["required"].as_array().unwrap().iter();
        let required: BTreeSet<_> = required.map(|name| name.as_str().unwrap()).collect();
        assert!(sent.is_subset(&described), "{path}: {sent:?}");
        assert!(required.iter().all(|name| sent.iter().any(|sent| sent == name)), "{path}: {sent:?}");
    }
}

fn collect_references(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            references.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect_references(value, references));
        }
        Value::Array(array) => array.iter().for_each(|value| collect_references(value, references)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_to_try_the_api_needs_nothing_from_elsewhere() {
    let site = site().await;
    let mut files = vec![String::new()];
    let mut seen = BTreeSet::new();
    while let Some(file) = files.pop() {
        let (sent, body) = site.ask_bytes(&format!("GET /docs/{file}")).await;
        assert_eq!(sent.status, 200, "{file}");
        let (compressed, bytes) = site.ask_bytes(&format!("GET /docs/{file}\nAccept-Encoding: gzip")).await;
        let is_compressed = compressed.headers.get("content-encoding").is_some_and(|coding| coding == "gzip");
        assert_eq!(is_compressed, file != "swagger-initializer.js", "{file}");
        if is_compressed {
            assert!(!sent.headers.contains_key("content-encoding"));
            let mut plain = Vec::new();
            GzDecoder::new(&*bytes).read_to_end(&mut plain).unwrap();
            assert_eq!(plain, body, "{file}");
        }
        if !seen.insert(file.clone()) || !["", "css", "html"].contains(&ending(&file)) {
            continue;
        }
        for reference in references(&String::from_utf8(body).unwrap())
            .into_iter()
            .filter(|what| !what.starts_with("data:"))
        {
            assert!(!reference.contains("//"), "{file} refers to {reference}");
            files.push(reference.trim_start_matches("./").to_owned());
        }
    }
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js", "index.css"] {
        assert!(seen.contains(file), "{seen:?}");
    }
    // What the page does at its start: it asks this server for the document, and nobody whether the document is sound.
    let start = site.ask("GET /docs/swagger-initializer.js").await.body;
    assert!(start.contains("../openapi.json") && !start.contains("//petstore"), "{start}");
    assert!(start.contains("\"validatorUrl\": \"none\""), "{start}");
}

fn ending(file: &str) -> &str {
    file.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// What a page or its style refers to, wherever a browser would fetch it from.
fn references(text: &str) -> Vec<String> {
    let starts = ["src=\"", "href=\"", "url(", "@import "];
    let after = starts.iter().flat_map(|start| text.split(start).skip(1));
    let ends = |c: char| "\"')>".contains(c);
    after.map(|rest| rest.trim_start_matches(['"', '\'']).split(ends).next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_page_at_the_root_says_what_runs_and_its_links_lead_somewhere() {
    let site = site().await;
    let page = site.ask("GET /").await;
    assert!(page.headers["content-type"].starts_with("text/html"));
    assert!(page.body.contains("serving 2024-11-20"), "{}", page.body);
    assert!(!page.body.contains("{{") && !page.body.contains("http"), "{}", page.body);
    let links: Vec<_> =
        page.body.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.contains(&"recommendations/acme/TopCTR"), "{links:?}");
    for link in links {
        assert_eq!(site.ask(&format!("GET /{link}")).await.status, 200, "{link}");
    }
}
