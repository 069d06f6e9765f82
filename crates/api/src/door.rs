//! Who gets in: connections are counted, in all and for each address, and those over a limit are closed at once.
//!
//! Counting takes one short lock for a connection's beginning and one for its end, none for a request. Proxies are
//! counted in all, not by address: behind each are many. Nothing is read from a connection here.

use crate::{
    body::Owner,
    caller::{Caller, Peer},
    limits::Limits,
    pulse::Overdue,
    room::Share,
    telemetry::{CONNECTIONS, CONNECTIONS_CUT, CONNECTIONS_REFUSED, Telemetry},
};
use hashbrown::{HashMap, hash_map::Entry};
use metrics::{Counter, Gauge, counter, gauge};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The log tells at most so often that connections are refused.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What is told of connections, of all doors together.
#[derive(Clone)]
pub(crate) struct DoorMetrics {
    open: Gauge,
    refused_all: Counter,
    refused_address: Counter,
    cut_handshake: Counter,
    cut_head: Counter,
    cut_idle: Counter,
    cut_write: Counter,
}

impl DoorMetrics {
    pub(crate) fn new(telemetry: &Telemetry) -> Self {
        telemetry.with(|| Self {
            open: gauge!(CONNECTIONS),
            refused_all: counter!(CONNECTIONS_REFUSED, "reason" => "total"),
            refused_address: counter!(CONNECTIONS_REFUSED, "reason" => "address"),
            cut_handshake: counter!(CONNECTIONS_CUT, "reason" => "handshake"),
            cut_head: counter!(CONNECTIONS_CUT, "reason" => "head"),
            cut_idle: counter!(CONNECTIONS_CUT, "reason" => "idle"),
            cut_write: counter!(CONNECTIONS_CUT, "reason" => "write"),
        })
    }

    pub(crate) fn cut(&self, overdue: Overdue) {
        let counter = match overdue {
            Overdue::Handshake => &self.cut_handshake,
            Overdue::Head => &self.cut_head,
            Overdue::Idle => &self.cut_idle,
            Overdue::Write => &self.cut_write,
        };
        counter.increment(1);
    }
}

/// The door of one listener.
pub(crate) struct Door {
    connections_max: usize,
    per_address_max: usize,
    open: Mutex<Open>,
    metrics: DoorMetrics,
}

/// The connections that are open.
#[derive(Default)]
struct Open {
    count: usize,
    /// Of each address that has one.
    of: HashMap<Caller, OfAddress>,
    told_at: Option<Instant>,
}

/// What an address has.
#[derive(Default)]
struct OfAddress {
    connections: usize,
    share: Arc<Share>,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Total,
    Address,
}

/// A connection that got in; dropped, it has ended.
pub(crate) struct Inside {
    door: Arc<Door>,
    caller: Option<Caller>,
    owner: Owner,
}

impl Door {
    pub(crate) fn new(limits: &Limits, metrics: DoorMetrics) -> Arc<Self> {
        Arc::new(Self {
            connections_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            open: Mutex::default(),
            metrics,
        })
    }

    /// Lets a connection in; none when there are too many.
    pub(crate) fn enter(self: &Arc<Self>, peer: Peer) -> Option<Inside> {
        let caller = peer.caller();
        let mut open = self.open();
        let owner = match open.add(caller, self.connections_max, self.per_address_max) {
            Ok(share) => Owner(share),
            Err(refusal) => {
                let is_told = open.is_told(Instant::now());
                drop(open);
                self.refuse(peer, refusal, is_told);
                return None;
            }
        };
        drop(open);
        self.metrics.open.increment(1.0);
        Some(Inside { door: self.clone(), caller, owner })
    }

    pub(crate) fn metrics(&self) -> &DoorMetrics {
        &self.metrics
    }

    fn refuse(&self, peer: Peer, refusal: Refusal, is_told: bool) {
        let (counter, key) = match refusal {
            Refusal::Total => (&self.metrics.refused_all, "serve.connections_max"),
            Refusal::Address => (&self.metrics.refused_address, "serve.connections_per_address_max"),
        };
        counter.increment(1);
        if is_told {
            tracing::warn!(key, address = %peer.address(), "connections are refused: too many are open");
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Counts a connection, and tells its address's share of what is shared out.
    fn add(
        &mut self,
        caller: Option<Caller>,
        max: usize,
        per_address_max: usize,
    ) -> Result<Option<Arc<Share>>, Refusal> {
        if self.count >= max {
            return Err(Refusal::Total);
        }
        let share = match caller {
            None => None,
            Some(caller) => {
                let of_address = self.of.entry(caller).or_default();
                if of_address.connections >= per_address_max {
                    return Err(Refusal::Address);
                }
                of_address.connections += 1;
                Some(of_address.share.clone())
            }
        };
        self.count += 1;
        Ok(share)
    }

    fn remove(&mut self, caller: Option<Caller>) {
        self.count -= 1;
        if let Some(Entry::Occupied(mut of_address)) = caller.map(|caller| self.of.entry(caller)) {
            of_address.get_mut().connections -= 1;
            if of_address.get().connections == 0 {
                of_address.remove();
            }
        }
    }

    /// Whether a refusal is worth a line of the log.
    fn is_told(&mut self, now: Instant) -> bool {
        let is_told = self.told_at.is_none_or(|at| now.saturating_duration_since(at) >= TELL_EVERY);
        if is_told {
            self.told_at = Some(now);
        }
        is_told
    }
}

impl Inside {
    /// Of whose connection its requests are.
    pub(crate) fn owner(&self) -> Owner {
        self.owner.clone()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.door.open().remove(self.caller);
        self.door.metrics.open.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{caller::Networks, options::DroppedLines};

    fn door(connections_max: usize, connections_per_address_max: usize) -> Arc<Door> {
        let limits = Limits { connections_max, connections_per_address_max, ..Limits::default() };
        Door::new(&limits, DoorMetrics::new(&Telemetry::new(DroppedLines::default())))
    }

    fn peer(address: &str) -> Peer {
        Peer::new(address.parse().unwrap(), &Networks::parse(&["10.0.0.0/8"]).unwrap())
    }

    #[test]
    fn one_address_takes_no_more_than_its_share() {
        let door = door(10, 2);
        let first = door.enter(peer("198.51.100.1"));
        let second = door.enter(peer("::ffff:198.51.100.1"));
        assert!(first.is_some() && second.is_some());
        assert!(door.enter(peer("198.51.100.1")).is_none());
        assert!(door.enter(peer("198.51.100.2")).is_some());
        drop(first);
        assert!(door.enter(peer("198.51.100.1")).is_some());
        let network = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(|address| door.enter(peer(address)));
        assert_eq!(network.map(|inside| inside.is_some()), [true, true, false]);
    }

    #[test]
    fn proxies_are_counted_in_all_alone_and_nobody_is_kept_who_left() {
        let door = door(10, 2);
        let inside: Vec<_> = (0..12).map(|_| door.enter(peer("10.1.2.3"))).collect();
        assert_eq!(inside.iter().flatten().count(), 10);
        assert!(door.enter(peer("198.51.100.1")).is_none());
        drop(inside);
        drop(door.enter(peer("198.51.100.1")).unwrap());
        let open = door.open();
        assert_eq!((open.count, open.of.len()), (0, 0));
    }

    #[test]
    fn refusals_are_told_once_a_minute() {
        let mut open = Open::default();
        let now = Instant::now();
        let told =
            [0, 1, 59, 60, 61, 119, 121].map(|seconds| open.is_told(now + Duration::from_secs(seconds)));
        assert_eq!(told, [true, false, false, true, false, false, true]);
    }
}
