//! The ledger of runs: order, immutability, and what is read back.

use crate::database::{Database, new_run, on_both};
use domain::{Day, RunId};
use jiff::Timestamp;
use serde_json::json;
use store::{NewRun, Outcome, RunEnd, RunStatus, Store, StoreError};

on_both!(
    a_run_reads_back_as_it_began_and_ended,
    a_run_that_ended_never_changes,
    nobody_changes_a_run_that_ended,
    runs_under_way_give_signs_of_life,
    a_ledger_of_an_earlier_version_is_told,
    versions_with_and_without_the_orchestrator_read_each_others_runs,
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
        orchestrator: Some("airflow: dag nights, run ü".into()),
        ..new_run("2024-11-20".parse().unwrap())
    };
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    let begun = store.run(&run.run_id).await.unwrap().unwrap();
    assert_eq!(begun.status, RunStatus::Running);
    assert_eq!(begun.started_at.to_string(), "2024-11-21T02:30:00.123Z");
    assert_eq!((begun.day, begun.started_by.as_str()), (run.day, "airflow"));
    assert_eq!(begun.orchestrator, run.orchestrator);
    assert_eq!((begun.program_version.as_str(), begun.config_hash.as_str()), ("0.1.0", "c0ffee"));
    assert_eq!((begun.ended_at, &begun.error, &begun.report), (None, &None, &None));
    assert_eq!(begun.process, Some(run.process.clone()));
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

    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    store.end_run(&run.run_id, &end(Outcome::Succeeded, None)).await.unwrap();
    let ended = store.run(&run.run_id).await.unwrap();

    let again = store.end_run(&run.run_id, &end(Outcome::Failed, Some("late"))).await.unwrap_err();
    let expected = format!("run {} has ended (succeeded) and cannot change: begin a new run", run.run_id);
    assert_eq!(again.to_string(), expected);
    let content = crate::notation::rankings("2024-11-20: a\n TopCTR a: x=0.5");
    let published =
        store.publish(&run.run_id, crate::notation::unheld(&content), run.started_at).await.unwrap_err();
    assert_eq!(published.to_string(), expected);
    let begun = store.begin_runs(std::slice::from_ref(&run)).await.unwrap_err();
    assert!(matches!(begun, StoreError::RunExists { .. }), "{begun}");

    assert_eq!(store.run(&run.run_id).await.unwrap(), ended);
    assert_eq!(store.publication_version().await.unwrap(), 0);
}

async fn nobody_changes_a_run_that_ended(database: Database) {
    let store = database.migrated().await;
    let run = new_run("2024-11-20".parse().unwrap());
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    database.sql("UPDATE runs SET started_by = 'somebody'").await;
    store.end_run(&run.run_id, &end(Outcome::Succeeded, None)).await.unwrap();
    let ended = store.run(&run.run_id).await.unwrap();
    let told = database.try_sql("UPDATE runs SET started_by = 'somebody else'").await.unwrap_err();
    assert!(told.contains("a run that has ended never changes"), "{told}");
    let told = database.try_sql("DELETE FROM runs").await.unwrap_err();
    assert!(told.contains("a run that has ended never changes"), "{told}");
    assert_eq!(store.run(&run.run_id).await.unwrap(), ended);
}

async fn runs_under_way_give_signs_of_life(database: Database) {
    let store = database.migrated().await;
    let [ours, theirs, ended] =
        ["2024-11-20", "2024-11-21", "2024-11-22"].map(|day| new_run(day.parse().unwrap()));
    let theirs = NewRun { process: "elsewhere 7 8".into(), ..theirs };
    for run in [&ours, &theirs, &ended] {
        store.begin_runs(std::slice::from_ref(run)).await.unwrap();
    }
    store.end_run(&ended.run_id, &end(Outcome::Died, Some("gone"))).await.unwrap();
    assert_eq!(store.run(&ended.run_id).await.unwrap().unwrap().status, RunStatus::Ended(Outcome::Died));
    // As if nobody had been heard of for an hour.
    let hour_ago = match database.is_sqlite() {
        true => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour')",
        false => "date_trunc('milliseconds', now()) - interval '1 hour'",
    };
    database.sql(&format!("UPDATE runs SET seen_at = {hour_ago} WHERE status = 'running'")).await;

    let silent = store.under_way().await.unwrap();
    store.sign_of_life(&ours.process).await.unwrap();
    let under_way = store.under_way().await.unwrap();
    let heard: Vec<_> = under_way.iter().map(|of| (of.run.day, of.unseen_for.as_secs() / 60)).collect();
    let theirs_minutes = heard[1].1;
    assert_eq!(heard, [(ours.day, 0), (theirs.day, theirs_minutes)]);
    assert!((59..=61).contains(&theirs_minutes), "{theirs_minutes} minutes");
    assert_eq!(under_way[1].run.process.as_deref(), Some("elsewhere 7 8"));
    // Who was heard of meanwhile is not dead; the other is, once.
    let died = end(Outcome::Died, Some("gone"));
    let mut ended = Vec::new();
    for run in silent.iter().chain(&silent) {
        ended.push(store.end_dead_run(run, &died).await.unwrap());
    }
    assert_eq!(ended, [false, true, false, false]);
    assert_eq!(store.run(&ours.run_id).await.unwrap().unwrap().status, RunStatus::Running);
    assert_eq!(store.run(&theirs.run_id).await.unwrap().unwrap().error.as_deref(), Some("gone"));
}

async fn a_ledger_of_an_earlier_version_is_told(database: Database) {
    let store = database.migrated().await;
    database.sql("ALTER TABLE runs DROP COLUMN process").await;
    let error = store.runs(10, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Older { .. }), "{error}");
    assert_eq!(error.to_string(), format!("{} is of an earlier version of topshelf", store.description()));
}

/// A server that was updated before anybody migrated the database reads it all the same, and a pipeline of the version
/// before goes on writing after somebody did.
async fn versions_with_and_without_the_orchestrator_read_each_others_runs(database: Database) {
    let store = database.migrated().await;
    let run = NewRun { orchestrator: Some("nights".into()), ..new_run("2024-11-20".parse().unwrap()) };
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    let earlier = "INSERT INTO runs (run_id, day, status, started_by, program_version, config_hash, started_at, process, host)
                   SELECT '20241121T000000Z-00000001', day, 'succeeded', started_by, '0.0.9', config_hash, started_at, process, host
                   FROM runs";
    database.sql(earlier).await;
    let told = async || {
        let runs = store.runs(10, None).await.unwrap();
        runs.into_iter().map(|run| (run.program_version, run.orchestrator)).collect::<Vec<_>>()
    };
    let both = [("0.1.0".to_owned(), run.orchestrator.clone()), ("0.0.9".to_owned(), None)];
    assert_eq!(told().await, both);

    database.sql("ALTER TABLE runs DROP COLUMN orchestrator").await;
    let unnamed = both.map(|(version, _)| (version, None));
    assert_eq!(told().await, unnamed);
    assert_eq!(store.under_way().await.unwrap()[0].run.run_id, run.run_id);
    assert_eq!(store.run(&run.run_id).await.unwrap().unwrap().orchestrator, None);
    assert_eq!(store.last_runs().await.unwrap().ended, None);
}

async fn begin(store: &Store, day: &str, started_at: &str, random: u32) {
    let started_at: Timestamp = started_at.parse().unwrap();
    let run_id = RunId::new(started_at, random);
    let run = NewRun { run_id, started_at, ..new_run(day.parse().unwrap()) };
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
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
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    database.sql("UPDATE runs SET status = 'asleep'").await;
    let asleep = store.run(&run.run_id).await.unwrap().unwrap();
    assert_eq!(asleep.status, RunStatus::Other("asleep".into()));
    assert_eq!(serde_json::to_value(&asleep).unwrap()["status"], "asleep");
}
