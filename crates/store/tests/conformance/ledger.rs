//! The ledger of runs: order, immutability, and what is read back.

use crate::database::{Database, new_run, on_both};
use domain::{Day, RunId};
use jiff::Timestamp;
use serde_json::json;
use store::{NewRun, Outcome, RunEnd, RunStatus, Store, StoreError};

on_both!(
    a_run_reads_back_as_it_began_and_ended,
    a_run_that_ended_never_changes,
    runs_come_newest_first,
    a_status_of_a_newer_version_is_kept,
);

fn end(outcome: Outcome, error: Option<&str>) -> RunEnd {
    RunEnd {
        ended_at: "2024-11-21T02:35:00.987654Z".parse().unwrap(),
        outcome,
        error: error.map(str::to_owned),
        report: json!({"z": [1, 2.5, null], "a": {"line": "quoted \" \t \u{0} ü"}, "rows": u64::MAX}),
    }
}

async fn a_run_reads_back_as_it_began_and_ended(database: Database) {
    let store = database.migrated().await;
    let run = NewRun {
        started_at: "2024-11-21T02:30:00.123999Z".parse().unwrap(),
        started_by: "airflow".into(),
        ..new_run("2024-11-20".parse().unwrap())
    };
    store.begin_run(&run).await.unwrap();
    let begun = store.run(&run.run_id).await.unwrap().unwrap();
    assert_eq!(begun.status, RunStatus::Running);
    assert_eq!(begun.started_at.to_string(), "2024-11-21T02:30:00.123Z");
    assert_eq!((begun.day, begun.started_by.as_str()), (run.day, "airflow"));
    assert_eq!((begun.program_version.as_str(), begun.config_hash.as_str()), ("0.1.0", "c0ffee"));
    assert_eq!((begun.ended_at, &begun.error, &begun.report), (None, &None, &None));
    assert_eq!((&begun.models, &begun.rankings_digest, &begun.rankings_run_id), (&None, &None, &None));

    let end = end(Outcome::Failed, Some("could not read a\0b"));
    store.end_run(&run.run_id, &end).await.unwrap();
    let ended = store.run(&run.run_id).await.unwrap().unwrap();
    assert_eq!(ended.status, RunStatus::Ended(Outcome::Failed));
    assert_eq!(ended.ended_at.unwrap().to_string(), "2024-11-21T02:35:00.987Z");
    assert_eq!(ended.error.as_deref(), Some("could not read a\u{fffd}b"));
    assert_eq!(ended.report, Some(end.report));
    assert_eq!(store.run(&RunId::new(Timestamp::UNIX_EPOCH, 7)).await.unwrap(), None);
}

async fn a_run_that_ended_never_changes(database: Database) {
    let store = database.migrated().await;
    let run = new_run("2024-11-20".parse().unwrap());
    let unknown = store.end_run(&run.run_id, &end(Outcome::Succeeded, None)).await.unwrap_err();
    assert!(matches!(unknown, StoreError::RunUnknown { .. }), "{unknown}");

    store.begin_run(&run).await.unwrap();
    store.end_run(&run.run_id, &end(Outcome::Succeeded, None)).await.unwrap();
    let ended = store.run(&run.run_id).await.unwrap();

    let again = store.end_run(&run.run_id, &end(Outcome::Failed, Some("late"))).await.unwrap_err();
    let expected = format!("run {} has ended (succeeded) and cannot change: begin a new run", run.run_id);
    assert_eq!(again.to_string(), expected);
    let content = crate::notation::rankings("2024-11-20: a\n TopCTR a: x=0.5");
    let published = store.publish(&run.run_id, &content, run.started_at).await.unwrap_err();
    assert_eq!(published.to_string(), expected);
    let begun = store.begin_run(&run).await.unwrap_err();
    assert!(matches!(begun, StoreError::RunExists { .. }), "{begun}");

    assert_eq!(store.run(&run.run_id).await.unwrap(), ended);
    assert_eq!(store.publication_version().await.unwrap(), 0);
}

async fn begin(store: &Store, day: &str, started_at: &str, random: u32) {
    let started_at: Timestamp = started_at.parse().unwrap();
    let run_id = RunId::new(started_at, random);
    let run = NewRun { run_id, started_at, ..new_run(day.parse().unwrap()) };
    store.begin_run(&run).await.unwrap();
}

async fn runs_come_newest_first(database: Database) {
    let store = database.migrated().await;
    begin(&store, "2024-11-20", "2024-11-21T02:30:00Z", 1).await;
    begin(&store, "2024-11-19", "2024-11-23T02:30:00Z", 2).await;
    begin(&store, "2024-11-20", "2024-11-22T02:30:00.5Z", 3).await;
    begin(&store, "2024-11-20", "2024-11-22T02:30:00.25Z", 4).await;
    let runs = async |limit, day: Option<&str>| {
        let day: Option<Day> = day.map(|day| day.parse().unwrap());
        let runs = store.runs(limit, day).await.unwrap();
        runs.iter().map(|run| run.run_id.as_str()[24..].to_owned()).collect::<String>()
    };
    assert_eq!(runs(10, None).await, "2341");
    assert_eq!(runs(2, None).await, "23");
    assert_eq!(runs(10, Some("2024-11-20")).await, "341");
    assert_eq!(runs(1, Some("2024-11-20")).await, "3");
    assert_eq!(runs(10, Some("2024-11-18")).await, "");
}

async fn a_status_of_a_newer_version_is_kept(database: Database) {
    let store = database.migrated().await;
    let run = new_run("2024-11-20".parse().unwrap());
    store.begin_run(&run).await.unwrap();
    database.sql("UPDATE runs SET status = 'held'").await;
    let held = store.run(&run.run_id).await.unwrap().unwrap();
    assert_eq!(held.status, RunStatus::Other("held".into()));
    assert_eq!(serde_json::to_value(&held).unwrap()["status"], "held");
}
