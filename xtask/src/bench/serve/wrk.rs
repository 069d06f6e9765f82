//! Load by `wrk`: as much as a server bears, over connections that stay open.

use super::request::{self, Request};
use crate::{
    Failure,
    repository::{program, root, stdout},
};
use serde::Deserialize;
use std::{path::Path, process::Stdio, thread, time::Duration};

const HOW_TO_INSTALL: &str = "the load generator wrk was not found: install it (Debian and Ubuntu: \
    `apt-get install wrk`, macOS: `brew install wrk`)";

/// What wrk's script prints when it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(in crate::bench) struct Figures {
    pub(in crate::bench) requests: u64,
    duration_us: u64,
    bytes: u64,
    /// Connections that were not made, broke off or took too long.
    failed: u64,
    /// Answers whose status is an error's.
    refused: u64,
    pub(in crate::bench) p50_us: u64,
    pub(in crate::bench) p99_us: u64,
    pub(super) p999_us: u64,
}

#[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
impl Figures {
    /// Requests a second.
    pub(in crate::bench) fn rate(&self) -> f64 {
        self.requests as f64 * 1e6 / self.duration_us as f64
    }

    /// Megabytes of answers a second, their heads among them.
    pub(super) fn megabytes_per_s(&self) -> f64 {
        self.bytes as f64 / self.duration_us as f64
    }

    /// Bytes of an answer, its head among them.
    pub(super) fn answer_bytes(&self) -> f64 {
        self.bytes as f64 / self.requests as f64
    }
}

/// Fails when there is no wrk.
pub(in crate::bench) fn find() -> Result<(), Failure> {
    // Asked for its version, wrk prints it and fails.
    let mut wrk = program("wrk", &["--version"]);
    match wrk.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(_) => Ok(()),
        Err(_) => Err(HOW_TO_INSTALL.into()),
    }
}

/// Asks the server at `address` for all of `requests` in turn, for so long, over so many connections; one that
/// fails makes this fail. `file` is room for the requests.
pub(in crate::bench) fn load(
    address: &str,
    requests: &[Request],
    file: &Path,
    (connections, time): (u32, Duration),
) -> Result<Figures, Failure> {
    request::write_for_wrk(file, requests)?;
    // As many threads as cores: so all of the machine is at work whatever a request costs on either side.
    let threads = thread::available_parallelism().map_or(1, usize::from).min(connections as usize);
    let mut wrk = program("wrk", &["--threads", &threads.to_string()]);
    wrk.args(["--connections", &connections.to_string(), "--timeout", "10s"]);
    wrk.args(["--duration", &format!("{}s", time.as_secs().max(1)), "--script"]);
    wrk.arg(root().join("benches/serve/requests.lua")).arg(format!("http://{address}")).arg("--").arg(file);
    let first = requests.first().map_or("nothing", |request| &request.path);
    figures(&stdout(&mut wrk)?).map_err(|why| format!("{first} and its like at {address}: {why}").into())
}

/// What the last line says, when no request failed.
fn figures(printed: &str) -> Result<Figures, String> {
    let last = printed.lines().last().unwrap_or_default();
    let figures: Figures =
        serde_json::from_str(last).map_err(|_| format!("wrk's script did not end: {printed}"))?;
    match figures {
        Figures { failed: 0, refused: 0, requests: 1.., .. } => Ok(figures),
        Figures { failed, refused, requests, .. } => Err(format!(
            "of {requests} requests {refused} were answered with an error, {failed} connections failed"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(requests: u64, failed: u64, refused: u64) -> String {
        format!(
            "Running 1s test @ http://127.0.0.1:1\n  2 threads and 32 connections\n{{\"requests\":{requests},\
             \"duration_us\":2000000,\"bytes\":4000000,\"failed\":{failed},\"refused\":{refused},\
             \"p50_us\":1,\"p99_us\":2,\"p999_us\":3}}\n"
        )
    }

    #[test]
    fn figures_are_read_from_the_last_line() {
        let figures = figures(&printed(1_000, 0, 0)).unwrap();
        assert_eq!([figures.p50_us, figures.p99_us, figures.p999_us], [1, 2, 3]);
        let rates = [figures.rate(), figures.megabytes_per_s(), figures.answer_bytes()];
        assert_eq!(rates, [500.0, 2.0, 4_000.0]);
    }

    #[test]
    fn a_request_that_fails_or_none_at_all_is_an_error() {
        let why = "of 9 requests 2 were answered with an error, 1 connections failed";
        assert_eq!(figures(&printed(9, 1, 2)).unwrap_err(), why);
        assert!(figures(&printed(9, 0, 1)).is_err());
        assert!(figures(&printed(9, 1, 0)).is_err());
        assert!(figures(&printed(0, 0, 0)).is_err());
        assert!(figures("wrk: no such file\n").is_err());
    }
}
