//! Pinned advertisers, and what is seen last of those that are held back for long.

use crate::{
    database::{Database, new_run, on_both},
    notation::{check, held, plain, publish, rankings, show_day},
};
use domain::{AdvertiserId, RunId};
use store::{Decision, Hold, Holds, Published, Store, StoreError};

on_both!(
    a_pinned_advertiser_stays_where_it_is,
    a_pin_is_to_a_run_that_was_seen,
    what_is_held_for_long_is_seen_as_it_was_last,
    a_pin_outlives_its_day_and_outweighs_a_check,
);

fn advertiser(id: &str) -> AdvertiserId {
    AdvertiserId::new(id).unwrap()
}

fn decision() -> Decision<'static> {
    Decision { advertiser: None, reason: "audit", at: "2024-11-21T08:00:00Z".parse().unwrap() }
}

fn of_day(day: u32) -> String {
    format!("2024-11-{day}: a b\n TopCTR a: a{day}=0.5\n TopCTR b: b{day}=0.5")
}

async fn pin(store: &Store, id: &str, run: &RunId) -> Result<RunId, StoreError> {
    store.pin(run, &advertiser(id), decision()).await
}

/// The holds that are told: `2024-11-21 a pin`.
fn holds(published: &Published) -> Vec<String> {
    let whom = |id: &Option<AdvertiserId>| id.as_ref().map_or("all".to_owned(), ToString::to_string);
    let told =
        |of: &store::PublishedHold| format!("{} {} {}", of.day, whom(&of.advertiser_id), of.hold.check);
    published.holds.iter().map(told).collect()
}

async fn a_pinned_advertiser_stays_where_it_is(database: Database) {
    let store = database.migrated().await;
    let (first, _) = publish(&store, &rankings(&of_day(20))).await;
    publish(&store, &rankings(&of_day(21))).await;
    let version = store.publication_version().await.unwrap();
    pin(&store, "a", &first.run_id).await.unwrap();
    assert!(store.publication_version().await.unwrap() > version, "servers load it");
    publish(&store, &rankings(&of_day(22))).await;
    let published = store.published(30, &[]).await.unwrap();
    let seen = "2024-11-22: b\n TopCTR b: b22=0.5\n 2024-11-21: b\n TopCTR b: b21=0.5\n
                2024-11-20: a b\n TopCTR a: a20=0.5\n TopCTR b: b20=0.5";
    check(&published, seen);
    assert_eq!(holds(&published), ["2024-11-21 a pin", "2024-11-22 a pin"]);
    let message = format!("pinned to run {} of 2024-11-20: audit", first.run_id);
    assert_eq!(published.holds[0].hold.message, message);
    let view = "SELECT product_id FROM top_ctr ORDER BY day DESC, product_id";
    assert_eq!(database.sql(view).await, "b22\nb21\na20\nb20");
    let newest = store.published(1, &[]).await.unwrap();
    check(&newest, "2024-11-22: b\n TopCTR b: b22=0.5");
    assert_eq!(older(&newest), "2024-11-20: a\nTopCTR a: a20=0.5");
    // Another run of its day is not seen of it either.
    publish(&store, &rankings(&of_day(20).replace("a20", "other").replace("b20", "other"))).await;
    check(&store.published(30, &[]).await.unwrap(), &seen.replace("b20", "other"));
    assert_eq!(store.pins().await.unwrap()[0].run_id, first.run_id);

    assert_eq!(store.unpin(&advertiser("a"), decision()).await.unwrap(), first.run_id);
    let published = store.published(2, &[]).await.unwrap();
    check(&published, &format!("{}\n{}", of_day(22), of_day(21)));
    assert_eq!((holds(&published).len(), published.older.len()), (0, 0));
    let error = store.unpin(&advertiser("a"), decision()).await.unwrap_err();
    assert_eq!(error.to_string(), "advertiser \"a\" is not pinned");
    let kinds: Vec<_> = store.moves(9, None).await.unwrap().into_iter().map(|of| of.kind).collect();
    assert_eq!(kinds, ["unpin", "publish", "publish", "pin", "publish", "publish"]);
}

async fn a_pin_is_to_a_run_that_was_seen(database: Database) {
    let store = database.migrated().await;
    let (first, _) = publish(&store, &rankings(&of_day(20))).await;
    let error = pin(&store, "c", &first.run_id).await.unwrap_err();
    assert_eq!(error.to_string(), format!("readers never saw run {} of advertiser \"c\"", first.run_id));
    let unknown = RunId::new("2024-11-21T08:00:00Z".parse().unwrap(), u32::MAX);
    assert!(matches!(pin(&store, "a", &unknown).await, Err(StoreError::RunUnknown { .. })));
    publish(&store, &rankings(&of_day(20).replace("20=", "new="))).await;
    pin(&store, "a", &first.run_id).await.unwrap();
    check(
        &store.published(9, &[]).await.unwrap(),
        "2024-11-20: a b\n TopCTR a: a20=0.5\n TopCTR b: bnew=0.5",
    );
    // Going back and forth does not move it, and a later pin takes the place of an earlier one.
    store.roll_back(store::Back::To(&first.run_id), decision()).await.unwrap();
    check(&store.published(9, &[]).await.unwrap(), &of_day(20));
    store.undo_rollback(None, "", decision().at).await.unwrap();
    pin(&store, "a", &first.run_id).await.unwrap();
    check(
        &store.published(9, &[]).await.unwrap(),
        "2024-11-20: a b\n TopCTR a: a20=0.5\n TopCTR b: bnew=0.5",
    );
}

/// What is seen of older days, in the notation of rankings.
fn older(published: &Published) -> String {
    let days = published.older.iter().map(|day| show_day(&day.unpack()));
    plain(&days.collect::<Vec<_>>().join("\n"))
}

async fn what_is_held_for_long_is_seen_as_it_was_last(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(&of_day(20))).await;
    publish(&store, &rankings(&of_day(21))).await;
    for day in 22..25 {
        let text = format!("{}\n TopProduct c: c=7", of_day(day).replace("a b", "a b c"));
        let hold = || Hold { check: "volume".into(), message: "too much".into() };
        let holds = ["a", "c"].map(|id| (advertiser(id), hold()));
        let holds = Holds { all: None, advertisers: holds.into() };
        let content = rankings(&text);
        let run = new_run(content.day);
        store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
        store.publish(&run.run_id, held(&content, &holds), run.started_at).await.unwrap();
    }
    let published = store.published(2, &[]).await.unwrap();
    let seen =
        "2024-11-24: b\n TopCTR b: b24=0.5\n TopProduct:\n 2024-11-23: b\n TopCTR b: b23=0.5\n TopProduct:";
    check(&published, seen);
    assert_eq!(older(&published), "2024-11-21: a\nTopCTR a: a21=0.5");
    assert_eq!(store.published(4, &[]).await.unwrap().older, []);
}

async fn a_pin_outlives_its_day_and_outweighs_a_check(database: Database) {
    let store = database.migrated().await;
    for day in 20..22 {
        publish(&store, &rankings(&of_day(day))).await;
    }
    let (pinned, _) = publish(&store, &rankings(&of_day(22))).await;
    let (same, _) = publish(&store, &rankings(&of_day(22))).await;
    assert_eq!(
        pin(&store, "a", &same.run_id).await.unwrap(),
        pinned.run_id,
        "it stands for the one that moved"
    );
    store.roll_back(store::Back::Before("2024-11-22".parse().unwrap()), decision()).await.unwrap();
    let published = store.published(30, &[]).await.unwrap();
    assert_eq!(older(&published), "2024-11-22: a\nTopCTR a: a22=0.5");
    assert_eq!(published.pins[0].run_id, pinned.run_id);
    store.undo_rollback(None, "", decision().at).await.unwrap();
    assert_eq!(store.published(30, &[]).await.unwrap().older, []);
    // A check holds the pinned advertiser: that is told once, as the pin.
    let hold = Hold { check: "volume".into(), message: "too much".into() };
    let holding = Holds { all: None, advertisers: [(advertiser("a"), hold)].into() };
    let content = rankings(&of_day(22).replace("22=", "late="));
    let run = new_run(content.day);
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    store.publish(&run.run_id, held(&content, &holding), run.started_at).await.unwrap();
    assert_eq!(holds(&store.published(30, &[]).await.unwrap()), ["2024-11-22 a pin"]);
}
