//! `cargo xtask test`: the checks, then every test with a PostgreSQL server to test against, then nights on a cluster, a server against the
//! API's document, the image, the DAG in Airflow, and the templates for AWS in an emulator.

use crate::{
    Failure, actionlint, airflow, aws, check, cluster, deny, image,
    postgres::{self, Server},
    promtool,
    repository::{TRACES, WORKSPACE, cargo, files, read, status, words, works},
    say, sbom, schemathesis, shellcheck,
};
use std::{
    env,
    path::Path,
    process::{Command, ExitStatus},
    sync::{Arc, atomic::AtomicBool},
};

/// What to test.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out the checks of `cargo xtask check`
    #[arg(long)]
    no_check: bool,
    /// Arguments for the test runner: packages (`-p topshelf-store`), names of tests, …
    #[arg(last = true)]
    runner_arguments: Vec<String>,
}

/// Runs the checks and the tests; the exit code is the test runner's.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if !options.no_check {
        promtool::fetch();
        actionlint::fetch();
        shellcheck::fetch();
        deny::fetch();
        check::run()?;
        sbom::run_with_tests()?;
    }
    outlive_an_interrupt()?;
    let server = match env::var_os(postgres::VARIABLE) {
        Some(_) => None,
        None => Some(Server::start()?),
    };
    let ended = run_tests(&options.runner_arguments, server.as_ref());
    drop(server);
    ended?;
    if !options.runner_arguments.is_empty() {
        return Ok(());
    }
    cluster::run(&cluster::Options::default())?;
    schemathesis::run_with_tests()?;
    match image::run_with_tests()? {
        Some(image) => airflow::run_with_tests(&image)?,
        None => say("the DAG is not tested: its tests need the image"),
    }
    aws::run_with_tests()
}

/// Ctrl-C ends the test runner, which the terminal tells too; we stay to stop the server and tidy up.
pub(crate) fn outlive_an_interrupt() -> Result<(), Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let registered = signal_hook::flag::register(signal_hook::consts::SIGINT, flag);
    registered.map(|_| ()).map_err(|error| format!("could not listen for Ctrl-C: {error}").into())
}

fn run_tests(runner_arguments: &[String], server: Option<&Server>) -> Result<(), Failure> {
    for mut runner in runners(runner_arguments)? {
        if let Some(server) = server {
            runner.env(postgres::VARIABLE, server.url());
        }
        say(&format!("running `{}`", words(&runner)));
        let ended = status(&mut runner)?;
        if !ended.success() {
            let exit_code = ended.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(130);
            return Err(Failure::with_exit_code(format!("tests failed: {ended}"), exit_code));
        }
    }
    Ok(())
}

/// What to run, one after the other; documentation tests come first so that the last lines sum up the rest.
fn runners(runner_arguments: &[String]) -> Result<Vec<Command>, Failure> {
    let selects_packages = runner_arguments.iter().any(|argument| {
        ["-p", "--package", "--workspace"].contains(&argument.as_str()) || argument.starts_with("--package=")
    });
    let workspace: &[&str] = if selects_packages { &[] } else { &WORKSPACE };
    let mut runners = Vec::new();
    let is_whole = runner_arguments.is_empty();
    if is_whole && has_documentation_tests()? {
        let mut documentation = cargo(&["test", "--doc"]);
        documentation.args(WORKSPACE);
        runners.push(documentation);
    }
    if is_whole {
        let mut traces = runner(&["test"]);
        traces.args(TRACES);
        runners.push(traces);
    }
    let mut runner = runner(&["test", "--all-targets"]);
    runner.args(workspace).args(runner_arguments);
    runners.push(runner);
    Ok(runners)
}

/// What runs tests: nextest, where it is installed.
pub(crate) fn runner(otherwise: &[&str]) -> Command {
    if !works(&mut cargo(&["nextest", "--version"])) {
        return cargo(otherwise);
    }
    let mut nextest = cargo(&["nextest", "run"]);
    if is_ci() {
        nextest.args(["--profile", "ci"]);
    }
    nextest
}

/// Has the runner take tests, too, that are ignored otherwise.
pub(crate) fn take_ignored(runner: &mut Command) {
    let is_nextest = runner.get_args().any(|argument| argument == "nextest");
    runner.args(if is_nextest { ["--run-ignored", "all"] } else { ["--", "--include-ignored"] });
}

/// How tests end that nextest does not run; in CI those that fail are run once more.
pub(crate) fn status_of(tests: &mut Command) -> Result<ExitStatus, Failure> {
    let ended = status(tests)?;
    if ended.success() || !is_ci() {
        return Ok(ended);
    }
    say(&format!("FLAKY unless it fails again: {ended}"));
    status(tests)
}

/// Whether this is a machine of whose load nobody knows.
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|ci| !ci.is_empty())
}

/// Whether any documentation comment holds code that rustdoc would run.
fn has_documentation_tests() -> Result<bool, Failure> {
    for file in files()?.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        if file.starts_with("crates") && holds_documentation_test(&read(Path::new(file))?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds_documentation_test(source: &str) -> bool {
    let mut is_inside = false;
    for line in source.lines() {
        let Some(comment) = line.trim_start().strip_prefix("///").or(line.trim_start().strip_prefix("//!"))
        else {
            is_inside = false;
            continue;
        };
        if let Some(language) = comment.trim_start().strip_prefix("```") {
            let is_rust = ["", "rust", "no_run", "should_panic", "compile_fail"].contains(&language.trim());
            if !is_inside && is_rust {
                return true;
            }
            is_inside = !is_inside;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_without_language_is_a_test_and_one_of_text_is_none() {
        assert!(holds_documentation_test("//! Adds.\n//! ```\n//! assert!(true);\n//! ```\n"));
        assert!(holds_documentation_test("    /// ```no_run\n    /// f();\n    /// ```\n"));
        assert!(!holds_documentation_test("/// ```text\n/// a table\n/// ```\nfn f() {}\n"));
        assert!(!holds_documentation_test("// ```\nlet fence = \"/// ```\";\n"));
    }

    #[test]
    fn packages_named_for_the_runner_replace_the_whole_workspace() {
        let line = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            words(runners(&arguments).unwrap().last().unwrap())
        };
        assert!(line(&["some_test"]).ends_with(" --workspace --exclude topshelf-cluster some_test"));
        assert!(line(&["-p", "topshelf-store"]).ends_with(" -p topshelf-store"));
        assert!(!line(&["-p", "topshelf-store"]).contains("--workspace"));
    }
}
