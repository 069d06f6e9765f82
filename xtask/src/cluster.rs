//! `cargo xtask cluster`: what counts on a cluster, judged and tested.
//!
//! Its engine is hundreds of packages, which nothing else needs: all other commands leave it out, and this one alone
//! builds it.

mod faults;

use crate::{
    Failure,
    repository::{status, words},
    say, test,
};

/// What is built and tested with the engine: all else of the program is tested without.
const PACKAGES: [&str; 6] =
    ["--package", "topshelf-cluster", "--package", "topshelf", "--features", "topshelf/cluster"];

/// What to test.
#[derive(clap::Args, Default)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Arguments for the test runner: names of tests, …
    #[arg(last = true)]
    runner_arguments: Vec<String>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Count nights on a cluster to which something happens
    Faults(faults::Options),
}

/// Judges and tests; or what else was asked for.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if let Some(Command::Faults(options)) = &options.command {
        return faults::run(options);
    }
    let mut tests = test::runner(&["test"]);
    tests.args(PACKAGES).args(["--lib", "--test", "cluster"]).args(&options.runner_arguments);
    // As `cargo clippy` would, but it would have all of the engine looked at once more that is built here anyway.
    tests.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver").env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings");
    say(&format!("running `{}`", words(&tests)));
    let ended = status(&mut tests)?;
    if ended.success() { Ok(()) } else { Err(format!("`{}` failed: {ended}", words(&tests)).into()) }
}
