//! What is published and cannot be meant so is refused, and what was served is served on.

use crate::harness::{NewDay, Site, run_id};
use domain::AdvertiserId;
use sqlx::{Connection, SqliteConnection};
use std::time::Duration;

fn new_day(product: &str) -> NewDay {
    NewDay::new(&["TopCTR"])
        .ctr("acme", &[(product, 1, 2), ("b", 1, 3), ("c", 1, 4)])
        .ctr("beta", &[("x", 1, 9)])
}

/// Runs `statements` on the database, and says that something was published of the 20th.
async fn tamper(site: &Site, statements: &str) {
    let path = site.store.description().strip_prefix("sqlite:").unwrap().to_owned();
    let mut connection = SqliteConnection::connect(&format!("sqlite:{path}")).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
    let event = "INSERT INTO publication_events (seq, day, run_id, published_at)
                 SELECT 1 + (SELECT max(seq) FROM publication_events), day, run_id, published_at
                 FROM publication_events WHERE day = '2024-11-20' LIMIT 1";
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

#[tokio::test]
async fn a_day_of_which_every_advertiser_is_held_is_not_refused() {
    let site = Site::publishing(vec![("2024-11-19", new_day("z"))]).await;
    let hold = store::Hold { check: "advertiser_volume".to_owned(), message: "fell by 90 %".to_owned() };
    let advertisers = ["acme", "beta"].map(|id| (AdvertiserId::new(id).unwrap(), hold.clone()));
    let holds = store::Holds { advertisers: advertisers.into(), ..store::Holds::default() };
    site.publish_held("2024-11-20", 1, new_day("a"), &holds).await;
    site.until_served().await;
    let answer = site.check("GET /recommendations/acme/TopCTR").await;
    assert!(answer.contains("\"day\":\"2024-11-19\"") && answer.contains("\"held\":{"), "{answer}");
    let ready = site.check("GET /health/ready").await;
    assert!(ready.contains("\"last_load_error\":null"), "{ready}");
}

#[tokio::test]
async fn an_only_advertiser_that_is_taken_back_or_pinned_is_not_refused() {
    let one = |product| NewDay::new(&["TopCTR"]).ctr("acme", &[(product, 1, 2)]);
    let site = Site::publishing(vec![("2024-11-19", one("a")), ("2024-11-20", one("b"))]).await;
    let acme = AdvertiserId::new("acme").unwrap();
    let at = "2024-11-21T09:00:00Z".parse().unwrap();
    let decision = store::Decision { advertiser: Some(&acme), reason: "wrong", at };
    site.store.roll_back(store::Back::Before("2024-11-20".parse().unwrap()), decision).await.unwrap();
    let answer = site.until("/recommendations/acme/TopCTR", "\"day\":\"2024-11-19\"").await;
    assert!(answer.contains("\"check\":\"rollback\""), "{answer}");
    let pinned = run_id("2024-11-19".parse().unwrap(), 1);
    let decision = store::Decision { advertiser: None, reason: "campaign", at };
    site.store.pin(&pinned, &acme, decision).await.unwrap();
    site.publish("2024-11-21", 1, one("c")).await;
    site.until_served().await;
    let answer = site.check("GET /recommendations/acme/TopCTR").await;
    assert!(answer.contains("\"day\":\"2024-11-19\""), "{answer}");
    let ready = site.check("GET /health/ready").await;
    assert!(ready.contains("\"last_load_error\":null") && ready.contains("2024-11-21"), "{ready}");
}

#[tokio::test]
async fn a_day_that_was_emptied_does_not_keep_the_next_from_being_served() {
    let site = Site::publishing(vec![("2024-11-20", new_day("a"))]).await;
    tamper(&site, "DELETE FROM publications WHERE day = '2024-11-20'").await;
    site.until("/health/ready", "no advertiser has any ranking of 2024-11-20").await;
    site.publish("2024-11-21", 1, new_day("n")).await;
    site.until_served().await;
    let answer = site.check("GET /recommendations/acme/TopCTR").await;
    assert!(answer.contains("\"day\":\"2024-11-21\""), "{answer}");
}

#[tokio::test]
async fn an_older_day_that_is_damaged_is_left_out_or_stays_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", place.path().join("damaged.db").display());
    let store = store::Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    let serve =
        async || Site::serve(store.clone().into(), store.clone(), tempfile::tempdir().unwrap(), |_| ()).await;
    let site = serve().await;
    for (day, product) in [("2024-11-19", "z"), ("2024-11-20", "a"), ("2024-11-21", "n")] {
        site.publish(day, 1, new_day(product)).await;
    }
    site.until_served().await;
    let older = "/recommendations/acme/TopCTR?day=2024-11-20";
    let before = site.ask(&format!("GET {older}")).await.body;
    tamper(&site, &of_newest("DELETE FROM rankings WHERE {run} AND advertiser_id = 'acme' AND rank = 2"))
        .await;
    let check = async |site: &Site, expected: &str| {
        site.until_served().await;
        let ready = site.check("GET /health/ready").await;
        assert!(
            ready.starts_with("200") && ready.contains("what is published of 2024-11-20 cannot be served"),
            "{ready}"
        );
        let metrics = site.check("GET /metrics").await;
        assert!(metrics.contains("\ntopshelf_snapshot_refused 1\n"), "{metrics}");
        let newest = site.check("GET /recommendations/acme/TopCTR").await;
        assert!(newest.contains("\"day\":\"2024-11-21\""), "{newest}");
        let answer = site.ask(&format!("GET {older}")).await.body;
        assert!(answer.contains(expected), "{answer}");
    };
    // Who has it serves it on; who starts leaves it out.
    check(&site, &before).await;
    let started = serve().await;
    check(&started, "no_publication_for_day").await;
    site.publish("2024-11-20", 2, new_day("m")).await;
    for site in [&site, &started] {
        site.until_served().await;
        let answer = site.check(&format!("GET {older}")).await;
        assert!(answer.contains("\"product_id\":\"m\""), "{answer}");
        let ready = site.check("GET /health/ready").await;
        assert!(ready.contains("\"last_load_error\":null"), "{ready}");
    }
}
