//! The program's log, on stderr.

use crate::cli::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt};

/// Starts the log. `TOPSHELF_LOG` chooses what is in it, in the syntax of `RUST_LOG`; otherwise
/// services tell what they do, and commands only what is wrong.
pub(crate) fn start(format: LogFormat, at_info: bool) {
    let default = if at_info { "info" } else { "warn" };
    let filter = std::env::var("TOPSHELF_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::new(filter.unwrap_or_else(|| format!("{default},sqlx=error")));
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
