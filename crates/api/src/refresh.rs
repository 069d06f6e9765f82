//! The tasks that keep a server current: what is published, and what is promised.

use crate::{
    disk::{Disk, Keeper},
    follow_keys::{follow_keys, read_kept_keys},
    nights::follow_runs,
    options::{Options, ServedStore},
    serving::{Serving, View},
    snapshot::{Refusal, Snapshot},
};
use jiff::Timestamp;
use std::{error::Error, sync::Arc, time::Duration};
use store::{Store, StoreError};
use tokio::task::JoinError;

/// Days needed whatever is kept for readers: `/stats` means over a week.
const STATS_DAYS: usize = 7;

/// The first and the longest pause after a failure.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// After the first failures, every so many are told.
const TELL_EVERY: u32 = 30;

/// How long the database may take to tell what is published, before what was kept on disk is served.
const DATABASE_TIME: Duration = Duration::from_secs(3);

/// How long what was kept on disk may take to be read.
pub(crate) const DISK_TIME: Duration = Duration::from_secs(20);

/// How often the schedule is asked what it promises.
const PROMISE_PERIOD: Duration = Duration::from_millis(500);

/// Why what is published could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store could not be read, or holds what cannot be served.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was read cannot be what was meant to be published.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was read breaks an invariant; the panic's own message is in the log.
    #[error("could not build a snapshot of what is published: this is a defect")]
    Build(#[source] JoinError),
}

impl LoadError {
    /// Whether what is published is at fault, not the way to it.
    fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::Store(StoreError::Invalid { .. } | StoreError::Corrupt { .. })
        )
    }
}

/// Loads what is published now. A store without tables publishes nothing, which is no error.
///
/// # Errors
/// [`LoadError`] when the store cannot be read, or a day cannot be served.
pub async fn load(store: &Store, options: &Options) -> Result<Snapshot, LoadError> {
    let snapshot = load_after(store, options, None).await?;
    match snapshot.refused().first() {
        Some(refusal) => Err(refusal.clone().into()),
        None => Ok(snapshot),
    }
}

/// Loads what is published now, when it may take the place of `last`; days that `last` has are taken from there.
async fn load_after(
    store: &Store,
    options: &Options,
    last: Option<Arc<Snapshot>>,
) -> Result<Snapshot, LoadError> {
    let known = last.as_ref().map_or_else(Vec::new, |last| last.stamps());
    let published = store.published(options.history_days_kept.max(STATS_DAYS), &known).await?;
    let models = options.models.clone();
    let build = move || {
        let snapshot = Snapshot::build(published, last.as_deref(), &models, Timestamp::now())?;
        match last {
            Some(last) => snapshot.accepted_after(&last),
            None => Ok(snapshot),
        }
    };
    Ok(tokio::task::spawn_blocking(build).await.map_err(LoadError::Build)??)
}

/// Replaces the snapshot whenever a publication moves, keeps it on disk, and notes how the nights go, until the task is
/// dropped.
pub(crate) async fn follow_publications(serving: Arc<Serving>, store: ServedStore) {
    let disk = Disk::of(&serving.options);
    let keeper = Keeper::start(disk.clone(), serving.clone());
    let follow = async {
        let mut pause = Pause::new();
        // What is on the disk need not be read from the database.
        let kept = async {
            // The keys are few, and a snapshot is not served without them.
            read_kept_keys(&serving, disk.as_ref(), &store).await;
            read_kept(&serving, disk.as_ref(), &store).await;
        };
        let ((), store) = tokio::join!(kept, open(&serving, &store, &mut pause));
        serving.opened(store.description());
        tokio::join!(
            follow(&serving, &store, &keeper, pause),
            follow_runs(&serving, &store),
            follow_keys(&serving, &store, disk.as_ref())
        );
    };
    let serve_kept = async {
        tokio::time::sleep(DATABASE_TIME).await;
        serving.serve_kept();
    };
    tokio::join!(follow, serve_kept);
}

/// Reads what was kept on disk, for a start without the database.
async fn read_kept(serving: &Serving, disk: Option<&Disk>, store: &ServedStore) {
    let (Some(disk), Some(database)) = (disk, store.describe()) else { return };
    match tokio::time::timeout(DISK_TIME, disk.read(&database, &serving.options.models)).await {
        Ok(kept) => serving.keep_at_hand(kept.map(Arc::new)),
        Err(_) => tracing::warn!("what was kept on disk takes long to read, and is ignored"),
    }
}

async fn open(serving: &Serving, store: &ServedStore, pause: &mut Pause) -> Store {
    loop {
        match store.open().await {
            Ok(store) => return store,
            Err(error) => {
                serving.serve_kept();
                pause.after(serving, &error.into(), "could not open the store").await;
            }
        }
    }
}

async fn follow(serving: &Serving, store: &Store, keeper: &Keeper, mut pause: Pause) {
    let mut watch = store.watch(serving.options.poll);
    loop {
        match load_after(store, &serving.options, serving.last()).await {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                let (version, newest_day) = (snapshot.version(), snapshot.newest_day());
                tracing::info!(version, ?newest_day, "snapshot loaded");
                for refusal in snapshot.refused() {
                    tracing::error!(error = %refusal, "a day is left out, or served as it was before");
                }
                let replaced = serving.replace(snapshot.clone());
                tokio::spawn(let_go(replaced));
                keeper.keep(snapshot, store.description());
                prepare(serving).await;
                pause = Pause::new();
                watch.seen(version);
                watch.changed().await;
            }
            Err(error) => {
                serving.serve_kept();
                pause.after(serving, &error, "could not load what is published").await;
            }
        }
    }
}

/// Gives back the memory of what was served, once no request reads it: none shall wait for that.
async fn let_go(replaced: Option<Arc<View>>) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _ = tokio::task::spawn_blocking(move || drop(replaced)).await; // nothing waits for it
}

/// Writes the answers that are asked most ahead, if there is room for them, and computes the statistics.
async fn prepare(serving: &Serving) {
    let Ok(view) = serving.view() else { return };
    let prepare = move || {
        view.prepared.fill(&view.snapshot);
        view.snapshot.statistics();
    };
    if let Err(error) = tokio::task::spawn_blocking(prepare).await {
        tracing::error!(%error, "could not prepare answers: this is a defect");
    }
}

/// The pause after a failure; each further one doubles it.
struct Pause {
    next: Duration,
    failures: u32,
}

impl Pause {
    fn new() -> Self {
        Self { next: RETRY_MIN, failures: 0 }
    }

    async fn after(&mut self, serving: &Serving, error: &LoadError, what: &str) {
        let what = if error.is_refusal() { "what is published is refused" } else { what };
        let told = chain(error);
        if self.failures < 3 || self.failures.is_multiple_of(TELL_EVERY) {
            tracing::error!(error = told, failures = self.failures + 1, "{what}; trying again");
        }
        if error.is_refusal() {
            serving.load_refused(told)
        } else {
            serving.load_failed(told)
        }
        tokio::time::sleep(self.next).await;
        self.failures += 1;
        // What is refused stays so until somebody acts; what failed is asked for as often as what is published.
        let longest =
            if error.is_refusal() { RETRY_MAX } else { serving.options.poll.clamp(RETRY_MIN, RETRY_MAX) };
        self.next = (self.next * 2).min(longest);
    }
}

/// Keeps the promise and the metrics current, until the task is dropped.
pub(crate) async fn follow_schedule(serving: Arc<Serving>) {
    let mut tick = tokio::time::interval(PROMISE_PERIOD);
    loop {
        tick.tick().await;
        serving.renew_promise();
        serving.telemetry.fold();
    }
}

/// An error with its causes, in one line; a cause that the one before it has told is not told again.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}
