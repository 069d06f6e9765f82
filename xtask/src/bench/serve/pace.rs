//! Load at a pace that is given: `paced_load` of `benches/servers`, as wrk cannot do it.

use super::{request, request::Request, running::Running};
use crate::{
    Failure,
    bench::median,
    repository::{program, stdout, target},
};
use serde::Deserialize;
use std::{path::Path, time::Duration};

/// Latencies counted from when each request was due.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Latencies {
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
}

impl Latencies {
    /// Each by itself.
    pub(super) fn medians(all: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(all.iter().map(figure)).unwrap_or_default();
        Self { p50_us: of(|all| all.p50_us), p99_us: of(|all| all.p99_us), p999_us: of(|all| all.p999_us) }
    }
}

/// Sends so many requests a second for so long, over so many connections. `file` is room for their paths.
pub(super) fn load(
    server: &Running,
    requests: &[Request],
    file: &Path,
    rate: f64,
    (connections, time): (u32, Duration),
) -> Result<Latencies, Failure> {
    request::write_paths(file, requests)?;
    let mut paced = program(target().join("release/paced_load"), &["--address", &server.address, "--paths"]);
    paced.arg(file).args(["--rate", &rate.to_string(), "--seconds", &time.as_secs_f64().to_string()]);
    paced.args(["--connections", &connections.to_string()]);
    let printed = stdout(&mut paced)?;
    serde_json::from_str(&printed).map_err(|error| format!("paced_load printed no latencies: {error}").into())
}
