//! Runs whose process is killed: the ledger does not go on calling them under way.

use crate::scene::{DAY, Scene};
use serde_json::Value;
use sqlx::{Connection, Executor, SqliteConnection};
use std::{
    fmt::Write,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

/// So many views take a while to count on one thread.
const VIEWS: usize = 3_000_000;

const RUN: [&str; 5] = ["run", "--day", DAY, "--input", "logs"];

/// A scene whose run goes on for some time.
fn slow_scene() -> Scene {
    let mut scene = Scene::new();
    let mut views = "advertiser_id,product_id,date\n".to_owned();
    for view in 0..VIEWS {
        writeln!(views, "acme,p{},{DAY}", view % 700_001).unwrap();
    }
    scene.write("logs/product_views.csv", views);
    scene.environment("TOPSHELF_COUNTING__THREADS", "1");
    scene
}

fn runs(scene: &Scene) -> Vec<Value> {
    scene.end_well(&["runs", "--json"]).json()["runs"].as_array().unwrap().clone()
}

/// Begins a run, and returns once it is in the ledger.
fn begin(scene: &Scene) -> Child {
    let mut child = scene.command(&RUN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The file is there before its tables are.
    while !scene.path("topshelf-data/topshelf.db").exists() || runs(scene).is_empty() {
        assert_eq!(child.try_wait().unwrap(), None, "it is in the ledger before it ends");
        thread::sleep(Duration::from_millis(5));
    }
    child
}

/// As if an earlier version, which takes no turns, had begun a run beside the one that is there, and died.
fn leave_a_dead_run_beside(scene: &Scene) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}", scene.path("topshelf-data/topshelf.db").display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let dead = "INSERT INTO runs (run_id, day, status, started_by, program_version, config_hash, started_at, process, seen_at)
                    SELECT '20241121T000000Z-00000001', day, status, started_by, '0.0.1', config_hash,
                           '2024-11-21T00:00:00.000Z', 'elsewhere', '2024-11-21T00:00:00.000Z' FROM runs";
        connection.execute(dead).await.unwrap();
    });
}

/// As if a run had been killed while it wrote to the lake: an object that no manifest names, and a file that is no
/// object yet.
const LEFT: [&str; 2] = [
    "topshelf-data/lake/counts/day=2024-11-20/counts-0123456789abcdef.parquet",
    "topshelf-data/lake/counts/day=2024-11-20/manifest.json#1",
];

#[test]
fn a_run_whose_process_was_killed_is_told_as_such_and_ended_by_the_next() {
    let scene = slow_scene();
    let mut child = begin(&scene);
    assert_eq!(runs(&scene)[0]["status"], "running");
    child.kill().unwrap();
    child.wait().unwrap();
    let died = &runs(&scene)[0];
    assert_eq!(
        (&died["status"], &died["ended_at"]),
        (&"died".into(), &Value::Null),
        "nobody has written it yet"
    );
    assert!(scene.end_well(&["runs"]).stdout.contains(" died "));

    LEFT.iter().for_each(|name| scene.write(name, "left"));
    scene.views("");
    let next = scene.end_well(&RUN);
    assert!(LEFT.iter().all(|name| !scene.path(name).exists()), "nothing of it is left");
    assert!(next.stderr.contains("an earlier run died before it ended"), "{next:?}");
    let [next, died] = &runs(&scene)[..] else { panic!("two runs are in the ledger") };
    assert_eq!((&next["status"], &died["status"]), (&"succeeded".into(), &"died".into()));
    assert!(died["ended_at"].is_string() && died["report"].is_null());
    assert!(
        died["error"]
            .as_str()
            .unwrap()
            .starts_with("its process was gone before it ended, before it published"),
        "{died}"
    );
    assert!(next["report"]["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
}

/// Begins a run of a day of which there is nothing, so that it is refused; but it begins.
fn begin_and_be_refused(scene: &Scene, day: &str) {
    scene.write("other/advertiser_ids.csv", "advertiser_id\nacme\n");
    scene.write("other/ads_views.csv", "advertiser_id,product_id,type,date\n");
    scene.write("other/product_views.csv", "advertiser_id,product_id,date\n");
    assert_eq!(scene.call(&["run", "--day", day, "--input", "other"]).exit, 3);
}

#[test]
fn what_a_run_that_died_left_stays_while_another_writes_the_day() {
    let scene = slow_scene();
    let mut lives = begin(&scene);
    leave_a_dead_run_beside(&scene);
    LEFT.iter().for_each(|name| scene.write(name, "left"));
    begin_and_be_refused(&scene, "2024-11-21");
    assert!(LEFT.iter().all(|name| scene.path(name).exists()), "it may be the other's");
    assert_eq!(lives.try_wait().unwrap(), None, "the other goes on");
    assert!(lives.wait().unwrap().success());
    let statuses = runs(&scene).iter().map(|run| run["status"].clone()).collect::<Vec<_>>();
    assert_eq!(statuses, ["failed", "succeeded", "died"]);
}

#[test]
fn a_run_under_way_is_not_ended_by_another() {
    let scene = slow_scene();
    let mut child = begin(&scene);
    begin_and_be_refused(&scene, "2024-11-21");
    assert_eq!(child.try_wait().unwrap(), None, "the first goes on");
    assert!(child.wait().unwrap().success());
    let runs = runs(&scene);
    let status = |day| runs.iter().find(|run| run["day"] == day).unwrap()["status"].clone();
    assert_eq!((status(DAY), status("2024-11-21")), ("succeeded".into(), "failed".into()));
}
