//! The built-in scheduler: every night once, however many schedulers there are.
//!
//! What has been is in the ledger, and nowhere else: which nights are over, which were missed, which somebody
//! works on. So schedulers on several machines, and one that was restarted, come to the same.

mod alert;
mod input;

use crate::{
    failure::{Exit, Failure},
    halt::Stopped,
    liveness,
    pipeline::{self, Night, RunOutcome, RunReport, StartedBy, Verdict, Wait},
    retries::Retries,
    schedule::DueNight,
};
use alert::Alerts;
use domain::{Day, RunId};
use futures::FutureExt;
use input::Arrival;
use jiff::Timestamp;
use std::{panic::AssertUnwindSafe, time::Duration};
use store::{Outcome, RunRecord, RunStatus, Store, Trouble};
use tracing::{error, info, warn};

/// The pause before a ledger is asked again that could not be read or written.
const LEDGER_PAUSE: Duration = Duration::from_secs(30);

/// What older nights are told that are stopped for a newer one.
const NEXT_GOES_FIRST: &str = "the next night is due, and goes first";

/// The pause before a day is looked at again on which others work.
const TAKEN_PAUSE: Duration = Duration::from_secs(10);

/// A night whose runs died so often is given up: what kills them would kill the next one too.
const DEATHS_MAX: usize = 3;

/// Runs of a day that are looked at, newest first.
const RUNS_OF_DAY: usize = 50;

/// Runs every night as it is due, and those that were missed, until told to stop.
pub async fn run_nightly(night: Night) {
    let schedule = &night.config.schedule;
    let retries = Retries::new(schedule.retries, Duration::from_secs(schedule.retry_seconds));
    let night = Night { retries, wait: Wait::Forever, ..night };
    let mut scheduler = Scheduler {
        up_since: night.clock.now(),
        is_noted: false,
        alerts: Alerts::new(&night),
        told: None,
        night,
    };
    let stopped = scheduler.go_on().await;
    info!(why = %stopped, "no more nights");
}

struct Scheduler {
    night: Night,
    up_since: Timestamp,
    /// Whether the ledger knows, or cannot know, that there are nights from then on.
    is_noted: bool,
    alerts: Alerts,
    /// The night of which people know that the ledger took no note of it.
    told: Option<DueNight>,
}

/// What is to be done.
enum Next {
    /// A night is held.
    Hold(DueNight),
    /// A night fails at once.
    GiveUp(DueNight, Failure),
    /// Nothing before then.
    Sleep(Timestamp),
}

/// Where a night stands.
#[derive(Debug, PartialEq)]
enum Standing {
    Over,
    Open,
    /// It was cut short too often.
    Hopeless,
}

impl Scheduler {
    async fn go_on(&mut self) -> Stopped {
        let halt = self.night.halt.clone();
        loop {
            let now = self.night.clock.now();
            let next = match halt.unless_stopped(self.next(now)).await {
                Ok(next) => next,
                Err(stopped) => return stopped,
            };
            let until = match next {
                Ok(Next::Sleep(until)) => until,
                // It ends by itself when told to stop, and writes that down.
                Ok(Next::Hold(due)) => self.hold(due, None).await,
                Ok(Next::GiveUp(due, failure)) => self.hold(due, Some(failure)).await,
                Err(failure) => self.took_no_note(self.newest(now), &failure).await,
            };
            if let Err(stopped) = halt.unless_stopped(self.night.clock.sleep_until(until)).await {
                return stopped;
            }
        }
    }

    fn newest(&self, now: Timestamp) -> Option<DueNight> {
        self.night.schedule.nights(now, 1).into_iter().next()
    }

    /// What to do next: hold the newest night that was due, is not over, and need not wait for its input.
    async fn next(&mut self, now: Timestamp) -> Result<Next, Failure> {
        let schedule = &self.night.schedule;
        let mut until = schedule.next_run_at(now);
        let catch_up_days = self.night.config.schedule.catch_up_days;
        let due = schedule.nights(now, catch_up_days);
        if due.is_empty() {
            return Ok(Next::Sleep(until));
        }
        let store = self.night.store().await?;
        pipeline::bury_the_dead(&self.night, &store).await?;
        self.note(&store).await?;
        // Nights before the first were nobody's to miss.
        let first = if catch_up_days > 0 { store.scheduled_since().await? } else { None };
        let since = first.map_or(self.up_since, |first| first.min(self.up_since));
        let newest = due[0];
        let ended = self.night.schedule.ended_day(now);
        let oldest = (1..catch_up_days.max(1)).fold(ended, |day, _| day.yesterday());
        // What fell due since is held in any case, what was missed if it is not too old.
        let is_ours =
            |due: &DueNight| due.due_at >= self.up_since || (due.due_at >= since && due.day >= oldest);
        let under_way = store.under_way().await?;
        for due in due.into_iter().filter(is_ours) {
            // Others are not waited for: there may be other nights.
            if under_way.iter().any(|other| other.run.day == due.day && !pipeline::is_dead(other)) {
                until = until.min(now + TAKEN_PAUSE);
                continue;
            }
            let runs = store.runs(RUNS_OF_DAY, Some(due.day)).await?;
            match standing(due, due == newest, self.night.schedule.end_of(due.day), &runs) {
                Standing::Over => continue,
                Standing::Hopeless => return Ok(Next::GiveUp(due, hopeless(due))),
                Standing::Open => (),
            }
            match input::arrival(&self.night, due, now).await {
                Arrival::Arrived => return Ok(Next::Hold(due)),
                Arrival::TooLate(failure) => return Ok(Next::GiveUp(due, failure)),
                Arrival::Awaited { look_at } => until = until.min(look_at),
            }
        }
        match until == self.night.schedule.next_run_at(now) {
            true => info!(next_run_at = %until, "waiting for the night"),
            false => info!(look_at = %until, "looking again for what is due"),
        }
        Ok(Next::Sleep(until))
    }

    /// Notes that there are nights, so that the first too is missed when nobody is there at its time.
    async fn note(&mut self, store: &Store) -> Result<(), Failure> {
        if self.is_noted {
            return Ok(());
        }
        match store.note_nights_held(self.up_since).await {
            Err(error) if error.trouble() == Some(Trouble::MissingRight) => {
                let error = Failure::from(error).chain();
                warn!(error, "nights that are missed before the first was held will not be caught up");
            }
            noted => noted?,
        }
        self.is_noted = true;
        Ok(())
    }

    /// One night, to the alert; when to go on. With a failure, it fails by that.
    async fn hold(&mut self, due: DueNight, failure: Option<Failure>) -> Timestamp {
        info!(day = %due.day, due_at = %due.due_at, "the night begins");
        // A defect in one night must not end all nights while the server goes on serving.
        let held = AssertUnwindSafe(self.hold_and_tell(due, failure)).catch_unwind().await;
        match held {
            Ok(Ok(())) => self.night.clock.now(),
            Ok(Err(failure)) => self.took_no_note(Some(due), &failure).await,
            Err(_) => {
                let message = "the night broke off by a defect of topshelf; its log has the message";
                self.took_no_note(Some(due), &Failure::new(Exit::Failed, message)).await
            }
        }
    }

    /// # Errors
    /// When the ledger took no note of the night.
    async fn hold_and_tell(&mut self, due: DueNight, failure: Option<Failure>) -> Result<(), Failure> {
        let DueNight { day, due_at } = due;
        let (started_by, began) = (StartedBy::Schedule(due_at), self.night.clock.now());
        let is_newest = self.newest(began) == Some(due);
        // On the heap: a night's state is large, and its stack shallow.
        let outcomes = match failure {
            None if is_newest => Box::pin(pipeline::run(&self.night, &[day], started_by)).await,
            None => match self.run_before_the_next(Wait::Leave, &[day], started_by).await {
                Ok(outcomes) => outcomes,
                Err(stopped) => {
                    info!(%day, why = %stopped, "the night is caught up later");
                    return Ok(());
                }
            },
            Some(failure) => {
                let wait = if is_newest { self.night.wait } else { Wait::Leave };
                let night = Night { wait, ..self.night.clone() };
                Box::pin(pipeline::give_up(&night, day, started_by, failure)).await
            }
        };
        if self.night.halt.stopped().is_some() {
            return Ok(());
        }
        match outcomes.map(|mut outcomes| outcomes.pop()) {
            Ok(Some(RunOutcome { run_id, ended, .. })) => self.tell(due, &run_id, ended).await,
            Ok(None) => info!(%day, "somebody else makes the night, or has made it"),
            Err(failure) => match self.run_of(due, began).await? {
                // Others took it for dead, and make the night.
                Some(run) if run.status == RunStatus::Ended(Outcome::Died) => {
                    warn!(%day, run_id = %run.run_id, error = failure.chain(), "the run was cut short");
                }
                Some(run) => self.tell(due, &run.run_id, Err(failure)).await,
                None => return Err(failure),
            },
        }
        Box::pin(self.refresh(due)).await;
        Ok(())
    }

    /// Runs days that are not the newest night's: they are stopped once the next night is due.
    ///
    /// # Errors
    /// When they were; the inner failure is that of the runs.
    async fn run_before_the_next(
        &self,
        wait: Wait,
        days: &[Day],
        started_by: StartedBy,
    ) -> Result<Result<Vec<RunOutcome>, Failure>, Stopped> {
        let night = Night { halt: self.night.halt.of_part(), wait, ..self.night.clone() };
        let next_run_at = night.schedule.next_run_at(night.clock.now());
        let mut runs = Box::pin(pipeline::run(&night, days, started_by));
        let outcomes = tokio::select! {
            biased;
            outcomes = &mut runs => outcomes,
            () = night.clock.reach(next_run_at) => {
                night.halt.stop(NEXT_GOES_FIRST);
                runs.await
            }
        };
        let failure = match &outcomes {
            Ok(outcomes) => outcomes.last().and_then(|outcome| outcome.ended.as_ref().err()),
            Err(failure) => Some(failure),
        };
        match night.halt.stopped() {
            // What ended by itself just before is told as it ended.
            Some(stopped) if failure.is_some_and(|failure| failure.chain() == stopped.to_string()) => {
                Err(stopped)
            }
            _ => Ok(outcomes),
        }
    }

    /// The run of the night that this process began since, and that has ended.
    async fn run_of(&self, due: DueNight, since: Timestamp) -> Result<Option<RunRecord>, Failure> {
        let runs = self.night.store().await?.runs(RUNS_OF_DAY, Some(due.day)).await?;
        // The ledger keeps milliseconds.
        let is_new = |run: &RunRecord| run.started_at.as_millisecond() >= since.as_millisecond();
        let is_ours = |run: &RunRecord| run.process.as_deref().is_some_and(liveness::is_of_this_process);
        let is_it = |run: &RunRecord| run.due_at == Some(due.due_at) && run.ended_at.is_some();
        Ok(runs.into_iter().find(|run| is_it(run) && is_ours(run) && is_new(run)))
    }

    async fn tell(&mut self, due: DueNight, run_id: &RunId, ended: Result<RunReport, Failure>) {
        let day = due.day;
        match ended {
            Err(failure) => {
                error!(%day, %run_id, error = failure.chain(), "the night failed");
                self.alerts.failed(day, run_id, &failure).await;
            }
            Ok(report) => {
                tell_findings(day, &report);
                match report.verdict() {
                    Verdict::Held | Verdict::PartlyHeld => self.alerts.held(day, run_id, &report).await,
                    _ if self.is_current(due) => self.alerts.succeeded(day, run_id).await,
                    _ => (),
                }
            }
        }
    }

    fn is_current(&self, due: DueNight) -> bool {
        due.day == self.night.schedule.ended_day(self.night.clock.now())
    }

    /// Adds to the days before a night's what has come late.
    async fn refresh(&mut self, due: DueNight) {
        if self.night.config.schedule.refresh_days == 0 || !self.is_current(due) {
            return;
        }
        let days = match input::days_to_refresh(&self.night, due.day).await {
            Ok(days) if days.is_empty() => return,
            Ok(days) => days,
            Err(failure) => return warn!(error = failure.chain(), "could not look for what has come late"),
        };
        info!(?days, "looking for what has come late");
        // Who works on one of them reads what is there.
        let outcomes = match self.run_before_the_next(Wait::No, &days, StartedBy::Refresh).await {
            Ok(Ok(outcomes)) => outcomes,
            Ok(Err(failure)) => return warn!(error = failure.chain(), "could not add what has come late"),
            Err(stopped) => return warn!(error = %stopped, "could not add what has come late"),
        };
        for RunOutcome { run_id, day, ended } in outcomes {
            match ended {
                Err(failure) => {
                    warn!(%day, error = failure.chain(), "could not add what has come late");
                    self.alerts.failed(day, &run_id, &failure).await;
                }
                Ok(report) => {
                    tell_findings(day, &report);
                    if report.is_held() {
                        self.alerts.held(day, &run_id, &report).await;
                    }
                }
            }
        }
    }

    /// The ledger could not be read or written: that is told once of a night. When to try again.
    async fn took_no_note(&mut self, due: Option<DueNight>, failure: &Failure) -> Timestamp {
        if let Some(due) = due.filter(|due| self.told != Some(*due)) {
            let error = failure.chain();
            error!(day = %due.day, error, "no note could be taken of the night, trying again until it can");
            self.told = Some(due);
            self.alerts.took_no_note(due.day, failure).await;
        }
        self.night.clock.now() + LEDGER_PAUSE
    }
}

/// Where the night stands by the runs of its day. Only the newest night has a moment of its own: when the schedule is
/// changed, older nights are not due again.
fn standing(due: DueNight, is_newest: bool, day_ended_at: Timestamp, runs: &[RunRecord]) -> Standing {
    let ended_as = |run: &&RunRecord, outcomes: &[Outcome]| matches!(&run.status, RunStatus::Ended(outcome) if outcomes.contains(outcome));
    let is_for_it = |run: &&RunRecord| match is_newest {
        true => run.due_at == Some(due.due_at),
        false => run.due_at.is_some(),
    };
    let since = if is_newest { due.due_at } else { day_ended_at };
    let was_held = |run: &RunRecord| {
        is_for_it(&run) && ended_as(&run, &[Outcome::Succeeded, Outcome::Held, Outcome::Failed])
    };
    let was_made =
        |run: &RunRecord| run.started_at >= since && ended_as(&run, &[Outcome::Succeeded, Outcome::Held]);
    let deaths = runs.iter().filter(is_for_it).filter(|run| ended_as(run, &[Outcome::Died])).count();
    match runs.iter().any(|run| was_held(run) || was_made(run)) {
        true => Standing::Over,
        false if deaths >= DEATHS_MAX => Standing::Hopeless,
        false => Standing::Open,
    }
}

fn hopeless(due: DueNight) -> Failure {
    let message = format!("{DEATHS_MAX} runs of the night of {} died before they ended", due.day);
    Failure::new(Exit::Failed, message).help(
        "something ends the process: look for a lack of memory (counting.memory_limit bounds what a night takes) \
         or a machine that restarts; then `topshelf run --day DAY`",
    )
}

fn tell_findings(day: Day, report: &RunReport) {
    for finding in report.findings() {
        let (check, advertiser) = (finding.check, finding.advertiser_id.as_ref().map(ToString::to_string));
        warn!(%day, check, advertiser, severity = ?finding.severity, message = finding.message, "a check found something");
    }
}
