//! Retention: what is older than it need be kept leaves the store and the lake.
//!
//! Which days go is found by counting those that readers see, newest first, and not by a clock: nights that are late
//! or missing delete nothing, and a mistyped day of the future counts as one. What readers see last of an advertiser
//! stays, and so does the ledger.

use super::{Night, ledger::is_dead};
use crate::{
    failure::Failure,
    traces::{self, span},
};
use domain::Day;
use jiff::civil::Date;
use serde::Serialize;
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};
use store::Store;
use tracing::{info, warn};

/// How old what lies in the lake must be to be deleted after a run: stages that are run one by one are not in the
/// ledger until the last, and may be at work on it.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// What was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Trimmed {
    /// The first day that is kept; none when all are.
    pub first_kept_day: Option<Day>,
    /// Days of which something was deleted, oldest first.
    pub days: BTreeSet<Day>,
    /// Rows of the store.
    pub rows: u64,
    /// Objects of the lake.
    pub objects: usize,
}

/// Deletes what is older than `retention.keep_days`. Days that a run is working on stay.
///
/// # Errors
/// When the store or the lake fails; what is left is deleted the next time.
pub async fn trim(night: &Night) -> Result<Trimmed, Failure> {
    let store = night.existing_store().await?.with_patience(night.patience());
    trim_but(night, &store, &[], SystemTime::now()).await
}

/// The same after a run of `days`, which are kept however old they are: they were asked for. That it failed is no
/// failure of the run.
pub(super) async fn trim_after(night: &Night, store: &Store, days: &[Day]) {
    let trimmed = trim_but(night, store, days, SystemTime::now() - FRESH);
    if let Err(failure) = traces::inside(span!("trim",), trimmed).await {
        warn!(
            error = failure.chain(),
            "could not delete what is older than retention.keep_days, the next run tries again"
        );
    }
}

async fn trim_but(
    night: &Night,
    store: &Store,
    kept: &[Day],
    written_before: SystemTime,
) -> Result<Trimmed, Failure> {
    let Some(first_kept_day) = first_kept_day(night, store).await? else { return Ok(Trimmed::default()) };
    let mut trimmed = Trimmed { first_kept_day: Some(first_kept_day), ..Trimmed::default() };
    for day in store.days_to_trim(first_kept_day).await? {
        if !kept.contains(&day) && !is_worked_on(store, day).await? {
            trimmed.note(day, store.trim_day(day, night.clock.now()).await?, 0);
        }
    }
    let lake = night.lake()?;
    for day in lake.days().await? {
        if day < first_kept_day && !kept.contains(&day) && !is_worked_on(store, day).await? {
            trimmed.note(day, 0, lake.remove_day(day, written_before).await?);
        }
    }
    if let (Some(first), Some(last)) = (trimmed.days.first(), trimmed.days.last()) {
        let (days, rows, objects) = (trimmed.days.len(), trimmed.rows, trimmed.objects);
        info!(%first, %last, days, rows, objects, "deleted what is older than retention.keep_days");
    }
    Ok(trimmed)
}

/// Whether a run of the day is under way: asked of each day anew, as deleting takes its time.
async fn is_worked_on(store: &Store, day: Day) -> Result<bool, Failure> {
    let under_way = store.under_way().await?;
    Ok(under_way.iter().any(|under_way| under_way.run.day == day && !is_dead(under_way)))
}

/// The oldest of the newest days that readers see, so many as are kept; none when there are fewer.
async fn first_kept_day(night: &Night, store: &Store) -> Result<Option<Day>, Failure> {
    let keep_days = night.config.retention.keep_days as usize;
    let newest = store.days_before(Day::from_date(Date::MAX), keep_days).await?;
    Ok(newest.last().copied().filter(|_| newest.len() == keep_days))
}

impl Trimmed {
    fn note(&mut self, day: Day, rows: u64, objects: usize) {
        if rows > 0 || objects > 0 {
            self.days.insert(day);
            self.rows += rows;
            self.objects += objects;
        }
    }
}
