//! Taking readers back, and undoing that.

use crate::{
    database::{Database, new_run, on_both},
    notation::{held, plain, publish, rankings, show},
};
use domain::{AdvertiserId, Day, RunId};
use proptest::{prelude::*, test_runner::TestRunner};
use std::collections::BTreeMap;
use store::{Back, Decision, Hold, Holds, Move, MovedBack, Publication, Store, StoreError};

on_both!(
    a_day_goes_back_to_the_run_before_and_forth_again,
    a_day_published_once_is_not_seen_any_more,
    one_advertiser_goes_back_alone,
    readers_go_back_to_a_run_they_saw,
    what_was_held_then_is_held_again,
    what_was_taken_back_is_not_published_by_itself_again,
    what_was_taken_back_is_remembered_whatever_comes_between,
    what_a_check_had_held_of_what_was_taken_back_stays_held,
    a_run_that_waits_waits_on,
    what_was_taken_back_comes_back_as_it_was_seen_last,
    one_advertiser_seen_again_is_not_the_day,
    what_was_seen_again_is_no_longer_remembered,
    who_was_not_in_a_run_goes_back_and_forth,
    the_newest_rollback_is_undone_first,
    rows_of_an_earlier_version_go_back_too,
    a_taken_back_advertiser_is_not_published_by_itself_again,
    a_rollback_is_undone_only_while_it_is_the_last_word,
    what_cannot_be_taken_back_is_told,
    what_moved_readers_is_told,
);

const OLD: &str = "2024-11-20: a b\n TopCTR a: x=0.5\n TopCTR b: y=0.5";
const NEW: &str = "2024-11-20: a c\n TopCTR a: new=0.5\n TopCTR c: new=0.5";
const NEXT: &str = "2024-11-21: a\n TopCTR a: z=0.5";

fn advertiser(id: &str) -> AdvertiserId {
    AdvertiserId::new(id).unwrap()
}

fn decision(advertiser: Option<&AdvertiserId>) -> Decision<'_> {
    Decision { advertiser, reason: "wrong prices", at: "2024-11-21T08:00:00Z".parse().unwrap() }
}

fn day(rankings: &str) -> Day {
    rankings.split_once(':').unwrap().0.parse().unwrap()
}

async fn before(store: &Store, rankings: &str, id: &str) -> Result<MovedBack, StoreError> {
    let one = (!id.is_empty()).then(|| advertiser(id));
    store.roll_back(Back::Before(day(rankings)), decision(one.as_ref())).await
}

async fn to(store: &Store, run: &RunId) -> Result<MovedBack, StoreError> {
    store.roll_back(Back::To(run), decision(None)).await
}

async fn undo(store: &Store) -> Result<MovedBack, StoreError> {
    store.undo_rollback(None, "it was right", "2024-11-21T09:00:00Z".parse().unwrap()).await
}

async fn publish_held(store: &Store, text: &str, ids: &str) -> (RunId, Publication, Holds) {
    let hold = || Hold { check: "volume".into(), message: "too much".into() };
    let mut holds = Holds::default();
    match ids {
        "all" => holds.all = Some(hold()),
        ids => holds.advertisers = ids.split_whitespace().map(|id| (advertiser(id), hold())).collect(),
    }
    let rankings = rankings(text);
    let run = new_run(rankings.day);
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    let (publication, holds) =
        store.publish(&run.run_id, held(&rankings, &holds), run.started_at).await.unwrap();
    (run.run_id, publication, holds)
}

/// What readers see and what is held: `a volume` or `all rollback`.
async fn seen(store: &Store) -> (String, Vec<String>) {
    let published = store.published(30, &[]).await.unwrap();
    assert_eq!(store.publication_version().await.unwrap(), published.version);
    let whom = |id: &Option<AdvertiserId>| id.as_ref().map_or("all".to_owned(), ToString::to_string);
    let holds =
        published.holds.iter().map(|of| format!("{} {} {}", of.day, whom(&of.advertiser_id), of.hold.check));
    (plain(&show(&published)), holds.collect())
}

async fn a_day_goes_back_to_the_run_before_and_forth_again(database: Database) {
    let store = database.migrated().await;
    let (old, _) = publish(&store, &rankings(OLD)).await;
    let (new, _) = publish(&store, &rankings(NEW)).await;
    let version = store.publication_version().await.unwrap();

    let moved = before(&store, OLD, "").await.unwrap();
    let expected = MovedBack {
        day: day(OLD),
        advertiser_id: None,
        from_run: Some(new.run_id.clone()),
        to_run: Some(old.run_id.clone()),
        advertisers: 3,
        is_further: false,
    };
    assert_eq!(moved, expected);
    let (shown, holds) = seen(&store).await;
    assert_eq!((shown.as_str(), holds), (plain(OLD).as_str(), vec!["2024-11-20 all rollback".to_owned()]));
    assert!(store.publication_version().await.unwrap() > version, "servers load it");
    let view = "SELECT advertiser_id || ' ' || product_id FROM top_ctr ORDER BY advertiser_id";
    assert_eq!(database.sql(view).await, "a x\nb y");

    let moved = undo(&store).await.unwrap();
    assert_eq!((moved.from_run, moved.to_run), (Some(old.run_id), Some(new.run_id)));
    assert_eq!(seen(&store).await, (plain(NEW), vec![]));
    assert_eq!(database.sql(view).await, "a new\nc new");
}

async fn a_day_published_once_is_not_seen_any_more(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let (next, _) = publish(&store, &rankings(NEXT)).await;
    let moved = before(&store, NEXT, "").await.unwrap();
    assert_eq!((moved.from_run, moved.to_run, moved.advertisers), (Some(next.run_id.clone()), None, 1));
    let (shown, holds) = seen(&store).await;
    assert_eq!((shown.as_str(), holds), (plain(OLD).as_str(), vec!["2024-11-21 all rollback".to_owned()]));
    assert_eq!(store.days_before("2024-11-22".parse().unwrap(), 9).await.unwrap(), [day(OLD)]);
    assert_eq!(store.rankings_of_day(day(NEXT)).await.unwrap(), None);
    // The day before goes too, one rollback after the other; undone, they come back in turn.
    before(&store, OLD, "").await.unwrap();
    assert_eq!(seen(&store).await.0, "");
    assert_eq!(undo(&store).await.unwrap().day, day(OLD));
    assert_eq!(undo(&store).await.unwrap().to_run, Some(next.run_id));
    assert_eq!(seen(&store).await, (format!("{}\n{}", plain(NEXT), plain(OLD)), vec![]));
    assert!(matches!(undo(&store).await, Err(StoreError::NothingToUndo { day: None })));
}

async fn one_advertiser_goes_back_alone(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    publish(&store, &rankings(NEW)).await;
    let moved = before(&store, OLD, "a").await.unwrap();
    assert_eq!((moved.advertiser_id, moved.advertisers), (Some(advertiser("a")), 1));
    let (shown, holds) = seen(&store).await;
    assert_eq!(shown, "2024-11-20: a c\nTopCTR a: x=0.5\nTopCTR c: new=0.5");
    assert_eq!(holds, ["2024-11-20 a rollback"]);
    // Once more, and there is nothing of it on that day; others stay.
    let further = before(&store, OLD, "a").await.unwrap();
    assert_eq!((further.to_run, further.is_further), (None, true));
    assert_eq!(seen(&store).await.0, "2024-11-20: c\nTopCTR c: new=0.5");
    undo(&store).await.unwrap();
    assert_eq!(seen(&store).await.0, shown);
    undo(&store).await.unwrap();
    assert_eq!(seen(&store).await, (plain(NEW), vec![]));
}

async fn readers_go_back_to_a_run_they_saw(database: Database) {
    let store = database.migrated().await;
    let (first, _) = publish(&store, &rankings(OLD)).await;
    publish(&store, &rankings(NEW)).await;
    let (third, _) = publish(&store, &rankings(&NEW.replace("new", "newest"))).await;
    let moved = to(&store, &first.run_id).await.unwrap();
    assert_eq!((moved.from_run, moved.to_run), (Some(third.run_id.clone()), Some(first.run_id.clone())));
    assert_eq!(seen(&store).await.0, plain(OLD));
    assert!(matches!(to(&store, &first.run_id).await, Err(StoreError::SeenAlready { .. })));
    // Forth to a later run is a move as well, which takes nothing back.
    to(&store, &third.run_id).await.unwrap();
    assert_eq!(seen(&store).await, (plain(&NEW.replace("new", "newest")), vec![]));
    undo(&store).await.unwrap();
    assert_eq!(seen(&store).await.0, plain(OLD));
    // A run that made the same as another stands for it.
    let (again, _) = publish(&store, &rankings(OLD)).await;
    to(&store, &third.run_id).await.unwrap();
    assert_eq!(to(&store, &again.run_id).await.unwrap().to_run, Some(first.run_id));
}

async fn what_was_held_then_is_held_again(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let other = NEW.replace("new", "other");
    let (second, _, _) = publish_held(&store, &other, "a").await;
    let then = seen(&store).await;
    assert_eq!(then.1, ["2024-11-20 a volume"]);
    publish(&store, &rankings(NEW)).await;
    before(&store, OLD, "").await.unwrap();
    let (shown, holds) = seen(&store).await;
    assert_eq!(shown, then.0);
    assert_eq!(holds, ["2024-11-20 all rollback", "2024-11-20 a volume"]);
    assert_eq!(store.accept(&second, decision(Some(&advertiser("a")))).await.unwrap(), 1);
    assert_eq!(seen(&store).await.0, plain(&other));
}

async fn what_was_taken_back_is_not_published_by_itself_again(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let (bad, _) = publish(&store, &rankings(NEW)).await;
    before(&store, OLD, "").await.unwrap();
    let version = store.publication_version().await.unwrap();
    for held_too in ["", "c"] {
        let (_, again, holds) = publish_held(&store, NEW, held_too).await;
        assert_eq!(again, Publication::Held { waiting_run: bad.run_id.clone() });
        let hold = holds.all.unwrap();
        assert_eq!(hold.check, "rollback");
        assert_eq!(hold.message, "taken back by hand at 2024-11-21 08:00Z: wrong prices");
        assert_eq!(store.publication_version().await.unwrap(), version);
    }
    // Someone decides; or the logs were mended.
    store.accept(&bad.run_id, decision(None)).await.unwrap();
    assert_eq!(seen(&store).await, (plain(NEW), vec![]));
    before(&store, OLD, "").await.unwrap();
    let mended = NEW.replace("new", "mended");
    assert_eq!(publish(&store, &rankings(&mended)).await.1, Publication::Moved);
    assert_eq!(seen(&store).await, (plain(&mended), vec![]));
}

async fn what_was_taken_back_is_remembered_whatever_comes_between(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    publish(&store, &rankings(NEW)).await;
    before(&store, OLD, "").await.unwrap();
    publish(&store, &rankings(&NEW.replace("new", "mended"))).await;
    let (_, again, holds) = publish_held(&store, NEW, "").await;
    assert!(matches!(again, Publication::Held { .. }), "{again:?}");
    assert_eq!(holds.all.unwrap().check, "rollback");
    // What readers see again is right, and the rest is remembered all the same.
    let mended = plain(&NEW.replace("new", "mended"));
    publish(&store, &rankings(&mended)).await;
    assert_eq!(seen(&store).await, (mended, vec![]));
    let (third, again, _) = publish_held(&store, NEW, "").await;
    assert_eq!(again, Publication::Held { waiting_run: third });
}

async fn what_a_check_had_held_of_what_was_taken_back_stays_held(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let (run, _, _) = publish_held(&store, NEW, "a").await;
    let then = seen(&store).await;
    before(&store, OLD, "").await.unwrap();
    assert_eq!(store.accept(&run, decision(None)).await.unwrap(), 2, "b leaves and c comes");
    assert_eq!(seen(&store).await, then, "a is held by its check as it was");
    assert_eq!(store.moves(1, None).await.unwrap()[0].kind, "accept");
}

async fn accept(store: &Store, run: &RunId, id: &str) -> Result<u64, StoreError> {
    let one = (!id.is_empty()).then(|| advertiser(id));
    store.accept(run, decision(one.as_ref())).await
}

async fn what_was_taken_back_comes_back_as_it_was_seen_last(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let (new, _) = publish(&store, &rankings(NEW)).await;
    before(&store, OLD, "a").await.unwrap();
    let then = seen(&store).await;
    for back in ["accept", "to"] {
        before(&store, OLD, "").await.unwrap();
        match back {
            "accept" => accept(&store, &new.run_id, "").await.map(drop),
            _ => to(&store, &new.run_id).await.map(drop),
        }
        .unwrap();
        assert_eq!(seen(&store).await, then, "{back}: a had been taken back alone");
    }
}

async fn one_advertiser_seen_again_is_not_the_day(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let (new, _) = publish(&store, &rankings(NEW)).await;
    before(&store, OLD, "").await.unwrap();
    assert_eq!(accept(&store, &new.run_id, "a").await.unwrap(), 1);
    let (_, again, _) = publish_held(&store, NEW, "").await;
    assert_eq!(again, Publication::Held { waiting_run: new.run_id.clone() });
    // The rest can still be accepted.
    accept(&store, &new.run_id, "").await.unwrap();
    assert_eq!(seen(&store).await, (plain(NEW), vec![]));
}

async fn what_was_seen_again_is_no_longer_remembered(database: Database) {
    let store = database.migrated().await;
    let mended = NEW.replace("new", "mended");
    publish(&store, &rankings(OLD)).await;
    publish(&store, &rankings(NEW)).await;
    before(&store, OLD, "").await.unwrap();
    publish(&store, &rankings(OLD)).await;
    let (copy, _, _) = publish_held(&store, NEW, "").await;
    accept(&store, &copy, "").await.unwrap();
    publish(&store, &rankings(&mended)).await;
    assert_eq!(publish_held(&store, NEW, "").await.2, Holds::default(), "readers have seen it by the copy");
    // The same of one advertiser.
    before(&store, OLD, "a").await.unwrap();
    let (copy, _, holds) = publish_held(&store, &NEW.replace("TopCTR c: new", "TopCTR c: c1"), "").await;
    assert_eq!(holds.advertisers.len(), 1);
    accept(&store, &copy, "a").await.unwrap();
    publish(&store, &rankings(&mended)).await;
    let (_, again, holds) = publish_held(&store, &NEW.replace("TopCTR c: new", "TopCTR c: c2"), "").await;
    assert_eq!((again, holds), (Publication::Moved, Holds::default()));
}

async fn who_was_not_in_a_run_goes_back_and_forth(database: Database) {
    let store = database.migrated().await;
    let (first, _) = publish(&store, &rankings(OLD)).await;
    let (without_b, _) = publish(&store, &rankings(NEW)).await;
    let b = advertiser("b");
    let moved = store.roll_back(Back::To(&first.run_id), decision(Some(&b))).await.unwrap();
    assert_eq!((moved.from_run, moved.to_run), (None, Some(first.run_id)));
    assert_eq!(seen(&store).await.1, [""; 0], "nothing of it was taken back");
    undo(&store).await.unwrap();
    assert_eq!(seen(&store).await.0, plain(NEW));
    let all = "2024-11-20: a b c\n TopCTR a: z=0.5\n TopCTR b: z=0.5\n TopCTR c: z=0.5";
    publish(&store, &rankings(all)).await;
    assert_eq!(before(&store, OLD, "b").await.unwrap().to_run, None, "as before that run");
    let error = store.roll_back(Back::To(&without_b.run_id), decision(Some(&b))).await.unwrap_err();
    assert!(matches!(error, StoreError::NeverSeen { .. }), "{error}");
}

async fn a_run_that_waits_waits_on(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    publish(&store, &rankings(NEW)).await;
    let odd = NEW.replace("new", "odd");
    let (waiting, _, _) = publish_held(&store, &odd, "all").await;
    before(&store, OLD, "").await.unwrap();
    assert_eq!(seen(&store).await, (plain(OLD), vec!["2024-11-20 all volume".to_owned()]));
    store.accept(&waiting, decision(None)).await.unwrap();
    assert_eq!(seen(&store).await, (plain(&odd), vec![]));
    let (_, again, holds) = publish_held(&store, NEW, "").await;
    assert!(matches!(again, Publication::Held { .. }), "what was taken back is remembered: {again:?}");
    assert_eq!(holds.all.unwrap().check, "rollback");
}

async fn the_newest_rollback_is_undone_first(database: Database) {
    let store = database.migrated().await;
    for text in [OLD, NEW, NEXT, &NEXT.replace("z=", "zz=")] {
        publish(&store, &rankings(text)).await;
    }
    for text in [OLD, NEXT, OLD] {
        before(&store, text, "").await.unwrap();
    }
    for text in [OLD, NEXT, OLD] {
        assert_eq!(undo(&store).await.unwrap().day, day(text));
    }
    // One that something came after does not give way to an older one.
    before(&store, OLD, "").await.unwrap();
    before(&store, NEXT, "").await.unwrap();
    publish(&store, &rankings(&NEXT.replace("z=", "zzz="))).await;
    let error = undo(&store).await.unwrap_err();
    assert!(matches!(error, StoreError::NothingToUndo { day: Some(told) } if told == day(NEXT)), "{error}");
    let undone = store.undo_rollback(Some(day(OLD)), "", "2024-11-21T09:00:00Z".parse().unwrap()).await;
    assert_eq!(undone.unwrap().day, day(OLD));
}

async fn rows_of_an_earlier_version_go_back_too(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    database.sql("UPDATE publications SET seq = 0").await;
    let moved = before(&store, OLD, "").await.unwrap();
    assert_eq!((moved.to_run, moved.advertisers), (None, 2));
    undo(&store).await.unwrap();
    assert_eq!(seen(&store).await, (plain(OLD), vec![]));
}

async fn a_taken_back_advertiser_is_not_published_by_itself_again(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    let (bad, _) = publish(&store, &rankings(NEW)).await;
    before(&store, OLD, "a").await.unwrap();
    let then = seen(&store).await;
    let (_, again, holds) = publish_held(&store, NEW, "").await;
    assert_eq!(again, Publication::Unchanged { published_run: bad.run_id, is_held: true });
    assert_eq!(holds.advertisers[&advertiser("a")].check, "rollback");
    assert_eq!(seen(&store).await, then);
    // Also when a run differs in what it says of others.
    let others = NEW.replace("TopCTR c: new", "TopCTR c: late");
    let (late, again, holds) = publish_held(&store, &others, "").await;
    assert_eq!((again, holds.advertisers.len()), (Publication::Moved, 1));
    let (shown, held) = seen(&store).await;
    assert_eq!(shown, "2024-11-20: a c\nTopCTR a: x=0.5\nTopCTR c: late=0.5");
    assert_eq!(held, ["2024-11-20 a rollback"]);
    // Until someone decides, or its ranking is another.
    store.accept(&late, decision(Some(&advertiser("a")))).await.unwrap();
    let later = NEW.replace("TopCTR c: new", "TopCTR c: later");
    let (_, again, holds) = publish_held(&store, &later, "").await;
    assert_eq!((again, holds), (Publication::Moved, Holds::default()));
    before(&store, OLD, "a").await.unwrap();
    let other = later.replace("TopCTR a: new", "TopCTR a: other");
    assert_eq!(publish_held(&store, &other, "").await.2, Holds::default());
}

async fn a_rollback_is_undone_only_while_it_is_the_last_word(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings(OLD)).await;
    publish(&store, &rankings(NEW)).await;
    before(&store, OLD, "").await.unwrap();
    publish(&store, &rankings(&NEW.replace("new", "mended"))).await;
    let error = store.undo_rollback(Some(day(OLD)), "", "2024-11-21T09:00:00Z".parse().unwrap()).await;
    let told = error.unwrap_err().to_string();
    assert!(
        told.starts_with("there is no rollback to undo: something else has happened to 2024-11-20"),
        "{told}"
    );
    before(&store, OLD, "").await.unwrap();
    publish_held(&store, &NEW.replace("new", "odd"), "all").await;
    assert!(matches!(undo(&store).await, Err(StoreError::NothingToUndo { .. })), "a later run waits");
}

async fn what_cannot_be_taken_back_is_told(database: Database) {
    let store = database.migrated().await;
    let error = before(&store, OLD, "").await.unwrap_err();
    assert_eq!(error.to_string(), "readers see nothing of 2024-11-20");
    assert!(matches!(undo(&store).await, Err(StoreError::NothingToUndo { .. })));
    let (waiting, _, _) = publish_held(&store, OLD, "all").await;
    let error = to(&store, &waiting).await.unwrap_err();
    assert_eq!(error.to_string(), format!("readers never saw run {waiting}"));
    publish(&store, &rankings(OLD)).await;
    let error = before(&store, OLD, "stranger").await.unwrap_err();
    assert_eq!(error.to_string(), "readers see nothing of 2024-11-20 of advertiser \"stranger\"");
    let unknown = RunId::new("2024-11-21T08:00:00Z".parse().unwrap(), u32::MAX);
    assert!(matches!(to(&store, &unknown).await, Err(StoreError::RunUnknown { .. })));
    let (shown, holds) = seen(&store).await;
    assert_eq!((shown, holds), (plain(OLD), vec![]), "nothing moved");
}

async fn what_moved_readers_is_told(database: Database) {
    let store = database.migrated().await;
    let (old, _) = publish(&store, &rankings(OLD)).await;
    let (new, _, _) = publish_held(&store, NEW, "c").await;
    before(&store, OLD, "a").await.unwrap();
    undo(&store).await.unwrap();
    let moves = store.moves(10, Some(day(OLD))).await.unwrap();
    let name = |run: &RunId| if *run == old.run_id { "old" } else { "new" };
    let runs = |runs: &BTreeMap<RunId, u64>| {
        runs.iter().map(|(run, advertisers)| format!("{advertisers} {}", name(run))).collect::<Vec<_>>()
    };
    let told: Vec<_> = moves
        .iter()
        .map(|Move { kind, run_id, advertiser_id, reason, came, went, .. }| {
            let whom = advertiser_id.as_ref().map_or("all", AdvertiserId::as_str);
            let because = reason.as_deref().unwrap_or("-");
            format!("{kind} {} {whom} {because}: {:?} for {:?}", name(run_id), runs(came), runs(went))
        })
        .collect();
    assert_eq!(
        told,
        [
            "undo new a it was right: [\"1 new\"] for [\"1 old\"]",
            "rollback new a wrong prices: [\"1 old\"] for [\"1 new\"]",
            "publish new all -: [\"1 new\"] for [\"2 old\"]",
            "publish old all -: [\"2 old\"] for []",
        ]
    );
    assert!(moves.is_sorted_by(|a, b| a.seq > b.seq));
    assert_eq!(store.moves(1, None).await.unwrap(), moves[..1]);
    assert_ne!(old.run_id, new);
}

/// Something that happens to one of two days.
#[derive(Debug, Clone)]
enum Step {
    Publish { day: usize, content: u32, held: Vec<&'static str> },
    Accept { run: usize, advertiser: &'static str },
    Back { day: usize, advertiser: &'static str },
    To { run: usize, advertiser: &'static str },
    Undo { day: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let whom = || prop::sample::select(vec!["", "", "a", "b", "c"]);
    let held = prop::sample::select(vec![vec![], vec![], vec!["a"], vec!["b", "c"], vec!["all"]]);
    prop_oneof![
        3 => (0..2_usize, 0..3_u32, held).prop_map(|(day, content, held)| Step::Publish { day, content, held }),
        1 => (0..9_usize, whom()).prop_map(|(run, advertiser)| Step::Accept { run, advertiser }),
        2 => (0..2_usize, whom()).prop_map(|(day, advertiser)| Step::Back { day, advertiser }),
        1 => (0..9_usize, whom()).prop_map(|(run, advertiser)| Step::To { run, advertiser }),
        2 => (0..2_usize).prop_map(|day| Step::Undo { day }),
    ]
}

const DAYS: [&str; 2] = ["2024-11-20", "2024-11-21"];

/// Content 0 has no c.
fn content(day: usize, content: u32) -> String {
    let ids = if content == 0 { "a b" } else { "a b c" };
    let rankings = ids.split(' ').map(|id| format!("\nTopCTR {id}: p{content}=0.5"));
    format!("{}: {ids}{}", DAYS[day], rankings.collect::<String>())
}

/// Readers' state and its number, told by the tables alone.
pub(crate) async fn states(database: &Database, seq: Option<i64>) -> String {
    let of = |table: &str, columns: &str| match seq {
        None => format!("SELECT {columns} AS line FROM {table}"),
        Some(seq) => format!(
            "SELECT {columns} AS line FROM {table} WHERE seq <= {seq}
             UNION ALL SELECT {columns} FROM past_{table} WHERE from_seq <= {seq} AND to_seq > {seq}"
        ),
    };
    let day = if database.is_sqlite() { "day" } else { "to_char(day, 'YYYY-MM-DD')" };
    let publications = of("publications", &format!("'seen ' || {day} || advertiser_id || run_id"));
    let holds = of("holds", &format!("'held ' || {day} || advertiser_id || run_id || check_name"));
    database
        .sql(&format!(
            "SELECT line FROM ({publications}) seen UNION ALL SELECT line FROM ({holds}) held ORDER BY 1"
        ))
        .await
}

async fn take(store: &Store, step: &Step, runs: &mut Vec<RunId>) -> bool {
    let run = |index: &usize, runs: &[RunId]| runs.get(index % runs.len().max(1)).cloned();
    let one = |id: &str| (!id.is_empty()).then(|| advertiser(id));
    let at = "2024-11-22T00:00:00Z".parse().unwrap();
    match step {
        Step::Publish { day, content: which, held } => {
            let text = content(*day, *which);
            let held: Vec<_> = held.iter().copied().filter(|id| *which > 0 || *id != "c").collect();
            runs.push(publish_held(store, &text, &held.join(" ")).await.0);
            true
        }
        Step::Accept { run: index, advertiser } => match run(index, runs) {
            Some(run) => store.accept(&run, decision(one(advertiser).as_ref())).await.is_ok(),
            None => false,
        },
        Step::Back { day, advertiser } => {
            let (day, one) = (DAYS[*day].parse().unwrap(), one(advertiser));
            store.roll_back(Back::Before(day), decision(one.as_ref())).await.is_ok()
        }
        Step::To { run: index, advertiser } => match run(index, runs) {
            Some(run) => store.roll_back(Back::To(&run), decision(one(advertiser).as_ref())).await.is_ok(),
            None => false,
        },
        Step::Undo { day } => store.undo_rollback(Some(DAYS[*day].parse().unwrap()), "", at).await.is_ok(),
    }
}

/// Whatever happens: the tables tell every state that readers ever saw, an undo leads to exactly the one before
/// the rollback, and what moves nothing changes nothing.
fn check_walks(new_database: impl AsyncFn() -> Database) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::new(ProptestConfig { cases: 24, ..ProptestConfig::default() });
    let walks = prop::collection::vec(step(), 1..14);
    let outcome = runner.run(&walks, |steps| {
        runtime.block_on(async {
            let database = new_database().await;
            let store = database.migrated().await;
            let (mut runs, mut told) = (Vec::new(), vec![(0, String::new())]);
            for step in &steps {
                let before = told.last().unwrap().clone();
                let is_done = take(&store, step, &mut runs).await;
                let (version, now) =
                    (store.publication_version().await.unwrap(), states(&database, None).await);
                prop_assert!(is_done || now == before.1, "{step:?} was refused and changed something");
                prop_assert!(version > before.0 || now == before.1, "{step:?} changed something unnoticed");
                if let (Step::Undo { .. }, true) = (step, is_done) {
                    let moves = store.moves(1, None).await.unwrap();
                    let rollback = undone(&database, moves[0].seq).await;
                    let then = told.iter().rev().find(|(seq, _)| *seq < rollback).unwrap();
                    prop_assert_eq!(of_day(&then.1, moves[0].day), of_day(&now, moves[0].day));
                }
                told.push((version, now));
            }
            for (seq, state) in &told {
                prop_assert_eq!(&states(&database, Some(*seq)).await, state, "after {}", seq);
            }
            Ok(())
        })
    });
    outcome.unwrap();
}

/// The rollback that the undo `seq` took back: the first event after what it led to.
async fn undone(database: &Database, seq: i64) -> i64 {
    let sql = format!(
        "SELECT CAST(min(seq) AS VARCHAR(20)) FROM publication_events WHERE seq > (SELECT to_seq FROM publication_events WHERE seq = {seq})"
    );
    database.sql(&sql).await.parse().unwrap()
}

fn of_day(state: &str, day: Day) -> Vec<&str> {
    let day = day.to_string();
    state.lines().filter(|line| line.contains(&format!(" {day}"))).collect()
}

#[test]
fn postgres_tells_every_state() {
    check_walks(Database::postgres);
}

#[test]
fn sqlite_tells_every_state() {
    check_walks(Database::sqlite);
}
