//! Everything a developer or continuous integration does to topshelf beside building it.
//!
//! `cargo xtask test` runs the checks and all tests, `cargo xtask check` the checks alone,
//! `cargo xtask bench` the benchmarks, `cargo xtask fuzz` the fuzz targets, `cargo xtask schemathesis` requests that the
//! API's document makes, and `cargo xtask soak` servers that everything happens to. Nothing here is part of the program.

mod bench;
mod check;
mod fuzz;
mod postgres;
mod promtool;
mod python;
mod repository;
mod schemathesis;
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
