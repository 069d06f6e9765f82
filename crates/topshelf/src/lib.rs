//! topshelf: the commands, the configuration and the night's plan, built from the crates below it.

pub mod checks;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod database;
pub mod diff;
pub mod doctor;
pub mod failure;
pub mod generate;
pub mod halt;
mod liveness;
mod logging;
pub mod memory;
pub mod pipeline;
pub mod progress;
pub mod retries;
pub mod schedule;
pub mod scheduler;
mod spill;
mod traces;
mod webhook;

use clap::Parser;
use failure::{Exit, Failure};
use std::{process::ExitCode, time::Duration};
use tracing::warn;

/// How long the process waits at its end for work that cannot be told to stop.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// The program: parses the command line, does what it says, reports a failure once.
#[must_use]
pub fn main() -> ExitCode {
    // The first thing: whatever speaks TLS later finds one provider.
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.expect("no other provider was installed before");
    let cli = cli::Cli::parse();
    // Before the log, which hands the spans on.
    let notice = traces::start();
    logging::start(cli.global.log_format, cli.command.logs_at_info());
    if let Some(notice) = notice {
        warn!("{notice}");
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Plans of queries are trees that are walked by recursion.
    #[cfg(feature = "cluster")]
    runtime.thread_stack_size(32 << 20);
    let runtime = runtime.enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(commands::execute(cli));
            // What still blocks, a disk that hangs say, does not keep the process.
            runtime.shutdown_timeout(ENDS_WITHIN);
            done
        }
        Err(error) => Err(Failure::explained(Exit::Failed, error)),
    };
    traces::end();
    logging::end();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
