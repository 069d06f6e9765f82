//! As whom a request is counted, with and without a proxy in front.

use crate::harness::Site;
use api::Networks;

/// How many of 40 requests with those headers are let through, where each caller may send 10 at once.
async fn through(trusted: &[&str], header: impl Fn(usize) -> String) -> usize {
    let site = Site::start_with(|options| {
        options.trusted_proxies = Networks::parse(trusted).unwrap();
        (options.limits.requests_per_second, options.limits.requests_burst) = (1, 10);
    })
    .await;
    let mut through = 0;
    for number in 0..40 {
        let answer = site.ask(&format!("GET /nothing\n{}", header(number))).await;
        through += usize::from(answer.status == 404);
    }
    through
}

#[tokio::test]
async fn who_is_not_trusted_says_in_vain_for_whom_it_asks() {
    let told = through(&[], |number| format!("X-Forwarded-For: 198.51.100.{number}")).await;
    assert!((10..20).contains(&told), "{told}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_is_counted_for_itself() {
    let told = through(&["127.0.0.0/8"], |number| format!("X-Forwarded-For: 198.51.100.{number}")).await;
    assert_eq!(told, 40);
    let told =
        through(&["127.0.0.1"], |number| format!("X-Forwarded-For: 203.0.113.{number}, 198.51.100.1")).await;
    assert!((10..20).contains(&told), "what a client writes itself is not believed: {told}");
    let told = through(&["127.0.0.1"], |number| format!("Forwarded: for=198.51.100.{number}")).await;
    assert!((10..20).contains(&told), "another header is not read: {told}");
}

#[tokio::test]
async fn connections_of_a_trusted_proxy_are_counted_in_all_alone() {
    let site = Site::start_with(|options| {
        options.trusted_proxies = Networks::parse(&["127.0.0.1"]).unwrap();
        options.limits.connections_per_address_max = 1;
    })
    .await;
    let mut connections = Vec::new();
    for _ in 0..5 {
        let mut connection = crate::harness::Connection::open(site.address).await;
        assert_eq!(connection.get("/health/live").await.status, 200);
        connections.push(connection);
    }
}
