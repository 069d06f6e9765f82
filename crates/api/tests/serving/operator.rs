//! A listener of their own for operators.

use crate::harness::{Connection, NewDay, Site};
use api::Keys;
use std::time::Duration;

async fn site() -> Site {
    let new = NewDay::new(&["TopCTR"]).ctr("acme", &[("a", 1, 2)]);
    Site::publishing_with(vec![("2024-11-20", new)], |options| {
        options.operator_listen = Some("127.0.0.1:0".to_owned());
        (options.limits.requests_per_second, options.limits.requests_burst) = (1, 1000);
    })
    .await
}

#[tokio::test]
async fn what_operators_ask_is_there_and_not_elsewhere() {
    let site = site().await;
    let operators = site.operator_address.unwrap();
    for path in ["/metrics", "/metrics/", "/health", "/health/", "/health/live", "/health/ready"] {
        let answer = Connection::open(operators).await.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    for path in ["/metrics", "/metrics/", "/health", "/health/"] {
        let answer = site.ask(&format!("GET {path}")).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("\"code\":\"not_found\""), "{}", answer.body);
    }
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(site.ask(&format!("GET {path}")).await.status, 200, "{path}");
    }
    for path in ["/", "/stats", "/recommendations/acme/TopCTR", "/docs/", "/openapi.json"] {
        assert_eq!(Connection::open(operators).await.get(path).await.status, 404, "{path}");
        assert_eq!(site.ask(&format!("GET {path}")).await.status, 200, "{path}");
    }
    let home = site.ask("GET /").await.body;
    assert!(home.contains("health/ready") && !home.contains("metrics"), "{home}");
}

#[tokio::test]
async fn no_crowd_keeps_operators_out() {
    let site = Site::start_with(|options| {
        options.operator_listen = Some("127.0.0.1:0".to_owned());
        options.limits.connections_max = 1;
        (options.limits.requests_per_second, options.limits.requests_burst) = (1, 1);
    })
    .await;
    let mut crowd = Connection::open(site.address).await;
    assert_eq!(crowd.get("/nothing").await.status, 404);
    assert_eq!(crowd.get("/nothing").await.status, 429);
    let mut operator = Connection::open(site.operator_address.unwrap()).await;
    for _ in 0..20 {
        assert_eq!(operator.get("/metrics").await.status, 200);
    }
}

#[tokio::test]
async fn operators_show_no_key_where_others_must() {
    let site = Site::start_with(|options| {
        (options.operator_listen, options.keys) = (Some("127.0.0.1:0".to_owned()), Keys::Required);
    })
    .await;
    assert_eq!(site.ask("GET /stats").await.status, 401);
    let mut operator = Connection::open(site.operator_address.unwrap()).await;
    assert_eq!(operator.get("/metrics").await.status, 200);
    let health = operator.get("/health").await.body;
    assert!(health.contains("\"next_run_at\":"), "{health}");
}

#[tokio::test]
async fn both_listeners_end_together() {
    let mut site = site().await;
    let mut operator = Connection::open(site.operator_address.unwrap()).await;
    assert_eq!(operator.get("/health/ready").await.status, 200);
    site.end(Duration::from_millis(200));
    let mut told = operator.get("/health/ready").await;
    while told.status == 200 {
        told = operator.get("/health/ready").await; // the end begins a moment later
    }
    assert_eq!((told.status, told.headers["connection"].as_str()), (503, "close"));
    assert_eq!(operator.rest().await, "");
    site.ended().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_with_its_key() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let error = Site::refused(|options| options.operator_listen = Some(listen.clone())).await;
    assert_eq!(
        error.to_string(),
        format!("could not listen on {listen}: choose another address with serve.operator_listen")
    );
}
