//! How the nights go, as the ledger of runs tells: for those who watch the server, never for an answer to readers.

use crate::{
    serving::Serving,
    wire::{RunSeen, RunsSeen},
};
use jiff::Timestamp;
use store::{LastRuns, RunRecord, Store, StoreError};

/// Looks at the ledger as often as publications are asked for, until the task is dropped.
pub(crate) async fn follow_runs(serving: &Serving, store: &Store) {
    let mut is_in_trouble = false;
    loop {
        match look(store).await {
            Ok(runs) => {
                serving.runs_are(runs);
                is_in_trouble = false;
            }
            Err(error) => {
                if !is_in_trouble {
                    tracing::warn!(error = crate::refresh::chain(&error), "cannot read how the nights go");
                }
                is_in_trouble = true;
            }
        }
        tokio::time::sleep(serving.options.poll).await;
    }
}

async fn look(store: &Store) -> Result<RunsSeen, StoreError> {
    let under_way = store.under_way().await?.iter().map(|under_way| seen(&under_way.run)).collect();
    let LastRuns { ended, succeeded } = store.last_runs().await?;
    Ok(RunsSeen {
        seen_at: Timestamp::now(),
        under_way,
        last: ended.as_ref().map(seen),
        last_succeeded: succeeded.as_ref().map(seen),
    })
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
