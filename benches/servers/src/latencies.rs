//! Latencies in, percentiles out.

use serde::Serialize;
use std::time::Duration;

/// Percentiles of latencies, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many requests.
    pub requests: usize,
    /// Half of them were as fast.
    pub p50_us: f64,
    /// 99 of 100 were as fast.
    pub p99_us: f64,
    /// 999 of 1,000 were as fast.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

impl Percentiles {
    /// The percentiles by nearest rank; all zero of none.
    #[must_use]
    pub fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
        let at = |thousandths: usize| {
            let rank = (latencies.len() * thousandths).div_ceil(1_000);
            latencies.get(rank.saturating_sub(1)).map_or(0.0, |latency| latency.as_nanos() as f64 / 1e3)
        };
        Self {
            requests: latencies.len(),
            p50_us: at(500),
            p99_us: at(990),
            p999_us: at(999),
            max_us: at(1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let latencies = (1..=2_000).rev().map(Duration::from_micros).collect();
        let Percentiles { requests, p50_us, p99_us, p999_us, max_us } = Percentiles::of(latencies);
        assert_eq!(requests, 2_000);
        assert_eq!([p50_us, p99_us, p999_us, max_us], [1_000.0, 1_980.0, 1_998.0, 2_000.0]);
    }

    #[test]
    fn one_latency_is_each_percentile_and_none_are_none() {
        let one = Percentiles::of(vec![Duration::from_micros(7)]);
        assert_eq!([one.p50_us, one.p999_us, one.max_us], [7.0; 3]);
        assert_eq!(Percentiles::of(Vec::new()).requests, 0);
    }
}
