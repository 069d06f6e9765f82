//! Disks without room, and memory that is too little.

use crate::{
    call::{Said, doctor, said},
    scene::{DAY, Ended, Scene},
};
use std::process::Command;

/// A file system of 64 KiB, all of it taken, as the lake's folder: in a name space of its own, which ends with the
/// program.
const IN_FULL_LAKE: &str = "mkdir -p lake && mount -t tmpfs -o size=64k none lake \
    && { head -c 200000 /dev/zero > lake/filler 2>/dev/null; true; } && exec \"$0\" \"$@\"";

fn call_in_full_lake(scene: &Scene) -> Ended {
    let args = ["doctor", "--day", DAY, "--json", "--input", "logs", "--lake", "lake"];
    let mut command = Command::new("unshare");
    command.args([
        "--map-root-user",
        "--mount",
        "/bin/sh",
        "-c",
        IN_FULL_LAKE,
        env!("CARGO_BIN_EXE_topshelf"),
    ]);
    let output = command
        .args(args)
        .current_dir(scene.folder())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let exit = output.status.code().expect("no signal ends it");
    Ended { exit, stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_full_disk_is_told_by_its_room_and_by_what_cannot_be_put() {
    let said = said(call_in_full_lake(&Scene::new()));
    let failed = ["lake write", "machine lake disk", "machine spill disk"];
    assert_eq!((said.exit, said.ended("failed")), (1, failed.map(str::to_owned).to_vec()), "{said:#?}");
    said.holds("lake write", &["No space left on device", "the place is full", "space left"]);
    said.holds("machine lake disk", &["0 B free of 64.0 KiB", "it is full", "another disk with lake.url"]);
    said.holds("machine spill disk", &["counting.spill_dir"]);
}

/// What is said when partial counts go to `spill_dir`, on a disk of its own at `spill`, mounted so.
fn said_of_spill(options: &str, spill_dir: &str) -> Said {
    let scene = Scene::new();
    let script = format!("mkdir -p spill && mount -t tmpfs -o {options} none spill && exec \"$0\" \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "/bin/sh", "-c", &script, env!("CARGO_BIN_EXE_topshelf")]);
    command.args(["doctor", "--day", DAY, "--json", "--input", "logs"]).current_dir(scene.folder());
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TOPSHELF_COUNTING__SPILL_DIR", spill_dir);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let exit = output.status.code().unwrap();
    said(Ended { exit, stdout: text(output.stdout), stderr: text(output.stderr) })
}

#[test]
fn a_disk_with_little_room_is_told() {
    let said = said_of_spill("size=100m", "spill");
    said.warns("machine spill disk", &["100.0 MiB free", "may need up to 1.0 GiB", "counting.spill_dir"]);
}

#[test]
fn a_folder_for_partial_counts_that_cannot_be_written_is_told() {
    let said = said_of_spill("ro,size=2g", "spill/inside");
    said.fails_only(
        "machine spill disk",
        &["Read-only file system", "does not fit in memory", "counting.spill_dir"],
    );
}

#[test]
fn memory_that_is_too_little_or_more_than_there_is_is_told() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_COUNTING__MEMORY_LIMIT", "1MiB");
    let said = doctor(&scene, &[]);
    said.fails_only("machine memory", &["counting.memory_limit is 1MiB, too little", "allow more"]);
    assert_eq!(scene.end().exit, 2, "the night says so too");
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_COUNTING__MEMORY_LIMIT", "900TiB");
    doctor(&scene, &[]).warns("machine memory", &["more than there is", "auto"]);
}
