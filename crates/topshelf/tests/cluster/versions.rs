//! Programs of two versions: nothing is counted, and both are named.
//!
//! The other version is this program with another name for its plans, which is what versions differ in.

use crate::{call::said, group::Group, scene::DAY, service::Service};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

const OURS: &str = concat!("topshelf ", env!("CARGO_PKG_VERSION"), " (plans 1)");
const THEIRS: &str = concat!("topshelf ", env!("CARGO_PKG_VERSION"), " (plans 9)");

/// Makes a program of another version.
fn make_another(group: &Group) {
    let mut program = fs::read(env!("CARGO_BIN_EXE_topshelf")).unwrap();
    let found: Vec<_> = memchr::memmem::find_iter(&program, OURS).collect();
    assert!(!found.is_empty(), "the program has a name");
    for at in found {
        program[at..at + THEIRS.len()].copy_from_slice(THEIRS.as_bytes());
    }
    group.scene.write("another", program);
    fs::set_permissions(group.scene.path("another"), Permissions::from_mode(0o755)).unwrap();
}

/// The same command of the other program.
fn by_another(group: &Group, args: &[&str]) -> Command {
    let ours = group.scene.command(args);
    let mut another = Command::new(group.scene.path("another"));
    another.args(ours.get_args()).current_dir(ours.get_current_dir().unwrap()).env_clear();
    another.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    another.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    another
}

fn another_service(group: &Group, args: &[&str]) -> Service {
    Service::of(by_another(group, args).spawn().unwrap())
}

/// A night that fails, and names both.
fn is_refused(group: &Group, mut night: Command, by: &str) {
    let ended = night.output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    for text in [OURS, THEIRS, "must be of one version", by] {
        assert!(told.contains(text), "{text}: {told}");
    }
    for text in ["DataFusionError", "⟦", "job  "] {
        assert!(!told.contains(text), "{text}: {told}");
    }
    assert!(!group.scene.path("lake/counts").exists(), "something was left");
}

fn night(url: &str) -> [&str; 11] {
    ["run", "--day", DAY, "--input", "logs", "--lake", "lake", "--store", "sqlite:a.db", "--cluster", url]
}

#[test]
fn an_executor_of_another_version_counts_for_nobody() {
    let group = Group::of(0);
    make_another(&group);
    let (scheduler, bind) = (group.scheduler_address(), group.executor_address(0));
    let args = ["cluster", "executor", "--scheduler", &scheduler, "--bind", &bind, "--work-dir", "executor"];
    let mut executor = another_service(&group, &args);
    executor.line_with("the executor listens");
    let by = format!("executor {bind} is {THEIRS}");
    is_refused(&group, group.scene.command(&night(&group.url())), &by);
    assert_eq!(executor.stop("TERM"), Some(0));
}

#[test]
fn a_scheduler_of_another_version_hands_out_nothing() {
    let mut group = Group::new();
    make_another(&group);
    let bind = group.scheduler_address();
    let mut scheduler = another_service(&group, &["cluster", "scheduler", "--bind", &bind]);
    scheduler.line_with("the scheduler listens");
    group.start_executor();
    let url = group.url();
    is_refused(&group, group.scene.command(&night(&url)), &format!("the scheduler is {THEIRS}"));
    said(group.scene.call(&["doctor", "--day", DAY, "--input", "logs", "--cluster", &url, "--json"]))
        .fails_only("cluster scheduler", &[OURS, THEIRS, "must be of one version"]);
    assert_eq!(scheduler.stop("TERM"), Some(0));
}

#[test]
fn a_night_of_another_version_gets_nothing() {
    let group = Group::of(1);
    make_another(&group);
    let by = format!("the job is by {THEIRS}, and the scheduler is {OURS}");
    is_refused(&group, by_another(&group, &night(&group.url())), &by);
}
