//! What checks hold back, and what becomes of it.

use crate::{
    database::{Database, new_run, on_both},
    notation::{check, held, publish, rankings, unheld},
};
use domain::{AdvertiserId, Counts, DayRankings, ModelName, RunId};
use jiff::Timestamp;
use store::{Decision, Hold, Holds, Publication, PublishedHold, Store, StoreError};

on_both!(
    who_is_held_keeps_the_last_publication_and_others_move,
    a_day_held_for_all_moves_nothing_and_readers_hear_of_it,
    what_is_mended_is_published_and_noticed,
    what_readers_see_again_is_no_longer_held,
    the_same_held_again_moves_nothing,
    one_of_those_held_is_accepted_then_the_rest,
    a_day_held_for_all_is_accepted_whole_or_for_one,
    what_was_accepted_is_not_held_again,
    who_was_accepted_is_not_held_again,
    a_day_held_for_all_again_waits_as_it_did,
    only_what_is_held_can_be_accepted,
    what_was_published_before_is_told_to_checks,
);

fn advertiser(id: &str) -> AdvertiserId {
    AdvertiserId::new(id).unwrap()
}

fn hold(check: &str) -> Hold {
    Hold { check: check.to_owned(), message: format!("{check} found \"it\"\tso") }
}

fn of(ids: &str) -> Holds {
    let held = ids.split_whitespace().map(|id| (advertiser(id), hold("volume")));
    Holds { all: None, advertisers: held.collect() }
}

fn of_all() -> Holds {
    Holds { all: Some(hold("active")), ..Holds::default() }
}

/// Begins a run and publishes as it.
async fn publish_held(store: &Store, rankings: &DayRankings, holds: &Holds) -> (RunId, Publication) {
    let run = new_run(rankings.day);
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    let published = store.publish(&run.run_id, held(rankings, holds), at("2024-11-21T03:00:00Z")).await;
    (run.run_id, published.unwrap().0)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

async fn accept(store: &Store, run: &RunId, id: &str) -> Result<u64, StoreError> {
    let one = (!id.is_empty()).then(|| advertiser(id));
    let at = at("2024-11-21T08:00:00Z");
    store.accept(run, Decision { advertiser: one.as_ref(), reason: "we looked", at }).await
}

async fn seen(store: &Store) -> (String, Vec<PublishedHold>) {
    let published = store.published(30, &[]).await.unwrap();
    assert_eq!(store.publication_version().await.unwrap(), published.version);
    (crate::notation::plain(&crate::notation::show(&published)), published.holds)
}

/// Whom the holds of a day are of, and by which run.
fn whom(holds: &[PublishedHold]) -> Vec<(String, &RunId)> {
    holds
        .iter()
        .map(|hold| (hold.advertiser_id.as_ref().map_or("all".into(), ToString::to_string), &hold.run_id))
        .collect()
}

const OLD: &str = "2024-11-20: a b\n TopCTR a: x=0.5\n TopCTR b: y=0.5";
const NEW: &str = "2024-11-20: a b c\n TopCTR a: new=0.5\n TopCTR b: new=0.5\n TopCTR c: new=0.5";

async fn who_is_held_keeps_the_last_publication_and_others_move(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let before = store.publication_version().await.unwrap();
    let (run, published) = publish_held(&store, &rankings(NEW), &of("b c")).await;
    assert_eq!(published, Publication::Moved);
    let (shown, holds) = seen(&store).await;
    assert_eq!(shown, "2024-11-20: a b\nTopCTR a: new=0.5\nTopCTR b: y=0.5");
    assert_eq!(whom(&holds), [("b".to_owned(), &run), ("c".to_owned(), &run)]);
    assert_eq!(holds[0].hold, hold("volume"));
    assert!(store.publication_version().await.unwrap() > before);
    // A later run of the day that holds nobody takes the place of all of it.
    publish(&store, &rankings(NEW)).await;
    let (shown, holds) = seen(&store).await;
    assert_eq!((shown.lines().count(), holds), (4, vec![]));
}

async fn a_day_held_for_all_moves_nothing_and_readers_hear_of_it(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let (before, _) = seen(&store).await;
    let version = store.publication_version().await.unwrap();
    let next = rankings("2024-11-21: a\n TopCTR a: z=0.5");
    let (run, published) = publish_held(&store, &next, &of_all()).await;
    assert_eq!(published, Publication::Held { waiting_run: run.clone() });
    let (shown, holds) = seen(&store).await;
    assert_eq!((shown, whom(&holds)), (before, vec![("all".to_owned(), &run)]));
    assert_eq!(holds[0].day, next.day);
    assert!(store.publication_version().await.unwrap() > version, "servers load what is held");
    assert!(store.run(&run).await.unwrap().unwrap().rankings_digest.is_some());
}

async fn what_is_mended_is_published_and_noticed(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    publish_held(&store, &rankings(NEW), &of_all()).await;
    let version = store.publication_version().await.unwrap();
    publish(&store, &rankings(NEW)).await;
    assert!(store.publication_version().await.unwrap() > version, "servers load what is published");
    assert_eq!(seen(&store).await.1, []);
}

async fn what_readers_see_again_is_no_longer_held(database: Database) {
    let store = database.migrated().await;
    let (good, _) = publish(&store, &rankings(OLD)).await;
    let (bad, _) = publish_held(&store, &rankings(NEW), &of_all()).await;
    let version = store.publication_version().await.unwrap();
    let (_, again) = publish(&store, &rankings(OLD)).await;
    assert_eq!(again, Publication::Unchanged { published_run: good.run_id, is_held: false });
    assert_eq!(seen(&store).await.1, []);
    assert!(store.publication_version().await.unwrap() > version, "servers hear that nothing is held");
    assert!(matches!(accept(&store, &bad, "").await, Err(StoreError::NothingHeld { .. })));
}

async fn the_same_held_again_moves_nothing(database: Database) {
    let store = database.migrated().await;
    let (first, _) = publish_held(&store, &rankings(NEW), &of("c")).await;
    let version = store.publication_version().await.unwrap();
    let (_, again) = publish_held(&store, &rankings(NEW), &of("c")).await;
    assert_eq!(again, Publication::Unchanged { published_run: first.clone(), is_held: true });
    assert_eq!(store.publication_version().await.unwrap(), version);
    let other = rankings(&NEW.replace("new", "newer"));
    assert_eq!(publish_held(&store, &other, &of("c")).await.1, Publication::Moved);
}

async fn one_of_those_held_is_accepted_then_the_rest(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let (run, _) = publish_held(&store, &rankings(NEW), &of("b c")).await;
    assert_eq!(accept(&store, &run, "c").await.unwrap(), 1);
    let (shown, holds) = seen(&store).await;
    assert_eq!(shown, "2024-11-20: a b c\nTopCTR a: new=0.5\nTopCTR b: y=0.5\nTopCTR c: new=0.5");
    assert_eq!(whom(&holds), [("b".to_owned(), &run)]);
    assert_eq!(accept(&store, &run, "").await.unwrap(), 1);
    let (shown, holds) = seen(&store).await;
    assert_eq!(shown, crate::notation::plain(NEW));
    assert_eq!(holds, []);
    let events = "SELECT kind || ' ' || coalesce(advertiser_id, 'all') || ' ' || coalesce(reason, '')
                  FROM publication_events ORDER BY seq";
    let told = database.sql(events).await;
    assert_eq!(told, "publish all \npublish all \naccept c we looked\naccept all we looked");
}

async fn a_day_held_for_all_is_accepted_whole_or_for_one(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let shorter = rankings("2024-11-20: b c\n TopCTR b: new=0.5\n TopCTR c: new=0.5");
    let (run, _) = publish_held(&store, &shorter, &of_all()).await;
    assert_eq!(accept(&store, &run, "c").await.unwrap(), 1);
    let (shown, holds) = seen(&store).await;
    assert_eq!(shown, "2024-11-20: a b c\nTopCTR a: x=0.5\nTopCTR b: y=0.5\nTopCTR c: new=0.5");
    assert_eq!(whom(&holds), [("all".to_owned(), &run)], "the others are held on");
    assert_eq!(accept(&store, &run, "").await.unwrap(), 2);
    let (shown, holds) = seen(&store).await;
    assert_eq!(shown, "2024-11-20: b c\nTopCTR b: new=0.5\nTopCTR c: new=0.5");
    assert_eq!(holds, []);
}

async fn what_was_accepted_is_not_held_again(database: Database) {
    let store = database.migrated().await;
    for (day, holds) in [("2024-11-20", of("c")), ("2024-11-21", of_all())] {
        let rankings = rankings(&NEW.replace("2024-11-20", day));
        let (run, _) = publish_held(&store, &rankings, &holds).await;
        accept(&store, &run, "").await.unwrap();
        let (_, again) = publish_held(&store, &rankings, &holds).await;
        assert_eq!(again, Publication::Unchanged { published_run: run, is_held: false });
        assert_eq!(seen(&store).await.1, []);
    }
}

async fn who_was_accepted_is_not_held_again(database: Database) {
    let store = database.migrated().await;
    let (run, _) = publish_held(&store, &rankings(NEW), &of("b c")).await;
    accept(&store, &run, "c").await.unwrap();
    let version = store.publication_version().await.unwrap();
    let (_, again) = publish_held(&store, &rankings(NEW), &of("b c")).await;
    assert_eq!(again, Publication::Unchanged { published_run: run.clone(), is_held: true });
    assert_eq!(whom(&seen(&store).await.1), [("b".to_owned(), &run)]);
    assert_eq!(store.publication_version().await.unwrap(), version);
}

async fn a_day_held_for_all_again_waits_as_it_did(database: Database) {
    let store = database.migrated().await;
    let (run, _) = publish_held(&store, &rankings(NEW), &of_all()).await;
    accept(&store, &run, "c").await.unwrap();
    let version = store.publication_version().await.unwrap();
    let (_, again) = publish_held(&store, &rankings(NEW), &of_all()).await;
    assert_eq!(again, Publication::Held { waiting_run: run.clone() });
    assert_eq!(whom(&seen(&store).await.1), [("all".to_owned(), &run)]);
    assert_eq!(store.publication_version().await.unwrap(), version);
    assert_eq!(accept(&store, &run, "").await.unwrap(), 3);
}

async fn only_what_is_held_can_be_accepted(database: Database) {
    let store = database.migrated().await;
    let unknown = RunId::new(Timestamp::UNIX_EPOCH, 9);
    let error = accept(&store, &unknown, "").await.unwrap_err();
    assert!(matches!(error, StoreError::RunUnknown { .. }), "{error}");
    let (run, _) = publish_held(&store, &rankings(NEW), &of("b")).await;
    let error = accept(&store, &run, "a").await.unwrap_err();
    assert_eq!(error.to_string(), format!("nothing of run {run} is held back of advertiser \"a\""));
    let version = store.publication_version().await.unwrap();
    publish(&store, &rankings(NEW)).await;
    let error = accept(&store, &run, "").await.unwrap_err();
    assert_eq!(error.to_string(), format!("nothing of run {run} is held back"), "a later run took its place");
    assert!(store.publication_version().await.unwrap() > version);
    let stranger = of("stranger");
    let new = new_run(rankings(NEW).day);
    store.begin_runs(std::slice::from_ref(&new)).await.unwrap();
    let error =
        store.publish(&new.run_id, held(&rankings(NEW), &stranger), new.started_at).await.unwrap_err();
    assert!(error.to_string().contains("is held and not active"), "{error}");
    let content = rankings(NEW);
    let mut short = unheld(&content);
    short.totals = &short.totals[1..];
    let error = store.publish(&new.run_id, short, new.started_at).await.unwrap_err();
    assert!(error.to_string().contains("not as many totals"), "{error}");
}

async fn what_was_published_before_is_told_to_checks(database: Database) {
    let store = database.migrated().await;
    let day = |text: &str| text.parse().unwrap();
    publish(&store, &rankings("2024-11-18: a b\n TopCTR a: p=0.5 q=0.25\n TopCTR b: r=0.5")).await;
    publish(&store, &rankings("2024-11-19: a c\n TopCTR a: p=0.5\n TopProduct c: s=7")).await;
    publish_held(&store, &rankings("2024-11-20: a\n TopCTR a: z=0.5"), &of_all()).await;
    assert_eq!(
        store.days_before(day("2024-11-21"), 10).await.unwrap(),
        [day("2024-11-19"), day("2024-11-18")]
    );
    assert_eq!(store.days_before(day("2024-11-21"), 1).await.unwrap(), [day("2024-11-19")]);
    assert_eq!(store.days_before(day("2024-11-18"), 10).await.unwrap(), []);
    let totals = store.totals(day("2024-11-19")).await.unwrap();
    let five = Counts { impressions: 5, ..Counts::default() };
    assert_eq!(
        totals.advertisers.into_iter().collect::<Vec<_>>(),
        [(advertiser("a"), five), (advertiser("c"), five)]
    );
    assert_eq!((totals.active, totals.is_held, totals.report), (2, false, None), "its run has not ended");
    assert_eq!(store.totals_of(&advertiser("b"), day("2024-11-20"), 7).await.unwrap(), [five]);
    assert_eq!(store.totals_of(&advertiser("a"), day("2024-11-20"), 1).await.unwrap(), [five]);
    assert_eq!(store.totals_of(&advertiser("a"), day("2024-11-20"), 7).await.unwrap(), [five, five]);
    assert_eq!(store.totals_of(&advertiser("z"), day("2024-11-20"), 7).await.unwrap(), []);
    assert!(store.totals(day("2024-11-20")).await.unwrap().advertisers.is_empty(), "nothing of it is seen");
    let last = store.last_rankings(day("2024-11-20"), &ModelName::new("TopCTR")).await.unwrap();
    let told: Vec<_> = last.iter().map(|(id, products)| format!("{id}: {products:?}")).collect();
    assert_eq!(told, ["a: [\"p\"]", "b: [\"r\"]"]);
    check(
        &store.published(30, &[]).await.unwrap(),
        "2024-11-19: a c\n TopCTR a: p=0.5\n TopProduct c: s=7\n 2024-11-18: a b\n TopCTR a: p=0.5 q=0.25\n TopCTR b: r=0.5",
    );
}
