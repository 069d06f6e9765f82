//! A night that has too little memory for its counts: it keeps them on disk, and leaves nothing there.

use crate::scene::{DAY, Scene};
use std::{
    fmt::Write,
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// One thread needs this much; it has room for some fifty thousand products then.
const LIMIT: &str = "90MiB";

/// So many products are several runs on disk.
const PRODUCTS: usize = 150_000;

/// Views of so many products, each once.
fn scene(products: usize) -> Scene {
    let mut scene = Scene::new();
    let mut views = "advertiser_id,product_id,date\n".to_owned();
    for product in 0..products {
        // The multiplier has no factor in common with a power of two: ids come in no order, each once.
        let product = product * 7919 % products.next_power_of_two();
        writeln!(views, "acme,p{product:07},{DAY}").unwrap();
    }
    scene.write("logs/product_views.csv", views);
    scene.environment("TOPSHELF_COUNTING__THREADS", "1");
    scene
}

fn spilling(products: usize) -> Scene {
    let mut scene = scene(products);
    scene.environment("TOPSHELF_COUNTING__MEMORY_LIMIT", LIMIT);
    scene.environment("TOPSHELF_COUNTING__SPILL_DIR", "spill");
    scene
}

const COUNT: [&str; 5] = ["count", "--day", DAY, "--input", "logs"];

/// Whether a process has a spill file open that has lost its name.
fn has_spilled(pid: u32) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    let is_nameless = |target: &str| target.contains("topshelf-spill-") && target.ends_with(" (deleted)");
    targets.any(|target| is_nameless(&target.to_string_lossy()))
}

#[test]
fn counts_are_the_same_in_any_memory() {
    let count = [&COUNT[..], &["--json"]].concat();
    let spilled = spilling(PRODUCTS);
    let told = spilled.end_well(&count).json();
    assert_eq!(told["products"], PRODUCTS as u64 + 1);
    assert!(!spilled.path("spill").exists(), "nothing is left behind");
    assert_eq!(told["counts_digest"], scene(PRODUCTS).end_well(&count).json()["counts_digest"]);
}

#[test]
fn a_process_that_is_killed_leaves_nothing_once_the_next_begins() {
    let scene = spilling(10 * PRODUCTS);
    let mut child = scene.command(&COUNT).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !has_spilled(child.id()) {
        assert_eq!(child.try_wait().unwrap(), None, "it spills before it ends");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let named = fs::read_dir(scene.path("spill")).unwrap().count();
    assert!(named <= 1, "{named} spill files have names: no more than the one that was being opened may");

    // As if it had been killed between a file's opening and its unnaming.
    scene.write("spill/topshelf-spill-1-0", "stale");
    scene.write("spill/theirs", "not ours");
    scene.views("");
    scene.end_well(&COUNT);
    let left: Vec<_> =
        fs::read_dir(scene.path("spill")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["theirs"]);
}

#[test]
fn a_full_disk_is_told_with_its_folder_and_the_remedy() {
    let scene = spilling(PRODUCTS);
    fs::create_dir(scene.path("spill")).unwrap();
    let program = env!("CARGO_BIN_EXE_topshelf");
    // A disk of 64 KiB, which only this process sees.
    let mount = "mount -t tmpfs -o size=64k tmpfs spill";
    let may_mount = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", mount])
        .current_dir(scene.folder())
        .output()
        .is_ok_and(|output| output.status.success());
    let (script, problem) = if may_mount {
        (format!("{mount} && exec \"$0\" \"$@\""), "No space left on device (os error 28)")
    } else {
        println!("this system lets nobody mount: the disk is one that takes no file above a block");
        ("trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"".to_owned(), "File too large (os error 27)")
    };
    let shell: &[&str] = if may_mount { &["--mount", "--map-root-user", "sh", "-c"] } else { &["-c"] };
    let mut command = Command::new(if may_mount { "unshare" } else { "sh" });
    command.args(shell).args([script.as_str(), program]).args(COUNT).current_dir(scene.folder()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("TOPSHELF_COUNTING__THREADS", "1").env("TOPSHELF_COUNTING__MEMORY_LIMIT", LIMIT);
    let output = command.env("TOPSHELF_COUNTING__SPILL_DIR", "spill").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("could not keep partial counts in spill") && told.contains(problem), "{told}");
    assert!(told.contains("counting.spill_dir") && told.contains("counting.memory_limit"), "{told}");
    assert!(!scene.path("topshelf-data/lake/counts/day=2024-11-20/manifest.json").exists());
}
