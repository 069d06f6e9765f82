//! The built-in scheduler: every night once, however many schedulers there are.
//!
//! What has been is in the ledger, and nowhere else: which nights are over, which were missed, which somebody
//! works on. So schedulers on several machines, and one that was restarted, come to the same.

mod alert;
mod input;

use crate::{
    failure::Failure,
    halt::Stopped,
    pipeline::{self, Night, RunOutcome, RunReport, StartedBy, Verdict, Wait},
    retries::Retries,
    schedule::DueNight,
};
use alert::Alerts;
use domain::Day;
use futures::FutureExt;
use jiff::Timestamp;
use std::{panic::AssertUnwindSafe, time::Duration};
use store::{Outcome, RunRecord, RunStatus, Store};
use tracing::{error, info, warn};

/// The pause before a ledger that could not be read is asked again.
const LEDGER_PAUSE: Duration = Duration::from_secs(30);

/// A night whose runs died so often is given up: what kills them would kill the next one too.
const DEATHS_MAX: usize = 3;

/// Runs of a day that are looked at, newest first.
const RUNS_OF_DAY: usize = 50;

/// Runs every night as it is due, and those that were missed, until told to stop.
pub async fn run_nightly(night: Night) {
    let retries =
        Retries::new(night.config.schedule.retries, Duration::from_secs(night.config.schedule.retry_seconds));
    let night = Night { retries, wait: Wait::Forever, ..night };
    let mut scheduler =
        Scheduler { up_since: night.clock.now(), alerts: Alerts::new(&night), unreachable: None, night };
    let stopped = scheduler.go_on().await;
    info!(why = %stopped, "no more nights");
}

struct Scheduler {
    night: Night,
    up_since: Timestamp,
    alerts: Alerts,
    /// The night of which it was told that it could not begin.
    unreachable: Option<DueNight>,
}

impl Scheduler {
    async fn go_on(&mut self) -> Stopped {
        let halt = self.night.halt.clone();
        loop {
            let now = self.night.clock.now();
            let next = tokio::select! {
                next = self.next(now) => next,
                stopped = halt.until_stopped() => return stopped,
            };
            let until = match next {
                Ok(Some(due)) => {
                    // It ends by itself when told to stop, and writes that down.
                    self.hold(due).await;
                    now
                }
                Ok(None) => {
                    let next_run_at = self.night.schedule.next_run_at(now);
                    info!(%next_run_at, "waiting for the night");
                    next_run_at
                }
                Err(failure) => {
                    self.cannot_begin(now, &failure).await;
                    now + LEDGER_PAUSE
                }
            };
            tokio::select! {
                () = self.night.clock.sleep_until(until) => (),
                stopped = halt.until_stopped() => return stopped,
            }
        }
    }

    /// The night to hold next: the newest that was due and is not over.
    async fn next(&self, now: Timestamp) -> Result<Option<DueNight>, Failure> {
        let catch_up_days = self.night.config.schedule.catch_up_days;
        let due = self.night.schedule.nights(now, catch_up_days);
        if due.is_empty() {
            return Ok(None);
        }
        let store = self.night.store().await?;
        // Nights before the first were nobody's to miss.
        let first = if catch_up_days > 0 { store.scheduled_since().await? } else { None };
        let since = first.map_or(self.up_since, |first| first.min(self.up_since));
        for due in due.into_iter().filter(|due| due.due_at >= since) {
            if !is_over(&store, due).await? {
                return Ok(Some(due));
            }
        }
        Ok(None)
    }

    /// One night, from the arrival of its input to the alert.
    async fn hold(&mut self, due: DueNight) {
        let DueNight { day, due_at } = due;
        info!(%day, %due_at, "the night begins");
        // A defect in one night must not end all nights while the server goes on serving.
        let held = AssertUnwindSafe(self.hold_and_tell(due)).catch_unwind().await;
        if held.is_err() {
            error!(%day, "the night panicked: this is a defect, its message is on stderr");
            self.alerts.panicked(day).await;
        }
    }

    async fn hold_and_tell(&mut self, due: DueNight) {
        let DueNight { day, due_at } = due;
        let started_by = StartedBy::Schedule(due_at);
        let outcomes = match input::arrived(&self.night, due).await {
            input::Arrived::Yes => pipeline::run(&self.night, &[day], started_by).await,
            input::Arrived::TooLate(failure) => {
                pipeline::give_up(&self.night, day, started_by, failure).await
            }
            // Another scheduler holds the night, or all ends.
            input::Arrived::NotOurs => return,
        };
        let outcome = match outcomes.map(|mut outcomes| outcomes.pop()) {
            Ok(Some(RunOutcome { run_id, ended, .. })) => Ok((run_id, ended)),
            Ok(None) => return info!(%day, "another scheduler has held the night"),
            Err(failure) => Err(failure),
        };
        if self.night.halt.stopped().is_some() {
            return;
        }
        match outcome {
            Err(failure) => {
                error!(%day, error = failure.chain(), "the night failed");
                self.alerts.failed(day, None, &failure).await;
            }
            Ok((run_id, Err(failure))) => {
                error!(%day, error = failure.chain(), "the night failed");
                self.alerts.failed(day, Some(&run_id), &failure).await;
            }
            Ok((run_id, Ok(report))) => {
                tell_findings(day, &report);
                match report.verdict() {
                    Verdict::Held | Verdict::PartlyHeld => self.alerts.held(day, &run_id, &report).await,
                    _ => self.alerts.succeeded(day, &run_id).await,
                }
            }
        }
        self.refresh(day).await;
    }

    /// Adds to the days before a night's what has come late.
    async fn refresh(&self, day: Day) {
        let now = self.night.clock.now();
        if day != self.night.schedule.ended_day(now) {
            return;
        }
        let days = match input::days_to_refresh(&self.night, day).await {
            Ok(days) if days.is_empty() => return,
            Ok(days) => days,
            Err(failure) => {
                return warn!(error = failure.chain(), "could not look for what has come late");
            }
        };
        info!(?days, "looking for what has come late");
        // Who works on one of them reads what is there.
        let night = Night { wait: Wait::No, ..self.night.clone() };
        match pipeline::run(&night, &days, StartedBy::Refresh).await {
            Err(failure) => warn!(error = failure.chain(), "could not add what has come late"),
            Ok(outcomes) => {
                for RunOutcome { day, ended, .. } in outcomes {
                    match ended {
                        Err(failure) => {
                            warn!(%day, error = failure.chain(), "could not add what has come late");
                        }
                        Ok(report) => tell_findings(day, &report),
                    }
                }
            }
        }
    }

    /// The ledger cannot be read: that is told once of a night.
    async fn cannot_begin(&mut self, now: Timestamp, failure: &Failure) {
        let due = self.night.schedule.nights(now, 1).into_iter().next();
        let Some(due) = due.filter(|due| self.unreachable != Some(*due)) else { return };
        error!(day = %due.day, error = failure.chain(), "the night cannot begin, trying again until it can");
        self.unreachable = Some(due);
        self.alerts.failed(due.day, None, failure).await;
    }
}

/// Whether nothing is to be done for the night any more.
async fn is_over(store: &Store, due: DueNight) -> Result<bool, Failure> {
    let runs = store.runs(RUNS_OF_DAY, Some(due.day)).await?;
    Ok(is_over_by(due, &runs))
}

fn is_over_by(due: DueNight, runs: &[RunRecord]) -> bool {
    let ended_as = |run: &RunRecord, outcomes: &[Outcome]| matches!(&run.status, RunStatus::Ended(outcome) if outcomes.contains(outcome));
    let is_for_it = |run: &&RunRecord| run.due_at == Some(due.due_at);
    let was_held = runs
        .iter()
        .filter(is_for_it)
        .any(|run| ended_as(run, &[Outcome::Succeeded, Outcome::Held, Outcome::Failed]));
    let was_made = runs
        .iter()
        .any(|run| run.started_at >= due.due_at && ended_as(run, &[Outcome::Succeeded, Outcome::Held]));
    let deaths = runs.iter().filter(is_for_it).filter(|run| ended_as(run, &[Outcome::Died])).count();
    was_held || was_made || deaths >= DEATHS_MAX
}

fn tell_findings(day: Day, report: &RunReport) {
    for finding in report.findings() {
        let (check, advertiser) = (finding.check, finding.advertiser_id.as_ref().map(ToString::to_string));
        warn!(%day, check, advertiser, severity = ?finding.severity, message = finding.message, "a check found something");
    }
}
