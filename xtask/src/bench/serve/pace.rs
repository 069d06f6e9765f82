//! Load at a pace that is given: `paced_load` of `benches/servers`, as wrk cannot do it.
//!
//! The client never sleeps. On cores of the server it would be the server's latency that is measured least: a thread
//! of the server waits there until the client's time slice is over, for milliseconds. So it has a core of its own.

use super::{request, request::Request, running::Running};
use crate::{
    Failure,
    bench::median,
    repository::{program, stdout, target},
};
use serde::Deserialize;
use std::{path::Path, process::Command, thread, time::Duration};

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

/// Which cores the client and the servers have, as `taskset` writes them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cores {
    client: String,
    pub(super) servers: String,
    pub(super) all: String,
}

impl Cores {
    /// The first for the client and the others for the servers.
    pub(super) fn of_machine() -> Result<Self, Failure> {
        Self::of(thread::available_parallelism().map_or(1, usize::from))
            .ok_or_else(|| "the load at a pace needs a core of its own: this machine has one in all".into())
    }

    fn of(count: usize) -> Option<Self> {
        let last = count.checked_sub(1).filter(|last| *last > 0)?;
        Some(Self { client: "0".into(), servers: format!("1-{last}"), all: format!("0-{last}") })
    }
}

/// Sends so many requests a second for so long, over so many connections. `file` is room for their paths.
pub(super) fn load(
    server: &Running,
    requests: &[Request],
    file: &Path,
    rate: f64,
    (connections, time): (u32, Duration),
    cores: &Cores,
) -> Result<Latencies, Failure> {
    request::write_paths(file, requests)?;
    let mut paced = paced(&cores.client, rate, time);
    paced.args(["--address", &server.address, "--paths"]).arg(file);
    printed(paced.args(["--connections", &connections.to_string()]))
}

/// How late requests at that pace are noticed on the servers' cores when nobody is asked: so late the machine alone is.
pub(super) fn clock(rate: f64, time: Duration, cores: &Cores) -> Result<Latencies, Failure> {
    printed(&mut paced(&cores.servers, rate, time))
}

fn paced(cores: &str, rate: f64, time: Duration) -> Command {
    let mut paced = program("taskset", &["--cpu-list", cores]);
    paced.arg(target().join("release/paced_load"));
    paced.args(["--rate", &rate.to_string(), "--seconds", &time.as_secs_f64().to_string()]);
    paced
}

fn printed(paced: &mut Command) -> Result<Latencies, Failure> {
    let printed = stdout(paced)?;
    serde_json::from_str(&printed).map_err(|error| format!("paced_load printed no latencies: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_servers_have_cores_apart() {
        let cores = |client: &str, servers: &str, all: &str| {
            Some(Cores { client: client.into(), servers: servers.into(), all: all.into() })
        };
        assert_eq!(Cores::of(1), None);
        assert_eq!(Cores::of(2), cores("0", "1-1", "0-1"));
        assert_eq!(Cores::of(8), cores("0", "1-7", "0-7"));
    }
}
