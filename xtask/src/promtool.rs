//! Prometheus' own judge of alarm rules: found, or fetched from Debian's package without installing it.
//!
//! No service is installed or started, and nobody need be root: the package (19 MB) is unpacked below `target/`.

use crate::{
    Failure, debian,
    repository::{program, root, succeed, target, works},
    say,
};
use std::{fs, path::PathBuf, process::Stdio};

const RULES: &str = "deploy/prometheus/alerts.yaml";
const TESTS: &str = "deploy/prometheus/alerts.test.yaml";

/// What is tried of the rules.
const STEPS: [[&str; 3]; 2] = [["check", "rules", RULES], ["test", "rules", TESTS]];

/// Judges the rules and runs their tests, where there is promtool; the words of what failed.
pub(crate) fn check() -> Result<Option<String>, Failure> {
    let Some(promtool) = find() else {
        say(
            "no promtool was found: the alarm rules are not checked (`cargo xtask test` fetches it from Debian)",
        );
        return Ok(None);
    };
    for step in STEPS {
        let line = format!("promtool {}", step.join(" "));
        say(&format!("running `{line}`"));
        if succeed(program(&promtool, &step).stdout(Stdio::null())).is_err() {
            return Ok(Some(format!("`{line}`")));
        }
    }
    Ok(None)
}

/// Fetches it where that can be done and there is none; else the check says so.
pub(crate) fn fetch() {
    if find().is_some() || !debian::has_apt() {
        return;
    }
    say("no promtool was found: fetching it with Debian's package `prometheus`");
    if unpack().is_err() {
        // What failed has said why.
        say("could not fetch promtool: the alarm rules are not checked");
    }
}

fn unpack() -> Result<(), Failure> {
    let folder = root().join(folder());
    debian::unpack("prometheus", &folder)?;
    // The server itself is of no use here, and large.
    let server = folder.join("usr/bin/prometheus");
    fs::remove_file(&server).map_err(|error| format!("could not remove {}: {error}", server.display()).into())
}

fn folder() -> PathBuf {
    target().join("prometheus")
}

fn find() -> Option<PathBuf> {
    let candidates = [PathBuf::from("promtool"), root().join(folder()).join("usr/bin/promtool")];
    candidates.into_iter().find(|promtool| works(&mut program(promtool, &["--version"])))
}
