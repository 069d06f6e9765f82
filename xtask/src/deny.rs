//! cargo-deny, the judge of what dependencies bring: found, or built from crates.io below `target/`.
//!
//! `deny.toml` has the rules. Licences, versions and sources are judged from `Cargo.lock` and the crates themselves;
//! advisories from a database that lies on GitHub, which not every machine reaches.

use crate::{
    Failure,
    repository::{cargo, program, root, succeed, target, words, works},
    say,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const VERSION: &str = "0.20.2";

/// What needs no network once the crates are here.
const OFFLINE: [&str; 3] = ["bans", "licenses", "sources"];

/// An exception that nothing needs any more is a finding.
const STALE: [&str; 6] = ["-D", "unmatched-skip", "-D", "unnecessary-skip", "-D", "advisory-not-detected"];

/// What to judge.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fail when the database of advisories cannot be reached
    #[arg(long)]
    require_advisories: bool,
}

/// Judges all dependencies, with a cargo-deny that is built if there is none.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    fetch();
    let deny =
        find().ok_or_else(|| format!("there is no cargo-deny: `cargo install cargo-deny@{VERSION}`"))?;
    if options.require_advisories {
        succeed(&mut fetch_advisories(&deny))?;
    }
    let failed = judge(&deny)?;
    failed.map_or(Ok(()), |what| Err(format!("dependencies are not as deny.toml wants them: {what}").into()))
}

/// Judges all dependencies, where there is cargo-deny; the words of what failed.
pub(crate) fn check() -> Result<Option<String>, Failure> {
    let Some(deny) = find() else {
        say("no cargo-deny was found: dependencies are not judged (`cargo xtask deny` builds it)");
        return Ok(None);
    };
    judge(&deny)
}

fn judge(deny: &Path) -> Result<Option<String>, Failure> {
    let mut judge = program(deny, &["--all-features", "--locked", "check", "--hide-inclusion-graph"]);
    judge.args(STALE).args(OFFLINE);
    say(&format!("running `{}`", words(&judge)));
    if succeed(&mut judge).is_err() {
        return Ok(Some(format!("`{}`", words(&judge))));
    }
    if !works(&mut fetch_advisories(deny)) {
        say("the database of advisories cannot be reached: dependencies are not searched for known faults");
        return Ok(None);
    }
    let mut advisories = program(deny, &["--all-features", "--locked", "check", "--hide-inclusion-graph"]);
    advisories.args(STALE).arg("advisories");
    say(&format!("running `{}`", words(&advisories)));
    Ok(succeed(&mut advisories).is_err().then(|| format!("`{}`", words(&advisories))))
}

fn fetch_advisories(deny: &Path) -> Command {
    program(deny, &["fetch", "db"])
}

/// Builds it if there is none, which takes some minutes once.
pub(crate) fn fetch() {
    if find().is_some() {
        return;
    }
    say("no cargo-deny was found: building it from crates.io");
    let folder = folder();
    let mut install = cargo(&["install", "cargo-deny", "--version", VERSION, "--locked"]);
    install.args(["--quiet", "--debug", "--root"]).arg(&folder).arg("--target-dir").arg(folder.join("build"));
    // Built for a few seconds of work: it need not be fast.
    install.env("CARGO_PROFILE_DEV_DEBUG", "0");
    if succeed(&mut install).is_err() {
        // What failed has said why.
        say("could not build cargo-deny: dependencies are not judged");
    }
    // Hundreds of megabytes that nobody needs again.
    let _ = fs::remove_dir_all(folder.join("build"));
}

fn folder() -> PathBuf {
    root().join(target()).join("cargo-deny")
}

/// Ours, or an installed one.
fn find() -> Option<PathBuf> {
    let candidates = [folder().join("bin/cargo-deny"), PathBuf::from("cargo-deny")];
    candidates.into_iter().find(|deny| works(&mut program(deny, &["--version"])))
}
