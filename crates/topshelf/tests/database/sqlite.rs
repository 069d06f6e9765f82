//! An SQLite file that has no room, may not be written, or that another process writes.

use crate::{
    database::{Database, Kind},
    readers::views_sql,
    small_disk::{SmallDisk, with_own_mounts},
    stage::Stage,
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than a run takes to come to the file.
const PATIENCE: Duration = Duration::from_secs(60);

/// Room for a run that begins and ends, and for no publication.
const ROOM_KIBIBYTES: u64 = 224;

/// A stage whose file lies on a disk of its own.
fn staged(disk: &SmallDisk) -> (Stage, Database) {
    let url = format!("sqlite:{}", disk.path().join("topshelf.db").display());
    (Stage::unserved(&url), Database { kind: Kind::Sqlite, url })
}

fn ledger(database: &Database) -> Vec<String> {
    let runs = "SELECT status || coalesce(': ' || error, '') FROM runs ORDER BY started_at, run_id";
    database.prompt().rows(runs)
}

#[test]
fn a_full_disk_fails_the_run_at_once_and_leaves_the_file_whole() {
    with_own_mounts("sqlite::a_full_disk_fails_the_run_at_once_and_leaves_the_file_whole", full_disk);
}

fn full_disk() {
    let disk = SmallDisk::new(4);
    let (mut stage, database) = staged(&disk);
    let before = database.prompt().rows(&views_sql());
    stage.change_logs();
    disk.fill();
    let told = stage.start().ends_with(1);
    assert!(told.contains("could not connect to sqlite:") && told.contains("space left"), "{told}");
    assert!(!told.contains("trying again"), "{told}");
    disk.free();

    disk.fill_but(ROOM_KIBIBYTES);
    let told = stage.start().ends_with(1);
    assert!(told.contains("could not publish 2024-11-20") && told.contains("disk is full"), "{told}");
    assert!(told.contains("help: make room on the disk"), "{told}");
    assert!(!told.contains("trying again"), "{told}");
    disk.free();
    assert_eq!(database.prompt().rows(&views_sql()), before);
    let recorded = ledger(&database).pop().unwrap();
    assert!(recorded.starts_with("failed: could not publish 2024-11-20"), "{recorded}\n{told}");

    stage.start().ends_with(0);
    assert_eq!(database.prompt().rows(&views_sql()), stage.version.views());
    assert_eq!(database.prompt().rows("PRAGMA integrity_check"), ["ok"]);
}

#[test]
fn a_file_that_may_not_be_written_fails_the_run_at_once() {
    with_own_mounts("sqlite::a_file_that_may_not_be_written_fails_the_run_at_once", read_only);
}

fn read_only() {
    let disk = SmallDisk::new(8);
    let (mut stage, database) = staged(&disk);
    let before = database.prompt().rows(&views_sql());
    stage.change_logs();
    disk.remount("ro");
    let told = stage.start().ends_with(1);
    assert!(told.contains("help: ") && told.contains("this user"), "{told}");
    assert!(!told.contains("trying again"), "{told}");
    disk.remount("rw");
    assert_eq!(database.prompt().rows(&views_sql()), before);
    assert!(ledger(&database).iter().all(|run| run == "succeeded"));
    stage.start().ends_with(0);
    assert_eq!(database.prompt().rows(&views_sql()), stage.version.views());
}

#[test]
fn a_run_waits_for_its_turn_behind_another_writer() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new(Kind::Sqlite, folder.path());
    let mut stage = Stage::unserved(&database.url);
    let before = database.prompt().rows(&views_sql());
    stage.change_logs();
    let mut writer = database.prompt();
    writer.run("BEGIN IMMEDIATE");
    let mut run = stage.start();
    let began = Instant::now();
    while !run.has_open(&folder.path().join("topshelf.db")) {
        assert!(!run.has_ended() && began.elapsed() < PATIENCE, "it never came to the file");
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(database.prompt().rows(&views_sql()), before);
    assert!(!run.has_ended(), "it waits for its turn");
    writer.run("ROLLBACK");
    run.ends_with(0);
    assert_eq!(database.prompt().rows(&views_sql()), stage.version.views());
}
