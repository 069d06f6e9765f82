//! What fails on the cluster is made up for, or told; nothing but the exact counts is ever published.

use crate::{
    files::files,
    group::Group,
    scene::{DAY, Ended},
    service::Service,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::{fs, io::Write as _, process::Stdio};

fn count_here(group: &Group) {
    group.scene.end_well(&[
        "count",
        "--day",
        DAY,
        "--input",
        "logs",
        "--lake",
        "lake-here",
        "--store",
        "sqlite:here.db",
    ]);
}

fn args(url: &str) -> [&str; 11] {
    [
        "run",
        "--day",
        DAY,
        "--input",
        "logs",
        "--lake",
        "lake-there",
        "--store",
        "sqlite:there.db",
        "--cluster",
        url,
    ]
}

fn run_there(group: &Group) -> Ended {
    group.scene.call(&args(&group.url()))
}

/// Nothing was published, and the message and the remedy are there.
fn is_told(group: &Group, ended: &Ended, texts: &[&str]) {
    assert_eq!(ended.exit, 1, "{ended:#?}");
    for text in texts {
        assert!(ended.stderr.contains(text), "{text}: {ended:#?}");
    }
    assert!(!group.scene.path("lake-there/counts").exists(), "something was left");
}

#[test]
fn without_a_scheduler_the_night_says_so() {
    let group = Group::new();
    let ended = run_there(&group);
    is_told(
        &group,
        &ended,
        &["no scheduler answers at", "topshelf cluster scheduler", "With `--cluster=` this machine counts"],
    );
    for url in [
        "df://nowhere",
        "http://127.0.0.1:7050",
        "df://127.0.0.1:7050/",
        "df://127.0.0.1:0",
        "df://me:hidden@a:1",
    ] {
        let up = ["up", "--input", "logs", "--cluster", url];
        for args in [&args(url)[..], &["config", "--cluster", url], &up] {
            let wrong = group.scene.call(args);
            assert!(wrong.exit == 2 && wrong.stderr.contains("df://HOST:PORT"), "{wrong:#?}");
            assert!(!wrong.stderr.contains("hidden"), "{wrong:#?}");
        }
    }
}

#[test]
fn without_executors_the_night_is_given_up_in_time_and_tried_once_more() {
    let mut group = Group::of(0);
    group.scene.environment("TOPSHELF_CLUSTER__DEADLINE_SECONDS", "2");
    let ended = run_there(&group);
    is_told(
        &group,
        &ended,
        &[
            "had not ended after 2 s",
            "there were no executors",
            "trying again with a new job",
            &format!("start `topshelf cluster executor --scheduler {}`", group.scheduler_address()),
        ],
    );
    let figures = figures(&group, "failed");
    assert_eq!((&figures["jobs"], &figures["executors"]), (&json!(2), &json!([])), "{figures}");
    assert!(ended.stderr.contains(figures["job"].as_str().unwrap()), "{figures}: {ended:#?}");
    assert!(figures["tasks"].as_u64() > Some(0) && figures["elapsed_ms"].as_u64() >= Some(2000), "{figures}");
}

/// Nothing of how the engine carries errors is to be seen.
fn is_in_our_words(ended: &Ended) {
    for text in ["DataFusionError", "Custom", "⟦", "%2", "Job failed due to", "ERROR"] {
        assert!(!ended.stderr.contains(text), "{text}: {ended:#?}");
    }
}

/// What the ledger has of the cluster of the last run, which ended so.
fn figures(group: &Group, status: &str) -> Value {
    let run = &group.scene.call(&["runs", "--json", "--store", "sqlite:there.db"]).json()["runs"][0];
    assert_eq!(run["status"], status, "{run}");
    run["report"]["stages"][0]["cluster"].clone()
}

#[test]
fn an_executor_that_comes_later_does_the_work() {
    let mut group = Group::of(0);
    let mut command = group.scene.command(&args(&group.url()));
    let run = Service::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    group.start_executor();
    assert_eq!(run.end(), Some(0));
}

#[test]
fn an_executor_that_is_killed_among_its_tasks_changes_nothing() {
    let mut group = Group::of(3);
    group.generate(&[]);
    count_here(&group);
    let mut command = group.scene.command(&args(&group.url()));
    let run = Service::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    group.executor_says(1, "Finished task");
    group.kill_executor(1);
    assert_eq!(run.end(), Some(0));
    assert!(files(&group.scene.path("lake-here/counts")) == files(&group.scene.path("lake-there/counts")));
}

/// The engine begins its last stage anew, and forgets what others had done of it.
#[test]
fn an_executor_that_is_killed_in_the_last_stage_costs_no_second_job() {
    let mut group = Group::of(3);
    group.scene.environment("TOPSHELF_CLUSTER__ADDERS", "32");
    group.generate(&[]);
    count_here(&group);
    let mut command = group.scene.command(&args(&group.url()));
    let run = Service::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    group.executor_says(0, "/2.0/");
    group.executor_says(0, "Finished task");
    group.kill_executor(1);
    assert_eq!(run.end(), Some(0));
    assert!(files(&group.scene.path("lake-here/counts")) == files(&group.scene.path("lake-there/counts")));
    assert_eq!(figures(&group, "succeeded")["jobs"], 1);
}

#[test]
fn a_job_that_is_given_up_is_cancelled_also_in_its_first_stage() {
    let mut group = Group::of(0);
    group.scene.environment("TOPSHELF_CLUSTER__DEADLINE_SECONDS", "2");
    group.scene.environment("TOPSHELF_CLUSTER__RETRIES", "0");
    let ended = run_there(&group);
    is_told(&group, &ended, &["had not ended after 2 s"]);
    assert!(!ended.stderr.contains("job  had"), "{ended:#?}");
    group.scheduler_says("Job cancelled");
}

#[test]
fn a_scheduler_that_is_killed_fails_the_night_which_another_one_makes() {
    let mut group = Group::of(1);
    group.scene.environment("TOPSHELF_CLUSTER__RETRIES", "0");
    group.generate(&[]);
    count_here(&group);
    let mut command = group.scene.command(&args(&group.url()));
    let mut run = Service::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    group.executor_says(0, "Received task");
    group.kill_scheduler();
    run.line_with("was lost, and job");
    assert_eq!(run.end(), Some(1));
    let figures = figures(&group, "failed");
    assert!(!figures["job"].as_str().unwrap().is_empty() && figures["stages"].is_null(), "{figures}");
    assert!(!group.scene.path("lake-there/counts").exists());
    group.start_scheduler();
    let ended = run_there(&group);
    assert_eq!(ended.exit, 0, "{ended:#?}");
    assert!(files(&group.scene.path("lake-here/counts")) == files(&group.scene.path("lake-there/counts")));
}

#[test]
fn a_scheduler_that_comes_back_gets_a_new_job() {
    let mut group = Group::of(1);
    group.generate(&[]);
    count_here(&group);
    let mut command = group.scene.command(&args(&group.url()));
    let mut run = Service::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    group.executor_says(0, "Received task");
    group.kill_scheduler();
    run.line_with("trying again with a new job");
    group.start_scheduler();
    assert_eq!(run.end(), Some(0));
    assert!(files(&group.scene.path("lake-here/counts")) == files(&group.scene.path("lake-there/counts")));
}

/// The second job has nobody who could name it.
#[test]
fn a_night_that_is_stopped_while_it_waits_for_its_scheduler_keeps_what_its_job_did() {
    let mut group = Group::of(1);
    group.generate(&[]);
    let mut command = group.scene.command(&args(&group.url()));
    let mut run = Service::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    group.executor_says(0, "Received task");
    group.kill_scheduler();
    run.line_with("trying again with a new job");
    run.signal("INT");
    assert_eq!(run.end(), Some(1));
    let figures = figures(&group, "stopped");
    assert!(!figures["job"].as_str().unwrap().is_empty() && figures["jobs"] == 1, "{figures}");
}

#[test]
fn a_night_that_is_told_to_stop_ends_its_job() {
    let mut group = Group::of(0);
    let mut command = group.scene.command(&args(&group.url()));
    let run = Service::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    group.scheduler_says("Job submitted");
    run.signal("INT");
    group.scheduler_says("Job cancelled");
    assert_eq!(run.end(), Some(1));
    let figures = figures(&group, "stopped");
    assert!(!figures["job"].as_str().unwrap().is_empty() && figures["jobs"] == 1, "{figures}");
}

#[test]
fn in_a_backfill_a_bad_object_costs_its_day_alone() {
    let mut group = Group::of(1);
    group.scene.environment("TOPSHELF_INPUT__ADS_VIEWS", "ads_{day}*");
    let lines = |day: &str| {
        let line = |row: u32| format!("acme,p{},impression,{day}\n", row.wrapping_mul(2_654_435_761));
        "advertiser_id,product_id,type,date\n".to_owned() + &(0..40_000).map(line).collect::<String>()
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(lines("2024-11-21").as_bytes()).unwrap();
    let mut gzip = gzip.finish().unwrap();
    gzip.truncate(gzip.len() - 1000);
    group.scene.write("logs/ads_2024-11-20.csv", lines(DAY));
    group.scene.write("logs/ads_2024-11-21.csv.gz", gzip);
    group.scene.write("logs/product_views.csv", "advertiser_id,product_id,date\n");
    group.scene.write("logs/advertiser_ids.csv", "advertiser_id\nacme\n");
    let url = group.url();
    let ended = [("here", ""), ("there", &url)].map(|(name, url)| {
        let (lake, store) = (format!("lake-{name}"), format!("sqlite:{name}.db"));
        let days = ["backfill", "--from", DAY, "--to", "2024-11-21", "--input", "logs"];
        group.scene.call(&[&days[..], &["--lake", &lake, "--store", &store, "--cluster", url]].concat())
    });
    for ended in &ended {
        assert!(ended.exit == 3 && ended.stderr.contains("ads_2024-11-21.csv.gz"), "{ended:#?}");
    }
    let [here, there] =
        ["here", "there"].map(|name| files(&group.scene.path(&format!("lake-{name}/counts"))));
    assert!(!here.is_empty() && here == there, "{ended:#?}");
}

/// All tasks say the same, and none of it is taken for a report that came twice.
#[test]
fn too_little_memory_for_counts_is_told_with_the_remedy() {
    let mut group = Group::new();
    group.generate(&[]);
    let ids: String = (0..400_000).map(|id| format!("a{id}\n")).collect();
    group.scene.write("logs/advertiser_ids.csv", format!("advertiser_id\n{ids}"));
    group.start_scheduler();
    group.start_executor_of("32MiB");
    let told = format!("on executor {}: a task has", group.executor_address(0));
    is_told(&group, &run_there(&group), &[&told, "bytes of memory for its counts", "--memory --slots"]);
}

#[test]
fn too_little_memory_for_any_task_is_refused_at_once() {
    let group = Group::new();
    let executor = ["cluster", "executor", "--scheduler", &group.scheduler_address()];
    for sizes in [["--slots", "1", "--memory", "1MiB"], ["--slots", "4", "--memory", "50MiB"]] {
        let ended = group.scene.call(&[&executor[..], &sizes].concat());
        assert!(ended.exit == 2 && ended.stderr.contains("fewer `--slots`"), "{ended:#?}");
    }
}

/// An address of this machine's at which nobody listens.
fn elsewhere(group: &Group) -> String {
    format!("{}.250", group.address.rsplit_once('.').unwrap().0)
}

#[test]
fn an_executor_that_the_night_does_not_reach_is_named() {
    let mut group = Group::of(0);
    let host = elsewhere(&group);
    let mut executor = group.executor(&["--host", &host]);
    executor.line_with("the executor listens");
    group.scene.environment("TOPSHELF_CLUSTER__RETRIES", "0");
    group.scene.environment("TOPSHELF_CLUSTER__ADDERS", "1");
    let ended = run_there(&group);
    let told = format!("what executor {host}:7060 did of job");
    is_told(&group, &ended, &[&told, "cannot be fetched", "Connection refused", "--host"]);
    is_in_our_words(&ended);
}

#[test]
fn an_executor_that_others_do_not_reach_is_named() {
    let mut group = Group::of(1);
    group.generate(&[]);
    let host = elsewhere(&group);
    let mut executor = group.executor(&["--host", &host]);
    executor.line_with("the executor listens");
    group.scene.environment("TOPSHELF_CLUSTER__RETRIES", "0");
    group.scene.environment("TOPSHELF_CLUSTER__ADDERS", "32");
    let ended = run_there(&group);
    // By the other executor, or by the night, if that one had nothing to fetch from it.
    is_told(&group, &ended, &[&format!("executor {host}:7061"), "Connection refused", "--host"]);
    is_in_our_words(&ended);
}

#[test]
fn a_work_folder_that_cannot_be_written_is_named() {
    let mut group = Group::of(1);
    let folder = group.scene.path("executor-0/topshelf-shuffle");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "no folder").unwrap();
    group.scene.environment("TOPSHELF_CLUSTER__RETRIES", "0");
    let ended = run_there(&group);
    let told = format!("on executor {}, below {}", group.executor_address(0), folder.display());
    is_told(&group, &ended, &[&told, "stop that executor"]);
    is_in_our_words(&ended);
}

#[test]
fn executors_that_are_all_lost_are_told() {
    let mut group = Group::of(2);
    group.generate(&[]);
    group.scene.environment("TOPSHELF_CLUSTER__RETRIES", "0");
    group.scene.environment("TOPSHELF_CLUSTER__DEADLINE_SECONDS", "600");
    let mut command = group.scene.command(&args(&group.url()));
    let run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    group.executor_says(0, "Received task");
    (0..2).for_each(|number| group.kill_executor(number));
    let ended = run.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    for text in ["all executors were lost, and none came back", "start `topshelf cluster executor"] {
        assert!(ended.status.code() == Some(1) && told.contains(text), "{text}: {told}");
    }
    assert!(!group.scene.path("lake-there/counts").exists(), "something was left");
}

#[test]
fn a_bad_file_is_refused_as_on_one_machine() {
    let group = Group::of(1);
    group.scene.write("logs/product_views.csv.gz", b"\x1f\x8b\x08\x00 this is no gzip");
    let here = group.scene.call(&args("")[..9]);
    let there = run_there(&group);
    assert_eq!(here.exit, there.exit, "{here:#?} {there:#?}");
    let name = "product_views.csv.gz";
    assert!(here.stderr.contains(name) && there.stderr.contains(name), "{here:#?} {there:#?}");
}
