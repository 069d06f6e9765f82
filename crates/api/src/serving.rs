//! What requests and background tasks share: the snapshot in service, the promise in force.
//!
//! Readers take both without waiting; the tasks of [`crate::refresh`] replace them.

use crate::{
    options::{Options, Promise},
    problem::Problem,
    snapshot::Snapshot,
    telemetry::Telemetry,
    wire::{Health, Readiness, ReadinessStatus, RunsSeen},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long an answer may be kept when the promised day is late and may come at any moment.
const LATE_MAX_AGE: Duration = Duration::from_secs(60);

/// The promise at a moment.
pub(crate) type Schedule = Box<dyn Fn(Timestamp) -> Promise + Send + Sync>;

/// The state of one server.
pub(crate) struct Serving {
    pub(crate) options: Options,
    pub(crate) telemetry: Telemetry,
    store_description: OnceLock<String>,
    schedule: Schedule,
    promise: ArcSwap<Promise>,
    snapshot: ArcSwapOption<Snapshot>,
    last_load_error: ArcSwapOption<String>,
    runs: ArcSwapOption<RunsSeen>,
    is_ending: AtomicBool,
}

/// What one request answers from, start to end.
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) promise: Promise,
}

impl Serving {
    pub(crate) fn new(options: Options, schedule: Schedule) -> Self {
        let promise = ArcSwap::from_pointee(schedule(Timestamp::now()));
        Self {
            options,
            telemetry: Telemetry::new(),
            store_description: OnceLock::new(),
            schedule,
            promise,
            snapshot: ArcSwapOption::empty(),
            last_load_error: ArcSwapOption::empty(),
            runs: ArcSwapOption::empty(),
            is_ending: AtomicBool::new(false),
        }
    }

    /// What is served now.
    pub(crate) fn view(&self) -> Result<View, Problem> {
        let snapshot = self.snapshot.load_full().ok_or(Problem::SnapshotUnavailable)?;
        Ok(View { snapshot, promise: **self.promise.load() })
    }

    /// Notes that the store is open, and how it is called.
    pub(crate) fn opened(&self, store_description: &str) {
        self.store_description.get_or_init(|| store_description.to_owned());
    }

    /// What the store is called; none before it could be opened.
    pub(crate) fn store_description(&self) -> Option<&str> {
        self.store_description.get().map(String::as_str)
    }

    /// Serves `snapshot` from now on.
    pub(crate) fn replace(&self, snapshot: Snapshot) {
        self.telemetry.loaded(&snapshot);
        self.snapshot.store(Some(Arc::new(snapshot)));
        self.last_load_error.store(None);
        self.tell_stale();
    }

    /// Notes why loading failed; what was served is served on.
    pub(crate) fn load_failed(&self, error: String) {
        self.telemetry.load_failed();
        self.last_load_error.store(Some(Arc::new(error)));
    }

    /// Asks the schedule what it promises by now.
    pub(crate) fn renew_promise(&self) {
        let promise = (self.schedule)(Timestamp::now());
        if **self.promise.load() != promise {
            self.promise.store(Arc::new(promise));
            self.tell_stale();
        }
        self.telemetry.next_run_at(self.next_night_at());
    }

    /// Notes what the ledger of runs tells.
    pub(crate) fn runs_are(&self, runs: RunsSeen) {
        self.telemetry.runs(&runs);
        self.runs.store(Some(Arc::new(runs)));
    }

    /// When the next night begins. One that has begun may still publish, and is promised until it is late.
    fn next_night_at(&self) -> Timestamp {
        self.promise.load().next_night_at
    }

    pub(crate) fn health(&self) -> Health {
        Health {
            readiness: self.readiness(),
            next_run_at: self.next_night_at(),
            runs: self.runs.load().as_deref().cloned(),
        }
    }

    /// Says from now on that this server is not ready, because it ends.
    pub(crate) fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let view = self.view().ok();
        let snapshot = view.as_ref().map(|view| &view.snapshot);
        Readiness {
            status: self.readiness_status(snapshot),
            newest_day: snapshot.and_then(|snapshot| snapshot.newest_day()),
            snapshot_version: snapshot.map(|snapshot| snapshot.version()),
            loaded_at: snapshot.map(|snapshot| snapshot.loaded_at()),
            advertisers: snapshot.map_or(0, |snapshot| snapshot.active_advertiser_count()),
            stale: view.as_ref().is_none_or(View::is_stale),
            last_load_error: self.last_load_error.load().as_deref().cloned(),
        }
    }

    fn readiness_status(&self, snapshot: Option<&Arc<Snapshot>>) -> ReadinessStatus {
        if self.is_ending.load(Ordering::Relaxed) {
            return ReadinessStatus::ShuttingDown;
        }
        match snapshot.map(|snapshot| snapshot.newest_day()) {
            None => ReadinessStatus::SnapshotUnavailable,
            Some(None) => ReadinessStatus::NoPublicationYet,
            Some(Some(_)) => ReadinessStatus::Ready,
        }
    }

    fn tell_stale(&self) {
        self.telemetry.stale(self.view().ok().is_none_or(|view| view.is_stale()));
    }
}

impl View {
    pub(crate) fn is_stale(&self) -> bool {
        self.snapshot.is_stale(self.promise.newest_day)
    }

    /// How long an answer may be kept: until the next run begins; shortly, when the promised day is
    /// late and may be published at any moment, or when something newer is held and may be accepted.
    pub(crate) fn max_age(&self, now: Timestamp, is_held: bool) -> Duration {
        let until_next_run = self.promise.next_run_at.duration_since(now);
        let until_next_run = Duration::try_from(until_next_run).unwrap_or(Duration::ZERO);
        if self.is_stale() || is_held { until_next_run.min(LATE_MAX_AGE) } else { until_next_run }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Published, PublishedDay};

    fn serving() -> Serving {
        let day = "2024-11-20".parse().unwrap();
        Serving::new(
            Options::new("127.0.0.1:0", Vec::new()),
            Box::new(move |now| Promise { newest_day: day, next_run_at: now, next_night_at: now }),
        )
    }

    fn snapshot(version: i64) -> Snapshot {
        let day = "2024-11-20".parse().unwrap();
        let days = vec![PublishedDay { day, advertisers: Vec::new(), models: Vec::new() }];
        Snapshot::build(Published { version, days, ..Published::default() }, &[], Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_load_that_fails_leaves_what_is_served_and_is_told_until_one_succeeds() {
        let serving = serving();
        let told = |serving: &Serving| {
            let Readiness { status, snapshot_version, last_load_error, .. } = serving.readiness();
            (status, snapshot_version, last_load_error)
        };
        serving.load_failed("no route to host".to_owned());
        let error = Some("no route to host".to_owned());
        assert_eq!(told(&serving), (ReadinessStatus::SnapshotUnavailable, None, error.clone()));
        serving.replace(snapshot(1));
        assert_eq!(told(&serving), (ReadinessStatus::Ready, Some(1), None));
        serving.load_failed("no route to host".to_owned());
        assert_eq!(told(&serving), (ReadinessStatus::Ready, Some(1), error));
        serving.replace(snapshot(2));
        assert_eq!(told(&serving), (ReadinessStatus::Ready, Some(2), None));
    }
}
