//! How much of the server one caller, and all of them together, may take: the limits, and the rate of requests.
//!
//! The rate is a token bucket for each caller, kept as the one moment at which it is full again (the generic cell rate
//! algorithm, ATM Forum 1996): 32 bytes a caller and about 50 ns a request. The well-known library for that, `governor`,
//! keeps every caller that it ever saw until told to look through all of them; here a table has a fixed number of
//! callers, and those that find no place share one bucket, whatever addresses come. Nothing here waits.

use crate::caller::Caller;
use hashbrown::{DefaultHashBuilder, HashMap, hash_map::Entry};
use std::{
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How much of the server one caller, and all of them together, may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at a time.
    pub connections_max: usize,
    /// Connections open at a time from one address, or from one IPv6 network of 64 bits.
    pub connections_per_address_max: usize,
    /// The longest head of a request, in bytes; at least 8192.
    pub head_bytes_max: usize,
    /// The longest path and query, in bytes.
    pub path_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// For a TLS handshake, and for a head from its first byte to its end.
    pub head_time: Duration,
    /// For a connection without a request after the first.
    pub idle_time: Duration,
    /// For a request's body.
    pub body_time: Duration,
    /// For all the work on a request.
    pub request_time: Duration,
    /// For a client to take 64 KiB of its answer, or the rest.
    pub write_time: Duration,
    /// Bodies of requests and long answers under way, in bytes.
    pub bodies_bytes_max: usize,
    /// Requests a second of one caller, each ranking of a `POST` counted as one; 0 for no limit.
    pub requests_per_second: u32,
    /// Requests at once of a caller that was silent before; 0 for as many as in a second.
    pub requests_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 1000,
            head_bytes_max: 16 << 10,
            path_bytes_max: 4096,
            headers_max: 64,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            body_time: Duration::from_secs(10),
            request_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            bodies_bytes_max: 256 << 20,
            requests_per_second: 0,
            requests_burst: 0,
        }
    }
}

/// Tables of callers: requests of different callers seldom wait for each other.
const SHARDS: usize = 64;

/// Callers of a table that are told apart.
const CALLERS_MAX: usize = 1024;

/// The least time between two searches of a full table for callers that can be forgotten.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// The rate of requests of each caller.
pub(crate) struct Rates {
    began: Instant,
    /// Nanoseconds in which a request's worth comes back.
    interval: u64,
    /// Nanoseconds' worth of requests that may come at once.
    burst: u64,
    hasher: DefaultHashBuilder,
    shards: Vec<Mutex<Shard>>,
}

/// Moments are in nanoseconds since the rates began.
struct Shard {
    /// When each caller's bucket is full again.
    full_at: HashMap<Caller, u64, DefaultHashBuilder>,
    /// The same of those who find no place.
    others_full_at: u64,
    sweep_at: u64,
}

impl Rates {
    /// The rates as the limits say; none without a limit.
    pub(crate) fn new(limits: &Limits) -> Option<Self> {
        let rate = u64::from(limits.requests_per_second);
        let interval = 1_000_000_000_u64.checked_div(rate)?.max(1);
        let burst = if limits.requests_burst == 0 { rate } else { u64::from(limits.requests_burst) };
        let hasher = DefaultHashBuilder::default();
        let shard =
            || Shard { full_at: HashMap::with_hasher(hasher.clone()), others_full_at: 0, sweep_at: 0 };
        let shards = (0..SHARDS).map(|_| Mutex::new(shard())).collect();
        Some(Self { began: Instant::now(), interval, burst: burst.saturating_mul(interval), hasher, shards })
    }

    /// Counts a request of `caller`.
    ///
    /// # Errors
    /// When there are too many: how long until the next may come.
    pub(crate) fn count(&self, caller: Caller, now: Instant) -> Result<(), Duration> {
        let now = self.nanos_at(now);
        let mut shard = self.shard_of(caller);
        let full_at = shard.place_of(caller, now);
        let next = (*full_at).max(now) + self.interval;
        let debt = next - now;
        if debt > self.burst {
            return Err(Duration::from_nanos(debt - self.burst));
        }
        *full_at = next;
        Ok(())
    }

    /// Counts `more` requests of `caller`, though they may be too many: the next then comes so much later. Who shares a
    /// bucket owes nothing, for others would pay.
    pub(crate) fn owe(&self, caller: Caller, now: Instant, more: usize) {
        let now = self.nanos_at(now);
        if let Some(full_at) = self.shard_of(caller).full_at.get_mut(&caller) {
            *full_at = (*full_at).max(now) + self.interval.saturating_mul(more as u64);
        }
    }

    fn nanos_at(&self, moment: Instant) -> u64 {
        nanos(moment.saturating_duration_since(self.began))
    }

    fn shard_of(&self, caller: Caller) -> MutexGuard<'_, Shard> {
        let shard = (self.hasher.hash_one(caller) >> 32) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn place_of(&mut self, caller: Caller, now: u64) -> &mut u64 {
        let is_full = self.full_at.len() >= CALLERS_MAX;
        if is_full && now >= self.sweep_at && !self.full_at.contains_key(&caller) {
            // Who has a full bucket is as good as new.
            self.full_at.retain(|_, full_at| *full_at > now);
            self.sweep_at = now + nanos(SWEEP_EVERY);
        }
        let is_full = self.full_at.len() >= CALLERS_MAX;
        match self.full_at.entry(caller) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(_) if is_full => &mut self.others_full_at,
            Entry::Vacant(place) => place.insert(0),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn rates(requests_per_second: u32, requests_burst: u32) -> Rates {
        Rates::new(&Limits { requests_per_second, requests_burst, ..Limits::default() }).unwrap()
    }

    fn caller(number: u32) -> Caller {
        Caller::at(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    /// How many of `requests` at once go through.
    fn through(rates: &Rates, caller: Caller, now: Instant, requests: usize) -> usize {
        (0..requests).filter(|_| rates.count(caller, now).is_ok()).count()
    }

    #[test]
    fn a_caller_has_its_burst_and_then_its_rate() {
        let rates = rates(10, 30);
        let began = Instant::now();
        assert_eq!(through(&rates, caller(1), began, 100), 30);
        assert_eq!(rates.count(caller(1), began), Err(Duration::from_millis(100)));
        assert_eq!(through(&rates, caller(2), began, 100), 30, "another is not meant");
        let later = began + Duration::from_millis(250);
        assert_eq!(through(&rates, caller(1), later, 100), 2);
        assert_eq!(rates.count(caller(1), later), Err(Duration::from_millis(50)));
        assert_eq!(through(&rates, caller(1), later + Duration::from_secs(60), 100), 30);
    }

    #[test]
    fn what_a_caller_owes_keeps_its_next_request_away() {
        let rates = rates(10, 30);
        let began = Instant::now();
        assert_eq!(rates.count(caller(1), began), Ok(()));
        rates.owe(caller(1), began, 99);
        assert_eq!(rates.count(caller(1), began), Err(Duration::from_millis(7100)));
        assert_eq!(rates.count(caller(2), began), Ok(()), "another is not meant");
        assert_eq!(rates.count(caller(1), began + Duration::from_millis(7100)), Ok(()));
        rates.owe(caller(3), began, 99);
        assert_eq!(rates.count(caller(3), began), Ok(()), "who has no place of its own owes nothing");
    }

    #[test]
    fn without_a_burst_a_second_of_requests_may_come_at_once() {
        assert_eq!(through(&rates(7, 0), caller(1), Instant::now(), 100), 7);
        assert!(Rates::new(&Limits::default()).is_none());
    }

    #[test]
    fn the_table_is_bounded_and_those_without_a_place_share_one() {
        let rates = rates(1, 2);
        let now = Instant::now();
        let callers = u32::try_from(SHARDS * CALLERS_MAX * 4).unwrap();
        let counted = (0..callers).filter(|number| rates.count(caller(*number), now).is_ok()).count();
        assert!(counted <= SHARDS * (CALLERS_MAX + 2), "{counted}");
        let places = |rates: &Rates| -> usize {
            rates.shards.iter().map(|shard| shard.lock().unwrap().full_at.len()).sum()
        };
        assert_eq!(places(&rates), SHARDS * CALLERS_MAX);
        assert!(rates.count(caller(0), now).is_ok(), "who has a place keeps its own bucket");
        let later = now + Duration::from_secs(60);
        for number in callers..callers + 1000 {
            assert!(rates.count(caller(number), later).is_ok(), "the silent are forgotten");
        }
    }
}
