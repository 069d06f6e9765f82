//! Two commands at once, and commands that are told to stop.

use crate::{
    scene::{DAY, Scene},
    service::{Service, get_until},
};
use domain::{Day, RunId};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use std::{
    io::Read,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};
use store::{NewRun, Outcome, RunEnd, Store};

/// Longer than anything that is waited for takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bucket that takes every connection and answers none: a run that reads it is under way until it is told to stop.
const STUCK: [&str; 5] = ["run", "--day", DAY, "--input", "s3://bucket/logs"];

fn with_stuck_bucket() -> Scene {
    let mut scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut connections = Vec::new();
        while let Ok((mut connection, _)) = listener.accept() {
            connections.push(connection.try_clone().unwrap());
            thread::spawn(move || connection.read_to_end(&mut Vec::new()));
        }
    });
    for (name, value) in [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ] {
        scene.environment(name, value);
    }
    scene
}

/// The run that is under way, once there is one.
fn run_under_way(scene: &Scene) -> String {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let ended = scene.call(&["runs", "--json"]);
        if ended.exit == 0 {
            let json = ended.json();
            let runs = json["runs"].as_array().unwrap();
            if let Some(run) = runs.iter().find(|run| run["status"] == "running") {
                return run["run_id"].as_str().unwrap().to_owned();
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("no run is under way");
}

fn runs(scene: &Scene) -> Vec<Value> {
    scene.end_well(&["runs", "--json"]).json()["runs"].as_array().unwrap().clone()
}

#[test]
fn a_second_run_says_who_holds_the_day_or_waits() {
    let scene = with_stuck_bucket();
    let first = Service::start(&scene, &STUCK);
    let run = run_under_way(&scene);
    let again = ["run", "--day", DAY, "--input", "logs"];
    let ended = scene.call(&again);
    assert_eq!(ended.exit, 1, "{ended:?}");
    let expected = format!("{DAY} is being worked on by run {run} (started by hand on ");
    assert!(ended.stderr.contains(&expected), "{ended:?}");
    assert!(ended.stderr.contains(&format!(", process {} at 2", first.id())), "{ended:?}");
    assert!(ended.stderr.contains("--wait"), "{ended:?}");
    for command in [["backfill", "--from", DAY, "--to", DAY].as_slice(), &["publish", "--day", DAY]] {
        assert!(scene.call(command).stderr.contains(&expected), "{command:?}");
    }
    let ended = scene.call(&[&again[..], &["--wait=1s"]].concat());
    assert!(ended.stderr.contains("waiting for it to end") && ended.exit == 1, "{ended:?}");
    assert_eq!(runs(&scene).len(), 1);

    let mut waiting = Service::start(&scene, &[&again[..], &["--wait"]].concat());
    waiting.line_with("waiting for it to end");
    // Dropped, it is killed.
    drop(first);
    assert_eq!(waiting.end(), Some(0));
    let ended: Vec<_> = runs(&scene).iter().map(|run| run["status"].clone()).collect();
    assert_eq!(ended, ["succeeded", "died"]);
}

#[test]
fn a_run_that_is_told_to_stop_says_so_in_the_ledger() {
    for signal in ["TERM", "INT"] {
        let scene = with_stuck_bucket();
        let first = Service::start(&scene, &STUCK);
        run_under_way(&scene);
        let stopping = Instant::now();
        assert_eq!(first.stop(signal), Some(1));
        assert!(stopping.elapsed() < Duration::from_secs(20), "{:?}", stopping.elapsed());
        let run = runs(&scene).remove(0);
        let error = format!("stopped: SIG{signal}");
        assert_eq!((&run["status"], &run["error"]), (&"stopped".into(), &error.into()));
        scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    }
}

#[test]
fn services_end_the_night_under_way_when_they_are_told_to_stop() {
    for command in ["up", "schedule"] {
        let scene = with_stuck_bucket();
        a_night_long_ago(&scene);
        let mut service =
            Service::start(&scene, &[command, "--input", "s3://bucket/logs", "--listen", "127.0.0.1:0"]);
        let run = run_under_way(&scene);
        if command == "up" {
            let address = service.address();
            let health: Value = serde_json::from_str(&get_until(&address, "/health", 200)).unwrap();
            assert!(health["next_run_at"].as_str().unwrap().ends_with("T02:30:00Z"), "{health}");
        }
        let stopping = Instant::now();
        assert_eq!(service.stop("TERM"), Some(0));
        assert!(stopping.elapsed() < Duration::from_secs(25), "{:?}", stopping.elapsed());
        let stopped = runs(&scene).into_iter().find(|of| of["run_id"] == run.as_str()).unwrap();
        assert_eq!((&stopped["status"], &stopped["started_by"]), (&"stopped".into(), &"schedule".into()));
    }
}

/// A night that a scheduler held long ago, so that the last one was missed.
fn a_night_long_ago(scene: &Scene) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}", scene.path("topshelf-data/topshelf.db").display());
        let store = Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let started_at = "2024-11-20T02:30:00Z".parse().unwrap();
        let run = NewRun {
            run_id: RunId::new(started_at, 1),
            day: "2024-11-19".parse().unwrap(),
            started_by: "schedule".into(),
            orchestrator: None,
            program_version: "0.1.0".into(),
            config_hash: "c0ffee".into(),
            started_at,
            process: "elsewhere".into(),
            host: "elsewhere".into(),
            due_at: Some(started_at),
        };
        store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
        let end =
            RunEnd { ended_at: started_at, outcome: Outcome::Succeeded, error: None, report: Value::Null };
        store.end_run(&run.run_id, &end).await.unwrap();
    });
}

/// Logs of this many days until yesterday, whose names tell none; the days, oldest first.
fn write_days(scene: &Scene, number: usize) -> Vec<Day> {
    let yesterday = Day::from_date(Timestamp::now().to_zoned(TimeZone::UTC).date()).yesterday();
    let mut days: Vec<_> =
        std::iter::successors(Some(yesterday), |day| Some(day.yesterday())).take(number).collect();
    days.reverse();
    let lines = |line: fn(&Day) -> String| days.iter().map(line).collect::<String>();
    let ads = lines(|day| format!("acme,shoe,impression,{day}\n"));
    scene.write("logs/ads_views.csv", format!("advertiser_id,product_id,type,date\n{ads}"));
    let views = lines(|day| format!("acme,shoe,{day}\n"));
    scene.write("logs/product_views.csv", format!("advertiser_id,product_id,date\n{views}"));
    days
}

#[test]
fn two_schedulers_catch_each_missed_night_up_once() {
    let mut scene = Scene::new();
    // At any time of the day the night of yesterday was due.
    scene.environment("TOPSHELF_SCHEDULE__CRON", "0 0 * * *");
    a_night_long_ago(&scene);
    let days = write_days(&scene, 7);
    let schedule = ["schedule", "--input", "logs"];
    let mut services = [Service::start(&scene, &schedule), Service::start(&scene, &schedule)];
    for service in &mut services {
        service.line_with("waiting for the night");
    }
    for service in services {
        assert_eq!(service.stop("TERM"), Some(0));
    }
    let mut made: Vec<_> = runs(&scene)
        .iter()
        .filter(|run| run["day"] != "2024-11-19")
        .map(|run| {
            let text = |name: &str| run[name].as_str().unwrap().to_owned();
            format!("{} {} by {}", text("day"), text("status"), text("started_by"))
        })
        .collect();
    made.sort();
    let expected: Vec<_> = days.iter().map(|day| format!("{day} succeeded by schedule")).collect();
    assert_eq!(made, expected);
}

#[test]
fn a_backfill_takes_the_day_that_has_just_ended_last_and_by_itself() {
    loop {
        let scene = Scene::new();
        let days = write_days(&scene, 3);
        let (first, last) = (days[0].to_string(), days[2].to_string());
        scene.end_well(&["backfill", "--from", &first, "--to", &last, "--input", "logs"]);
        if write_days(&scene, 3) != days {
            // Another day has just ended.
            continue;
        }
        let (last, before): (Vec<_>, Vec<_>) =
            runs(&scene).into_iter().partition(|run| run["day"] == last.as_str());
        let at = |run: &Value, name: &str| run[name].as_str().unwrap().parse::<Timestamp>().unwrap();
        assert_eq!((before.len(), last.len()), (2, 1));
        for (run, other) in [(&before[0], &before[1]), (&before[1], &before[0])] {
            assert!(at(run, "started_at") < at(other, "ended_at"), "{run} not counted together with {other}");
            assert!(at(&last[0], "started_at") >= at(run, "ended_at"), "{last:?} before the end of {run}");
        }
        return;
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let scene = with_stuck_bucket();
    let mut first = Service::start(&scene, &STUCK);
    run_under_way(&scene);
    first.signal("INT");
    first.line_with("a second signal ends the process at once");
    let stopping = Instant::now();
    assert_eq!(first.stop("INT"), Some(130));
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
}
