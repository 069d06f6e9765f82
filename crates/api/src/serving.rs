//! What requests and background tasks share: the snapshot in service, the promise in force.
//!
//! Readers take both at once, without waiting; the tasks of [`crate::refresh`] replace them.

use crate::{
    access::{Access, Keyring},
    access_log::AccessLog,
    answer::{Found, FoundHistory},
    limits::Rates,
    options::{Options, Promise},
    prepared::Prepared,
    problem::Problem,
    room::Room,
    snapshot::Snapshot,
    telemetry::Telemetry,
    wire::{Health, Readiness, ReadinessStatus, RunsSeen, SnapshotSource},
};
use arc_swap::{ArcSwapOption, Guard};
use axum::http::HeaderValue;
use domain::{Day, RunId};
use jiff::Timestamp;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::KeyScope;

/// How long an answer may be kept when the promised day is late and may come at any moment.
const LATE_MAX_AGE: Duration = Duration::from_secs(60);

/// The promise at a moment.
pub(crate) type Schedule = Box<dyn Fn(Timestamp) -> Promise + Send + Sync>;

/// The state of one server.
pub(crate) struct Serving {
    pub(crate) options: Options,
    pub(crate) telemetry: Telemetry,
    pub(crate) access: Access,
    /// None without a limit.
    pub(crate) rates: Option<Rates>,
    pub(crate) room: Arc<Room>,
    pub(crate) access_log: AccessLog,
    store_description: OnceLock<String>,
    schedule: Schedule,
    state: Mutex<State>,
    /// What follows from `state`, for readers.
    view: ArcSwapOption<View>,
    load_error: ArcSwapOption<String>,
    /// Why the database cannot be asked whether what is served is current.
    confirm_error: ArcSwapOption<String>,
    runs: ArcSwapOption<RunsSeen>,
    is_ending: AtomicBool,
}

/// What the background tasks know.
struct State {
    promise: Promise,
    snapshot: Option<Arc<Snapshot>>,
    source: SnapshotSource,
    confirmed_at: Option<Timestamp>,
    /// What was kept on disk, until something is served.
    kept: Option<Arc<Snapshot>>,
}

/// What one request answers from, start to end.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Whether a newer day should be served.
    pub(crate) is_stale: bool,
    /// The answers asked most.
    pub(crate) prepared: Arc<Prepared>,
    /// Of answers that stay until the next run, and of those that may change at any moment.
    keeping: [Keeping; 2],
}

/// Who may keep an answer and for how long, and which headers of a request it depends on.
#[derive(Debug, Clone)]
pub(crate) struct Keeping {
    pub(crate) cache_control: HeaderValue,
    pub(crate) vary: HeaderValue,
}

impl Serving {
    pub(crate) fn new(options: Options, asks_for_keys: bool, schedule: Schedule) -> Self {
        let promise = schedule(Timestamp::now());
        let source = SnapshotSource::Database;
        let telemetry = Telemetry::new(options.dropped_lines.clone());
        if asks_for_keys {
            telemetry.keys_confirmed(Timestamp::UNIX_EPOCH);
        }
        let state = State { promise, snapshot: None, source, confirmed_at: None, kept: None };
        Self {
            rates: Rates::new(&options.limits),
            room: Room::new(options.limits.bodies_bytes_max),
            telemetry,
            access_log: AccessLog::of(options.access_log),
            options,
            access: Access::new(asks_for_keys),
            store_description: OnceLock::new(),
            schedule,
            state: Mutex::new(state),
            view: ArcSwapOption::empty(),
            load_error: ArcSwapOption::empty(),
            confirm_error: ArcSwapOption::empty(),
            runs: ArcSwapOption::empty(),
            is_ending: AtomicBool::new(false),
        }
    }

    /// What is served now.
    pub(crate) fn view(&self) -> Result<Arc<View>, Problem> {
        self.view.load_full().ok_or(Problem::SnapshotUnavailable)
    }

    /// The same, for as long as it takes to write an answer.
    pub(crate) fn glance(&self) -> Guard<Option<Arc<View>>> {
        self.view.load()
    }

    /// Notes that the store is open, and how it is called.
    pub(crate) fn opened(&self, store_description: &str) {
        self.store_description.get_or_init(|| store_description.to_owned());
    }

    /// What the store is called; none before it could be opened.
    pub(crate) fn store_description(&self) -> Option<&str> {
        self.store_description.get().map(String::as_str)
    }

    /// Serves `snapshot`, read from the database, from now on. Returns what was served before.
    pub(crate) fn replace(&self, snapshot: Arc<Snapshot>) -> Option<Arc<View>> {
        self.telemetry.loaded(&snapshot);
        let refused = snapshot.refused().first().map(|refusal| Arc::new(refusal.to_string()));
        self.load_error.store(refused);
        self.confirm_error.store(None);
        let now = now();
        let replaced = self.change(|state| {
            state.snapshot = Some(snapshot);
            state.source = SnapshotSource::Database;
            state.confirmed_at = Some(now);
            state.kept = None;
        });
        self.telemetry.confirmed(now);
        replaced
    }

    /// The snapshot that is served, or that could be.
    pub(crate) fn last(&self) -> Option<Arc<Snapshot>> {
        let state = self.state();
        state.snapshot.clone().or_else(|| state.kept.clone())
    }

    /// Notes what was kept on disk, in case that the database does not tell what is published.
    pub(crate) fn keep_at_hand(&self, kept: Option<Arc<Snapshot>>) {
        self.state().kept = kept;
    }

    /// Serves what was kept on disk, if there is such, unless something is served already.
    pub(crate) fn serve_kept(&self) {
        let mut served = None;
        self.change(|state| {
            if state.snapshot.is_none()
                && let Some(kept) = state.kept.take()
            {
                served = Some(kept.clone());
                (state.snapshot, state.source) = (Some(kept), SnapshotSource::Disk);
            }
        });
        if let Some(kept) = served {
            let (version, newest_day, loaded_at) = (kept.version(), kept.newest_day(), kept.loaded_at());
            tracing::warn!(version, ?newest_day, %loaded_at, "serving what was kept on disk, until the database tells what is published");
            self.telemetry.serves_kept(&kept);
        }
    }

    /// Notes that `version` is still what the database publishes, if that is served.
    pub(crate) fn confirm(&self, version: i64) {
        self.confirm_error.store(None);
        let now = now();
        let mut state = self.state();
        if state.source == SnapshotSource::Database
            && state.snapshot.as_ref().is_some_and(|snapshot| snapshot.version() == version)
        {
            state.confirmed_at = Some(now);
            self.telemetry.confirmed(now);
        }
    }

    /// Notes why the database cannot be asked whether what is served is current.
    pub(crate) fn confirm_failed(&self, error: String) {
        self.confirm_error.store(Some(Arc::new(error)));
    }

    /// Notes why loading failed; what was served is served on.
    pub(crate) fn load_failed(&self, error: String) {
        self.telemetry.load_failed();
        self.load_error.store(Some(Arc::new(error)));
    }

    /// Notes why what is published was refused; what was served is served on.
    pub(crate) fn load_refused(&self, error: String) {
        self.telemetry.load_refused();
        self.load_error.store(Some(Arc::new(error)));
    }

    /// Knows these keys from now on, and no others.
    pub(crate) fn know_keys(&self, keyring: Keyring) {
        self.telemetry.keys(keyring.len());
        self.access.replace(keyring);
    }

    /// Asks the schedule what it promises by now, and for how long answers may be kept from now on.
    pub(crate) fn renew_promise(&self) {
        let promise = (self.schedule)(Timestamp::now());
        self.change(|state| state.promise = promise);
        self.telemetry.next_run_at(promise.next_night_at);
    }

    /// Notes what the ledger of runs tells.
    pub(crate) fn runs_are(&self, runs: RunsSeen) {
        self.telemetry.runs(&runs);
        self.runs.store(Some(Arc::new(runs)));
    }

    /// The run that ended last, as far as it is known.
    pub(crate) fn last_run(&self) -> Option<RunId> {
        self.runs.load().as_ref().and_then(|runs| runs.last.as_ref().map(|last| last.run_id.clone()))
    }

    pub(crate) fn health(&self) -> Health {
        let state = self.state();
        let next_run_at = state.promise.next_night_at;
        drop(state);
        Health { readiness: self.readiness(), next_run_at, runs: self.runs.load().as_deref().cloned() }
    }

    /// Says from now on that this server is not ready, because it ends.
    pub(crate) fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// Whether this server ends.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let state = self.state();
        let snapshot = state.snapshot.as_ref();
        let error = self.load_error.load();
        let error = error.as_deref().cloned().or_else(|| self.confirm_error.load().as_deref().cloned());
        Readiness {
            status: self.readiness_status(snapshot),
            newest_day: snapshot.and_then(|snapshot| snapshot.newest_day()),
            snapshot_version: snapshot.map(|snapshot| snapshot.version()),
            loaded_at: snapshot.map(|snapshot| snapshot.loaded_at()),
            advertisers: snapshot.map_or(0, |snapshot| snapshot.active_advertiser_count()),
            stale: snapshot.is_none_or(|snapshot| snapshot.is_stale(state.promise.newest_day)),
            source: snapshot.map(|_| state.source),
            confirmed_at: state.confirmed_at,
            last_load_error: error,
        }
    }

    fn readiness_status(&self, snapshot: Option<&Arc<Snapshot>>) -> ReadinessStatus {
        if self.is_ending() {
            return ReadinessStatus::ShuttingDown;
        }
        match snapshot.map(|snapshot| snapshot.newest_day()) {
            None => ReadinessStatus::SnapshotUnavailable,
            Some(None) => ReadinessStatus::NoPublicationYet,
            Some(Some(_)) => ReadinessStatus::Ready,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and with it what readers see. Returns what they saw before.
    fn change(&self, change: impl FnOnce(&mut State)) -> Option<Arc<View>> {
        let mut state = self.state();
        change(&mut state);
        let last = self.view.load();
        let (room, is_private) = (self.options.prepared_bytes_max, self.access.asks_for_keys());
        let view = state.snapshot.clone().map(|snapshot| {
            let keepings = keepings(state.promise, Timestamp::now(), is_private);
            View::new(snapshot, state.promise, keepings, last.as_deref(), room)
        });
        self.telemetry.stale(view.as_ref().is_none_or(|view| view.is_stale));
        self.view.swap(view.map(Arc::new))
    }
}

/// The moment, as exactly as people read it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

impl View {
    fn new(
        snapshot: Arc<Snapshot>,
        promise: Promise,
        keeping: [Keeping; 2],
        last: Option<&Self>,
        room: usize,
    ) -> Self {
        let is_stale = snapshot.is_stale(promise.newest_day);
        let is_same = |last: &&Self| Arc::ptr_eq(&last.snapshot, &snapshot) && last.is_stale == is_stale;
        let prepared = match last.filter(is_same) {
            Some(last) => last.prepared.clone(),
            None => Arc::new(Prepared::new(&snapshot, is_stale, room)),
        };
        Self { snapshot, is_stale, prepared, keeping }
    }

    /// How an answer may be kept.
    pub(crate) fn keeping(&self, is_held: bool) -> Keeping {
        self.keeping[usize::from(self.is_stale || is_held)].clone()
    }

    /// Finds what `model` recommends on `day`, or on the newest published day, of an advertiser that may not exist for
    /// the caller.
    ///
    /// # Errors
    /// A [`Problem`] that says why there is nothing.
    pub(crate) fn find(
        &self,
        scope: &KeyScope,
        advertiser: &str,
        model: &str,
        day: Option<Day>,
    ) -> Result<Found<'_>, Problem> {
        as_seen(scope, advertiser, |advertiser| self.snapshot.find(advertiser, model, day, self.is_stale))
    }

    /// The same of the last `days_max` published days, by all models or `model` alone.
    ///
    /// # Errors
    /// A [`Problem`] that says why there is nothing.
    pub(crate) fn find_history(
        &self,
        scope: &KeyScope,
        advertiser: &str,
        model: Option<&str>,
        days_max: usize,
    ) -> Result<FoundHistory<'_>, Problem> {
        as_seen(scope, advertiser, |advertiser| self.snapshot.find_history(advertiser, model, days_max))
    }
}

/// Nobody is called so: an id has at least one byte.
const NOBODY: &str = "";

/// Finds what there is of an advertiser, or what there is of nobody when it does not exist for the caller.
fn as_seen<F>(
    scope: &KeyScope,
    advertiser: &str,
    find: impl FnOnce(&str) -> Result<F, Problem>,
) -> Result<F, Problem> {
    if scope.covers(advertiser) {
        return find(advertiser);
    }
    match find(NOBODY) {
        Err(problem) => Err(problem.about(advertiser)),
        Ok(_) => Err(Problem::Internal),
    }
}

/// Answers may be kept until the next run begins; shortly, when the promised day is late and may be published at
/// any moment, or when something newer is held and may be accepted. What not all may see is kept by who asked alone.
fn keepings(promise: Promise, now: Timestamp, is_private: bool) -> [Keeping; 2] {
    let until_next_run = promise.next_run_at.duration_since(now);
    let until_next_run = Duration::try_from(until_next_run).unwrap_or(Duration::ZERO);
    let (by, vary) = match is_private {
        true => ("private", "accept-encoding, authorization, x-api-key"),
        false => ("public", "accept-encoding"),
    };
    [until_next_run, until_next_run.min(LATE_MAX_AGE)].map(|max_age| {
        let cache_control = bytes::Bytes::from(format!("{by}, max-age={}", max_age.as_secs()));
        let cache_control =
            HeaderValue::from_maybe_shared(cache_control).expect("the value is printable ASCII");
        Keeping { cache_control, vary: HeaderValue::from_static(vary) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{DayStamp, PackedDay, Published, PublishedDay};

    fn serving() -> Serving {
        let day = "2024-11-20".parse().unwrap();
        Serving::new(
            Options::new("127.0.0.1:0", Vec::new()),
            false,
            Box::new(move |now| Promise { newest_day: day, next_run_at: now, next_night_at: now }),
        )
    }

    fn snapshot(version: i64) -> Arc<Snapshot> {
        let day = "2024-11-20".parse().unwrap();
        let stamp = DayStamp {
            day,
            seq: version,
            run_id: "20241121T023000Z-3f9a1c2e".parse().unwrap(),
            published_at: Timestamp::UNIX_EPOCH,
            pins_digest: [0; 32],
        };
        let days = vec![PublishedDay::Read(PackedDay::pack(day, &[], &[], stamp).unwrap())];
        let published = Published { version, days, ..Published::default() };
        Arc::new(Snapshot::build(published, None, &[], Timestamp::UNIX_EPOCH).unwrap())
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
