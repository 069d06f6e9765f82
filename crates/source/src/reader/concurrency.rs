//! How many requests are sent at a time: as many as bring more bytes, fewer when the store refuses.
//!
//! What ended, what was refused and the time enter; a limit leaves. While the limit is what holds
//! requests back, it climbs as long as a higher one brings markedly more bytes a second, and otherwise
//! stays, to try again later. A refusal halves it, and from then on it climbs in single steps (additive
//! increase, multiplicative decrease: Chiu and Jain, 1989). Nothing here sends a request or waits.

use std::time::{Duration, Instant};

/// The share of what the added requests would bring if nothing else were in the way that they must
/// bring to be worth their connections.
const SHARE_MIN: f64 = 0.25;
/// The shortest time whose bytes are compared.
const ROUND_MIN: Duration = Duration::from_millis(20);
/// Rounds between two attempts to climb.
const ROUNDS_OF_REST: u32 = 16;
/// Refusals within this time of a first are about the same moment.
const REFUSAL_ECHO: Duration = Duration::from_millis(500);

/// The limit, and what is known about others.
#[derive(Debug)]
pub(super) struct Concurrency {
    limit: usize,
    max: usize,
    round: Round,
    phase: Phase,
    refused_at: Option<Instant>,
}

/// As many requests as the limit, or more: each of them began under it or is left out.
#[derive(Debug)]
struct Round {
    began: Instant,
    ended: usize,
    bytes: u64,
    /// Whether a request was held back by the limit, so that the round says something about it.
    is_full: bool,
    /// The requests on their way when the limit changed: they say nothing about the new one.
    to_leave_out: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The limit was just raised; what a lower one brought is known, if any was tried.
    Climbing { from: Option<(usize, f64)> },
    /// No higher limit is tried for some rounds.
    Resting { rounds: u32 },
}

impl Concurrency {
    /// At most `max` at a time, at first `start`.
    pub(super) fn new(start: usize, max: usize, now: Instant) -> Self {
        let max = max.max(1);
        let limit = start.clamp(1, max);
        let round = Round { began: now, ended: 0, bytes: 0, is_full: false, to_leave_out: 0 };
        Self { limit, max, round, phase: Phase::Climbing { from: None }, refused_at: None }
    }

    /// Requests that may be on their way.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The limit, and nothing else, held a request back.
    pub(super) fn held_back(&mut self) {
        self.round.is_full = true;
    }

    /// A request brought these bytes.
    pub(super) fn ended(&mut self, bytes: u64, now: Instant) {
        let round = &mut self.round;
        if round.to_leave_out > 0 {
            round.to_leave_out -= 1;
            if round.to_leave_out == 0 {
                round.began = now;
            }
            return;
        }
        round.ended += 1;
        round.bytes += bytes;
        let took = now.saturating_duration_since(round.began);
        if round.ended < self.limit || took < ROUND_MIN {
            return;
        }
        let rate = round.bytes as f64 / took.as_secs_f64();
        let next = if round.is_full { self.judge(rate) } else { self.limit };
        self.begin_round(next, now);
    }

    /// The store asked for fewer requests, or one failed on its way.
    pub(super) fn refused(&mut self, now: Instant) {
        let echoes = |at: Instant| now.saturating_duration_since(at) < REFUSAL_ECHO;
        if self.refused_at.is_some_and(echoes) {
            return;
        }
        self.refused_at = Some(now);
        self.phase = Phase::Resting { rounds: 1 };
        self.begin_round((self.limit / 2).max(1), now);
    }

    /// What the limit should be after a full round that brought `rate` bytes a second.
    fn judge(&mut self, rate: f64) -> usize {
        match self.phase {
            Phase::Climbing { from: Some((lower, lower_rate)) }
                if rate < lower_rate * self.worthwhile_gain(lower) =>
            {
                self.phase = Phase::Resting { rounds: ROUNDS_OF_REST };
                lower
            }
            Phase::Resting { rounds } if rounds > 1 => {
                self.phase = Phase::Resting { rounds: rounds - 1 };
                self.limit
            }
            _ => {
                self.phase = Phase::Climbing { from: Some((self.limit, rate)) };
                self.higher()
            }
        }
    }

    fn worthwhile_gain(&self, lower: usize) -> f64 {
        1.0 + SHARE_MIN * (self.limit as f64 / lower as f64 - 1.0)
    }

    fn higher(&self) -> usize {
        let step = if self.refused_at.is_some() { 1 } else { (self.limit / 2).max(1) };
        (self.limit + step).min(self.max)
    }

    fn begin_round(&mut self, limit: usize, now: Instant) {
        let to_leave_out = if limit == self.limit { 0 } else { self.limit };
        self.limit = limit;
        self.round = Round { began: now, ended: 0, bytes: 0, is_full: false, to_leave_out };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cmp::Reverse, collections::BinaryHeap};

    /// A store that answers each request after a latency, one part after the other at its bandwidth,
    /// and refuses requests beyond a number at a time.
    struct Store {
        latency: Duration,
        bytes_per_second: f64,
        requests_max: usize,
    }

    const PART_BYTES: u64 = 4 << 20;

    /// Reads for some seconds from the store; the limits it saw in the last half of the time.
    fn limits(store: &Store, start: usize, max: usize, seconds: u64) -> Vec<usize> {
        let began = Instant::now();
        let mut concurrency = Concurrency::new(start, max, began);
        let mut on_the_way = BinaryHeap::new();
        let (mut now, mut free_at) = (Duration::ZERO, Duration::ZERO);
        let mut seen = Vec::new();
        while now < Duration::from_secs(seconds) {
            while on_the_way.len() < concurrency.limit() {
                let is_refused = on_the_way.len() >= store.requests_max;
                let mut done = now + store.latency;
                if !is_refused {
                    free_at = free_at.max(done)
                        + Duration::from_secs_f64(PART_BYTES as f64 / store.bytes_per_second);
                    done = free_at;
                }
                on_the_way.push(Reverse((done, is_refused)));
            }
            concurrency.held_back();
            let Reverse((done, is_refused)) = on_the_way.pop().unwrap();
            now = done;
            if is_refused {
                concurrency.refused(began + now);
            } else {
                concurrency.ended(PART_BYTES, began + now);
            }
            if now > Duration::from_secs(seconds / 2) {
                seen.push(concurrency.limit());
            }
        }
        seen
    }

    #[test]
    fn it_climbs_until_the_bandwidth_is_used_and_not_much_further() {
        // 100 ms at 1 GB/s are 24 parts.
        let store =
            Store { latency: Duration::from_millis(100), bytes_per_second: 1e9, requests_max: usize::MAX };
        let limits = limits(&store, 4, 512, 60);
        assert!(limits.iter().all(|limit| (20..=64).contains(limit)), "{limits:?}");
    }

    #[test]
    fn it_climbs_to_its_bound_where_requests_only_wait() {
        let store =
            Store { latency: Duration::from_millis(20), bytes_per_second: 1e12, requests_max: usize::MAX };
        assert!(limits(&store, 4, 96, 60).iter().all(|limit| (64..=96).contains(limit)));
    }

    #[test]
    fn it_stays_where_one_request_uses_the_bandwidth() {
        let store = Store { latency: Duration::ZERO, bytes_per_second: 1e9, requests_max: usize::MAX };
        assert!(limits(&store, 8, 512, 60).iter().all(|limit| (8..=12).contains(limit)));
    }

    #[test]
    fn it_keeps_below_what_the_store_refuses() {
        let store = Store { latency: Duration::from_millis(50), bytes_per_second: 1e12, requests_max: 20 };
        let limits = limits(&store, 8, 512, 60);
        let mean = limits.iter().sum::<usize>() as f64 / limits.len() as f64;
        assert!(limits.iter().all(|limit| (8..=21).contains(limit)), "{limits:?}");
        assert!(mean > 11.0, "{mean}");
    }

    #[test]
    fn it_is_bounded_below_and_above() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(4, 2, now);
        assert_eq!(concurrency.limit(), 2);
        for second in 0..5 {
            concurrency.refused(now + Duration::from_secs(second));
        }
        assert_eq!(concurrency.limit(), 1);
    }

    #[test]
    fn requests_refused_at_the_same_moment_count_once() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(16, 64, now);
        (0..16).for_each(|_| concurrency.refused(now));
        assert_eq!(concurrency.limit(), 8);
    }

    #[test]
    fn rounds_that_were_not_full_change_nothing() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(4, 64, now);
        for millisecond in 0..1000 {
            concurrency.ended(PART_BYTES, now + Duration::from_millis(millisecond));
        }
        assert_eq!(concurrency.limit(), 4);
    }
}
