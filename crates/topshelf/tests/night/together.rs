//! Runs at the same time: one works on a day, newer days go first, and who lost the day publishes nothing.

use crate::{
    place::{Database, Objects, Place, TWO_WAYS},
    s3,
};
use domain::{Day, RunId};
use jiff::Timestamp;
use sqlx::{Connection, Executor, PgConnection};
use std::{
    collections::BTreeSet,
    fs,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use store::{NewRun, Outcome, RunEnd, RunStatus, Store};
use tokio::sync::Notify;
use topshelf::{
    clock::Clock,
    config::Config,
    pipeline::{self, Night, StartedBy, Verdict, Wait},
    retries::Retries,
};

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn configure(config: &mut Config) {
    config.input.product_views = String::new();
}

fn write(place: &Place) {
    fs::write(place.input().join("advertiser_ids.csv"), "advertiser_id\nacme\n").unwrap();
    let ads = "advertiser_id,product_id,type,date\nacme,shoe,impression,2024-11-19\nacme,shoe,impression,2024-11-20\n";
    fs::write(place.input().join("ads_views.csv"), ads).unwrap();
}

/// A night by the clock on the wall: no two runs are called the same.
fn night(place: &Place) -> Night {
    Night { clock: Clock::system(), ..place.night() }
}

async fn store(place: &Place) -> Store {
    let store = Store::open(&place.night().config.store.url).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// Begins a run of the day that is under way somewhere else.
async fn begin_elsewhere(store: &Store, day: Day) -> RunId {
    let (run_id, started_at) = Clock::system().new_run();
    let run = NewRun {
        run_id: run_id.clone(),
        day,
        started_by: "hand".into(),
        orchestrator: None,
        program_version: "0.1.0".into(),
        config_hash: "c0ffee".into(),
        started_at,
        process: "another boot pid:[1] 4711 1".into(),
        host: "elsewhere".into(),
        due_at: None,
    };
    store.begin_runs(&[run]).await.unwrap();
    run_id
}

async fn end(store: &Store, run: &RunId) -> Timestamp {
    let (ended_at, report) = (Timestamp::now(), serde_json::Value::Null);
    let end = RunEnd { ended_at, outcome: Outcome::Succeeded, error: None, report };
    store.end_run(run, &end).await.unwrap();
    ended_at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_runs_at_once_one_works_and_the_others_say_so_or_wait() {
    for way in TWO_WAYS {
        let place = Place::new(way).await.configured(configure);
        write(&place);
        store(&place).await;
        let run = |wait: Wait| {
            let night = Night { wait, ..night(&place) };
            async move { pipeline::run(&night, &[day("2024-11-19"), day("2024-11-20")], StartedBy::Hand).await }
        };
        // Whoever looks sees the work of one of them at most.
        let looking_store = store(&place).await;
        let looking = tokio::spawn(async move {
            loop {
                let under_way = looking_store.under_way().await.unwrap();
                let works: BTreeSet<_> = under_way.into_iter().map(|run| run.run.process).collect();
                assert!(works.len() <= 1, "{works:?}");
            }
        });
        let (one, two, three, four) =
            tokio::join!(run(Wait::Forever), run(Wait::No), run(Wait::No), run(Wait::Forever));
        looking.abort();
        assert!(looking.await.unwrap_err().is_cancelled());
        let mut worked = 0;
        for ended in [one, two, three, four] {
            match ended {
                Ok(outcomes) => {
                    worked += 1;
                    assert!(outcomes.iter().all(|outcome| outcome.ended.is_ok()));
                }
                Err(failure) => {
                    let message = failure.to_string();
                    assert!(message.starts_with("2024-11-"), "{message}");
                    assert!(message.contains(" is being worked on by run "), "{message}");
                    assert!(message.contains(&format!(", process {} at ", std::process::id())), "{message}");
                }
            }
        }
        // Those who wait come to work in any case; those who do not, only if they were first.
        assert!((2..=3).contains(&worked), "{worked}");
        let runs = store(&place).await.runs(100, None).await.unwrap();
        assert_eq!(runs.len(), 2 * worked, "who does not work leaves nothing in the ledger");
        assert!(runs.iter().all(|run| run.status == RunStatus::Ended(Outcome::Succeeded)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_waits_no_longer_than_it_was_told() {
    let place = Place::new(TWO_WAYS[0]).await.configured(configure);
    write(&place);
    let store = store(&place).await;
    let other = begin_elsewhere(&store, day("2024-11-20")).await;
    let night = Night { wait: Wait::AtMost(Duration::from_millis(200)), ..night(&place) };
    let failure = pipeline::run(&night, &[day("2024-11-20")], StartedBy::Hand).await.unwrap_err();
    let expected = format!(
        "2024-11-20 is being worked on by run {other} (started by hand on elsewhere, process 4711 at "
    );
    assert!(failure.to_string().starts_with(&expected), "{failure}");
    assert_eq!(store.runs(10, None).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_lets_a_newer_day_go_first() {
    for way in TWO_WAYS {
        let place = Place::new(way).await.configured(configure);
        write(&place);
        let store = store(&place).await;
        let newer = begin_elsewhere(&store, day("2024-11-21")).await;
        let night = night(&place);
        let days = [day("2024-11-19"), day("2024-11-20")];
        let backfill = pipeline::run(&night, &days, StartedBy::Hand);
        tokio::pin!(backfill);
        // It would have been done long ago, had it not waited.
        let early = tokio::time::timeout(Duration::from_secs(2), &mut backfill).await;
        assert!(early.is_err(), "it gave no way: {early:?}");
        let ended_at = end(&store, &newer).await;
        let outcomes = backfill.await.unwrap();
        assert!(
            outcomes.iter().all(|outcome| outcome.ended.as_ref().unwrap().verdict() == Verdict::Published)
        );
        let moves = store.moves(10, None).await.unwrap();
        assert!(moves.iter().all(|of| of.at >= ended_at), "{moves:?}");
        // To an older day it gives no way.
        begin_elsewhere(&store, day("2024-11-01")).await;
        pipeline::run(&night, &days, StartedBy::Hand).await.unwrap();
    }
}

/// What somebody else writes into the lake meanwhile, who was taken for dead, say.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Counts,
    Rankings,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_in_whose_lake_others_wrote_is_tried_again() {
    for (meanwhile, expected) in [
        (Meanwhile::Counts, "another run has counted 2024-11-20 differently meanwhile"),
        (Meanwhile::Rankings, "were made from older counts than the lake holds now"),
    ] {
        let place = Place::new((Objects::Bucket, Database::Sqlite)).await.configured(configure);
        write(&place);
        let days = [day("2024-11-20")];
        // The first rankings are not written before others have written, and are not answered for before that.
        let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (at, until, is_first) = (reached.clone(), go_on.clone(), Arc::new(AtomicBool::new(true)));
        let root = place.input().parent().unwrap().parent().unwrap().to_owned();
        let environment = s3::start_behind(&root, move |method, path| {
            let is_it =
                method == "PUT" && path.contains("/lake/rankings/") && path.ends_with("manifest.json");
            let is_it = is_it && is_first.swap(false, SeqCst);
            let (at, until) = (at.clone(), until.clone());
            let wait = move |is_it: bool| {
                let (at, until) = (at.clone(), until.clone());
                async move {
                    if is_it {
                        at.notify_one();
                        until.notified().await;
                    }
                }
            };
            match meanwhile {
                Meanwhile::Counts => (wait.clone()(is_it), wait(false)),
                Meanwhile::Rankings => (wait.clone()(false), wait(is_it)),
            }
        })
        .await;
        let aws = source::AwsSettings::from_pairs(environment);
        let live = Night { aws, retries: Retries::new(1, Duration::ZERO), ..night(&place) };
        let other = night(&place);
        let (ended, ()) = tokio::join!(pipeline::run(&live, &days, StartedBy::Hand), async {
            reached.notified().await;
            match meanwhile {
                // Of a line more, which only the other has read.
                Meanwhile::Counts => {
                    let ads = place.input().join("ads_views.csv");
                    let whole = fs::read_to_string(&ads).unwrap();
                    fs::write(&ads, format!("{whole}acme,boot,impression,2024-11-20\n")).unwrap();
                    pipeline::count(&other, &days).await.unwrap().remove(0).unwrap();
                }
                Meanwhile::Rankings => {
                    let folder = "../lake/rankings/day=2024-11-20/model=TopCTR/manifest.json";
                    let path = place.input().join(folder);
                    let mut manifest: serde_json::Value =
                        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                    manifest["counts_digest"] = "0123456789abcdef".into();
                    fs::write(&path, manifest.to_string()).unwrap();
                }
            }
            go_on.notify_one();
        });
        let outcome = ended.unwrap().remove(0);
        let report = outcome.ended.unwrap_or_else(|failure| panic!("{meanwhile:?}: {}", failure.chain()));
        assert_eq!(report.verdict(), Verdict::Published);
        let run = store(&place).await.run(&outcome.run_id).await.unwrap().unwrap();
        let retries = run.report.unwrap()["retries"].to_string();
        assert!(retries.contains(expected), "{meanwhile:?}: {retries}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_the_day_notices_and_leaves_what_others_write() {
    let place = Place::new((Objects::Bucket, Database::Sqlite)).await.configured(configure);
    write(&place);
    let store = store(&place).await;
    // Nothing is ever written into the lake.
    let reached = Arc::new(Notify::new());
    let at = reached.clone();
    let root = place.input().parent().unwrap().parent().unwrap().to_owned();
    let environment = s3::start_behind(&root, move |method, path| {
        let (is_it, at) = (method == "PUT" && path.contains("/lake/"), at.clone());
        let wait = move |is_it: bool| {
            let at = at.clone();
            async move {
                if is_it {
                    at.notify_one();
                    std::future::pending().await
                }
            }
        };
        (wait(is_it), wait(false))
    })
    .await;
    let lost = Night { aws: source::AwsSettings::from_pairs(environment), ..night(&place) };
    let others = place.input().join("../lake/counts/day=2024-11-20/counts-0123456789abcdef.parquet");
    let days = [day("2024-11-20")];
    let (lost, ()) = tokio::join!(pipeline::run(&lost, &days, StartedBy::Hand), async {
        reached.notified().await;
        let under_way = store.under_way().await.unwrap().remove(0);
        let (ended_at, report) = (Timestamp::now(), serde_json::Value::Null);
        let died = RunEnd { ended_at, outcome: Outcome::Died, error: None, report };
        assert!(store.end_dead_run(&under_way, &died).await.unwrap());
        // Whoever has the day now has written an object, and no manifest yet.
        fs::create_dir_all(others.parent().unwrap()).unwrap();
        fs::write(&others, "others").unwrap();
    });
    let failure = lost.unwrap_err().to_string();
    assert_eq!(failure, "stopped: another run has ended it, as it gave no sign of life for too long");
    assert!(others.exists());
    assert_eq!(store.runs(10, None).await.unwrap()[0].status.name(), "died");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_the_day_publishes_nothing() {
    let place = Place::new((Objects::Bucket, Database::Postgres)).await.configured(configure);
    write(&place);
    let store = store(&place).await;
    // The manifest of the counts is written when the test says so, once.
    let (reached, go_on, is_over) =
        (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let root = place.input().parent().unwrap().parent().unwrap().to_owned();
    let (at, on, over) = (reached.clone(), go_on.clone(), is_over.clone());
    let environment = s3::start_behind(&root, move |method, path| {
        let is_it = method == "PUT" && path.contains("/counts/") && path.ends_with("manifest.json");
        let wait: Pin<Box<dyn Future<Output = ()> + Send>> = if is_it && !over.swap(true, SeqCst) {
            let (at, on) = (at.clone(), on.clone());
            Box::pin(async move {
                at.notify_one();
                on.notified().await;
            })
        } else {
            Box::pin(std::future::ready(()))
        };
        (wait, Box::pin(std::future::ready(())) as Pin<Box<dyn Future<Output = ()> + Send>>)
    })
    .await;
    let lost = Night { aws: source::AwsSettings::from_pairs(environment), ..night(&place) };
    let days = [day("2024-11-20")];
    let (lost, ()) = tokio::join!(pipeline::run(&lost, &days, StartedBy::Hand), async {
        reached.notified().await;
        // Others hold it for dead, and make the day.
        let under_way = store.under_way().await.unwrap().remove(0);
        let (ended_at, report) = (Timestamp::now(), serde_json::Value::Null);
        let died = RunEnd { ended_at, outcome: Outcome::Died, error: None, report };
        assert!(store.end_dead_run(&under_way, &died).await.unwrap());
        let outcomes = pipeline::run(&night(&place), &days, StartedBy::Hand).await.unwrap();
        assert_eq!(outcomes[0].ended.as_ref().unwrap().verdict(), Verdict::Published);
        go_on.notify_one();
    });
    let failure = lost.unwrap_err();
    assert!(failure.chain().contains("has ended (died)"), "{}", failure.chain());
    let runs = store.runs(10, None).await.unwrap();
    let ended: Vec<_> = runs.iter().map(|run| run.status.name()).collect();
    assert_eq!(ended, ["succeeded", "died"]);
    let moves = store.moves(10, None).await.unwrap();
    assert_eq!((moves.len(), &moves[0].run_id), (1, &runs[0].run_id));
    let again = pipeline::run(&night(&place), &days, StartedBy::Hand).await.unwrap();
    assert_eq!(again[0].ended.as_ref().unwrap().verdict(), Verdict::Unchanged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_goes_on_when_no_run_gives_signs_of_life_any_more() {
    let place = Place::new((Objects::Directory, Database::Postgres)).await.configured(configure);
    let place = place.configured(|config| config.retention.keep_days = 7);
    write(&place);
    let days: Vec<Day> = (10..19).map(|number| day(&format!("2024-11-{number}"))).collect();
    let ads: String = days.iter().map(|day| format!("acme,shoe,impression,{day}\n")).collect();
    let ads = format!("advertiser_id,product_id,type,date\n{ads}");
    fs::write(place.input().join("ads_views.csv"), ads).unwrap();
    // What was asked for stays: the first two days go with the run of the last.
    pipeline::run(&night(&place), &days[..8], StartedBy::Hand).await.unwrap();
    // Deleting takes longer than a sign of life is apart from the next.
    let mut connection = PgConnection::connect(&place.night().config.store.url).await.unwrap();
    for sql in [
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(12); RETURN OLD; END'",
        "CREATE TRIGGER slow BEFORE DELETE ON publications FOR EACH ROW WHEN (OLD.day = '2024-11-10')
         EXECUTE FUNCTION slow()",
    ] {
        connection.execute(sql).await.unwrap();
    }
    pipeline::run(&night(&place), &days[8..], StartedBy::Hand).await.unwrap();
    let store = store(&place).await;
    assert_eq!(store.rankings_of_day(days[0]).await.unwrap(), None);
    assert_eq!(store.rankings_of_day(days[1]).await.unwrap(), None);
    assert!(store.rankings_of_day(days[2]).await.unwrap().is_some());
}
