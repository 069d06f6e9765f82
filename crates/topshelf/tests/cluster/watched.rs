//! What a night tells of its job while it runs, and what the ledger keeps of it.

use crate::{group::Group, scene::DAY};

fn args(url: &str) -> [&str; 9] {
    ["run", "--day", DAY, "--input", "logs", "--store", "sqlite:there.db", "--cluster", url]
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
