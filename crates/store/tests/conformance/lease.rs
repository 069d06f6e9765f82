//! One at a time: while a run of a day is under way, no other work begins one.

use crate::{
    database::{Database, new_run, on_both},
    notation::{rankings, unheld},
};
use domain::{Day, RunId};
use std::slice::from_ref;
use store::{NewRun, Outcome, RunEnd, Store, StoreError};

on_both!(
    a_day_is_worked_on_by_one_at_a_time,
    several_days_are_taken_together_or_not_at_all,
    of_many_at_once_one_takes_the_day,
    a_night_is_begun_again_only_if_it_was_cut_short,
    who_lost_the_day_publishes_nothing,
    the_last_runs_and_the_first_night_are_told,
    since_when_nights_are_held_is_noted_once,
);

/// Work somewhere, by its name.
fn run_of(work: &str, day: &str) -> NewRun {
    NewRun { process: work.into(), host: format!("{work}'s host"), ..new_run(day.parse().unwrap()) }
}

/// The same, for the moment of a schedule.
fn night_of(work: &str, due_at: &str) -> NewRun {
    NewRun {
        started_by: "schedule".into(),
        due_at: Some(due_at.parse().unwrap()),
        ..run_of(work, "2024-11-20")
    }
}

async fn end(store: &Store, run: &NewRun, outcome: Outcome) {
    let report = serde_json::Value::Null;
    let end = RunEnd { ended_at: run.started_at, outcome, error: None, report };
    store.end_run(&run.run_id, &end).await.unwrap();
}

/// What keeps the run from being begun; `begun` when nothing does.
async fn begin(store: &Store, run: &NewRun) -> String {
    match store.begin_runs(from_ref(run)).await {
        Ok(()) => "begun".into(),
        Err(error) => error.to_string(),
    }
}

fn taken_by(run: &NewRun) -> String {
    format!("{} is being worked on by run {}", run.day, run.run_id)
}

async fn a_day_is_worked_on_by_one_at_a_time(database: Database) {
    let store = database.migrated().await;
    let (mine, theirs) = (run_of("mine", "2024-11-20"), run_of("theirs", "2024-11-20"));
    assert_eq!(begin(&store, &mine).await, "begun");
    assert_eq!(begin(&database.open().await, &theirs).await, taken_by(&mine));
    assert_eq!(begin(&store, &run_of("theirs", "2024-11-21")).await, "begun");
    // One's own work is one's own business.
    assert_eq!(begin(&store, &run_of("mine", "2024-11-20")).await, "begun");
    let begun = store.run(&mine.run_id).await.unwrap().unwrap();
    assert_eq!((begun.host.as_deref(), begun.due_at), (Some("mine's host"), None));

    for run in store.under_way().await.unwrap() {
        end(&store, &NewRun { run_id: run.run.run_id, ..mine.clone() }, Outcome::Failed).await;
    }
    assert_eq!(begin(&store, &theirs).await, "begun");
    // A run of an earlier version takes the day too.
    end(&store, &theirs, Outcome::Stopped).await;
    let earlier = run_of("earlier", "2024-11-20");
    assert_eq!(begin(&store, &earlier).await, "begun");
    database.sql(&format!("UPDATE runs SET process = NULL WHERE run_id = '{}'", earlier.run_id)).await;
    assert_eq!(begin(&store, &mine_again()).await, taken_by(&earlier));
}

fn mine_again() -> NewRun {
    run_of("mine", "2024-11-20")
}

async fn several_days_are_taken_together_or_not_at_all(database: Database) {
    let store = database.migrated().await;
    let theirs = run_of("theirs", "2024-11-21");
    assert_eq!(begin(&store, &theirs).await, "begun");
    let mine = ["2024-11-20", "2024-11-21", "2024-11-22"].map(|day| run_of("mine", day));
    let refused = store.begin_runs(&mine).await.unwrap_err();
    assert_eq!(refused.to_string(), taken_by(&theirs));
    assert_eq!(store.runs(10, None).await.unwrap().len(), 1);
    end(&store, &theirs, Outcome::Succeeded).await;
    store.begin_runs(&mine).await.unwrap();
    assert_eq!(store.under_way().await.unwrap().len(), 3);
}

async fn of_many_at_once_one_takes_the_day(database: Database) {
    database.migrated().await;
    let beginnings: Vec<_> = (0..12)
        .map(|work| {
            let database = database.clone();
            tokio::spawn(async move {
                let runs = ["2024-11-20", "2024-11-21"].map(|day| run_of(&format!("work {work}"), day));
                database.open().await.begin_runs(&runs).await
            })
        })
        .collect();
    let mut begun = 0;
    for beginning in beginnings {
        match beginning.await.unwrap() {
            Ok(()) => begun += 1,
            Err(error) => assert!(matches!(error, StoreError::DayTaken { .. }), "{error}"),
        }
    }
    assert_eq!(begun, 1);
    assert_eq!(database.open().await.under_way().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_isolation_a_role_has_one_takes_the_day() {
    let database = Database::postgres().await;
    let name = database.url.rsplit_once('/').unwrap().1.to_owned();
    let sql = "SET default_transaction_isolation = 'repeatable read'";
    database.sql(&format!("ALTER DATABASE {name} {sql}")).await;
    of_many_at_once_one_takes_the_day(database).await;
}

async fn a_night_is_begun_again_only_if_it_was_cut_short(database: Database) {
    let store = database.migrated().await;
    let due_at = "2024-11-21T02:30:00Z";
    for outcome in [Outcome::Died, Outcome::Stopped] {
        let cut_short = night_of("first", due_at);
        assert_eq!(begin(&store, &cut_short).await, "begun");
        end(&store, &cut_short, outcome).await;
    }
    let night = night_of("second", due_at);
    assert_eq!(begin(&store, &night).await, "begun");
    assert_eq!(begin(&store, &night_of("third", due_at)).await, taken_by(&night));
    end(&store, &night, Outcome::Failed).await;
    let over = format!("run {} has made the night of 2024-11-20, or was to", night.run_id);
    assert_eq!(begin(&store, &night_of("third", due_at)).await, over);
    let later = night_of("third", "2024-11-21T06:30:00Z");
    assert_eq!(begin(&store, &later).await, "begun");
    end(&store, &later, Outcome::Failed).await;
    // Somebody makes the day by hand, after it was due.
    let started_at = "2024-11-22T02:30:01Z".parse().unwrap();
    let by_hand = NewRun { started_at, ..run_of("hand", "2024-11-20") };
    assert_eq!(begin(&store, &by_hand).await, "begun");
    end(&store, &by_hand, Outcome::Succeeded).await;
    let over = format!("run {} has made the night of 2024-11-20, or was to", by_hand.run_id);
    assert_eq!(begin(&store, &night_of("fourth", "2024-11-22T02:30:00Z")).await, over);
    assert_eq!(begin(&store, &night_of("fourth", "2024-11-23T02:30:00Z")).await, "begun");
    let begun = store.run(&night.run_id).await.unwrap().unwrap();
    assert_eq!(begun.due_at.unwrap().to_string(), due_at);
}

async fn who_lost_the_day_publishes_nothing(database: Database) {
    let store = database.migrated().await;
    let (lost, other) = (run_of("lost", "2024-11-20"), run_of("other", "2024-11-20"));
    assert_eq!(begin(&store, &lost).await, "begun");
    let under_way = store.under_way().await.unwrap().remove(0);
    let report = serde_json::Value::Null;
    let died = RunEnd { ended_at: lost.started_at, outcome: Outcome::Died, error: None, report };
    assert!(store.end_dead_run(&under_way, &died).await.unwrap());
    assert_eq!(begin(&store, &other).await, "begun");
    assert_eq!(store.sign_of_life("lost").await.unwrap(), 0);
    assert_eq!(store.sign_of_life("other").await.unwrap(), 1);
    let content = rankings("2024-11-20: a\n TopCTR a: x=0.5");
    let publish = async |run: &RunId| store.publish(run, unheld(&content), lost.started_at).await;
    let refused = publish(&lost.run_id).await.unwrap_err().to_string();
    assert_eq!(refused, format!("run {} has ended (died) and cannot change: begin a new run", lost.run_id));
    assert_eq!(store.publication_version().await.unwrap(), 0);
    publish(&other.run_id).await.unwrap();
}

async fn the_last_runs_and_the_first_night_are_told(database: Database) {
    let before = database.open().await;
    assert_eq!(before.last_runs().await.unwrap(), store::LastRuns::default());
    assert_eq!(before.scheduled_since().await.unwrap(), None);
    let store = database.migrated().await;
    let day: Day = "2024-11-20".parse().unwrap();
    let ended = |hour: u32, started_by: &str| NewRun {
        started_at: format!("2024-11-21T{hour:02}:00:00Z").parse().unwrap(),
        started_by: started_by.into(),
        ..new_run(day)
    };
    let runs = [ended(1, "hand"), ended(2, "schedule"), ended(3, "schedule"), ended(4, "hand")];
    store.begin_runs(&runs).await.unwrap();
    assert_eq!(store.last_runs().await.unwrap(), store::LastRuns::default());
    end(&store, &runs[1], Outcome::Succeeded).await;
    end(&store, &runs[2], Outcome::Held).await;
    let last = store.last_runs().await.unwrap();
    let names = [last.ended, last.succeeded].map(|run| run.unwrap().run_id);
    assert_eq!(names, [runs[2].run_id.clone(), runs[1].run_id.clone()]);
    assert_eq!(store.scheduled_since().await.unwrap(), Some(runs[1].started_at));
}

async fn since_when_nights_are_held_is_noted_once(database: Database) {
    let store = database.migrated().await;
    let at = |text: &str| text.parse().unwrap();
    assert_eq!(store.scheduled_since().await.unwrap(), None);
    store.note_nights_held(at("2024-11-20T12:00:00Z")).await.unwrap();
    store.note_nights_held(at("2024-11-25T12:00:00Z")).await.unwrap();
    assert_eq!(store.scheduled_since().await.unwrap(), Some(at("2024-11-20T12:00:00Z")));
    // A night of before the note was made, as by an earlier version, was held too; a later one changes nothing.
    for (due_at, since) in
        [("2024-11-21T02:30:00Z", "2024-11-20T12:00:00Z"), ("2024-11-19T02:30:00Z", "2024-11-19T02:30:00Z")]
    {
        let run = night_of("mine", due_at);
        store.begin_runs(from_ref(&run)).await.unwrap();
        end(&store, &run, Outcome::Stopped).await;
        assert_eq!(store.scheduled_since().await.unwrap(), Some(at(since)), "{due_at}");
    }
}
