//! A night is one trace; a collector that is slow, away or not wanted changes nothing about the night.

use crate::{
    collector::{Answer, Collector, Span},
    scene::{DAY, Ended, Scene},
};
use std::{
    collections::BTreeMap,
    net::TcpListener,
    time::{Duration, Instant},
};

/// Longer than a night and the end of its process take on a busy machine.
const PROMPTLY: Duration = Duration::from_secs(40);

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

const RUN: [&str; 6] = ["run", "--day", DAY, "--input", "logs", "--json"];

/// Good logs, with a collector that is told of.
fn told_of(url: &str) -> Scene {
    let mut scene = Scene::new();
    scene.environment(ENDPOINT, url);
    scene
}

fn run_id(ended: &Ended) -> String {
    ended.json()["runs"][0]["run_id"].as_str().unwrap().to_owned()
}

/// The one span of that name.
fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut named = spans.iter().filter(|span| span.name == name);
    let one = named.next().unwrap_or_else(|| panic!("no span {name} in {spans:#?}"));
    assert!(named.next().is_none(), "several spans {name} in {spans:#?}");
    one
}

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_night_is_a_trace_with_a_span_for_each_stage() {
    let collector = Collector::start(Answer::Taken);
    let mut scene = told_of(&collector.url());
    scene.environment("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=night%20owls");
    scene.environment("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    scene.environment("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test");
    let run = run_id(&scene.end_well(&RUN));
    let posts = collector.posts();
    for post in &posts {
        assert_eq!(
            (post.path.as_str(), post.headers["content-type"].as_str()),
            ("/v1/traces", "application/x-protobuf")
        );
        assert_eq!(
            (post.headers["x-tenant"].as_str(), post.headers["content-encoding"].as_str()),
            ("night owls", "gzip")
        );
    }
    let spans = collector.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["run", "count", "rank", "publish", "trim"]);
    let (root, stages) = spans.split_first().unwrap();
    assert_eq!(root.parent, "");
    for stage in stages {
        assert_eq!((&stage.trace, &stage.parent), (&root.trace, &root.id), "{stage:?}");
        assert!(root.began <= stage.began && stage.began <= stage.ended && stage.ended <= root.ended);
    }
    assert!(spans.iter().all(|span| !span.is_error && !span.is_server), "{spans:#?}");
    let (day, run_id) = (("topshelf.day", DAY), ("topshelf.run_id", run.as_str()));
    assert_eq!(root.attributes, attributes(&[day, run_id, ("topshelf.started_by", "hand")]));
    assert_eq!(one(&spans, "count").attributes, attributes(&[day, ("topshelf.reused", "false")]));
    assert_eq!(one(&spans, "rank").attributes, attributes(&[day, ("topshelf.reused", "false")]));
    assert_eq!(
        one(&spans, "publish").attributes,
        attributes(&[day, run_id, ("topshelf.verdict", "Published")])
    );
    assert_eq!(root.resource["service.name"], "topshelf");
    assert_eq!(root.resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(root.resource["deployment.environment"], "test");
}

#[test]
fn stages_that_are_called_alone_are_traces_of_their_own() {
    let collector = Collector::start(Answer::Taken);
    let mut scene = told_of(&collector.url());
    scene.environment("OTEL_SERVICE_NAME", "nights");
    scene.end_well(&["count", "--day", DAY, "--input", "logs"]);
    scene.end_well(&["rank", "--day", DAY]);
    scene.end_well(&["publish", "--day", DAY]);
    let spans = collector.spans();
    let roots = spans.iter().filter(|span| span.parent.is_empty());
    assert_eq!(roots.map(|span| span.name.as_str()).collect::<Vec<_>>(), ["count", "rank", "run"]);
    assert_eq!(one(&spans, "publish").parent, one(&spans, "run").id);
    assert!(spans.iter().all(|span| span.resource["service.name"] == "nights"));
}

#[test]
fn a_night_that_fails_tells_where_and_why() {
    let collector = Collector::start(Answer::Taken);
    let scene = told_of(&collector.url());
    scene.write("logs/ads_views.csv", "no,such,columns\n");
    let ended = scene.call(&RUN);
    assert_eq!(ended.exit, 3, "{ended:?}");
    let spans = collector.spans();
    for name in ["run", "count"] {
        let span = one(&spans, name);
        assert!(span.is_error && span.message.contains("logs/ads_views.csv"), "{span:?}");
    }
    assert!(one(&spans, "run").attributes.contains_key("topshelf.run_id"));
}

#[test]
fn no_span_tells_a_password() {
    let collector = Collector::start(Answer::Taken);
    let mut scene = told_of(&collector.url());
    scene.environment(
        "TOPSHELF_STORE__URL",
        "postgres://topshelf:hidden-1@127.0.0.1:1/topshelf?sslmode=disable",
    );
    scene.environment("TOPSHELF_STORE__PATIENCE_SECONDS", "0");
    assert_eq!(scene.call(&RUN).exit, 1);
    let spans = collector.spans();
    assert!(one(&spans, "run").is_error);
    assert!(!format!("{spans:?}").contains("hidden-1"), "{spans:#?}");
}

#[test]
fn nothing_is_sent_unless_the_environment_asks_for_it() {
    let collector = Collector::start(Answer::Taken);
    Scene::new().end_well(&RUN);
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ] {
        let mut scene = told_of(&collector.url());
        scene.environment(name, value);
        let ended = scene.end_well(&RUN);
        assert!(!ended.stderr.contains("OpenTelemetry"), "{ended:?}");
    }
    assert!(collector.posts().is_empty(), "{:#?}", collector.spans());
}

#[test]
fn what_the_environment_asks_for_in_vain_is_said() {
    let collector = Collector::start(Answer::Taken);
    for (name, value, told) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "only http/protobuf is spoken here"),
        ("OTEL_TRACES_SAMPLER", "xray", "OTEL_TRACES_SAMPLER is xray, which is none of always_on, "),
    ] {
        let mut scene = told_of(&collector.url());
        scene.environment(name, value);
        let ended = scene.end_well(&RUN);
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
    let ended = told_of("http://user:hidden-1@[").end_well(&RUN);
    assert!(
        ended.stderr.contains("no traces are exported") && !ended.stderr.contains("hidden-1"),
        "{ended:?}"
    );
}

#[test]
fn a_collector_that_stalls_holds_up_the_end_for_a_moment_only() {
    let collector = Collector::start(Answer::Nothing);
    let mut scene = told_of(&collector.url());
    // Whoever waited for it would wait longer than the test.
    scene.environment("OTEL_EXPORTER_OTLP_TIMEOUT", "600000");
    let began = Instant::now();
    let ended = scene.end_well(&RUN);
    assert!(began.elapsed() < PROMPTLY, "{:?}", began.elapsed());
    assert_eq!(collector.posts().len(), 1);
    assert!(ended.stderr.contains("no answer in time"), "{ended:?}");
}

#[test]
fn a_collector_that_is_away_or_refuses_is_said_once() {
    let refusing = Collector::start(Answer::Refused);
    // A port that was free a moment ago.
    let away = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    for (url, why) in [(refusing.url(), "it answers 403 Forbidden"), (away, "Connection refused")] {
        let ended = told_of(&url).end_well(&RUN);
        let told: Vec<_> = ended.stderr.lines().filter(|line| line.contains("OpenTelemetry")).collect();
        assert_eq!(told.len(), 1, "{ended:?}");
        assert!(told[0].contains("WARN") && told[0].contains(why) && told[0].contains(&url), "{told:?}");
    }
}
