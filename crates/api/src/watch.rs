//! One look at all connections of a listener, now and then: those that do nothing for too long end.
//!
//! A connection's pulse goes in; its end is all that comes out. Looking takes the lock that a connection takes at its beginning
//! and at its end, and a request never. A connection ends when two looks in a row find that something lasts for too long:
//! after the whole process has stood still, its task had time to notice what has come meanwhile. So it never ends early, and at most
//! half of the shortest limit late.

use crate::{
    door::DoorMetrics,
    limits::Limits,
    pulse::{Overdue, Pulse, Seen},
};
use futures::future::{AbortHandle, Abortable};
use slab::Slab;
use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

/// So often one looks in the shortest limit.
const LOOKS: u32 = 8;

/// The longest and the shortest time between two looks.
const LOOK_MAX: Duration = Duration::from_secs(5);
const LOOK_MIN: Duration = Duration::from_millis(1);

/// The connections of a listener.
pub(crate) struct Watch {
    limits: Limits,
    metrics: DoorMetrics,
    watched: Mutex<Slab<Watched>>,
}

/// A connection that is looked at.
struct Watched {
    pulse: Arc<Pulse>,
    seen: Seen,
    was_overdue: bool,
    end: AbortHandle,
}

/// Where a connection stands among the others; dropped, it has ended.
struct Place {
    watch: Arc<Watch>,
    index: usize,
}

impl Watch {
    pub(crate) fn new(limits: &Limits, metrics: DoorMetrics) -> Arc<Self> {
        Arc::new(Self { limits: limits.clone(), metrics, watched: Mutex::default() })
    }

    /// Serving a connection, as long as something happens on it.
    pub(crate) fn over<F: Future<Output = ()>>(
        self: &Arc<Self>,
        pulse: Arc<Pulse>,
        serving: F,
    ) -> impl Future<Output = ()> + use<F> {
        let (end, ended) = AbortHandle::new_pair();
        let index = self.watched().insert(Watched { pulse, seen: Seen::default(), was_overdue: false, end });
        let place = Place { watch: self.clone(), index };
        let serving = Abortable::new(serving, ended);
        async move {
            let _place = place;
            let _ = serving.await; // that it was ended has been told
        }
    }

    /// Looks at all connections every now and then.
    pub(crate) async fn keep(self: Arc<Self>) {
        let Limits { head_time, idle_time, write_time, .. } = self.limits;
        let shortest = head_time.min(idle_time).min(write_time);
        let mut looks = interval((shortest / LOOKS).clamp(LOOK_MIN, LOOK_MAX));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look(Instant::now());
        }
    }

    /// Ends all connections.
    pub(crate) fn end_all(&self) {
        let all: Vec<_> = self.watched().iter().map(|(_, watched)| watched.end.clone()).collect();
        all.iter().for_each(AbortHandle::abort);
    }

    fn look(&self, now: Instant) {
        for (overdue, end) in self.overdue(now) {
            tracing::debug!(?overdue, "a connection was ended for what its client did not do in time");
            self.metrics.cut(overdue);
            end.abort();
        }
    }

    /// What is overdue for the second time.
    fn overdue(&self, now: Instant) -> Vec<(Overdue, AbortHandle)> {
        let mut ended = Vec::new();
        for (_, Watched { pulse, seen, was_overdue, end }) in &mut *self.watched() {
            let overdue = seen.look(pulse, &self.limits, now);
            if let Some(overdue) = overdue
                && *was_overdue
                && !end.is_aborted()
            {
                ended.push((overdue, end.clone()));
            }
            *was_overdue = overdue.is_some();
        }
        ended
    }

    fn watched(&self) -> MutexGuard<'_, Slab<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.watch.watched().remove(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        options::DroppedLines,
        telemetry::{CONNECTIONS_CUT, Telemetry},
    };
    use std::future::pending;

    fn watch() -> (Arc<Watch>, Telemetry) {
        let telemetry = Telemetry::new(DroppedLines::default());
        let limits = Limits { head_time: Duration::from_secs(10), ..Limits::default() };
        (Watch::new(&limits, DoorMetrics::new(&telemetry)), telemetry)
    }

    fn cut(telemetry: &Telemetry) -> bool {
        telemetry.render().contains(&format!("{CONNECTIONS_CUT}{{reason=\"head\"}} 1\n"))
    }

    #[tokio::test]
    async fn who_has_left_is_looked_at_no_more() {
        let (watch, telemetry) = watch();
        let began = Instant::now();
        let pulse = || Arc::new(Pulse::new(false));
        watch.over(pulse(), async {}).await;
        drop(watch.over(pulse(), pending()));
        let aborted = tokio::spawn(watch.over(pulse(), pending()));
        aborted.abort();
        assert!(aborted.await.unwrap_err().is_cancelled());
        assert!(watch.watched().is_empty());
        for seconds in [0, 100, 200] {
            watch.look(began + Duration::from_secs(seconds));
        }
        assert!(!cut(&telemetry));
    }

    #[tokio::test]
    async fn what_is_overdue_at_two_looks_ends_and_is_counted_once() {
        let (watch, telemetry) = watch();
        let began = Instant::now();
        let connection = tokio::spawn(watch.over(Arc::new(Pulse::new(false)), pending()));
        for seconds in [0, 9, 10] {
            watch.look(began + Duration::from_secs(seconds));
        }
        assert!(!cut(&telemetry));
        for seconds in [11, 12, 13] {
            watch.look(began + Duration::from_secs(seconds));
        }
        connection.await.unwrap();
        assert!(cut(&telemetry));
        assert!(watch.watched().is_empty());
    }

    #[tokio::test]
    async fn what_has_moved_after_a_long_silence_goes_on() {
        let (watch, telemetry) = watch();
        let (began, pulse) = (Instant::now(), Arc::new(Pulse::new(false)));
        let _connection = tokio::spawn(watch.over(pulse.clone(), pending()));
        watch.look(began);
        watch.look(began + Duration::from_secs(60));
        pulse.asked();
        watch.look(began + Duration::from_secs(62));
        watch.look(began + Duration::from_secs(64));
        assert!(!cut(&telemetry));
        assert_eq!(watch.watched().len(), 1);
    }

    #[tokio::test]
    async fn in_the_end_all_end() {
        let (watch, telemetry) = watch();
        let connection = tokio::spawn(watch.over(Arc::new(Pulse::new(false)), pending()));
        watch.end_all();
        connection.await.unwrap();
        assert!(watch.watched().is_empty() && !cut(&telemetry));
    }
}
