//! The built-in scheduler: fires every night, one run at a time.

use crate::pipeline::{self, Night, RunReport, StartedBy};
use futures::FutureExt;
use std::{panic::AssertUnwindSafe, time::Duration};
use tracing::{error, info, warn};

/// The longest sleep: a clock that is set meanwhile is noticed so soon.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Runs the day just ended whenever the schedule fires, for ever. A run that failed is in the log and
/// in the ledger; the next night is tried all the same.
pub(crate) async fn run_nightly(night: Night) {
    loop {
        let next_run_at = night.schedule.next_run_at(night.clock.now());
        info!(%next_run_at, "waiting for the night");
        while night.clock.now() < next_run_at {
            let left = Duration::try_from(night.clock.now().duration_until(next_run_at)).unwrap_or_default();
            tokio::time::sleep(left.min(SLEEP_MAX)).await;
        }
        let day = night.schedule.ended_day(next_run_at);
        // A defect in one night must not end all nights while the server goes on serving.
        let run = AssertUnwindSafe(pipeline::run(&night, &[day], StartedBy::Schedule)).catch_unwind().await;
        let Ok(ended) = run else {
            error!(%day, "the night panicked: this is a defect, its message is on stderr");
            continue;
        };
        match ended.and_then(|outcomes| {
            outcomes.into_iter().map(|outcome| outcome.ended).collect::<Result<Vec<_>, _>>()
        }) {
            Err(failure) => error!(%day, error = failure.chain(), "the night failed"),
            Ok(reports) => {
                for finding in reports.iter().flat_map(RunReport::findings) {
                    let (check, advertiser) =
                        (finding.check, finding.advertiser_id.as_ref().map(ToString::to_string));
                    warn!(%day, check, advertiser, severity = ?finding.severity, message = finding.message, "a check found something");
                }
            }
        }
    }
}
