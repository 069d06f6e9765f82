//! What a night tells of its job while it runs, and what the ledger keeps of it.

use crate::{group::Group, scene::DAY, service::Service};
use std::process::Stdio;

fn args(url: &str) -> [&str; 9] {
    ["run", "--day", DAY, "--input", "logs", "--store", "sqlite:there.db", "--cluster", url]
}

/// A run under way, with its log.
fn start(group: &Group) -> Service {
    let mut command = group.scene.command(&args(&group.url()));
    Service::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

/// The field of a line of the log.
fn field(line: &str, name: &str) -> u64 {
    let (_, value) = line.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in {line}"));
    value.split(' ').next().unwrap().parse().unwrap()
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
