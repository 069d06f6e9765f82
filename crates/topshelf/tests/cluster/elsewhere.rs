//! Executors whose buckets are not those of whoever runs the night: nothing is taken for counted that is not there.

use crate::{
    files::files,
    group::Group,
    s3,
    same::many_views,
    scene::{DAY, Ended},
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};
use tokio::runtime::Runtime;

/// The night has its buckets in one server, executors have theirs in another, which is made another in some way.
fn night_of_two_servers(make_another: impl FnOnce(&Path)) -> (Group, Ended) {
    let mut group = Group::new();
    group.scene.environment("TOPSHELF_CLUSTER__ADDERS", "2");
    many_views(&group);
    for folder in ["ours/logs-bucket", "ours/lake-bucket", "theirs/lake-bucket"] {
        fs::create_dir_all(group.scene.path(folder)).unwrap();
    }
    fs::rename(group.scene.path("logs"), group.scene.path("ours/logs-bucket/logs")).unwrap();
    symlink(group.scene.path("ours/logs-bucket"), group.scene.path("theirs/logs-bucket")).unwrap();
    make_another(&group.scene.path("theirs"));
    let runtime = Runtime::new().unwrap();
    let serve = |group: &mut Group, folder: &str| {
        for (name, value) in runtime.block_on(s3::start(&group.scene.path(folder))) {
            group.scene.environment(&name, &value);
        }
    };
    serve(&mut group, "theirs");
    group.start_scheduler();
    (0..2).for_each(|_| group.start_executor());
    serve(&mut group, "ours");
    let url = group.url();
    let places = ["--input", "s3://logs-bucket/logs", "--lake", "s3://lake-bucket", "--cluster", &url];
    let ended = group.scene.call(&[&["run", "--day", DAY][..], &places].concat());
    (group, ended)
}

/// No manifest names anything, and nothing was published.
fn is_nothing_published(group: &Group, ended: &Ended) {
    assert_eq!(ended.exit, 1, "{ended:#?}");
    let left = files(&group.scene.path("ours/lake-bucket"));
    assert!(left.iter().all(|(name, _)| !name.contains("manifest")), "{left:?}");
    let runs = group.scene.call(&["runs", "--json"]).json();
    assert_eq!(runs["runs"][0]["status"], "failed", "{runs}");
}

#[test]
fn what_executors_put_into_another_lake_is_missed() {
    let (group, ended) = night_of_two_servers(|_| ());
    is_nothing_published(&group, &ended);
    assert!(!files(&group.scene.path("theirs/lake-bucket")).is_empty(), "{ended:#?}");
    assert!(ended.stderr.contains("counts/day=2024-11-20/counts-"), "{ended:#?}");
}

#[test]
fn executors_that_may_not_write_to_the_lake_say_what_and_why() {
    let (group, ended) = night_of_two_servers(|theirs| {
        fs::set_permissions(theirs.join("lake-bucket"), Permissions::from_mode(0o555)).unwrap();
    });
    is_nothing_published(&group, &ended);
    let executor = format!("on executor {}", group.address);
    for text in [&executor, "could not write s3://lake-bucket/counts/day=2024-11-20/counts-", "AccessDenied"]
    {
        assert!(ended.stderr.contains(text), "{text}: {ended:#?}");
    }
    assert!(!ended.stderr.contains("DataFusionError"), "{ended:#?}");
}

#[test]
fn executors_that_have_other_logs_say_which_and_what_to_look_at() {
    let (group, ended) = night_of_two_servers(|theirs| {
        fs::remove_file(theirs.join("logs-bucket")).unwrap();
        fs::create_dir(theirs.join("logs-bucket")).unwrap();
    });
    is_nothing_published(&group, &ended);
    for text in ["s3://logs-bucket/logs/", "it is gone", "are the logs the same for all executors?"] {
        assert!(ended.stderr.contains(text), "{text}: {ended:#?}");
    }
}
