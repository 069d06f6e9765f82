//! The tasks that keep a server current: what is published, and what is promised.

use crate::{
    nights::follow_runs,
    options::{Options, ServedStore},
    serving::Serving,
    snapshot::Snapshot,
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

/// How often the schedule is asked what it promises.
const PROMISE_PERIOD: Duration = Duration::from_millis(500);

/// Why what is published could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was read breaks an invariant; the panic's own message is in the log.
    #[error("could not build a snapshot of what is published: this is a defect")]
    Build(#[source] JoinError),
}

/// Loads what is published now. A store without tables publishes nothing, which is no error.
///
/// # Errors
/// [`LoadError`] when the store cannot be read.
pub async fn load(store: &Store, options: &Options) -> Result<Snapshot, LoadError> {
    let published = store.published(options.history_days_kept.max(STATS_DAYS)).await?;
    let models = options.models.clone();
    let build = move || Snapshot::build(published, &models, Timestamp::now());
    tokio::task::spawn_blocking(build).await.map_err(LoadError::Build)
}

/// Replaces the snapshot whenever a publication moves, and notes how the nights go, until the task is dropped.
pub(crate) async fn follow_publications(serving: Arc<Serving>, store: ServedStore) {
    let mut pause = Pause::new();
    let store = loop {
        match store.open().await {
            Ok(store) => break store,
            Err(error) => pause.after(&serving, &error, "could not open the store").await,
        }
    };
    serving.opened(store.description());
    tokio::join!(follow(&serving, &store, pause), follow_runs(&serving, &store));
}

async fn follow(serving: &Serving, store: &Store, mut pause: Pause) {
    let mut watch = store.watch(serving.options.poll);
    loop {
        match load(store, &serving.options).await {
            Ok(snapshot) => {
                let (version, newest_day) = (snapshot.version(), snapshot.newest_day());
                tracing::info!(version, ?newest_day, "snapshot loaded");
                serving.replace(snapshot);
                pause = Pause::new();
                watch.seen(version);
                watch.changed().await;
            }
            Err(error) => pause.after(serving, &error, "could not load what is published").await,
        }
    }
}

/// The pause after a failure; each further one doubles it.
struct Pause(Duration);

impl Pause {
    fn new() -> Self {
        Self(RETRY_MIN)
    }

    async fn after(&mut self, serving: &Serving, error: &(dyn Error + Sync), what: &str) {
        let error = chain(error);
        tracing::error!(error, retry_ms = self.0.as_millis(), "{what}");
        serving.load_failed(error);
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(RETRY_MAX);
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
