//! Load on a server by turns, and what it comes to.

use super::{
    request::Request,
    running::{self, Running},
    wrk::{self, Figures},
};
use crate::{Failure, bench::median};
use std::{fmt, path::PathBuf, time::Duration};

/// What all turns have in common.
pub(super) struct Load {
    pub(super) connections: u32,
    pub(super) time: Duration,
    /// Room for the requests.
    pub(super) file: PathBuf,
    /// PostgreSQL's process.
    pub(super) database: u32,
}

impl Load {
    /// A turn of a server.
    pub(super) fn turn(&self, server: &Running, requests: &[Request]) -> Result<Turn, Failure> {
        let used = || [server.cpu(), running::cpu(self.database)];
        let before = used();
        let figures = wrk::load(&server.address, requests, &self.file, (self.connections, self.time))?;
        let after = used();
        #[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
        let per_request =
            |of: usize| after[of].saturating_sub(before[of]).as_secs_f64() * 1e6 / figures.requests as f64;
        Ok(Turn { figures, cpu_us: per_request(0), database_cpu_us: per_request(1) })
    }
}

/// What one turn came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) figures: Figures,
    /// Of the server, for each request.
    pub(super) cpu_us: f64,
    /// Of PostgreSQL, for each request.
    pub(super) database_cpu_us: f64,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, cpu_us) = (self.figures.rate(), self.cpu_us);
        write!(f, "{rate:.0} requests/s, p99 {:.2} ms, {cpu_us:.1} µs of CPU each", ms(self.figures.p99_us))
    }
}

/// Microseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
pub(super) fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

/// The turns of one server with one kind of request.
#[derive(Debug, Default)]
pub(super) struct Turns(pub(super) Vec<Turn>);

impl Turns {
    /// The median of a figure.
    pub(super) fn median(&self, figure: impl Fn(&Turn) -> f64) -> f64 {
        median(self.0.iter().map(figure)).unwrap_or_default()
    }

    /// Requests a second.
    pub(super) fn rate(&self) -> f64 {
        self.median(|turn| turn.figures.rate())
    }

    /// Our requests a second ÷ those of this one in the same round: the median, and the lowest.
    pub(super) fn ratios(&self, ours: &Self) -> (f64, f64) {
        let ratios =
            || ours.0.iter().zip(&self.0).map(|(our, this)| our.figures.rate() / this.figures.rate());
        (median(ratios()).unwrap_or_default(), ratios().reduce(f64::min).unwrap_or_default())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Turns of a second with so many requests.
    pub(in crate::bench::serve) fn turns(rates: &[u64]) -> Turns {
        let turn = |requests: &u64| {
            let figures = serde_json::json!({
                "requests": requests, "duration_us": 1_000_000, "bytes": requests * 2_000, "failed": 0,
                "refused": 0, "p50_us": 400, "p99_us": 1_300, "p999_us": 2_600,
            });
            let figures = serde_json::from_value(figures).unwrap();
            Turn { figures, cpu_us: 12.34, database_cpu_us: 0.0 }
        };
        Turns(rates.iter().map(turn).collect())
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let (ours, theirs) = (turns(&[100, 80, 90]), turns(&[10, 20, 10]));
        assert_eq!(theirs.ratios(&ours), (9.0, 4.0));
        assert_eq!(ours.rate(), 90.0);
    }
}
