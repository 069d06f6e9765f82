//! Whether a night's input is there.

use crate::{
    failure::{Exit, Failure},
    pipeline::{self, Night},
    schedule::DueNight,
};
use domain::Day;
use jiff::{SignedDuration, Timestamp};
use source::{Location, LogPattern};
use std::time::SystemTime;
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
    let failure = match is_there(night, due.day).await {
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

/// Fails, for the day, with what lacks of its input.
async fn is_there(night: &Night, day: Day) -> Result<(), Failure> {
    if night.config.schedule.input_marker.is_empty() {
        return pipeline::find_new_input(night, day).await;
    }
    find_marker(night, &night.input()?, day).await.map(drop)
}

/// The name of the day's marker, which was written for it.
///
/// # Errors
/// When it is not there, or is of a day before.
pub(crate) async fn find_marker(night: &Night, location: &Location, day: Day) -> Result<String, Failure> {
    let marker = &night.config.schedule.input_marker;
    let pattern = LogPattern::parse(marker).expect("loading the configuration checks the pattern");
    let markers = source::named(location, &pattern, day).await?;
    // One that names no day is written again and again: that of the days before is none of this one.
    let is_of_day = |modified: SystemTime| pattern.names_a_day() || night.schedule.is_after(day, modified);
    if let Some(object) = markers.iter().find(|object| is_of_day(object.modified)) {
        return Ok(object.name.clone());
    }
    let name = location.object_url(&pattern.filled(day));
    let message = match markers.first() {
        None => format!("{name} is not there"),
        Some(_) => format!("{name} was not written since {day} ended at {}", night.schedule.end_of(day)),
    };
    let help = format!(
        "schedule.input_marker names an object that is written when the day's logs are all there: see whether they are in {}, \
         and what was to write it; `topshelf run --day {day}` does not wait for it",
        location.url()
    );
    Err(Failure::new(Exit::Failed, message).help(help).of_days([day]))
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
