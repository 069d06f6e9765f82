//! Each limit reached on purpose, and what a client sees then.

use crate::harness::{Answer, Connection, NewDay, PATIENCE, Site, within};
use api::{Limits, Networks, Options};
use serde_json::json;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(50);

/// The path of a ranking.
const RANKING: &str = "/recommendations/acme/TopCTR";

async fn site(change: impl FnOnce(&mut Limits)) -> Site {
    let new = NewDay::new(&["TopCTR"]).ctr("acme", &[("a", 1, 2)]);
    Site::publishing_with(vec![("2024-11-20", new)], |options| change(&mut options.limits)).await
}

/// Expects a problem with that status and code.
fn expect(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(answer.body.contains(&format!("\"code\":\"{code}\"")), "{answer:?}");
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once_and_counted() {
    for (reason, limit) in [
        ("total", (|limits| limits.connections_max = 3) as fn(&mut Limits)),
        ("address", |limits| limits.connections_per_address_max = 3),
    ] {
        let site = site(limit).await;
        let mut inside = Vec::new();
        for _ in 0..2 {
            let mut connection = Connection::open(site.address).await;
            assert_eq!(connection.get(RANKING).await.status, 200);
            inside.push(connection);
        }
        assert_eq!(site.metric("topshelf_connections").await, 3.0, "{reason}: the scrape is one");
        let mut third = Connection::open(site.address).await;
        assert_eq!(third.get(RANKING).await.status, 200);
        let mut refused = Connection::open(site.address).await;
        assert_eq!(refused.rest().await, "", "{reason}");
        assert_eq!(inside[0].get(RANKING).await.status, 200, "{reason}: others go on");
        drop(third);
        let refusals = format!("topshelf_connections_refused_total{{reason=\"{reason}\"}}");
        // The server learns of the end a little later: until then a scrape may be refused too.
        let told = within(async {
            loop {
                let mut scrape = Connection::open(site.address).await;
                let _ =
                    scrape.try_send("GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await;
                let told = scrape.rest().await;
                if !told.is_empty() {
                    break told;
                }
            }
        })
        .await;
        let count = told.lines().find_map(|line| line.strip_prefix(&refusals)).unwrap();
        assert!(count.trim().parse::<u64>().unwrap() >= 1, "{count}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_answered_by_431_without_a_body() {
    let site = site(|limits| limits.head_bytes_max = 8192).await;
    let fits = format!("GET {RANKING}\nX-Long: {}", "x".repeat(7 << 10));
    assert_eq!(site.ask(&fits).await.status, 200);
    let mut connection = Connection::open(site.address).await;
    connection.try_send(&format!("GET {RANKING} HTTP/1.1\r\nX-Long: {}", "x".repeat(8192))).await;
    let answer = connection.rest().await;
    assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_path_that_is_too_long_is_a_problem() {
    let site = site(|limits| limits.path_bytes_max = 100).await;
    let path = |length: usize| format!("{RANKING}?day={}", "x".repeat(length - RANKING.len() - 5));
    expect(&site.ask(&format!("GET {}", path(100))).await, 400, "bad_day");
    expect(&site.ask(&format!("GET {}", path(101))).await, 414, "path_too_long");
    expect(&site.ask(&format!("GET /{}", "x".repeat(100))).await, 414, "path_too_long");
    expect(&site.ask(&format!("POST /{}\nContent-Length: 0", "x".repeat(100))).await, 414, "path_too_long");
}

#[tokio::test]
async fn too_many_headers_are_a_problem() {
    let site = site(|limits| limits.headers_max = 10).await;
    let headers = |count: usize| "\nX-Many: x".repeat(count - 2); // Host and Connection come besides
    assert_eq!(site.ask(&format!("GET {RANKING}{}", headers(10))).await.status, 200);
    expect(&site.ask(&format!("GET {RANKING}{}", headers(11))).await, 431, "too_many_headers");
    let mut connection = Connection::open(site.address).await;
    let many = "X-Many: x\r\n".repeat(101);
    connection.try_send(&format!("GET {RANKING} HTTP/1.1\r\n{many}\r\n")).await;
    let answer = connection.rest().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_head_that_comes_slowly_ends_its_connection() {
    let site = site(|limits| limits.head_time = SHORT).await;
    let cut = "topshelf_connections_cut_total{reason=\"head\"}";
    // One that says nothing, one that stops, and one that goes on byte by byte.
    assert_eq!(Connection::open(site.address).await.rest().await, "");
    let mut stops = Connection::open(site.address).await;
    stops.send("GET / HTTP/1.1\r\nHost:").await;
    assert_eq!(stops.rest().await, "");
    let mut drips = Connection::open(site.address).await;
    drips.send("GET / HTTP/1.1\r\nX-Drip: ").await;
    within(async {
        while drips.try_send("x").await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    site.until_metric(cut, 3.0).await;
    // The head of a second request too.
    let mut second = Connection::open(site.address).await;
    assert_eq!(second.get(RANKING).await.status, 200);
    second.send("GET / HT").await;
    assert_eq!(second.rest().await, "");
    site.until_metric(cut, 4.0).await;
}

#[tokio::test]
async fn a_connection_without_a_request_ends_later_than_one_with_a_slow_head() {
    let site = site(|limits| (limits.head_time, limits.idle_time) = (SHORT, 6 * SHORT)).await;
    let mut connection = Connection::open(site.address).await;
    assert_eq!(connection.get(RANKING).await.status, 200);
    tokio::time::sleep(3 * SHORT).await; // longer than a head may take, and shorter than a rest
    assert_eq!(connection.get(RANKING).await.status, 200);
    assert_eq!(connection.rest().await, "");
    site.until_metric("topshelf_connections_cut_total{reason=\"idle\"}", 1.0).await;
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_a_problem_and_ends_its_connection() {
    let site = site(|limits| limits.body_time = SHORT).await;
    let mut connection = Connection::open(site.address).await;
    connection.send("POST /recommendations HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{").await;
    let answer = connection.answer().await;
    expect(&answer, 408, "body_too_slow");
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(connection.rest().await, "");
}

#[tokio::test]
async fn work_that_takes_too_long_is_given_up_and_may_be_tried_elsewhere() {
    let site = site(|limits| limits.request_time = SHORT).await;
    let mut connection = Connection::open(site.address).await;
    // Nothing of ours takes long, so what comes slowly does.
    connection.send("POST /recommendations HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{").await;
    let answer = connection.answer().await;
    expect(&answer, 503, "took_too_long");
    assert_eq!(answer.headers["retry-after"], "2");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let site = site(|limits| (limits.requests_per_second, limits.requests_burst) = (1, 5)).await;
    let began = Instant::now();
    let mut told = Vec::new();
    for _ in 0..20 {
        told.push(site.ask(&format!("GET {RANKING}")).await);
    }
    let through = told.iter().filter(|answer| answer.status == 200).count();
    let allowed = 5 + began.elapsed().as_secs() as usize + 1;
    assert!((1..=allowed).contains(&through), "{through} of 20, {allowed} allowed");
    let refused = told.iter().find(|answer| answer.status == 429).expect("one was too many");
    expect(refused, 429, "too_many_requests");
    assert_eq!(refused.headers["retry-after"], "1");
    for path in ["/history/acme", "/stats", "/nothing"] {
        expect(&site.ask(&format!("GET {path}")).await, 429, "too_many_requests");
    }
    let question = format!(r#"{{"requests":[{}"#, " ".repeat(1_500_000));
    let refused = within(site.post("/recommendations", &question)).await;
    expect(&refused, 429, "too_many_requests"); // though most of the body was never read
    for probe in ["/health/live", "/health/ready/"] {
        assert_eq!(site.ask(&format!("GET {probe}")).await.status, 200, "{probe} is always answered");
    }
}

#[tokio::test]
async fn several_rankings_at_once_count_as_many_requests() {
    let site = site(|limits| (limits.requests_per_second, limits.requests_burst) = (1, 5)).await;
    let question = json!({"advertiser_id": "acme", "model": "TopCTR"});
    let body = json!({"requests": vec![question; 65]}).to_string();
    assert_eq!(site.post("/recommendations", &body).await.status, 200);
    let refused = site.ask(&format!("GET {RANKING}")).await;
    expect(&refused, 429, "too_many_requests");
    let retry_after: u64 = refused.headers["retry-after"].parse().unwrap();
    assert!((50..=61).contains(&retry_after), "{retry_after}"); // 65 and this one, less the 5 at once
}

#[tokio::test]
async fn rankings_that_were_not_answered_do_not_count() {
    let site = site(|limits| {
        (limits.requests_per_second, limits.requests_burst) = (1, 5);
        limits.bodies_bytes_max = 100_000;
    })
    .await;
    let question = json!({"advertiser_id": "acme", "model": "TopCTR"});
    let body = json!({"requests": vec![question; 1000]}).to_string();
    assert!(body.len() < 60_000, "the questions have room, their answers have not");
    expect(&site.post("/recommendations", &body).await, 503, "overloaded");
    assert_eq!(site.ask(&format!("GET {RANKING}")).await.status, 200);
}

/// A site with answers of 27 MB, and the request for one.
async fn long_answers(change: impl FnOnce(&mut Options)) -> (Site, String) {
    let ids: Vec<_> = (0..100).map(|number| format!("{number:0200}")).collect();
    let products: Vec<_> = ids.iter().map(|id| (id.as_str(), 1, 2)).collect();
    let new = NewDay::new(&["TopCTR"]).ctr("acme", &products);
    let site = Site::publishing_with(vec![("2024-11-20", new)], change).await;
    let question = r#"{"advertiser_id":"acme","model":"TopCTR"}"#;
    let body = format!(r#"{{"requests":[{}]}}"#, vec![question; 1000].join(","));
    let length = body.len();
    let request =
        format!("POST /recommendations HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n{body}");
    (site, request)
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut() {
    let (site, request) = long_answers(|options| options.limits.write_time = 2 * SHORT).await;
    let mut connection = Connection::open(site.address).await;
    connection.send(&request).await;
    // It takes the beginning and no more.
    let began = Instant::now();
    let length: usize = connection.head().await.headers["content-length"].parse().unwrap();
    site.until_metric("topshelf_connections_cut_total{reason=\"write\"}", 1.0).await;
    assert!(began.elapsed() >= 2 * SHORT, "not before its time");
    assert!(connection.rest().await.len() < length, "the rest was not kept for it");
    // Who reads gets all of it.
    let mut reads = Connection::open(site.address).await;
    reads.send(&request).await;
    assert_eq!(reads.answer().await.status, 200);
}

#[tokio::test]
async fn long_answers_that_nobody_takes_do_not_fill_the_memory() {
    let (site, request) = long_answers(|options| {
        options.limits.bodies_bytes_max = 60 << 20;
        options.trusted_proxies = Networks::parse(&["127.0.0.1"]).unwrap(); // no address has a share then
    })
    .await;
    let mut waiting = Vec::new();
    let overloaded = within(async {
        loop {
            let mut connection = Connection::open(site.address).await;
            connection.send(&request).await;
            let answer = connection.head().await;
            if answer.status != 200 {
                break connection.body(answer).await;
            }
            waiting.push(connection);
        }
    })
    .await;
    expect(&overloaded, 503, "overloaded");
    assert_eq!(overloaded.headers["retry-after"], "2");
    assert_eq!(waiting.len(), 2, "the kernel takes no such answer whole");
    assert_eq!(site.ask("GET /health/live").await.status, 200, "short answers need no room");
    drop(waiting);
    within(async {
        loop {
            let mut connection = Connection::open(site.address).await;
            connection.send(&request).await;
            if connection.answer().await.status == 200 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn one_address_does_not_fill_the_memory_for_others() {
    let (site, request) = long_answers(|options| options.limits.bodies_bytes_max = 60 << 20).await;
    let mut first = Connection::open(site.address).await;
    first.send(&request).await;
    assert_eq!(first.head().await.status, 200);
    let mut second = Connection::open(site.address).await;
    second.send(&request).await;
    expect(&second.answer().await, 503, "overloaded");
    let mut another = Connection::from("127.0.0.2", site.address).await;
    another.send(&request).await;
    assert_eq!(another.answer().await.status, 200);
}

#[tokio::test]
async fn what_takes_no_memory_and_what_operators_ask_needs_no_room() {
    let site = site(|limits| limits.bodies_bytes_max = 1).await;
    expect(&site.post("/recommendations", r#"{"requests":[]}"#).await, 503, "overloaded");
    for path in ["/docs/", "/docs/swagger-ui-bundle.js", "/openapi.json", "/metrics", "/health"] {
        assert_eq!(site.ask_bytes(&format!("GET {path}")).await.0.status, 200, "{path}");
    }
}

#[tokio::test]
async fn bodies_that_come_slowly_do_not_fill_the_memory() {
    let site = site(|limits| limits.bodies_bytes_max = 1 << 20).await;
    let head = "POST /recommendations HTTP/1.1\r\nHost: t\r\nContent-Length: 2000000\r\n\r\n";
    let mut first = Connection::open(site.address).await;
    first.send(&format!("{head}{}", " ".repeat(900_000))).await;
    let told = within(async {
        loop {
            let mut second = Connection::open(site.address).await;
            second.send(&format!("{head}{}", " ".repeat(300_000))).await;
            if let Ok(told) = tokio::time::timeout(SHORT, second.answer()).await {
                break told; // the first's was not read before
            }
        }
    })
    .await;
    expect(&told, 503, "overloaded");
}

#[tokio::test]
async fn answers_of_a_client_that_only_asks_are_not_gathered() {
    let (site, _) = long_answers(|options| options.limits.write_time = 2 * SHORT).await;
    let mut connection = Connection::open(site.address).await;
    // Each part ends in the middle of a request, so that the server always expects more.
    let requests = format!("GET {RANKING} HTTP/1.1\r\nHost: t\r\nIf-None-Match: *\r\n\r\n").repeat(100);
    let (end, begin) = requests.split_at(20);
    assert!(connection.try_send(end).await);
    let mut sent = 0;
    within(async {
        while connection.try_send(begin).await && connection.try_send(end).await {
            sent += requests.len();
        }
    })
    .await;
    assert!(sent < 64 << 20, "{sent} bytes of requests were taken without an answer being read");
}

#[tokio::test]
async fn who_does_not_read_its_answers_is_not_read_from() {
    let site = site(|limits| limits.write_time = PATIENCE * 100).await;
    let mut connection = Connection::open(site.address).await;
    let requests = format!("GET {RANKING} HTTP/1.1\r\nHost: t\r\nIf-None-Match: *\r\n\r\n").repeat(100);
    let asking = tokio::spawn(async move { while connection.try_send(&requests).await {} });
    let answered =
        "topshelf_http_requests_total{route=\"/recommendations/{advertiser}/{model}\",status=\"304\"}";
    // It goes on asking, and after what the kernel holds nothing is answered any more.
    within(async {
        let mut before = 0.0;
        loop {
            tokio::time::sleep(10 * SHORT).await;
            let now = site.metric(answered).await;
            if now > 0.0 && now <= before {
                break;
            }
            before = now;
        }
    })
    .await;
    assert!(!asking.is_finished(), "its connection was ended");
    asking.abort();
}

#[tokio::test]
async fn who_still_sends_what_was_refused_is_not_hung_up_on() {
    let site = site(|limits| limits.path_bytes_max = 100).await;
    for (path, status) in [("/nothing".to_owned(), 404), (format!("/{}", "x".repeat(100)), 414)] {
        let mut connection = Connection::open(site.address).await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n");
        connection.send(&head).await;
        for _ in 0..4 {
            tokio::time::sleep(SHORT / 5).await; // the answer is sent meanwhile
            assert!(connection.try_send(&" ".repeat(50_000)).await, "{path}");
        }
        assert_eq!(connection.answer().await.status, status);
    }
}
