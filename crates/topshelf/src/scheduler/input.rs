//! Whether a night waits for its input, and for how long.

use crate::{
    failure::Failure,
    pipeline::{self, Night},
    schedule::DueNight,
};
use domain::Day;
use jiff::{SignedDuration, Timestamp};
use store::{Outcome, RunStatus};
use tracing::{info, warn};

/// The pause between two looks for the input.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// Where a night's input is.
pub(super) enum Arrival {
    /// It is there, or is not waited for.
    Arrived,
    /// It is not there yet.
    Awaited { look_at: Timestamp },
    /// It is not, and there is no more time.
    TooLate(Failure),
}

/// Whether a night's input has arrived, if the configuration says that it is waited for.
pub(super) async fn arrival(night: &Night, due: DueNight, now: Timestamp) -> Arrival {
    let schedule = &night.config.schedule;
    if !schedule.wait_for_input {
        return Arrival::Arrived;
    }
    let failure = match pipeline::is_there(night, due.day).await {
        Ok(()) => return Arrival::Arrived,
        Err(failure) => failure,
    };
    // What waiting does not mend the night itself says.
    if failure.days().is_none() && !failure.is_transient() {
        return Arrival::Arrived;
    }
    let patience = SignedDuration::from_mins(i64::from(schedule.input_deadline_minutes));
    let deadline = due.due_at + patience;
    if now >= deadline {
        let message = format!("the input of {} was not there by {deadline}", due.day);
        return Arrival::TooLate(failure.within(message));
    }
    info!(day = %due.day, %deadline, why = failure.chain(), "waiting for the input");
    Arrival::Awaited { look_at: deadline.min(now + LOOK_EVERY) }
}

/// The days before `day` to look for late input of: those that were run before, and whose input is there.
pub(super) async fn days_to_refresh(night: &Night, day: Day) -> Result<Vec<Day>, Failure> {
    let mut days = Vec::new();
    let mut before = day;
    let store = night.store().await?;
    for _ in 0..night.config.schedule.refresh_days {
        before = before.yesterday();
        let runs = store.runs(super::RUNS_OF_DAY, Some(before)).await?;
        let is_done =
            |status: &RunStatus| matches!(status, RunStatus::Ended(Outcome::Succeeded | Outcome::Held));
        if !runs.iter().any(|run| is_done(&run.status)) {
            continue;
        }
        match pipeline::find_input(night, before).await {
            Ok(()) => days.push(before),
            Err(failure) => {
                warn!(day = %before, error = failure.chain(), "nothing can be added to the day");
            }
        }
    }
    Ok(days)
}
