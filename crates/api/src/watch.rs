//! One look at all connections of a listener, now and then: those that do nothing for too long end.
//!
//! A connection's pulse goes in; its end is all that comes out. Looking takes the lock that a connection takes at its beginning
//! and at its end, and a request never. What is looked at is never ended early, and at most a quarter of the shortest limit late.

use crate::{
    door::DoorMetrics,
    limits::Limits,
    pulse::{Pulse, Seen},
};
use futures::future::{AbortHandle, Abortable};
use slab::Slab;
use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

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
        let index = self.watched().insert(Watched { pulse, seen: Seen::default(), end });
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
        let mut looks = interval((shortest / 4).clamp(LOOK_MIN, LOOK_MAX));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = looks.tick().await.into_std();
            self.look(now);
        }
    }

    fn look(&self, now: Instant) {
        for (_, Watched { pulse, seen, end }) in &mut *self.watched() {
            if let Some(overdue) = seen.look(pulse, &self.limits, now)
                && !end.is_aborted()
            {
                tracing::debug!(?overdue, "a connection was ended for what its client did not do in time");
                self.metrics.cut(overdue);
                end.abort();
            }
        }
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
