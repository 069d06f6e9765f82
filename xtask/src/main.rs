//! Everything a developer or continuous integration does to topshelf beside building it.
//!
//! `cargo xtask test` runs the checks and all tests, `cargo xtask check` the checks alone,
//! `cargo xtask bench` the benchmarks, `cargo xtask fuzz` the fuzz targets, `cargo xtask schemathesis` requests that the
//! API's document makes, `cargo xtask airflow` the DAG in real Airflows, `cargo xtask aws` the templates for AWS in an
//! emulator, `cargo xtask cluster` what counts on a cluster (`cluster faults`: nights to which something happens), and `cargo xtask soak` servers that everything happens to. `cargo xtask image` and `cargo xtask archive` build what is handed out, `cargo xtask reproduce` does it
//! again elsewhere, `cargo xtask sbom` lists what it is made of, `cargo xtask deny` and `cargo xtask
//! workflows` judge dependencies and workflows. Nothing here is part of the program.

mod actionlint;
mod airflow;
mod archive;
mod aws;
mod bench;
mod check;
mod cluster;
mod debian;
mod deny;
mod fuzz;
mod image;
mod postgres;
mod promtool;
mod python;
mod repository;
mod reproduce;
mod sbom;
mod schemathesis;
mod shellcheck;
mod soak;
mod test;
mod units;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What a developer or continuous integration does to topshelf.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the checks and every test, with a PostgreSQL started for them
    Test(test::Options),
    /// Check formatting, lints, dependencies between crates, unused dependencies, names, links and the API's contract
    Check,
    /// Measure how fast topshelf is
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Feed the readers of logs with bytes nobody would write
    Fuzz(fuzz::Options),
    /// Ask a server all that the API's document allows, and what it does not
    Schemathesis(schemathesis::Options),
    /// Build the archive of a release: the static program, manual pages, completions, a unit for systemd
    Archive(archive::Options),
    /// Build the image of deploy/docker/Dockerfile without Docker
    Image(image::Options),
    /// Judge licences, versions, sources and known faults of dependencies
    Deny(deny::Options),
    /// Judge the workflows of GitHub Actions, and all shell scripts
    Workflows,
    /// Build the static program a second time elsewhere, and compare the two
    Reproduce(reproduce::Options),
    /// List what the program is made of
    Sbom(sbom::Options),
    /// Test the DAG of deploy/airflow with real Airflows
    Airflow(airflow::Options),
    /// Judge the templates of deploy/aws, and deploy them to an emulator
    Aws(aws::Options),
    /// Judge and test what counts on a cluster, with its engine
    Cluster(cluster::Options),
    /// Ask servers without pause while everything behind them breaks
    Soak(soak::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Check => check::run(),
        Command::Bench(bench) => bench::run(&bench),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Schemathesis(options) => schemathesis::run(&options),
        Command::Archive(options) => archive::run(&options),
        Command::Image(options) => image::run(&options),
        Command::Deny(options) => deny::run(&options),
        Command::Workflows => actionlint::run(),
        Command::Reproduce(options) => reproduce::run(&options),
        Command::Sbom(options) => sbom::run(&options),
        Command::Airflow(options) => airflow::run(&options),
        Command::Aws(options) => aws::run(&options),
        Command::Cluster(options) => cluster::run(&options),
        Command::Soak(options) => soak::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {}", failure.message);
            ExitCode::from(failure.exit_code)
        }
    }
}

/// Why a command of xtask ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    exit_code: u8,
}

impl Failure {
    /// A failure with the exit code of a program that was run.
    fn with_exit_code(message: String, exit_code: u8) -> Self {
        Self { message, exit_code }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self { message, exit_code: 1 }
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::from(message.to_owned())
    }
}

/// Tells the reader of the terminal what begins.
fn say(what: &str) {
    eprintln!("xtask: {what}");
}
