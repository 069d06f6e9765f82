//! Deleting what is older than it need be kept.

use crate::{
    database::{Database, new_run, on_both},
    notation::{check, held, publish, rankings},
};
use domain::{AdvertiserId, Day};
use store::{Back, Decision, Hold, Holds, Store, StoreError};

on_both!(
    a_trimmed_day_is_gone_but_for_the_ledger,
    what_readers_see_last_outlives_its_day,
    a_trimmed_day_can_be_published_again,
);

const TABLES: [&str; 7] = [
    "publications",
    "past_publications",
    "holds",
    "past_holds",
    "rankings",
    "packed_rankings",
    "advertiser_totals",
];

fn of_day(day: u32) -> String {
    format!("2024-11-{day}: a b\n TopCTR a: a{day}=0.5\n TopCTR b: b{day}=0.5")
}

fn day(day: u32) -> Day {
    format!("2024-11-{day}").parse().unwrap()
}

fn decision() -> Decision<'static> {
    Decision { advertiser: None, reason: "", at: "2024-12-21T08:00:00Z".parse().unwrap() }
}

async fn trim(store: &Store, before: u32) -> Vec<Day> {
    let days = store.days_to_trim(day(before)).await.unwrap();
    for day in &days {
        store.trim_day(*day, decision().at).await.unwrap();
    }
    days
}

/// How many rows each table has.
async fn rows(database: &Database) -> String {
    let text = if database.is_sqlite() { "TEXT" } else { "VARCHAR" };
    let counts = TABLES.map(|table| format!("SELECT CAST(count(*) AS {text}) FROM {table}"));
    let mut told = Vec::new();
    for (table, sql) in TABLES.iter().zip(counts) {
        told.push(format!("{table} {}", database.sql(&sql).await));
    }
    told.join(", ")
}

async fn a_trimmed_day_is_gone_but_for_the_ledger(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(&of_day(22))).await;
    let kept = rows(&database).await;
    for day in [20, 21] {
        publish(&store, &rankings(&of_day(day).replace("a2", "x2"))).await;
        publish(&store, &rankings(&of_day(day))).await;
        store.roll_back(Back::Before(self::day(day)), decision()).await.unwrap();
        store.undo_rollback(None, "", decision().at).await.unwrap();
    }
    let version = store.publication_version().await.unwrap();
    assert_eq!(trim(&store, 22).await, [day(20), day(21)]);
    assert_eq!(rows(&database).await, kept);
    check(&store.published(30, &[]).await.unwrap(), &of_day(22));
    assert!(store.publication_version().await.unwrap() > version);
    assert_eq!(store.runs(9, None).await.unwrap().len(), 5, "the ledger stays");
    let moves = store.moves(1, Some(day(20))).await.unwrap();
    assert_eq!(moves[0].kind, "trim");
    let error = store.roll_back(Back::Before(day(20)), decision()).await.unwrap_err();
    assert!(matches!(error, StoreError::NothingSeen { .. }), "{error}");
    let error = store.undo_rollback(None, "", decision().at).await.unwrap_err();
    assert!(matches!(error, StoreError::NothingToUndo { .. }), "{error}");
    let of_day = store.runs(9, Some(day(20))).await.unwrap();
    let error = store.roll_back(Back::To(&of_day[0].run_id), decision()).await.unwrap_err();
    assert!(matches!(error, StoreError::NotKept { .. }), "{error}");
    assert_eq!(store.rankings_of_run(&of_day[0].run_id).await.unwrap(), None);
    let version = store.publication_version().await.unwrap();
    assert_eq!(trim(&store, 22).await, []);
    assert_eq!(store.publication_version().await.unwrap(), version, "nothing is left to be done");
}

async fn what_readers_see_last_outlives_its_day(database: Database) {
    let store = database.migrated().await;
    let (pinned, _) = publish(&store, &rankings(&of_day(20))).await;
    publish(&store, &rankings(&of_day(21))).await;
    let hold = Hold { check: "volume".into(), message: "too much".into() };
    let holds = Holds { all: None, advertisers: [(AdvertiserId::new("b").unwrap(), hold)].into() };
    for day in [22, 23] {
        let content = rankings(&of_day(day));
        let run = new_run(content.day);
        store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
        store.publish(&run.run_id, held(&content, &holds), run.started_at).await.unwrap();
    }
    store.pin(&pinned.run_id, &AdvertiserId::new("a").unwrap(), decision()).await.unwrap();
    let before = store.published(2, &[]).await.unwrap();
    trim(&store, 23).await;
    let after = store.published(2, &[]).await.unwrap();
    assert_eq!(after.days, before.days[..1]);
    assert_eq!(after.older, before.older);
    let told: Vec<_> = after.older.iter().map(|day| day.day).collect();
    assert_eq!(told, [day(21), day(20)]);
    let view = "SELECT product_id FROM top_ctr ORDER BY product_id";
    assert_eq!(database.sql(view).await, "a20\nb21");
    // Once nothing keeps them, they go too.
    store.unpin(&AdvertiserId::new("a").unwrap(), decision()).await.unwrap();
    publish(&store, &rankings(&of_day(23).replace("23=", "24="))).await;
    trim(&store, 23).await;
    assert_eq!(database.sql(view).await, "a24\nb24");
    assert_eq!(trim(&store, 23).await, []);
}

async fn a_trimmed_day_can_be_published_again(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(&of_day(20))).await;
    trim(&store, 21).await;
    check(&store.published(30, &[]).await.unwrap(), "");
    publish(&store, &rankings(&of_day(20))).await;
    check(&store.published(30, &[]).await.unwrap(), &of_day(20));
}
