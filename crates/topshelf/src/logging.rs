//! The program's log, on stderr.
//!
//! Events of `tracing` go in, lines come out. What a command says is written at once. What a service says, and the
//! access log whoever serves, goes through a queue of bounded size: who does not read the log costs lines, which are
//! counted, and never makes a request wait.

mod queue;

use crate::{cli::LogFormat, traces};
use api::{ACCESS_LOG_TARGET, DroppedLines};
use queue::{Lane, Queue};
use std::{
    io::{self, IsTerminal},
    sync::LazyLock,
};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    fmt::{self, writer::BoxMakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

static QUEUE: LazyLock<Queue> = LazyLock::new(|| Queue::start(io::stderr()));

/// What the engine of the cluster says where the program has words of its own, unless somebody asks for more: why a job
/// failed, that the scheduler is not reached, that executors cannot be told of jobs that have ended.
const UNSAID: [(&str, Level); 3] = [
    ("ballista_core::execution_plans::distributed_query", Level::ERROR),
    ("ballista_executor::execution_loop", Level::WARN),
    ("ballista_scheduler::state::executor_manager", Level::ERROR),
];

/// Starts the log. `TOPSHELF_LOG` chooses what is in it, in the syntax of `RUST_LOG`; otherwise
/// services tell what they do, and commands only what is wrong. The access log is not among it: how much there is of
/// that, `serve.access_log` says.
pub(crate) fn start(format: LogFormat, is_service: bool) {
    let default = if is_service { "info" } else { "warn" };
    let filter = std::env::var("TOPSHELF_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = filter.unwrap_or_else(|| format!("{default},sqlx=error"));
    let is_curious = ["debug", "trace", "ballista"].iter().any(|word| filter.contains(word));
    let filter = EnvFilter::new(filter);
    let filter = filter.and(filter_fn(move |event| {
        !is_of_access(event) && !traces::are_for(event) && (is_curious || !is_unsaid(event))
    }));
    let writer = match is_service {
        true => BoxMakeWriter::new(|| QUEUE.line(Lane::Others)),
        false => BoxMakeWriter::new(io::stderr),
    };
    let access = BoxMakeWriter::new(|| QUEUE.line(Lane::Access));
    let mut layers = vec![
        layer(format, writer, false).with_filter(filter).boxed(),
        layer(format, access, true).with_filter(filter_fn(is_of_access)).boxed(),
    ];
    layers.extend(traces::layer());
    tracing_subscriber::registry().with(layers).init();
}

fn is_of_access(event: &Metadata<'_>) -> bool {
    event.target() == ACCESS_LOG_TARGET
}

fn is_unsaid(event: &Metadata<'_>) -> bool {
    UNSAID.iter().any(|(target, level)| event.level() == level && event.target() == *target)
}

fn layer(
    format: LogFormat,
    writer: BoxMakeWriter,
    is_with_target: bool,
) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = fmt::layer().with_writer(writer).with_target(is_with_target);
    match format {
        LogFormat::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

/// Where the lines are counted that nobody will read.
pub(crate) fn dropped_lines() -> DroppedLines {
    QUEUE.dropped_lines()
}

/// Waits, for a moment at most, until what was said is written.
pub(crate) fn end() {
    // Who was never asked for a line has none to write.
    if let Some(queue) = LazyLock::get(&QUEUE) {
        queue.flush();
    }
}
