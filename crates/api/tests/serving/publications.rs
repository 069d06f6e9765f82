//! Publications that move while the server runs, a store that is late or away, and the end.

use crate::harness::{NewDay, Site};
use api::ServedStore;
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::{Outcome, Store};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ROUTE: &str = "/recommendations/acme/TopCTR";

/// A day whose products and counts all tell its attempt.
fn told(attempt: u64) -> NewDay {
    let ids: Vec<_> = (0..20).map(|place| format!("attempt-{attempt}-{place}")).collect();
    let products: Vec<_> = ids.iter().map(|id| (id.as_str(), attempt, 1000)).collect();
    NewDay::new(&["TopCTR"]).ctr("acme", &products)
}

#[tokio::test]
async fn a_server_started_before_any_table_exists_serves_the_first_publication() {
    let site = Site::start().await;
    let ready = site.until("/health/ready", "no_publication_yet").await;
    assert!(ready.starts_with("200 · application/json · no-store\n"), "{ready}");
    for route in [ROUTE, "/recommendations/acme/Best", "/history/acme/", "/stats/"] {
        let answer = site.check(&format!("GET {route}")).await;
        assert_eq!(
            answer,
            "404 · application/problem+json · no-store\n\
            {\"type\":\"/docs/#no_publication_yet\",\"title\":\"nothing is published yet\",\"status\":404,\
            \"detail\":\"nothing is published yet: the first run that ends well publishes its day\",\
            \"code\":\"no_publication_yet\"}"
        );
    }
    assert!(site.check("GET /").await.contains("nothing is published yet"));
    site.store.migrate().await.unwrap();
    site.publish("2024-11-20", 1, told(1)).await;
    let answer = site.until(ROUTE, "attempt-1-0").await;
    assert!(answer.starts_with("200"), "{answer}");
    let ready: Value = serde_json::from_str(&site.ask("GET /health/ready").await.body).unwrap();
    assert_eq!((&ready["status"], &ready["newest_day"]), (&"ready".into(), &"2024-11-20".into()));
    assert_eq!((&ready["advertisers"], &ready["last_load_error"]), (&1.into(), &Value::Null));
}

#[tokio::test]
async fn a_server_that_cannot_reach_its_store_says_so_and_lives() {
    // Nothing listens on port 1.
    let site = site_at("postgres://nobody:nothing@127.0.0.1:1/none").await;
    let ready = site.until("/health/ready", "\"last_load_error\":\"").await;
    assert!(ready.starts_with("503 · application/json · no-store\n"), "{ready}");
    assert!(ready.contains("\"status\":\"snapshot_unavailable\""), "{ready}");
    assert!(ready.contains("127.0.0.1:1") && !ready.contains("nothing"), "{ready}");
    for route in [ROUTE, "/history/acme/", "/stats/"] {
        let answer = site.check(&format!("GET {route}")).await;
        assert!(answer.starts_with("503 · application/problem+json · 2 · no-store\n"), "{answer}");
        assert!(answer.contains("\"code\":\"snapshot_unavailable\""), "{answer}");
    }
    assert!(site.check("GET /health/live").await.starts_with("200"));
    assert!(site.check("GET /").await.contains("has not loaded what is published yet"));
}

#[tokio::test]
async fn a_store_that_can_be_opened_later_is_served_then() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("later");
    std::fs::write(&folder, "a file where the store's folder should be").unwrap();
    let url = format!("sqlite:{}", folder.join("topshelf.db").display());
    let mut site = site_at(&url).await;
    site.until("/health/ready", "could not make the folder").await;
    std::fs::remove_file(&folder).unwrap();
    site.store = Store::open(&url).await.unwrap();
    site.store.migrate().await.unwrap();
    site.publish("2024-11-20", 1, told(1)).await;
    site.until_served().await;
    assert!(site.check(&format!("GET {ROUTE}")).await.contains("attempt-1-0"));
}

/// A server that opens `url` itself; the test's own store is another, empty one.
async fn site_at(url: &str) -> Site {
    let directory = tempfile::tempdir().unwrap();
    let own = Store::open(&format!("sqlite:{}", directory.path().join("own.db").display())).await.unwrap();
    Site::serve(ServedStore::Closed(url.into()), own, directory, |_| ()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_answer_is_wholly_old_or_wholly_new_while_publications_move() {
    let site = Arc::new(Site::publishing(vec![("2024-11-20", told(1))]).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4).map(|_| tokio::spawn(read_all(site.clone(), is_over.clone()))).collect();
    for attempt in 2..=12 {
        site.publish("2024-11-20", attempt, told(u64::from(attempt))).await;
        site.until_served().await;
    }
    is_over.store(true, Ordering::Relaxed);
    let mut seen = 0;
    for reader in readers {
        seen = seen.max(reader.await.unwrap());
    }
    assert!(seen > 5, "readers saw only {seen} publications");
    assert!(site.check(&format!("GET {ROUTE}")).await.contains("-0000000c\""));
}

/// Asks until it is over, and gives back how many publications it saw.
async fn read_all(site: Arc<Site>, is_over: Arc<AtomicBool>) -> usize {
    let (mut newest, mut seen) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let answer = site.ask(&format!("GET {ROUTE}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        let run_id = body["run_id"].as_str().unwrap();
        let attempt = u64::from_str_radix(run_id.rsplit_once('-').unwrap().1, 16).unwrap();
        let list = body["recommendations"].as_array().unwrap();
        assert_eq!(list.len(), 20);
        for (place, product) in list.iter().enumerate() {
            assert_eq!(product["product_id"], format!("attempt-{attempt}-{place}"), "{body}");
            assert_eq!(product["clicks"], attempt, "{body}");
        }
        assert!(attempt >= newest, "{attempt} was served after {newest}");
        seen += usize::from(attempt > newest);
        newest = attempt;
    }
    seen
}

#[tokio::test]
async fn a_newer_day_takes_over_and_an_older_one_does_not() {
    let site = Site::publishing(vec![("2024-11-20", told(1))]).await;
    site.publish("2024-11-19", 2, told(2)).await;
    site.until_served().await;
    assert!(site.check(&format!("GET {ROUTE}")).await.contains("attempt-1-0"));
    site.publish("2024-11-21", 3, told(3)).await;
    site.until_served().await;
    assert!(site.check(&format!("GET {ROUTE}")).await.contains("attempt-3-0"));
    assert!(site.check(&format!("GET {ROUTE}?day=2024-11-19")).await.contains("attempt-2-0"));
}

#[tokio::test]
async fn only_as_many_days_as_are_kept_are_served() {
    let site = Site::start_with(|options| options.history_days_kept = 8).await;
    site.store.migrate().await.unwrap();
    for number in 1..=10 {
        site.publish(&format!("2024-11-{number:02}"), 1, told(number)).await;
    }
    site.until_served().await;
    let answer = site.check(&format!("GET {ROUTE}?day=2024-11-02")).await;
    assert!(answer.contains("the published days kept are from 2024-11-03 to 2024-11-10"), "{answer}");
    assert!(site.check("GET /history/acme/?days=9").await.contains("expected a number from 1 to 8"));
}

#[tokio::test]
async fn two_servers_in_one_process_count_their_own_requests() {
    let (one, two) = (Site::start().await, Site::start().await);
    let request = "GET /recommendations/acme/TopCTR";
    one.until("/health/ready", "no_publication_yet").await;
    for _ in 0..3 {
        one.ask(request).await;
    }
    one.ask("GET /nothing").await;
    let metrics = one.ask("GET /metrics").await.body;
    let route = "route=\"/recommendations/{advertiser}/{model}\"";
    for line in [
        format!("topshelf_http_requests_total{{{route},status=\"404\"}} 3"),
        "topshelf_http_requests_total{route=\"none\",status=\"404\"} 1".to_owned(),
        format!("topshelf_http_request_duration_seconds_count{{{route}}} 3"),
        "topshelf_snapshot_stale 1".to_owned(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
    let metrics = two.ask("GET /metrics").await.body;
    assert!(!metrics.contains("status=\"404\""), "{metrics}");
}

#[tokio::test]
async fn how_the_nights_go_is_told() {
    let site = Site::start().await;
    assert!(site.until("/health", "\"status\":\"no_publication_yet\"").await.starts_with("200 "));
    let health: Value = serde_json::from_str(&site.ask("GET /health").await.body).unwrap();
    assert_eq!(health["next_run_at"], site.next_night_at().to_string());
    site.until("/health/", "\"last\":null").await;
    site.store.migrate().await.unwrap();
    site.publish("2024-11-20", 1, told(1)).await;
    let run = "\"run_id\":\"20241121T023000Z-00000001\",\"day\":\"2024-11-20\",\"status\"";
    site.until("/health", &format!("\"under_way\":[{{{run}:\"running\",\"started_by\":\"hand\"")).await;
    site.end_run("2024-11-20", 1, Outcome::Succeeded).await;
    site.publish("2024-11-21", 1, told(2)).await;
    site.end_run("2024-11-21", 1, Outcome::Held).await;
    let health = site.until("/health", "\"status\":\"held\"").await;
    let last = "\"under_way\":[],\"last\":{\"run_id\":\"20241122T023000Z-00000001\",\"day\":\"2024-11-21\",\"status\":\"held\"";
    assert!(health.contains(last), "{health}");
    assert!(health.contains(&format!("\"last_succeeded\":{{{run}:\"succeeded\"")), "{health}");
    let metrics = site.until("/metrics", "topshelf_last_run_succeeded 0").await;
    assert!(metrics.contains("\ntopshelf_ledger_seen_at_seconds 1"), "{metrics}");
    for line in [
        format!("topshelf_next_run_at_seconds {}", site.next_night_at().as_second()),
        "topshelf_runs_under_way 0".to_owned(),
        "topshelf_last_run_ended_at_seconds 1732242660".to_owned(),
        "topshelf_last_success_ended_at_seconds 1732156260".to_owned(),
        "topshelf_last_success_day_seconds 1732060800".to_owned(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn ending_lets_readiness_fall_first_and_requests_in_flight_end() {
    let mut site = Site::start().await;
    site.until("/health/ready", "no_publication_yet").await;
    // A request of which the server has the first half when it is told to end.
    let mut connection = TcpStream::connect(site.address).await.unwrap();
    connection.write_all(b"GET /health/live HTTP/1.1\r\nHost: topshelf\r\n").await.unwrap();
    site.end(Duration::from_millis(500));
    let ready = site.until("/health/ready", "shutting_down").await;
    assert!(ready.starts_with("503"), "{ready}");
    connection.write_all(b"Connection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let address = site.address;
    site.ended().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn while_it_ends_each_answer_asks_the_client_to_connect_anew() {
    let mut site =
        Site::publishing(vec![("2024-11-20", NewDay::new(&["TopCTR"]).ctr("acme", &[("a", 1, 2)]))]).await;
    let address = site.address;
    let connect = async || TcpStream::connect(address).await.unwrap();
    let ask = async |connection: &mut TcpStream, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: topshelf\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 16 * 1024];
        let length = connection.read(&mut answer).await.unwrap();
        String::from_utf8(answer[..length].to_vec()).unwrap()
    };
    let (mut busy, mut routed, mut idle) = (connect().await, connect().await, connect().await);
    let paths = ["/recommendations/acme/TopCTR", "/stats", "/recommendations/acme/TopCTR"];
    for (connection, path) in [&mut busy, &mut routed, &mut idle].into_iter().zip(paths) {
        let answer = ask(connection, path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("connection: close"), "{answer}");
    }
    site.end(Duration::from_millis(700));
    site.until("/health/ready", "shutting_down").await;
    for (connection, path) in [(&mut busy, paths[0]), (&mut routed, paths[1])] {
        let answer = ask(connection, path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
        assert_eq!(connection.read(&mut [0; 16]).await.unwrap(), 0, "it is closed");
    }
    // Who comes while it ends is answered; who is silent to the end is let go.
    let answer = ask(&mut connect().await, paths[0]).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
    site.ended().await;
}
