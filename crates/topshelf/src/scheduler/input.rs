//! Whether a night's input is there, and waiting for it.

use super::is_over;
use crate::{
    failure::{Exit, Failure},
    pipeline::{self, Night},
    schedule::DueNight,
};
use domain::Day;
use jiff::{SignedDuration, Timestamp};
use source::LogPattern;
use std::time::Duration;
use store::{Outcome, RunStatus};
use tracing::{info, warn};

/// The pause between two looks for the input.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How the wait for a night's input ended.
pub(super) enum Arrived {
    /// It is there.
    Yes,
    /// It is not, and there is no more time.
    TooLate(Failure),
    /// The night is over, or all ends.
    NotOurs,
}

/// Waits for the input of a night, if the configuration says so.
pub(super) async fn arrived(night: &Night, due: DueNight) -> Arrived {
    let schedule = &night.config.schedule;
    if !schedule.wait_for_input {
        return Arrived::Yes;
    }
    let patience = SignedDuration::from_mins(i64::from(schedule.input_deadline_minutes));
    let deadline = due.due_at + patience;
    let mut told = String::new();
    loop {
        let failure = match is_there(night, due.day).await {
            Ok(()) => return Arrived::Yes,
            Err(failure) => failure,
        };
        let now = night.clock.now();
        if now >= deadline {
            let message = format!("the input of {} was not there by {deadline}", due.day);
            return Arrived::TooLate(failure.within(message));
        }
        let why = failure.chain();
        if told != why {
            info!(day = %due.day, %deadline, why, "waiting for the input");
            told = why;
        }
        let pause = Duration::try_from(now.duration_until(deadline)).unwrap_or_default().min(LOOK_EVERY);
        tokio::select! {
            () = night.clock.sleep(pause) => (),
            _ = night.halt.until_stopped() => return Arrived::NotOurs,
        }
        match is_taken(night, due).await {
            Ok(false) => (),
            Ok(true) => return Arrived::NotOurs,
            Err(failure) => warn!(error = failure.chain(), "could not read the ledger"),
        }
    }
}

/// Whether the night is over, or somebody works on its day.
async fn is_taken(night: &Night, due: DueNight) -> Result<bool, Failure> {
    let store = night.store().await?;
    let under_way = store.under_way().await?;
    let is_worked_on = under_way.iter().any(|other| other.run.day == due.day && !pipeline::is_dead(other));
    Ok(is_worked_on || is_over(&store, due).await?)
}

/// Fails with what lacks of the day's input.
async fn is_there(night: &Night, day: Day) -> Result<(), Failure> {
    let marker = &night.config.schedule.input_marker;
    if marker.is_empty() {
        return pipeline::find_input(night, day).await;
    }
    let pattern = LogPattern::parse(marker).expect("loading the configuration checks the pattern");
    let location = night.input()?;
    let markers = source::named(&location, &pattern, day).await?;
    // One that names no day is written again and again: that of the days before is none of this one.
    let ended_at = night.schedule.end_of(day);
    let is_of_day = |modified: std::time::SystemTime| {
        pattern.names_a_day() || Timestamp::try_from(modified).is_ok_and(|modified| modified >= ended_at)
    };
    if markers.iter().any(|object| is_of_day(object.modified)) {
        return Ok(());
    }
    let name = location.object_url(&pattern.filled(day));
    let message = match markers.first() {
        None => format!("{name} is not there"),
        Some(_) => format!("{name} was not written since {day} ended at {ended_at}"),
    };
    Err(Failure::new(Exit::Failed, message).help(
        "schedule.input_marker names an object that is written when the day's logs are all there; \
         `topshelf run --day DAY` does not wait for it",
    ))
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
        let was_run = runs.iter().any(|run| is_done(&run.status));
        if was_run && pipeline::find_input(night, before).await.is_ok() {
            days.push(before);
        }
    }
    Ok(days)
}
