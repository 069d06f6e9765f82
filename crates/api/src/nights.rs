//! How the nights go, as the ledger of runs tells, and whether what is served is current: for those who watch the
//! server, never for an answer to readers.

use crate::{
    serving::Serving,
    wire::{RunSeen, RunsSeen},
};
use jiff::Timestamp;
use std::time::Duration;
use store::{LastRuns, RunRecord, Store, StoreError};

/// Who has not answered by then does not.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// Looks at the ledger as often as publications are asked for, until the task is dropped.
pub(crate) async fn follow_runs(serving: &Serving, store: &Store) {
    let mut is_in_trouble = false;
    loop {
        let seen = tokio::time::timeout(LOOK_TIME_MAX, look(serving, store)).await;
        match seen
            .map_err(|_| "the database gives no answer".to_owned())
            .and_then(|seen| seen.map_err(|error| crate::refresh::chain(&error)))
        {
            Ok((version, runs)) => {
                serving.confirm(version);
                serving.runs_are(runs);
                is_in_trouble = false;
            }
            Err(error) => {
                if !is_in_trouble {
                    tracing::warn!(error, "cannot read how the nights go");
                }
                serving.confirm_failed(error);
                is_in_trouble = true;
            }
        }
        tokio::time::sleep(serving.options.poll).await;
    }
}

/// The version of what is published, and how the nights go.
async fn look(serving: &Serving, store: &Store) -> Result<(i64, RunsSeen), StoreError> {
    let version = store.publication_version().await?;
    let mut under_way: Vec<_> =
        store.under_way().await?.iter().map(|under_way| seen(&under_way.run)).collect();
    let LastRuns { ended, succeeded } = store.last_runs().await?;
    // One that has ended between the two questions is not under way any more.
    under_way.retain(|run| ended.as_ref().is_none_or(|ended| ended.run_id != run.run_id));
    if let Some(ended) = ended.as_ref().filter(|ended| serving.last_run().as_ref() != Some(&ended.run_id)) {
        // Only here it comes with its report, which never changes.
        if let Some(run) = store.run(&ended.run_id).await? {
            serving.telemetry.last_run(&run);
        }
    }
    let runs = RunsSeen {
        seen_at: Timestamp::now(),
        under_way,
        last: ended.as_ref().map(seen),
        last_succeeded: succeeded.as_ref().map(seen),
    };
    Ok((version, runs))
}

fn seen(run: &RunRecord) -> RunSeen {
    RunSeen {
        run_id: run.run_id.clone(),
        day: run.day,
        status: run.status.name().to_owned(),
        started_by: run.started_by.clone(),
        started_at: run.started_at,
        ended_at: run.ended_at,
    }
}
