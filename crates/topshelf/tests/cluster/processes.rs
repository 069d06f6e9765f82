//! How the processes of a cluster start, wait and end.

use crate::{files::files, group::Group, same::is_the_same, scene::DAY, service::Service};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    process::Stdio,
    time::{Duration, Instant},
};

#[test]
fn an_executor_says_for_whom_it_waits_and_finds_it() {
    let mut group = Group::new();
    let mut executor = group.executor(&[]);
    let line = executor.line_with("waiting for the scheduler");
    assert!(line.contains(&group.scheduler_address()) && line.contains("Connection refused"), "{line}");
    group.start_scheduler();
    executor.line_with("the executor listens");
    group.kill_scheduler();
    let line = executor.line_with("waiting for the scheduler");
    assert!(line.contains(&group.scheduler_address()), "{line}");
    group.start_scheduler();
    executor.line_with("the scheduler is reached");
    assert_eq!(executor.stop("TERM"), Some(0));
}

#[test]
fn an_executor_gives_up_when_it_is_told_to() {
    let mut group = Group::new();
    let flags = ["--give-up-after", "1s"];
    let mut executor = group.executor(&flags);
    executor.line_with("was not reached for");
    executor.line_with("Connection refused");
    assert_eq!(executor.end(), Some(1));
    group.start_scheduler();
    let mut executor = group.executor(&flags);
    executor.line_with("the executor listens");
    group.kill_scheduler();
    executor.line_with("was not reached for");
    executor.line_with("Connection refused");
    assert_eq!(executor.end(), Some(1));
}

/// What an attempt to reach a scheduler may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Somebody who takes connections and says nothing would have time of his own for each attempt.
#[test]
fn an_executor_gives_up_in_time_on_who_says_nothing() {
    let group = Group::new();
    let _silent = TcpListener::bind(group.scheduler_address()).unwrap();
    let began = Instant::now();
    let mut executor = group.executor(&["--give-up-after", "2s"]);
    executor.line_with("was not reached for");
    executor.line_with("it does not answer");
    assert_eq!(executor.end(), Some(1));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < ATTEMPT, "{took:?}");
}

#[test]
fn flags_of_nights_are_refused() {
    let group = Group::new();
    let scheduler = ["cluster", "scheduler", "--bind", &group.scheduler_address()];
    let executor = ["cluster", "executor", "--scheduler", &group.scheduler_address()];
    for flag in ["--config", "--input", "--store", "--lake", "--cluster", "--listen", "--json"] {
        for of in [&scheduler, &executor] {
            let value: &[&str] = if flag == "--json" { &[] } else { &["a"] };
            let ended = group.scene.call(&[&of[..], &[flag], value].concat());
            assert!(ended.exit == 2 && ended.stderr.contains(&format!("{flag} means nothing")), "{ended:#?}");
        }
    }
}

#[test]
fn an_executor_that_waits_ends_when_it_is_told_to() {
    let group = Group::new();
    let mut executor = group.executor(&[]);
    executor.line_with("waiting for the scheduler");
    assert_eq!(executor.stop("INT"), Some(0));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let mut group = Group::new();
    group.start_scheduler();
    let taken = ["cluster", "scheduler", "--bind", &group.scheduler_address()];
    let ended = group.scene.call(&taken);
    assert!(ended.exit == 1 && ended.stderr.contains("could not listen on"), "{ended:#?}");
    let _taken = TcpListener::bind(group.executor_address(0)).unwrap();
    let mut executor = group.executor(&[]);
    executor.line_with("could not listen on");
    assert_eq!(executor.end(), Some(1));
}

#[test]
fn an_executor_on_any_free_port_is_found() {
    let mut group = Group::new();
    group.start_scheduler();
    group.generate(&[]);
    let (scheduler, bind) = (group.scheduler_address(), format!("{}:0", group.address));
    let args = ["cluster", "executor", "--scheduler", &scheduler, "--bind", &bind, "--work-dir", "any"];
    let mut executor = Service::start(&group.scene, &args);
    executor.line_with("the executor listens");
    is_the_same(&group);
}

#[test]
fn an_executor_is_not_taken_for_a_scheduler() {
    let mut group = Group::of(1);
    let other = group.executor_address(0);
    let told = group.scene.call(&["count", "--day", DAY, "--input", "logs", "--cluster", &other]);
    assert!(told.exit == 1 && told.stderr.contains("it is no scheduler"), "{told:#?}");
    let mut executor = Service::start(
        &group.scene,
        &["cluster", "executor", "--scheduler", &other, "--work-dir", "any", "--give-up-after", "5s"],
    );
    executor.line_with("it is no scheduler");
    executor.line_with("was not reached for");
    executor.line_with("it is no scheduler");
    assert_eq!(executor.end(), Some(1));
    assert_eq!(group.stop_executor(0, "TERM"), Some(0));
}

#[test]
fn a_work_folder_is_one_executors() {
    let mut group = Group::of(1);
    symlink("executor-0", group.scene.path("executor-1")).unwrap();
    let mut other = group.executor(&[]);
    other.line_with("another executor works in");
    assert_eq!(other.end(), Some(1));
    assert_eq!(group.stop_executor(0, "TERM"), Some(0));
    let mut other = group.executor(&[]);
    other.line_with("the executor listens");
}

#[test]
fn nothing_of_others_is_deleted() {
    let mut group = Group::new();
    group.scene.write("executor-0/theirs/file", "theirs");
    group.scene.write("executor-0/topshelf-shuffle/job/1/data.arrow", "left behind");
    group.start_scheduler();
    group.start_executor();
    assert!(!group.scene.path("executor-0/topshelf-shuffle/job").exists(), "what was left behind goes");
    assert_eq!(group.stop_executor(0, "TERM"), Some(0));
    assert_eq!(fs::read_to_string(group.scene.path("executor-0/theirs/file")).unwrap(), "theirs");
    assert!(!group.scene.path("executor-0/topshelf-shuffle").exists());
}

#[test]
fn a_scheduler_ends_well_when_it_is_told_to() {
    let mut group = Group::of(1);
    assert_eq!(group.stop_scheduler("TERM"), Some(0));
    group.start_scheduler();
    assert_eq!(group.stop_scheduler("INT"), Some(0));
}

#[test]
fn an_executor_that_is_told_to_end_among_its_tasks_changes_nothing() {
    let mut group = Group::of(2);
    group.generate(&[]);
    let (url, store) = (group.url(), "sqlite:a.db");
    let args = |lake| ["run", "--day", DAY, "--input", "logs", "--store", store, "--lake", lake];
    group.scene.end_well(&args("lake-here"));
    let there = [&args("lake-there")[..], &["--cluster", &url]].concat();
    let mut command = group.scene.command(&there);
    let run = Service::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    group.executor_says(1, "Received task");
    assert_eq!(group.stop_executor(1, "TERM"), Some(0));
    assert_eq!(run.end(), Some(0));
    assert!(files(&group.scene.path("lake-here/counts")) == files(&group.scene.path("lake-there/counts")));
}
