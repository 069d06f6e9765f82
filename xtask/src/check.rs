//! `cargo xtask check`: what can be told without running the program.
//!
//! Formatting and lints are cargo's. The rest are our own rules, each a function from text to findings,
//! so that its tests need no repository.

mod contract;
mod dependencies;
mod links;
mod manifest;
mod names;
mod unused;
mod watching;
pub(crate) mod workflows;

use crate::{
    Arguments, Failure, actionlint, deny, image, promtool,
    repository::{TRACES, WORKSPACE, cargo, files, read, status, words},
    say, shellcheck, units,
};
use clap::Parser;
use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// A rule broken: where, what is wrong, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: PathBuf,
    text: String,
}

impl Finding {
    fn new(path: &Path, text: String) -> Self {
        Self { path: path.to_owned(), text }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.text)
    }
}

/// Checks everything, and fails after the last check when any found something.
pub(crate) fn run() -> Result<(), Failure> {
    let failed = [
        findings()?,
        promtool::check()?,
        actionlint::check()?,
        shellcheck::check()?,
        deny::check()?,
        units::check()?,
        passes(cargo(&["fmt", "--all", "--check"]))?,
        passes(lints())?,
        passes(lints_of_traces())?,
        passes(lints_of_image())?,
    ];
    let failed: Vec<_> = failed.into_iter().flatten().collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("check failed: {}", failed.join(", ")).into()) }
}

/// What is compiled for all tests.
fn lints() -> Command {
    let mut clippy = cargo(&["clippy"]);
    clippy.args(WORKSPACE).args(["--all-targets", "--quiet", "--", "-D", "warnings"]);
    clippy
}

/// What is compiled with the feature `otel` alone.
fn lints_of_traces() -> Command {
    let mut clippy = cargo(&["clippy"]);
    clippy.args(TRACES).args(["--lib", "--bins", "--quiet", "--", "-D", "warnings"]);
    clippy
}

/// The tests that are no part of all.
fn lints_of_image() -> Command {
    let mut clippy = cargo(&["clippy"]);
    clippy.args(image::TESTS).args(["--quiet", "--", "-D", "warnings"]);
    clippy
}

/// Prints what our own rules find; the name of the check when they find something.
fn findings() -> Result<Option<String>, Failure> {
    say("checking dependencies, names, links and the contract of the API");
    let packages = manifest::packages()?;
    let mut findings = dependencies::check(&packages);
    findings.extend(unused::check(&packages, &manifest::declared_for_all(&read(Path::new("Cargo.toml"))?)));
    let files = files()?;
    findings.extend(names::check(&files));
    findings.extend(contract::of_repository()?);
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        findings.extend(links::check(file, &read(file)?, &|target| {
            crate::repository::root().join(target).exists()
        }));
    }
    let (metrics, runbook) = (read(Path::new(watching::METRICS_PAGE))?, read(Path::new(watching::RUNBOOK))?);
    for file in files.iter().filter(|file| file.starts_with("deploy")) {
        findings.extend(watching::check(file, &read(file)?, &metrics, &runbook));
    }
    let dockerfile = read(Path::new(workflows::DOCKERFILE)).unwrap_or_default();
    for file in files.iter().filter(|file| file.starts_with(".github/workflows")) {
        findings.extend(workflows::check(file, &read(file)?, &dockerfile, &parses));
    }
    findings.sort();
    findings.iter().for_each(|finding| println!("{finding}"));
    Ok((!findings.is_empty()).then(|| format!("{} findings above", findings.len())))
}

/// Whether xtask takes the words of a command; if not, why.
fn parses(words: &[String]) -> Result<(), String> {
    let parsed = Arguments::try_parse_from(words);
    parsed.map(|_| ()).map_err(|error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

/// Runs a program of cargo's; its words when it fails.
fn passes(mut command: Command) -> Result<Option<String>, Failure> {
    let line = words(&command);
    say(&format!("running `{line}`"));
    Ok((!status(&mut command)?.success()).then(|| format!("`{line}`")))
}
