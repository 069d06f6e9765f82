//! The access log: a line for each request of a sample, and for each that failed by our fault.
//!
//! Requests and their answers go in, events of `tracing` come out, of one target that the program's log writes apart
//! from all others. Headers, queries and bodies never get here. Whatever a client sends, an event is one line: what is
//! not visible ASCII is written in hexadecimal, and what is long is cut. Refusals for want of a key or for too many
//! requests have no lines, so that who floods the server with them does not flood the log; they are counted, as all
//! answers are. A server that has nothing to serve yet fails by our fault: each of its answers has a line.

use axum::http::{Method, StatusCode};
use std::{
    fmt::Write,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The target of its events.
pub const TARGET: &str = "topshelf::access";

/// The most bytes of a path, and of a method, in a line.
const PATH_BYTES_MAX: usize = 512;
const METHOD_BYTES_MAX: usize = 32;

/// The access log of one server.
pub(crate) struct AccessLog {
    /// The share of requests, of 2^64; none has all.
    share: Option<u64>,
    asked: AtomicU64,
    keys: RandomState,
}

/// A request and its answer.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) method: &'a Method,
    /// As it was sent, without the query.
    pub(crate) path: &'a str,
    pub(crate) route: &'a str,
    pub(crate) status: StatusCode,
    /// Of the answer's body, when that is known.
    pub(crate) bytes: Option<u64>,
    pub(crate) elapsed: Duration,
    pub(crate) request_id: &'a str,
    pub(crate) client: IpAddr,
    pub(crate) key_id: Option<&'a str>,
}

impl AccessLog {
    /// A log that has `share` of all requests.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is from 0 to 1")]
    pub(crate) fn of(share: f64) -> Self {
        let of_all = share.max(0.0) * 2f64.powi(64);
        let share = (share < 1.0).then_some(of_all as u64);
        Self { share, asked: AtomicU64::new(0), keys: RandomState::new() }
    }

    /// Writes the line of a request, when the log has it.
    pub(crate) fn answered(&self, line: &Line<'_>) {
        let is_ours = line.status.is_server_error();
        let is_only_counted =
            [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&line.status);
        if is_ours || (!is_only_counted && self.has_next()) {
            line.write();
        }
    }

    /// Whether the next request belongs to the sample, by chance.
    fn has_next(&self) -> bool {
        match self.share {
            None => true,
            Some(0) => false,
            Some(share) => self.keys.hash_one(self.asked.fetch_add(1, Ordering::Relaxed)) < share,
        }
    }
}

impl Line<'_> {
    fn write(&self) {
        let elapsed_us = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(
            target: TARGET,
            method = visible(self.method.as_str(), METHOD_BYTES_MAX),
            path = visible(self.path, PATH_BYTES_MAX),
            route = self.route,
            status = self.status.as_u16(),
            bytes = self.bytes,
            elapsed_us,
            request_id = self.request_id,
            client = %self.client,
            key = self.key_id,
            "request answered"
        );
    }
}

/// A path as a line tells it.
#[cfg(feature = "otel")]
pub(crate) fn visible_path(path: &str) -> String {
    visible(path, PATH_BYTES_MAX)
}

/// `text` in at most so many characters of visible ASCII.
fn visible(text: &str, bytes_max: usize) -> String {
    let mut visible = String::with_capacity(text.len().min(bytes_max));
    for byte in text.bytes().take(bytes_max) {
        if byte.is_ascii_graphic() {
            visible.push(char::from(byte));
        } else {
            write!(visible, "%{byte:02X}").expect("a string takes any text");
        }
    }
    visible.truncate(bytes_max);
    visible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_hexadecimal_and_what_is_long_is_cut() {
        assert_eq!(visible("/a%20b\"\\", 99), "/a%20b\"\\");
        assert_eq!(visible("/\n\u{1b}[2J é\u{2028}", 99), "/%0A%1B[2J%20%C3%A9%E2%80%A8");
        assert_eq!(visible(&"é".repeat(600), PATH_BYTES_MAX).len(), PATH_BYTES_MAX);
        assert_eq!(visible("/abc", 2), "/a");
    }

    #[test]
    fn the_sample_has_its_share_of_all_requests() {
        let of = |share: f64| {
            let log = AccessLog::of(share);
            (0..100_000).filter(|_| log.has_next()).count()
        };
        assert_eq!((of(0.0), of(1.0), of(-1.0), of(2.0)), (0, 100_000, 0, 100_000));
        // Farther from the mean than five deviations is one in a million.
        assert!((9_500..10_500).contains(&of(0.1)), "{}", of(0.1));
        assert!((of(0.5) as i64 - 50_000).abs() < 800);
    }
}
