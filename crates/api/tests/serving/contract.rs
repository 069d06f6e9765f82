//! The OpenAPI document beside what is really sent: each answer is one that the document tells of, and each example
//! is what a server sends that has published what the examples tell of.

use crate::{
    harness::{Answer, Connection, NewDay, Site, within},
    keys::key,
};
use api::{Keys, Limits, ServedStore};
use domain::{AdvertiserId, ModelName};
use jsonschema::Validator;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};
use store::{Hold, Holds, Outcome};

/// Kept in the repository, so that a change of the contract is seen in review, and `cargo xtask check` compares it.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

#[test]
fn the_document_that_is_kept_is_the_current_one() {
    let current = api::openapi_json(api::HISTORY_DAYS_KEPT) + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(KEPT, &current).unwrap();
    }
    let kept = fs::read_to_string(Path::new(KEPT)).unwrap_or_default();
    for (number, (kept, current)) in kept.lines().zip(current.lines()).enumerate() {
        assert_eq!(kept, current, "docs/openapi.json:{} is out of date: set UPDATE_DOCS=1", number + 1);
    }
    assert_eq!(kept, current, "docs/openapi.json is out of date: set UPDATE_DOCS=1");
}

#[test]
fn every_code_has_an_example_at_a_refusal() {
    let document = Document::current();
    let mut told = BTreeSet::new();
    let components = document.0["components"]["responses"].as_object().unwrap();
    let of_operations = document
        .operations()
        .into_values()
        .flat_map(|operation| operation["responses"].as_object().unwrap().clone().into_iter());
    for (_, response) in of_operations.chain(components.clone()) {
        let examples = &response["content"]["application/problem+json"]["examples"];
        told.extend(examples.as_object().into_iter().flat_map(|examples| examples.keys().cloned()));
    }
    let all: BTreeSet<_> = api::Code::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(told, all);
}

#[test]
fn operations_have_names_of_their_own_that_any_language_takes() {
    let document = Document::current();
    let operations = document.operations();
    let names: BTreeSet<_> =
        operations.values().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), operations.len());
    for name in names {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
    }
}

#[test]
fn every_example_is_of_its_schema_and_no_answer_is_without() {
    let document = Document::current();
    let mut examples = 0;
    for (operation, described) in document.operations() {
        let content = described["requestBody"].get("content").cloned();
        let responses = described["responses"].as_object().unwrap();
        let contents = responses.values().filter_map(|response| response.get("content").cloned());
        for (media_type, content) in
            contents.chain(content).flat_map(|content| content.as_object().unwrap().clone())
        {
            let schema = document.validator(&content["schema"]);
            let of_content = document.examples(&content);
            assert!(!of_content.is_empty() || media_type == "text/html", "{operation} {media_type}");
            for example in of_content {
                let wrong: Vec<_> = schema.iter_errors(&example).map(|error| error.to_string()).collect();
                assert!(wrong.is_empty(), "{operation} {media_type}: {wrong:?} in {example}");
                examples += 1;
            }
        }
        for parameter in described["parameters"].as_array().into_iter().flatten() {
            let schema = document.validator(&parameter["schema"]);
            assert!(parameter.get("example").is_none_or(|example| schema.is_valid(example)), "{parameter}");
        }
    }
    assert!(examples > 50, "{examples}");
}

#[tokio::test]
async fn examples_are_what_a_server_sends() {
    let document = Document::current();
    let mut site = site().await;
    let cases = [
        ("GET /recommendations/acme/TopCTR", "get_recommendations", "ranking"),
        ("GET /recommendations/late/topctr", "get_recommendations", "held"),
        ("GET /recommendations/nobody/TopCTR", "get_recommendations", "unknown_advertiser"),
        ("GET /recommendations/gone/TopCTR", "get_recommendations", "inactive_advertiser"),
        ("GET /recommendations/new/TopCTR", "get_recommendations", "held_back"),
        ("GET /recommendations/acme/TopSeller", "get_recommendations", "unknown_model"),
        ("GET /recommendations/acme/TopProduct?day=2024-11-19", "get_recommendations", "model_not_computed"),
        ("GET /recommendations/acme/TopCTR?day=2024-11-01", "get_recommendations", "no_publication_for_day"),
        ("GET /recommendations/quiet/TopCTR", "get_recommendations", "insufficient_data"),
        ("GET /recommendations/acme/TopCTR?day=2024-11-31", "get_recommendations", "bad_day"),
        ("GET /recommendations/acme/TopCTR?limit=0", "get_recommendations", "bad_parameter"),
        ("GET /history/acme/", "get_history", "history"),
        ("GET /stats/", "get_stats", "stats"),
        ("GET /health/live", "get_liveness", "live"),
    ];
    for (request, operation, example) in cases {
        let body: Value = serde_json::from_str(&site.ask(request).await.body).unwrap();
        assert_eq!(body, document.example(operation, example), "{request}");
    }
    let asked =
        &document.operation("post_recommendations")["requestBody"]["content"]["application/json"]["example"];
    let answered = site.post("/recommendations", &asked.to_string()).await;
    let answered: Value = serde_json::from_str(&answered.body).unwrap();
    assert_eq!(answered, document.example("post_recommendations", "answers"));
    let refused: Value = serde_json::from_str(&site.post("/recommendations", "{}").await.body).unwrap();
    assert_eq!(refused, document.example("post_recommendations", "bad_body"));
    for (request, code) in [("GET /nothing", "not_found"), ("DELETE /stats/", "method_not_allowed")] {
        let body: Value = serde_json::from_str(&site.ask(request).await.body).unwrap();
        assert_eq!(body, document.0["components"]["examples"][code]["value"], "{request}");
    }
    let metrics = site.ask("GET /metrics").await.body;
    for line in document.example("get_metrics", "metrics").as_str().unwrap().lines() {
        assert!(metrics.lines().any(|sent| sent == line), "{line} is not in {metrics}");
    }

    // These tell the time: it is their fields that are the same.
    for day in ["2024-11-19", "2024-11-20"] {
        site.end_run(day, 1, Outcome::Succeeded).await;
    }
    site.until("/health", "\"under_way\":[],\"last\":{").await;
    for name in ["ready", "shutting_down"] {
        for (path, operation) in [("/health", "get_health"), ("/health/ready", "get_readiness")] {
            let body: Value = serde_json::from_str(&site.ask(&format!("GET {path}")).await.body).unwrap();
            let example = document.example(operation, name);
            assert_eq!((shape(&body), &body["status"]), (shape(&example), &json!(name)), "{path}");
        }
        if name == "ready" {
            site.end(Duration::from_secs(2));
            site.until("/health/ready", "shutting_down").await;
        }
    }
    site.ended().await;
}

#[tokio::test]
async fn examples_of_a_server_with_nothing_to_serve_are_what_it_sends() {
    let document = Document::current();
    let (own, folder) = (Site::start().await.store, tempfile::tempdir().unwrap());
    let nobody = ServedStore::Closed("postgres://topshelf:secret@127.0.0.1:1/none".into());
    let waiting = Site::serve(nobody, own, folder, |_| ()).await;
    for (site, code) in [(waiting, "snapshot_unavailable"), (Site::start().await, "no_publication_yet")] {
        site.until("/health/ready", code).await;
        for (path, operation) in [
            ("/recommendations/acme/TopCTR", "get_recommendations"),
            ("/history/acme/", "get_history"),
            ("/stats/", "get_stats"),
        ] {
            let answer = site.ask(&format!("GET {path}")).await;
            document.tells_of(
                "GET",
                &path.replace("acme", "{advertiser}").replace("TopCTR", "{model}"),
                &answer,
            );
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(body, document.example(operation, code), "{path}");
        }
    }
}

#[tokio::test]
async fn examples_of_what_is_refused_for_its_size_or_time_are_what_a_server_sends() {
    let document = Document::current();
    let site = site().await;
    let limits = Limits::default();
    let long = "x".repeat(limits.path_bytes_max);
    document.shows("path_too_long", &site.ask(&format!("GET /{long}")).await);
    let many = "\nX-Many: x".repeat(limits.headers_max - 1); // Host and Connection come besides
    document.shows("too_many_headers", &site.ask(&format!("GET /stats/{many}")).await);
    document.shows("body_too_large", &site.post("/recommendations", &"x".repeat((2 << 20) + 1)).await);

    // The server's own time is waited for by nobody: here it is shorter, and told.
    let slow = "POST /recommendations HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{";
    let short = Duration::from_millis(50);
    for (code, usual) in [("body_too_slow", limits.body_time), ("took_too_long", limits.request_time)] {
        let site = Site::start_with(|options| match code {
            "body_too_slow" => options.limits.body_time = short,
            _ => options.limits.request_time = short,
        })
        .await;
        let mut connection = Connection::open(site.address).await;
        connection.send(slow).await;
        let mut answer = connection.answer().await;
        let [told, usual] = [short, usual].map(|time| format!("within {} s", time.as_secs_f64()));
        answer.body = answer.body.replace(&told, &usual);
        document.shows(code, &answer);
    }
}

#[tokio::test]
async fn examples_of_what_is_refused_as_too_much_are_what_a_server_sends() {
    let document = Document::current();
    let full = Site::start_with(|options| options.limits.bodies_bytes_max = 1).await;
    document.shows("overloaded", &full.post("/recommendations", "{}").await);
    let rated = Site::start_with(|options| {
        (options.limits.requests_per_second, options.limits.requests_burst) = (1, 1);
    })
    .await;
    let mut answer = rated.ask("GET /stats/").await;
    while answer.status != 429 {
        answer = rated.ask("GET /stats/").await;
    }
    document.shows("too_many_requests", &answer);
}

#[tokio::test]
async fn examples_of_what_is_refused_for_its_key_are_what_a_server_sends() {
    let document = Document::current();
    let site = Site::start_with(|options| options.keys = Keys::Required).await;
    site.store.migrate().await.unwrap();
    let acme = key(&site.store, "acme", &["acme"]).await;
    document.shows("unauthorized", &site.ask("GET /recommendations/acme/TopCTR").await);
    let of_acme = format!("GET /stats/\nX-Api-Key: {acme}");
    let answer = within(async {
        loop {
            let answer = site.ask(&of_acme).await;
            if answer.status == 403 {
                break answer;
            }
        }
    })
    .await;
    document.shows("forbidden", &answer);
    let (own, folder) = (Site::start().await.store, tempfile::tempdir().unwrap());
    let nobody = ServedStore::Closed("postgres://topshelf:secret@127.0.0.1:1/none".into());
    let waiting = Site::serve(nobody, own, folder, |options| options.keys = Keys::Required).await;
    document.shows("keys_unavailable", &waiting.ask(&of_acme).await);
}

#[tokio::test]
async fn every_answer_is_one_that_the_document_tells_of() {
    let document = Document::current();
    let site = site().await;
    let tag = site.ask("GET /stats/").await.headers["etag"].clone();
    for (path, asked) in [
        ("/", "/"),
        ("/docs/", "/docs/"),
        ("/openapi.json", "/openapi.json"),
        ("/health", "/health"),
        ("/health/live", "/health/live"),
        ("/health/ready", "/health/ready"),
        ("/metrics", "/metrics"),
        ("/stats/", "/stats/?limit=1&offset=9007199254740991"),
        ("/stats/", "/stats/?offset=9007199254740992"),
        ("/stats/", &format!("/stats/\nIf-None-Match: {tag}")),
        ("/stats/", "/stats/\nAccept-Encoding: gzip\nIf-None-Match: \"other\""),
        ("/history/{advertiser}/", "/history/late/?days=30&model=TopCTR"),
        ("/history/{advertiser}/", "/history/late/?days=31"),
        ("/history/{advertiser}/", "/history/nobody/"),
        ("/recommendations/{advertiser}/{model}", "/recommendations/acme/TopProduct?limit=1"),
        ("/recommendations/{advertiser}/{model}", "/recommendations/acme/TopProduct?limit=x"),
        ("/recommendations/{advertiser}/{model}", "/recommendations/%FF/TopProduct"),
        ("/recommendations/{advertiser}/{model}", "/recommendations/nobody/TopProduct"),
    ] {
        for method in ["GET", "HEAD"] {
            document.tells_of(method, path, &site.ask(&format!("{method} {asked}")).await);
        }
    }
    let too_long = "x".repeat((2 << 20) + 1);
    let questions = r#"{"requests":[{"advertiser_id":"late","model":"TopCTR"},{"advertiser_id":"","model":"?"}],"limit":1}"#;
    for body in [questions, "{}", &too_long] {
        document.tells_of("POST", "/recommendations", &site.post("/recommendations", body).await);
    }
}

/// What the examples tell of.
async fn site() -> Site {
    let site =
        Site::start_with(|options| options.models = ["TopCTR", "TopProduct"].map(ModelName::new).into())
            .await;
    site.store.migrate().await.unwrap();
    let first = NewDay::new(&["TopCTR"]).ctr("acme", &[("sku-4711", 4, 40)]);
    site.publish("2024-11-19", 1, first.ctr("late", &[("sku-1138", 1, 40)]).ctr("gone", &[("sku-1", 1, 40)]))
        .await;
    let second = NewDay::new(&["TopCTR", "TopProduct"])
        .ctr("acme", &[("sku-4711", 5, 40), ("sku-0815", 3, 40)])
        .views("acme", &[("sku-4711", 12), ("sku-1138", 7)])
        .ctr("late", &[("sku-1138", 900, 1000)])
        .ctr("new", &[("sku-1138", 900, 1000)])
        .active("quiet");
    let hold = |id| {
        let message = "clicks: 900, which is 9.0 times the typical 100".to_owned();
        (AdvertiserId::new(id).unwrap(), Hold { check: "advertiser_volume".to_owned(), message })
    };
    let holds = Holds { all: None, advertisers: ["late", "new"].map(hold).into() };
    site.publish_held("2024-11-20", 1, second, &holds).await;
    site.until_served().await;
    site
}

/// The document, to be looked into.
struct Document(Value);

impl Document {
    fn current() -> Self {
        Self(serde_json::from_str(&api::openapi_json(api::HISTORY_DAYS_KEPT)).unwrap())
    }

    /// Each operation by method and path.
    fn operations(&self) -> BTreeMap<String, Value> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(move |(method, operation)| {
                (format!("{} {path}", method.to_uppercase()), operation.clone())
            })
        });
        operations.collect()
    }

    fn operation(&self, id: &str) -> Value {
        self.operations().into_values().find(|operation| operation["operationId"] == id).unwrap()
    }

    /// What `content` shows, references followed.
    fn examples(&self, content: &Value) -> Vec<Value> {
        let named = content["examples"].as_object().into_iter().flat_map(|examples| examples.values());
        let named = named.map(|example| self.followed(example)["value"].clone());
        named.chain(content.get("example").cloned()).collect()
    }

    fn example(&self, operation: &str, name: &str) -> Value {
        let operation = self.operation(operation);
        let responses = operation["responses"].as_object().unwrap().values();
        let contents = responses
            .flat_map(|response| response["content"].as_object().into_iter().flat_map(|c| c.values()));
        let example = contents.filter_map(|content| content["examples"].get(name)).next();
        self.followed(example.unwrap_or_else(|| panic!("no example {name}")))["value"].clone()
    }

    /// The answer is the example of that code, at an operation that tells of it and of its headers.
    fn shows(&self, code: &str, answer: &Answer) {
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body, self.0["components"]["examples"][code]["value"]);
        let mut told = self.operations().into_iter().filter(|(_, operation)| {
            let response = &operation["responses"][answer.status.to_string()];
            !response["content"]["application/problem+json"]["examples"][code].is_null()
        });
        let (operation, _) = told.next_back().unwrap_or_else(|| panic!("no operation tells of {code}"));
        let (method, path) = operation.split_once(' ').unwrap();
        self.tells_of(method, path, answer);
    }

    fn followed<'a>(&'a self, value: &'a Value) -> &'a Value {
        let reference =
            value.get("$ref").map(|reference| reference.as_str().unwrap().trim_start_matches('#'));
        reference.map_or(value, |reference| self.0.pointer(reference).unwrap())
    }

    fn validator(&self, schema: &Value) -> Validator {
        let whole = json!({"components": self.0["components"], "allOf": [schema]});
        jsonschema::options().should_validate_formats(true).build(&whole).unwrap()
    }

    /// The answer's status, headers, media type and body are documented.
    fn tells_of(&self, method: &str, path: &str, answer: &Answer) {
        let name = format!("{method} {path} {}", answer.status);
        let operation = &self.operations()[&format!("{method} {path}")];
        let response = operation["responses"].get(answer.status.to_string());
        let response = response.unwrap_or_else(|| panic!("{name} is not documented: {answer:?}"));
        for header in response["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
            assert!(
                answer.headers.contains_key(&header.to_ascii_lowercase()),
                "{name}: {header}: {answer:?}"
            );
        }
        if method == "HEAD" || answer.status == 304 {
            assert_eq!((response.get("content"), answer.body.as_str()), (None, ""), "{name}");
            return;
        }
        let media_type = answer.headers["content-type"].split(';').next().unwrap();
        let schema = &response["content"][media_type]["schema"];
        assert!(!schema.is_null(), "{name}: {media_type} is not documented");
        let body = serde_json::from_str(&answer.body).unwrap_or_else(|_| Value::String(answer.body.clone()));
        let schema = self.validator(schema);
        let wrong: Vec<_> = schema.iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?} in {body}");
    }
}

/// The fields of objects, without their values.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(items) => items.iter().take(1).map(shape).collect(),
        _ => Value::Null,
    }
}
