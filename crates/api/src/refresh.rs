//! The tasks that keep a server current: what is published, and what is promised.

use crate::{options::Options, serving::Serving, snapshot::Snapshot};
use jiff::Timestamp;
use std::{error::Error, sync::Arc, time::Duration};
use store::Store;

/// Days needed whatever is kept for readers: `/stats` means over a week.
const STATS_DAYS: usize = 7;

/// The first and the longest pause after a load that failed; each failure doubles it.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How often the schedule is asked what it promises.
const PROMISE_PERIOD: Duration = Duration::from_millis(500);

/// Loads what is published now.
///
/// # Errors
/// The store's error when it cannot be read. A store without tables publishes nothing, which is no error.
pub async fn load(store: &Store, options: &Options) -> Result<Snapshot, store::StoreError> {
    let published = store.published(options.history_days_kept.max(STATS_DAYS)).await?;
    let models = options.models.clone();
    let build = move || Snapshot::build(published, &models, Timestamp::now());
    let built = tokio::task::spawn_blocking(build).await;
    Ok(built.expect("building a snapshot neither panics nor is cancelled"))
}

/// Replaces the snapshot whenever a publication moves, until the task is dropped.
pub(crate) async fn follow_publications(serving: Arc<Serving>, store: Store) {
    let mut watch = store.watch(serving.options.poll);
    let mut retry = RETRY_MIN;
    loop {
        match load(&store, &serving.options).await {
            Ok(snapshot) => {
                retry = RETRY_MIN;
                tracing::info!(version = snapshot.version(), newest_day = ?snapshot.newest_day(), "snapshot loaded");
                serving.replace(snapshot);
                watch.changed().await;
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, retry_ms = retry.as_millis(), "could not load what is published");
                serving.load_failed(error);
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
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

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
