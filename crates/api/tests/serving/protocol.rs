//! HTTP's own rules: slashes, methods, entity tags, lifetimes.

use crate::harness::{NewDay, PATIENCE, Site};
use jiff::{Timestamp, ToSpan};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const ROUTES: &[&str] = &[
    "/recommendations/acme/TopCTR",
    "/history/acme",
    "/stats",
    "/health",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
];

async fn site() -> Site {
    let new = NewDay::new(&["TopCTR"]).ctr("acme", &[("a", 1, 2)]);
    Site::publishing(vec![("2024-11-20", new)]).await
}

#[tokio::test]
async fn every_route_answers_with_and_without_a_trailing_slash_and_to_head() {
    let site = site().await;
    for route in ROUTES.iter().chain(&["/docs"]) {
        let plain = site.ask(&format!("GET {route}")).await;
        let slash = site.ask(&format!("GET {route}/")).await;
        assert_eq!(slash.status, 200, "{route}/");
        if *route == "/docs" {
            assert_eq!((plain.status, plain.headers["location"].as_str()), (308, "docs/"));
        } else if ["/metrics", "/health", "/health/ready"].contains(route) {
            // They tell the time.
            assert_eq!(plain.status, 200, "{route}");
            let head = site.ask(&format!("HEAD {route}")).await;
            assert_eq!((head.status, head.body.as_str()), (200, ""), "{route}");
        } else {
            // The document says where the server is, as seen from where itself is.
            let slash = match *route {
                "/openapi.json" => slash.body.replace(r#""url": "../""#, r#""url": "./""#),
                _ => slash.body,
            };
            assert_eq!((plain.status, &plain.body), (200, &slash), "{route}");
            let head = site.ask(&format!("HEAD {route}")).await;
            assert_eq!((head.status, head.body.as_str()), (200, ""), "{route}");
            assert_eq!(head.headers["content-length"], plain.body.len().to_string());
            assert_eq!(head.headers.get("etag"), plain.headers.get("etag"));
        }
    }
}

#[tokio::test]
async fn a_path_without_a_route_is_a_problem() {
    let site = site().await;
    let paths = [
        "/nothing",
        "/recommendations/acme",
        "/recommendations/a/b/TopCTR",
        "/history/",
        "/history/acme//",
        "/Stats",
        "/docs/nothing.js",
        "/%2e%2e/stats",
        "/%",
    ];
    for path in paths {
        let answer = site.check(&format!("GET {path}")).await;
        assert!(answer.starts_with("404 · application/problem+json · no-store\n"), "{path}: {answer}");
        assert!(answer.contains("\"code\":\"not_found\""), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_allowed_is_a_problem_that_says_which_are() {
    let site = site().await;
    for route in ROUTES.iter().chain(&["/", "/docs/"]) {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
            let answer = site.check(&format!("{method} {route}\nContent-Length: 0")).await;
            let head = "405 · application/problem+json · GET, HEAD · no-store\n";
            assert!(answer.starts_with(head), "{method} {route}: {answer}");
            assert!(answer.contains("\"code\":\"method_not_allowed\""), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_the_client_has_is_not_sent_again() {
    let site = site().await;
    for route in &ROUTES[..3] {
        let first = site.ask(&format!("GET {route}")).await;
        let etag = &first.headers["etag"];
        assert!(
            etag.starts_with('"') && etag.ends_with('"') && etag.len() == 34,
            "{etag} is not a strong tag"
        );
        let known = [
            etag.clone(),
            format!("W/{etag}"),
            "*".to_owned(),
            format!("\"other\", {etag}"),
            format!("\"a,b\",W/\"c\" ,{etag}"),
            format!("\"x\"\nIf-None-Match: {etag}"),
        ];
        for known in known {
            let again = site.ask(&format!("GET {route}\nIf-None-Match: {known}")).await;
            assert_eq!((again.status, again.body.as_str()), (304, ""), "{known}");
            assert_eq!(&again.headers["etag"], etag);
            assert!(again.headers["cache-control"].starts_with("public, max-age="));
        }
        for unknown in ["\"other\"", etag.trim_matches('"'), &etag.to_uppercase(), ""] {
            let again = site.ask(&format!("GET {route}\nIf-None-Match: {unknown}")).await;
            assert_eq!((again.status, &again.body), (200, &first.body), "{unknown}");
        }
    }
    let problem = site.ask("GET /recommendations/nobody/TopCTR\nIf-None-Match: *").await;
    assert_eq!(problem.status, 404);
}

#[tokio::test]
async fn answers_live_until_the_next_run_and_briefly_when_the_day_is_late() {
    let site = site().await;
    let lifetime = async |route: &str| {
        let value = &site.ask(&format!("GET {route}")).await.headers["cache-control"];
        value.strip_prefix("public, max-age=").unwrap().parse::<u64>().unwrap()
    };
    for route in &ROUTES[..3] {
        let seconds = lifetime(route).await;
        assert!((3500..=3600).contains(&seconds), "{route}: {seconds}");
    }
    site.promise("2024-11-21", Timestamp::now() + 1.hour());
    site.until("/recommendations/acme/TopCTR", "\"stale\":true").await;
    for route in &ROUTES[..3] {
        assert_eq!(lifetime(route).await, 60, "{route}");
    }
    site.promise("2024-11-20", Timestamp::now() - 1.hour());
    site.until("/recommendations/acme/TopCTR", "\"stale\":false").await;
    assert_eq!(lifetime("/stats").await, 0);
}

#[tokio::test]
async fn an_answer_waits_for_no_request_behind_it() {
    let site = site().await;
    let mut connection = TcpStream::connect(site.address).await.unwrap();
    let live = "GET /health/live HTTP/1.1\r\nHost: topshelf\r\n\r\n";
    connection.write_all(format!("{live}{live}GET /health").as_bytes()).await.unwrap();
    let mut received = String::new();
    while received.matches("{\"status\":\"live\"}").count() < 2 {
        let mut bytes = [0; 4096];
        let read = timeout(PATIENCE, connection.read(&mut bytes)).await.expect("both are answered").unwrap();
        received += std::str::from_utf8(&bytes[..read]).unwrap();
    }
}

#[tokio::test]
async fn what_is_no_request_is_told_so_after_the_answers_before_it() {
    let site = site().await;
    let fields = |count| (0..count).map(|number| format!("X-{number}: x\r\n")).collect::<String>();
    for (wrong, status) in [
        ("GET /health/live ICY/1.1\r\n\r\n".to_owned(), 400),
        ("GET /health/live HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400),
        (format!("GET /health/live HTTP/1.1\r\n{}\r\n", fields(500)), 431),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000)), 431),
    ] {
        let mut connection = TcpStream::connect(site.address).await.unwrap();
        let live = "GET /health/live HTTP/1.1\r\nHost: topshelf\r\n\r\n";
        connection.write_all(format!("{live}{wrong}").as_bytes()).await.unwrap();
        let mut received = String::new();
        timeout(PATIENCE, connection.read_to_string(&mut received)).await.unwrap().unwrap();
        assert!(received.starts_with("HTTP/1.1 200 OK\r\n"), "{status}: {received}");
        assert!(
            received.contains(&format!("{{\"status\":\"live\"}}HTTP/1.1 {status} ")),
            "{status}: {received}"
        );
    }
}

#[tokio::test]
async fn staleness_follows_the_schedule_and_changes_the_tag() {
    let site = site().await;
    let route = "/recommendations/acme/TopCTR";
    let fresh = site.ask(&format!("GET {route}")).await;
    assert!(fresh.body.contains("\"stale\":false"));
    site.promise("2024-11-21", Timestamp::now() + 1.hour());
    site.until("/health/ready", "\"stale\":true").await;
    let etag = &fresh.headers["etag"];
    let stale = site.ask(&format!("GET {route}\nIf-None-Match: {etag}")).await;
    assert_eq!(stale.status, 200);
    assert!(stale.body.contains("\"stale\":true"));
    assert_ne!(&stale.headers["etag"], etag);
    site.promise("2024-11-20", Timestamp::now() + 1.hour());
    site.until("/health/ready", "\"stale\":false").await;
    assert_eq!(site.ask(&format!("GET {route}\nIf-None-Match: {etag}")).await.status, 304);
}

#[tokio::test]
async fn who_accepts_gzip_gets_it_under_a_tag_of_its_own() {
    // No room for answers that are kept, for some of them, for some but not compressed, and for all.
    for room in [0].into_iter().chain((1500..4500).step_by(150)).chain([128 << 20]) {
        gzip_has_a_tag_of_its_own(room).await;
    }
}

async fn gzip_has_a_tag_of_its_own(room: usize) {
    let products: Vec<_> = (1..=20).map(|number| (format!("product-{number}"), 1, number)).collect();
    let products: Vec<_> =
        products.iter().map(|(id, clicks, number)| (id.as_str(), *clicks, *number)).collect();
    let new = NewDay::new(&["TopCTR"]).ctr("acme", &products).ctr("small", &[("a", 1, 2)]);
    let site =
        Site::publishing_with(vec![("2024-11-20", new)], |options| options.prepared_bytes_max = room).await;
    for route in ["/recommendations/acme/TopCTR", "/recommendations/acme/TopCTR?limit=19", "/history/acme"] {
        let plain = site.ask(&format!("GET {route}")).await;
        assert_eq!(
            (plain.headers["vary"].as_str(), plain.headers.get("content-encoding")),
            ("accept-encoding", None)
        );
        for _ in 0..2 {
            let (head, body) = site.ask_bytes(&format!("GET {route}\nAccept-Encoding: br, gzip")).await;
            assert_eq!((head.status, head.headers["content-encoding"].as_str()), (200, "gzip"), "{route}");
            assert_eq!(head.headers["vary"], "accept-encoding");
            assert_eq!(head.headers["content-length"], body.len().to_string());
            assert!(body.len() * 2 < plain.body.len(), "{} of {}", body.len(), plain.body.len());
            let mut text = String::new();
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut text).unwrap();
            assert_eq!(text, plain.body);
            let (tag, other) = (&head.headers["etag"], &plain.headers["etag"]);
            assert_ne!(tag, other);
            let known = site.ask(&format!("GET {route}\nAccept-Encoding: gzip\nIf-None-Match: {tag}")).await;
            assert_eq!((known.status, &known.headers["etag"]), (304, tag));
            let (unknown, _) =
                site.ask_bytes(&format!("GET {route}\nAccept-Encoding: gzip\nIf-None-Match: {other}")).await;
            assert_eq!(unknown.status, 200);
        }
    }
    let small = site.ask("GET /recommendations/small/TopCTR\nAccept-Encoding: gzip").await;
    assert_eq!(small.headers.get("content-encoding"), None);
}
