//! Prometheus' own judge of alarm rules: found, or fetched from Debian's package without installing it.
//!
//! No service is installed or started, and nobody need be root: the package (19 MB) is unpacked below `target/`.

use crate::{
    Failure,
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
    if find().is_some() || !works(&mut program("apt-get", &["--version"])) {
        return;
    }
    say("no promtool was found: fetching it with Debian's package `prometheus`");
    if unpack().is_err() {
        // What failed has said why.
        say("could not fetch promtool: the alarm rules are not checked");
    }
}

fn unpack() -> Result<(), Failure> {
    let folder = folder();
    fs::create_dir_all(&folder).map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    let download =
        || succeed(program("apt-get", &["download", "--quiet", "prometheus"]).current_dir(&folder));
    if download().is_err() {
        // Which only root may, and only a machine that never did it needs.
        succeed(program("apt-get", &["update", "--quiet"]).stdin(Stdio::null()))?;
        download()?;
    }
    let unpack = "dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb usr/bin/prometheus";
    succeed(program("sh", &["-c", unpack]).current_dir(&folder))
}

fn folder() -> PathBuf {
    target().join("prometheus")
}

fn find() -> Option<PathBuf> {
    let candidates = [PathBuf::from("promtool"), root().join(folder()).join("usr/bin/promtool")];
    candidates.into_iter().find(|promtool| works(&mut program(promtool, &["--version"])))
}
