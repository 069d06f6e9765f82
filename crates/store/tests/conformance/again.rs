//! The same call again, as by someone who did not hear the answer to the first: it answers alike and does nothing.

use crate::{
    database::{Database, new_run, on_both},
    notation::{held, rankings},
};
use domain::{AdvertiserId, DayRankings};
use jiff::Timestamp;
use store::{
    Back, Decision, Hold, Holds, NewRun, Outcome, Publication, Published, RunEnd, RunRecord, Store,
    StoreError, TAKEN_BACK,
};

on_both!(
    a_run_begun_again_is_the_same_run,
    a_run_ended_again_has_ended,
    whatever_publishing_did_is_told_again,
    what_was_published_is_told_to_who_asks,
);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn end(outcome: Outcome) -> RunEnd {
    let (ended_at, report) = (at("2024-11-21T02:35:00.987654Z"), serde_json::json!({ "a": 1 }));
    RunEnd { ended_at, outcome, error: Some("x\0y".into()), report }
}

async fn a_run_begun_again_is_the_same_run(database: Database) {
    let store = database.migrated().await;
    let run = new_run("2024-11-20".parse().unwrap());
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    assert_eq!(store.runs(10, None).await.unwrap().len(), 1);
    for other in [
        NewRun { process: "elsewhere 7 8".into(), ..run.clone() },
        NewRun { day: "2024-11-21".parse().unwrap(), ..run.clone() },
        NewRun { started_at: at("2024-11-21T02:30:00.001Z"), ..run.clone() },
    ] {
        let refused = store.begin_runs(std::slice::from_ref(&other)).await.unwrap_err();
        let is_refused = matches!(refused, StoreError::RunExists { .. } | StoreError::DayTaken { .. });
        assert!(is_refused, "{refused}");
    }
}

async fn a_run_ended_again_has_ended(database: Database) {
    let store = database.migrated().await;
    let run = new_run("2024-11-20".parse().unwrap());
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    store.end_run(&run.run_id, &end(Outcome::Failed)).await.unwrap();
    let ended = store.run(&run.run_id).await.unwrap();
    store.end_run(&run.run_id, &end(Outcome::Failed)).await.unwrap();
    for other in [
        end(Outcome::Succeeded),
        RunEnd { ended_at: at("2024-11-21T02:35:00.988Z"), ..end(Outcome::Failed) },
        RunEnd { error: None, ..end(Outcome::Failed) },
    ] {
        let refused = store.end_run(&run.run_id, &other).await.unwrap_err();
        assert!(matches!(refused, StoreError::RunEnded { .. }), "{refused}");
    }
    assert_eq!(store.run(&run.run_id).await.unwrap(), ended);
}

/// Everything that a publication may change, but for signs of life.
async fn all(store: &Store) -> (Published, Vec<store::Move>, Vec<RunRecord>) {
    let mut runs = store.runs(100, None).await.unwrap();
    runs.iter_mut().for_each(|run| run.seen_at = None);
    (store.published(30, &[]).await.unwrap(), store.moves(100, None).await.unwrap(), runs)
}

/// Publishes as a run of its own, and again: the same must be told, and nothing done.
async fn publish_twice(store: &Store, rankings: &DayRankings, holds: &Holds) -> (Publication, Holds) {
    let run = new_run(rankings.day);
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    let publish = || store.publish(&run.run_id, held(rankings, holds), at("2024-11-21T03:00:00Z"));
    let first = publish().await.unwrap();
    let done = all(store).await;
    assert_eq!(publish().await.unwrap(), first);
    // Also by who comes so late that the run has been ended meanwhile.
    store.end_run(&run.run_id, &end(Outcome::Died)).await.unwrap();
    assert_eq!(publish().await.unwrap(), first);
    let mut now = all(store).await;
    now.2.iter_mut().zip(&done.2).filter(|(now, _)| now.run_id == run.run_id).for_each(|(now, then)| {
        now.clone_from(then);
    });
    assert_eq!(now, done);
    first
}

async fn whatever_publishing_did_is_told_again(database: Database) {
    let store = database.migrated().await;
    let hold = || Hold { check: "volume".into(), message: "too few".into() };
    let advertiser = |id: &str| AdvertiserId::new(id).unwrap();
    let nobody = Holds::default();
    let everybody = Holds { all: Some(hold()), ..Holds::default() };
    let b = Holds { advertisers: [(advertiser("b"), hold())].into(), ..Holds::default() };
    let [one, other, third] = ["x", "y", "z"].map(|product| {
        rankings(&format!("2024-11-20: a b\n TopCTR a: {product}=0.5\n TopCTR b: {product}=0.5"))
    });

    assert_eq!(publish_twice(&store, &one, &nobody).await, (Publication::Moved, nobody.clone()));
    let (publication, _) = publish_twice(&store, &one, &nobody).await;
    assert!(matches!(publication, Publication::Unchanged { is_held: false, .. }), "{publication:?}");
    assert_eq!(publish_twice(&store, &other, &b).await, (Publication::Moved, b.clone()));
    let (publication, holds) = publish_twice(&store, &other, &b).await;
    assert!(matches!(publication, Publication::Unchanged { is_held: true, .. }), "{publication:?}");
    assert_eq!(holds, b);
    let (publication, holds) = publish_twice(&store, &third, &everybody).await;
    let Publication::Held { waiting_run } = publication else { panic!("{publication:?}") };
    assert_eq!(holds, everybody);
    let waits = publish_twice(&store, &third, &everybody).await;
    assert_eq!(waits, (Publication::Held { waiting_run }, everybody.clone()));
    // All of it is held, and readers see all of it: what is held by another run is of no account any more.
    let (publication, _) = publish_twice(&store, &one, &nobody).await;
    assert_eq!(publication, Publication::Moved);

    // What was taken back, of the day and of an advertiser, is held by the store itself.
    let back = |advertiser| Decision { advertiser, reason: "bad", at: at("2024-11-21T08:00:00Z") };
    store.roll_back(Back::Before(one.day), back(None)).await.unwrap();
    let (publication, holds) = publish_twice(&store, &one, &nobody).await;
    assert!(matches!(publication, Publication::Held { .. }), "{publication:?}");
    assert_eq!(holds.all.unwrap().check, TAKEN_BACK);
    let fourth = rankings("2024-11-20: a b\n TopCTR a: w=0.5\n TopCTR b: w=0.5");
    assert_eq!(publish_twice(&store, &fourth, &nobody).await.0, Publication::Moved);
    store.roll_back(Back::Before(one.day), back(Some(&advertiser("a")))).await.unwrap();
    let (publication, holds) = publish_twice(&store, &fourth, &nobody).await;
    assert!(matches!(publication, Publication::Moved | Publication::Unchanged { .. }), "{publication:?}");
    assert_eq!(holds.advertisers[&advertiser("a")].check, TAKEN_BACK);
}

async fn what_was_published_is_told_to_who_asks(database: Database) {
    let store = database.migrated().await;
    let content = rankings("2024-11-20: a\n TopCTR a: x=0.5");
    let run = new_run(content.day);
    assert!(!store.has_published(&run.run_id).await.unwrap(), "it is not there");
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    assert!(!store.has_published(&run.run_id).await.unwrap());
    store.publish(&run.run_id, held(&content, &Holds::default()), run.started_at).await.unwrap();
    assert!(store.has_published(&run.run_id).await.unwrap());
}
