//! Each request of the API is a span, and part of its caller's trace.

use crate::{
    collector::{Answer, Collector, Span},
    scene::{DAY, Scene},
    service::{Service, get, get_until},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    thread,
    time::Duration,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// More than anything that is waited for takes, at fifty a second.
const ASKED_MAX: usize = 1500;

const CALLER: &str = "00f067aa0ba902b7";

/// A server of one day, and its address; what it sends before its end it sends then.
fn serving(collector: &Collector, more: &[(&str, &str)]) -> (Scene, Service, String) {
    let mut scene = Scene::new();
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    scene.environment("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url());
    scene.environment("OTEL_BSP_SCHEDULE_DELAY", "600000");
    more.iter().for_each(|(name, value)| scene.environment(name, value));
    let mut service = Service::start(&scene, &["serve", "--listen", "127.0.0.1:0"]);
    let address = service.address();
    get_until(&address, "/health/ready", 200);
    (scene, service, address)
}

/// Asks with more headers, each on a line of its own.
fn ask(address: &str, line: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn caller(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{CALLER}-{flags}\r\n")
}

/// The one span of the request with that name.
fn of_request<'a>(spans: &'a [Span], id: &str) -> &'a Span {
    let mut named = spans.iter().filter(|span| span.attributes["topshelf.request_id"] == id);
    let one = named.next().unwrap_or_else(|| panic!("no span of {id} in {spans:#?}"));
    assert!(named.next().is_none(), "several spans of {id} in {spans:#?}");
    one
}

#[test]
fn a_request_is_a_span_of_its_callers_trace() {
    let collector = Collector::start(Answer::Taken);
    let (_scene, service, address) = serving(&collector, &[]);
    let secrets = "Authorization: Bearer hidden-1\r\nX-Api-Key: hidden-2\r\nCookie: hidden-3\r\n";
    let ranking = format!("X-Request-Id: ranking\r\n{}{secrets}", caller("01"));
    let answer = ask(&address, "GET /recommendations/acme/Top%43TR?limit=1", &ranking);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    ask(&address, "GET /history/acme/?days=1", &format!("X-Request-Id: history\r\n{}", caller("01")));
    ask(&address, "GET /stats/", "X-Request-Id: stats\r\ntraceparent: nonsense\r\n");
    ask(&address, "BREW /no/such/thing", "X-Request-Id: brew\r\n");
    ask(&address, "GET /stats/", &format!("X-Request-Id: unsampled\r\n{}", caller("00")));
    assert!(collector.posts().is_empty(), "nothing was due yet");
    assert_eq!(service.stop("TERM"), Some(0));

    let spans = collector.spans();
    assert!(
        spans.iter().all(|span| span.is_server && !span.is_error && span.began <= span.ended),
        "{spans:#?}"
    );
    for secret in ["hidden", "limit=1", "days=1"] {
        assert!(!format!("{spans:?}").contains(secret), "{spans:#?}");
    }
    let ranking = of_request(&spans, "ranking");
    assert_eq!(ranking.name, "GET /recommendations/{advertiser}/{model}");
    assert_eq!((ranking.trace.as_str(), ranking.parent.as_str()), (TRACE, CALLER));
    let expected = [
        ("http.request.method", "GET"),
        ("url.path", "/recommendations/acme/Top%43TR"),
        ("http.route", "/recommendations/{advertiser}/{model}"),
        ("http.response.status_code", "200"),
        ("http.response.body.size", &body.len().to_string()),
        ("topshelf.request_id", "ranking"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(ranking.attributes, BTreeMap::from(expected));
    let history = of_request(&spans, "history");
    assert_eq!((history.name.as_str(), history.parent.as_str()), ("GET /history/{advertiser}", CALLER));
    assert_ne!(history.id, ranking.id);
    let stats = of_request(&spans, "stats");
    assert_eq!((stats.name.as_str(), stats.parent.as_str()), ("GET /stats", ""));
    assert_ne!(stats.trace, TRACE);
    let brew = of_request(&spans, "brew");
    assert_eq!(brew.name, "HTTP");
    let told =
        ["http.request.method", "http.response.status_code"].map(|name| brew.attributes[name].as_str());
    assert_eq!((told, brew.attributes.get("http.route")), (["_OTHER", "404"], None));
    assert!(spans.iter().all(|span| span.attributes["topshelf.request_id"] != "unsampled"), "{spans:#?}");
}

#[test]
fn what_failed_by_our_fault_is_an_error() {
    let collector = Collector::start(Answer::Taken);
    let mut scene = Scene::new();
    scene.environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/of/traces", collector.url()));
    // Nothing listens there.
    scene.environment("TOPSHELF_STORE__URL", "postgres://u@127.0.0.1:1/x");
    let mut service = Service::start(&scene, &["serve", "--listen", "127.0.0.1:0"]);
    let address = service.address();
    assert_eq!(get(&address, "/recommendations/acme/TopCTR").0, 503);
    assert_eq!(get(&address, "/history/acme/").0, 503);
    assert_eq!(service.stop("TERM"), Some(0));
    assert!(collector.posts().iter().all(|post| post.path == "/of/traces"));
    let spans = collector.spans();
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert!(spans.iter().all(|span| span.is_error && span.attributes["error.type"] == "503"), "{spans:#?}");
}

#[test]
fn only_what_the_sampler_takes_is_sent() {
    let collector = Collector::start(Answer::Taken);
    let sampler = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")];
    let (_scene, service, address) = serving(&collector, &sampler);
    assert_eq!(get(&address, "/recommendations/acme/TopCTR").0, 200);
    ask(&address, "GET /recommendations/acme/TopCTR", &format!("X-Request-Id: theirs\r\n{}", caller("01")));
    assert_eq!(service.stop("TERM"), Some(0));
    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(of_request(&spans, "theirs").trace, TRACE);
}

/// What a server says of traces whose collector answers so, from its start to its end, while it is asked until `is_enough`.
fn said_of(
    answer: Answer,
    environment: &[(&str, &str)],
    is_enough: impl Fn(&Collector, usize) -> bool,
) -> Vec<String> {
    let collector = Collector::start(answer);
    let mut scene = Scene::new();
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    scene.environment("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url());
    environment.iter().for_each(|(name, value)| scene.environment(name, value));
    let log = scene.path("log");
    let mut command = scene.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut server = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
    let told = || fs::read_to_string(&log).unwrap();
    let address = loop {
        if let Some((_, line)) = told().split_once("address=")
            && let Some((address, _)) = line.split_once('\n')
        {
            break address.to_owned();
        }
        thread::sleep(Duration::from_millis(20));
    };
    for asked in 0.. {
        if is_enough(&collector, asked) {
            break;
        }
        assert!(asked < ASKED_MAX, "{:#?}", collector.posts());
        assert_eq!(get(&address, "/health/live").0, 200);
        thread::sleep(Duration::from_millis(20));
    }
    let kill = format!("kill -TERM {}", server.id());
    assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    assert!(server.wait().unwrap().success());
    let told = told();
    let lines = told.lines().filter(|line| line.contains("OpenTelemetry") || line.contains("BatchSpan"));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_server_sends_in_batches_and_says_once_that_nobody_takes_them() {
    let often = [("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let said = said_of(Answer::Refused, &often, |collector, _| collector.posts().len() >= 4);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("it answers 403 Forbidden"), "{said:#?}");
}

#[test]
fn spans_that_find_no_room_are_dropped_and_nobody_waits() {
    let few = [("OTEL_BSP_MAX_QUEUE_SIZE", "4"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")];
    let said = said_of(Answer::Nothing, &few, |_, asked| asked == 50);
    let holds = |text: &str| said.iter().filter(|line| line.contains(text)).count();
    assert_eq!(holds("dropped a Span due to queue full"), 1, "{said:#?}");
    assert_eq!(holds("no answer in time"), 1, "{said:#?}");
}
