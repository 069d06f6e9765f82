//! What is published and cannot be meant so is refused, and what was served is served on.

use crate::harness::{NewDay, Site, run_id};
use sqlx::{Connection, SqliteConnection};
use std::time::Duration;

fn new_day(product: &str) -> NewDay {
    NewDay::new(&["TopCTR"])
        .ctr("acme", &[(product, 1, 2), ("b", 1, 3), ("c", 1, 4)])
        .ctr("beta", &[("x", 1, 9)])
}

/// Runs `statements` on the database, and says that something was published of the day.
async fn tamper(site: &Site, statements: &str) {
    let path = site.store.description().strip_prefix("sqlite:").unwrap().to_owned();
    let mut connection = SqliteConnection::connect(&format!("sqlite:{path}")).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
    let event = "INSERT INTO publication_events (seq, day, run_id, published_at)
                 SELECT 1 + max(seq), day, run_id, published_at FROM publication_events";
    sqlx::raw_sql(event).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn check(statements: &str, told: &str) {
    let site = Site::publishing(vec![("2024-11-19", new_day("z")), ("2024-11-20", new_day("a"))]).await;
    let answers = async || {
        let mut answers = Vec::new();
        for path in
            ["/recommendations/acme/TopCTR", "/recommendations/beta/TopCTR", "/history/acme", "/stats"]
        {
            answers.push(site.ask(&format!("GET {path}")).await.body);
        }
        answers
    };
    let before = answers().await;
    tamper(&site, statements).await;
    let ready = site.until("/health/ready", told).await;
    assert!(ready.starts_with("200") && ready.contains("\"status\":\"ready\""), "{ready}");
    let metrics = site.check("GET /metrics").await;
    assert!(metrics.contains("\ntopshelf_snapshot_refused 1\n"), "{metrics}");
    assert!(metrics.contains("topshelf_snapshot_loads_total{outcome=\"refused\"}"), "{metrics}");
    assert_eq!(answers().await, before);
    // What is published next in good order is served.
    site.publish("2024-11-21", 1, new_day("n")).await;
    site.publish("2024-11-20", 2, new_day("m")).await;
    site.until("/recommendations/acme/TopCTR", "\"day\":\"2024-11-21\"").await;
    let metrics = site.check("GET /metrics").await;
    assert!(metrics.contains("\ntopshelf_snapshot_refused 0\n"), "{metrics}");
    let ready = site.check("GET /health/ready").await;
    assert!(ready.contains("\"last_load_error\":null"), "{ready}");
}

fn of_newest(statement: &str) -> String {
    let run_id = run_id("2024-11-20".parse().unwrap(), 1);
    statement.replace("{run}", &format!("run_id = '{run_id}'"))
}

#[tokio::test]
async fn a_rank_that_is_missing() {
    check(&of_newest("DELETE FROM rankings WHERE {run} AND advertiser_id = 'acme' AND rank = 2"), "rank")
        .await;
}

#[tokio::test]
async fn a_product_that_comes_twice() {
    let twice = "UPDATE rankings SET product_id = 'a' WHERE {run} AND advertiser_id = 'acme' AND rank = 3";
    check(&of_newest(twice), "twice").await;
}

#[tokio::test]
async fn a_model_that_the_run_did_not_compute() {
    check(
        &of_newest("UPDATE rankings SET model = 'TopGuess' WHERE {run} AND advertiser_id = 'beta'"),
        "TopGuess",
    )
    .await;
}

#[tokio::test]
async fn a_day_without_any_ranking() {
    check(&of_newest("DELETE FROM rankings WHERE {run}"), "no advertiser has any ranking of 2024-11-20")
        .await;
}

#[tokio::test]
async fn a_day_without_any_advertiser() {
    check("DELETE FROM publications WHERE day = '2024-11-20'", "no advertiser has any ranking of 2024-11-20")
        .await;
}

#[tokio::test]
async fn a_database_that_was_emptied() {
    let site = Site::publishing(vec![("2024-11-20", new_day("a"))]).await;
    let before = site.ask("GET /recommendations/acme/TopCTR").await.body;
    let path = site.store.description().strip_prefix("sqlite:").unwrap().to_owned();
    let mut connection = SqliteConnection::connect(&format!("sqlite:{path}")).await.unwrap();
    sqlx::raw_sql("DELETE FROM publications; DELETE FROM publication_events; DELETE FROM rankings")
        .execute(&mut connection)
        .await
        .unwrap();
    site.until("/health/ready", "the database publishes nothing").await;
    assert_eq!(site.ask("GET /recommendations/acme/TopCTR").await.body, before);
}

#[tokio::test]
async fn a_day_that_somebody_takes_back_is_not_refused() {
    let site = Site::publishing(vec![("2024-11-20", new_day("a"))]).await;
    let back = store::Back::Before("2024-11-20".parse().unwrap());
    let decision =
        store::Decision { advertiser: None, reason: "wrong", at: "2024-11-21T09:00:00Z".parse().unwrap() };
    site.store.roll_back(back, decision).await.unwrap();
    let answer = site.until("/recommendations/acme/TopCTR", "no_publication_yet").await;
    assert!(answer.starts_with("404"), "{answer}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ready = site.check("GET /health/ready").await;
    assert!(ready.contains("\"last_load_error\":null"), "{ready}");
}
