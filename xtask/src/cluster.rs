//! `cargo xtask cluster`: what counts on a cluster, judged and tested.
//!
//! Its engine is hundreds of packages, which nothing else needs: all other commands leave it out, and this one alone
//! builds it.

mod faults;

use crate::{
    Failure,
    repository::{cargo, status, succeed, words},
    say, test,
};

/// What is built with the engine.
const PACKAGES: [&str; 6] =
    ["--package", "topshelf-cluster", "--package", "topshelf", "--features", "topshelf/cluster"];

/// What is tested with it: all else of the program is tested without.
const TESTS: &str = "package(topshelf-cluster) + binary(cluster)";

/// What to test.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Judge alone
    #[arg(long)]
    lint: bool,
    /// Arguments for the test runner: names of tests, …
    #[arg(last = true)]
    runner_arguments: Vec<String>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Count nights on a cluster to which something happens
    Faults(faults::Options),
}

/// Judges, then tests; or what else was asked for.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if let Some(Command::Faults(options)) = &options.command {
        return faults::run(options);
    }
    let mut clippy = cargo(&["clippy"]);
    clippy.args(PACKAGES).args(["--lib", "--bins", "--test", "cluster", "--quiet", "--", "-D", "warnings"]);
    say(&format!("running `{}`", words(&clippy)));
    succeed(&mut clippy)?;
    if options.lint {
        return Ok(());
    }
    let mut tests = test::runner(&["test"]);
    tests.args(PACKAGES).args(["--lib", "--test", "cluster", "-E", TESTS]).args(&options.runner_arguments);
    say(&format!("running `{}`", words(&tests)));
    let ended = status(&mut tests)?;
    if ended.success() { Ok(()) } else { Err(format!("`{}` failed: {ended}", words(&tests)).into()) }
}
