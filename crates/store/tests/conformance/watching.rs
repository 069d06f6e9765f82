//! Waking up when something is published.

use crate::{
    database::{Database, on_both},
    notation::{publish, rankings},
};
use std::{
    pin::pin,
    time::{Duration, Instant},
};
use store::Watch;
use tokio::time::timeout;

/// Longer than any test: what wakes up sooner was told.
const NEVER: Duration = Duration::from_secs(3600);
const OFTEN: Duration = Duration::from_millis(20);
/// By when what must happen has happened, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// For how long nothing happens where nothing should.
const A_WHILE: Duration = Duration::from_millis(400);

on_both!(
    polling_wakes_for_each_publication_and_nothing_else,
    what_was_published_before_watching_counts_unless_seen,
    watching_begins_before_migration,
);

fn content(product: usize) -> domain::DayRankings {
    rankings(&format!("2024-11-20: a\n TopCTR a: p{product}=0.5"))
}

async fn polling_wakes_for_each_publication_and_nothing_else(database: Database) {
    let store = database.migrated().await;
    let mut watch = database.open().await.watch(OFTEN);
    for product in 0..3 {
        let mut changed = pin!(watch.changed());
        assert!(timeout(A_WHILE, &mut changed).await.is_err(), "nothing was published");
        publish(&store, &content(product)).await;
        timeout(SOON, changed).await.expect("something was published");
    }
    publish(&store, &content(2)).await;
    assert!(timeout(A_WHILE, watch.changed()).await.is_err(), "the same again is no change");
}

async fn what_was_published_before_watching_counts_unless_seen(database: Database) {
    let store = database.migrated().await;
    publish(&store, &content(0)).await;
    let mut watch = store.watch(OFTEN);
    timeout(SOON, watch.changed()).await.expect("there is something to read");

    let mut watch = store.watch(OFTEN);
    watch.seen(store.published(30, &[]).await.unwrap().version);
    assert!(timeout(A_WHILE, watch.changed()).await.is_err(), "it was read already");
}

async fn watching_begins_before_migration(database: Database) {
    let mut watch = database.open().await.watch(OFTEN);
    let mut changed = pin!(watch.changed());
    assert!(timeout(A_WHILE, &mut changed).await.is_err(), "there are no tables yet");
    publish(&database.migrated().await, &content(0)).await;
    timeout(SOON, changed).await.expect("something was published");
}

async fn is_told(watch: &mut Watch, publish: impl Future<Output = ()>) -> Duration {
    let mut changed = pin!(watch.changed());
    assert!(timeout(A_WHILE, &mut changed).await.is_err(), "nothing was published");
    publish.await;
    let published_at = Instant::now();
    timeout(SOON, changed).await.expect("told without asking");
    published_at.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_tells_at_once() {
    let database = Database::postgres().await;
    let store = database.migrated().await;
    let mut watch = database.open().await.watch(NEVER);
    for product in 0..3 {
        let waited = is_told(&mut watch, async { drop(publish(&store, &content(product)).await) }).await;
        assert!(waited < Duration::from_secs(5), "{waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_tells_again_after_the_connection_was_lost() {
    let database = Database::postgres().await;
    let store = database.migrated().await;
    let mut watch = database.open().await.watch(NEVER);
    is_told(&mut watch, async { drop(publish(&store, &content(0)).await) }).await;
    is_told(&mut watch, async {
        let killed = database
            .sql(
                "SELECT CAST(count(pg_terminate_backend(pid)) AS TEXT) FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE 'LISTEN%'",
            )
            .await;
        assert_eq!(killed, "1");
        publish(&store, &content(1)).await;
    })
    .await;
    is_told(&mut watch, async { drop(publish(&store, &content(2)).await) }).await;
}
