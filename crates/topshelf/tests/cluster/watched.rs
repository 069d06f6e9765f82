//! What a night tells of its job while it runs, and what the ledger keeps of it.

use crate::{files::files, group::Group, scene::DAY, service::Service};
use serde_json::Value;
use std::{fmt::Write as _, process::Stdio};

fn args(url: &str) -> [&str; 9] {
    ["run", "--day", DAY, "--input", "logs", "--store", "sqlite:there.db", "--cluster", url]
}

/// A run under way, with its log.
fn start(group: &Group) -> Service {
    let mut command = group.scene.command(&args(&group.url()));
    Service::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

/// The run in the ledger, and what its cluster did.
fn ledger(group: &Group) -> (String, Value) {
    let runs = group.scene.call(&["runs", "--json", "--store", "sqlite:there.db"]).json();
    let run = &runs["runs"][0];
    (run["run_id"].as_str().unwrap().to_owned(), run["report"]["stages"][0]["cluster"].clone())
}

fn number(of: &Value) -> u64 {
    of.as_u64().unwrap_or_else(|| panic!("{of} is no number"))
}

/// The field of a line of the log.
fn field(line: &str, name: &str) -> u64 {
    let (_, value) = line.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in {line}"));
    value.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_ledger_tells_what_each_stage_and_each_executor_did() {
    let group = Group::of(3);
    group.generate(&[]);
    group.scene.end_well(&args(&group.url()));
    let (run, cluster) = ledger(&group);
    let tasks = number(&cluster["tasks"]);
    assert!(tasks > 12, "{cluster}");
    let [count, add] = cluster["stages"].as_array().unwrap().as_slice() else { panic!("{cluster}") };
    assert_eq!((&count["stage"], &add["stage"]), (&"count".into(), &"add".into()), "{cluster}");
    assert_eq!(number(&count["tasks"]), tasks, "{cluster}");
    assert_eq!(number(&add["tasks"]), tasks.min(32), "as many add up as count, up to 32: {cluster}");
    assert_eq!((number(&cluster["task_retries"]), number(&count["attempts"])), (0, 1), "{cluster}");
    // What tasks gave, a report of each, and its mark in each range was shuffled; what came back is what those who add up wrote.
    assert!(number(&cluster["partial_rows"]) > 0, "{cluster}");
    let beside = tasks * (1 + number(&add["tasks"]));
    assert_eq!(number(&cluster["shuffled_rows"]), number(&cluster["partial_rows"]) + beside, "{cluster}");
    assert_eq!(number(&count["output_rows"]), number(&cluster["shuffled_rows"]), "{cluster}");
    assert_eq!(number(&add["output_rows"]), number(&cluster["rows"]), "{cluster}");
    // A row is at least its group and its counters.
    assert!(number(&cluster["shuffled_bytes"]) > number(&cluster["shuffled_rows"]), "{cluster}");
    let executors = cluster["executors"].as_array().unwrap();
    assert_eq!(executors.len(), 3, "{cluster}");
    for stage in [count, add] {
        let name = stage["stage"].as_str().unwrap();
        let did = executors.iter().map(|executor| executor["tasks"][name].as_u64().unwrap_or(0));
        assert_eq!(did.sum::<u64>(), number(&stage["tasks"]), "{cluster}");
    }
    let mut addresses: Vec<_> =
        executors.iter().map(|executor| executor["address"].as_str().unwrap()).collect();
    addresses.sort_unstable();
    let expected: Vec<_> = (0..3).map(|number| group.executor_address(number)).collect();
    assert_eq!(addresses, expected);
    let told = group.scene.call(&["runs", &run, "--store", "sqlite:there.db"]);
    let line = format!("on 3 executors: count {tasks} tasks in {} ms", count["elapsed_ms"]);
    assert!(told.stdout.contains(&line), "{line}: {told:#?}");
}

#[test]
fn partial_counts_that_wait_on_disk_are_in_the_ledger() {
    let mut group = Group::new();
    // A busy executor speaks every 5 seconds, and with so little memory its task takes longer.
    group.start_scheduler_of("60s");
    group.start_executor_of("24MiB");
    let mut ads = String::from("advertiser_id,product_id,type,date\n");
    (0..200_000).for_each(|row| writeln!(ads, "acme,product-{row},impression,{DAY}").unwrap());
    group.scene.write("logs/ads_views.csv", ads);
    group.scene.environment("TOPSHELF_CLUSTER__TASK_MIB", "64");
    group.scene.end_well(&args(&group.url()));
    let (_, cluster) = ledger(&group);
    assert!(number(&cluster["spilled_bytes"]) > 0, "{cluster}");
}

#[test]
fn tasks_that_were_tried_again_are_in_the_ledger() {
    let mut group = Group::of(2);
    group.generate(&[]);
    let run = start(&group);
    group.executor_says(1, "Finished task");
    group.kill_executor(1);
    assert_eq!(run.end(), Some(0));
    let (_, cluster) = ledger(&group);
    assert!(number(&cluster["task_retries"]) > 0, "{cluster}");
    let executors = cluster["executors"].as_array().unwrap();
    assert_eq!(executors.len(), 1, "what the other did was lost with it: {cluster}");
    assert_eq!(executors[0]["address"], group.executor_address(0), "{cluster}");
    let beside = number(&cluster["tasks"]) * (1 + number(&cluster["stages"][1]["tasks"]));
    assert_eq!(number(&cluster["shuffled_rows"]), number(&cluster["partial_rows"]) + beside, "{cluster}");
}

#[test]
fn the_log_tells_how_many_tasks_of_each_stage_are_done() {
    let mut group = Group::of(0);
    group.scene.environment("TOPSHELF_LOG", "info");
    group.generate(&[]);
    let mut run = start(&group);
    let line = run.line_with("the cluster is at work");
    assert!(line.contains("stage=\"count\""), "{line}");
    let tasks = field(&line, "tasks");
    assert!(tasks > 3, "{line}");
    assert_eq!((field(&line, "tasks_done"), field(&line, "executors")), (0, 0), "{line}");
    group.start_executor();
    let line = loop {
        let line = run.line_with("the cluster is at work");
        if line.contains("stage=\"add\"") && field(&line, "tasks_done") == field(&line, "tasks") {
            break line;
        }
    };
    assert_eq!((field(&line, "tasks_running"), field(&line, "executors")), (0, 1), "{line}");
    assert_eq!(run.end(), Some(0));
    assert_eq!(ledger(&group).1["tasks"], tasks);
    assert!(!files(&group.scene.path("topshelf-data/lake")).is_empty());
}

#[test]
fn a_job_that_is_given_up_while_it_counts_is_cancelled() {
    let mut group = Group::of(0);
    group.scene.environment("TOPSHELF_CLUSTER__DEADLINE_SECONDS", "2");
    group.scene.environment("TOPSHELF_CLUSTER__RETRIES", "0");
    let ended = group.scene.call(&args(&group.url()));
    assert_eq!(ended.exit, 1, "{ended:#?}");
    let cancelled = group.scheduler_says("running tasks for job ");
    let (_, job) = cancelled.trim().rsplit_once(' ').unwrap();
    assert!(ended.stderr.contains(&format!("job {job} had not ended after 2 s")), "{cancelled}: {ended:#?}");
}
