//! The access log as it is written: a line for each request of the sample, that nobody can forge or hold up.

use crate::{
    scene::{DAY, Scene},
    service::{Service, get, get_until},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

/// Longer than a thousand answers take on a busy machine, and less than anybody waits for.
const PROMPTLY: Duration = Duration::from_secs(20);

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// A server that logs this share of requests.
fn serving(share: &str, more: &[&str]) -> (Scene, Service, String) {
    let mut scene = Scene::new();
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    scene.environment("TOPSHELF_SERVE__ACCESS_LOG", share);
    let mut service = Service::start(&scene, &[&SERVE[..], more].concat());
    let line = service.line_with("\"serving\"");
    let address = serde_json::from_str::<Value>(&line).unwrap()["address"].as_str().unwrap().to_owned();
    (scene, service, address)
}

/// The next line of the access log that holds `text`.
fn line(service: &mut Service, text: &str) -> Value {
    let told: Value = serde_json::from_str(&service.line_with(text)).unwrap();
    assert_eq!(told["target"], "topshelf::access");
    told
}

/// Sends these bytes, and waits for the end of the answer.
fn send(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_line_tells_what_was_asked_and_how_it_was_answered() {
    let (_scene, mut service, address) = serving("1", &["--log-format", "json"]);
    get_until(&address, "/health/ready", 200);
    let head = "Host: x\r\nConnection: close\r\nX-Request-Id: mine-1\r\nAuthorization: Bearer hidden-1\r\nX-Api-Key: hidden-2\r\n";
    let request = format!("GET /recommendations/acme/Top%43TR?limit=1 HTTP/1.1\r\n{head}\r\n");
    let answer = send(&address, request.as_bytes());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut told = line(&mut service, "mine-1");
    assert!(told["elapsed_us"].is_u64());
    // What differs from one request to the next.
    for field in ["timestamp", "elapsed_us", "client"] {
        told.as_object_mut().unwrap().remove(field);
    }
    let expected = serde_json::json!({
        "level": "INFO", "target": "topshelf::access", "message": "request answered", "method": "GET",
        "path": "/recommendations/acme/Top%43TR", "route": "/recommendations/{advertiser}/{model}",
        "status": 200, "bytes": body.len(), "request_id": "mine-1",
    });
    assert_eq!(told, expected);
    // Past the front as well as behind the router.
    send(&address, format!("PURGE /no/such HTTP/1.1\r\n{head}\r\n").as_bytes());
    let told = line(&mut service, "mine-1");
    let fields = ["method", "path", "route", "status"].map(|name| told[name].clone());
    assert_eq!(fields, [Value::from("PURGE"), "/no/such".into(), "none".into(), 404.into()]);
}

#[test]
fn whatever_a_client_sends_is_one_line_of_bounded_length() {
    let (_scene, mut service, address) = serving("1", &["--log-format", "json"]);
    let forged = "{\"target\":\"topshelf::access\"}";
    let paths: [Vec<u8>; 5] = [
        format!("/a%0A{forged}").into_bytes(),
        "/\u{85}\u{9b}2J\u{2028}é".into(),
        format!("/{}", "x".repeat(4000)).into_bytes(),
        format!("/{}", "\\\"".repeat(200)).into_bytes(),
        format!("/?a={forged}").into_bytes(),
    ];
    for path in paths {
        let request = [b"GET ", &path[..], b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"].concat();
        let answer = send(&address, &request);
        if answer.starts_with("HTTP/1.1 400") && !answer.contains("x-request-id") {
            // No request at all, as HTTP has it.
            continue;
        }
        let text = service.line_with("topshelf::access");
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
        assert!(text.len() < 1600 && text.is_ascii(), "{text}");
        let path = told["path"].as_str().unwrap();
        assert!(path.len() <= 512 && path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
        assert_eq!(told["route"], if path == "/" { "/" } else { "none" });
    }
    assert_eq!(service.stop("TERM"), Some(0));
}

#[test]
fn without_a_sample_there_are_lines_of_our_failures_alone() {
    let mut scene = Scene::new();
    // Nothing listens there.
    scene.environment("TOPSHELF_STORE__URL", "postgres://u@127.0.0.1:1/x");
    let mut service = Service::start(&scene, &[&SERVE[..], &["--log-format", "json"]].concat());
    let address = service.line_with("\"serving\"");
    let address = serde_json::from_str::<Value>(&address).unwrap()["address"].as_str().unwrap().to_owned();
    assert_eq!(get(&address, "/health/live").0, 200);
    assert_eq!(get(&address, "/nothing").0, 404);
    assert_eq!(get(&address, "/recommendations/acme/TopCTR").0, 503);
    let told = line(&mut service, "topshelf::access");
    assert_eq!((&told["status"], &told["path"]), (&503.into(), &"/recommendations/acme/TopCTR".into()));
    assert_eq!(service.stop("TERM"), Some(0));
}

#[test]
fn as_text_it_is_for_people() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_SERVE__ACCESS_LOG", "1");
    // What else is said does not matter.
    scene.environment("TOPSHELF_LOG", "info");
    let mut service = Service::start(&scene, &SERVE);
    let address = service.address();
    assert_eq!(get(&address, "/health/live").0, 200);
    let told = service.line_with("request answered");
    assert!(
        told.contains(" INFO topshelf::access: request answered method=\"GET\" path=\"/health/live\""),
        "{told}"
    );
    assert!(told.contains("route=\"/health/live\" status=200 bytes=17 elapsed_us="), "{told}");
}

#[test]
fn who_does_not_read_the_log_holds_up_no_request() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_SERVE__ACCESS_LOG", "1");
    let mut child = scene.command(&SERVE).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::with_capacity(256, child.stderr.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
        if let Some((_, address)) = line.trim_end().rsplit_once("address=") {
            break address.to_owned();
        }
    };
    // From here on nobody reads: more is said than a pipe and a queue hold.
    let began = Instant::now();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(PROMPTLY)).unwrap();
    let request = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(500));
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..1000 {
        stream.write_all(request.as_bytes()).unwrap();
        read_answer(&mut answers);
    }
    assert!(began.elapsed() < PROMPTLY, "{:?}", began.elapsed());
    let (_, metrics) = get(&address, "/metrics");
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("topshelf_access_log_dropped_total "));
    assert!(dropped.unwrap().parse::<u64>().unwrap() > 0, "{dropped:?}");
    // And it ends in time.
    let kill = format!("kill -TERM {}", child.id());
    assert!(std::process::Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    let ended = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < 2 * PROMPTLY, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(ended.success(), "{ended}");
}

/// Reads one answer whole.
fn read_answer(from: &mut impl BufRead) {
    let mut length = 0;
    loop {
        let mut line = String::new();
        assert_ne!(from.read_line(&mut line).unwrap(), 0, "the connection ended");
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = bytes.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    from.read_exact(&mut vec![0; length]).unwrap();
}

#[test]
fn a_share_that_is_none_is_refused() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_SERVE__ACCESS_LOG", "1.5");
    let ended = scene.call(&SERVE);
    assert_eq!(ended.exit, 2);
    assert!(ended.stderr.contains("serve.access_log is 1.5, which is not between 0 and 1"), "{ended:?}");
}
