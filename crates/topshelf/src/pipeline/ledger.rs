//! The ledger while the pipeline works: runs begin, give signs of life, and end.
//!
//! Whoever begins runs first ends those of others whose process is gone: a run that is not under way any
//! more is not left as if it were, and what it left behind in the lake goes.

use super::{
    Night, RunOutcome, RunReport, StartedBy, Verdict,
    lease::{self, GivingWay},
};
use crate::{
    failure::Failure,
    halt::Halt,
    liveness::{self, Work},
    memory,
};
use domain::{Day, RunId};
use jiff::Timestamp;
use serde_json::json;
use std::time::{Duration, SystemTime};
use store::{NewRun, Outcome, RunEnd, RunRecord, Store, UnderWay};
use tokio::{task::JoinHandle, time};
use tracing::{Span, error, field::display, info, warn};

/// How often runs give a sign of life.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(10);

/// A run that gave none for so long is dead, wherever its process is: nine missed, so that a database that
/// restarts costs no run its life. Should it live all the same, the store refuses what it publishes.
const DEAD_AFTER: Duration = Duration::from_secs(90);

/// The same of a run of an earlier version, which gives none.
const DEAD_AFTER_OF_EARLIER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a run that was told to stop may take to note that.
const NOTE_TIME_MAX: Duration = Duration::from_secs(10);

/// The runs of the days that are being worked on, and what became of those that ended.
pub(super) struct Ledger<'a> {
    night: &'a Night,
    store: &'a Store,
    open: Vec<(Day, RunId)>,
    /// When a run was tried again, and after which failure.
    retries: Vec<(Timestamp, RunId, String)>,
    pub(super) outcomes: Vec<RunOutcome>,
    /// As long as a run is open.
    signs: Option<SignsOfLife>,
    giving_way: Option<GivingWay>,
    _work: Work,
}

/// Whether a run under way has lost its process: that is seen where it was, and concluded from its silence.
pub(crate) fn is_dead(UnderWay { run, unseen_for }: &UnderWay) -> bool {
    let is_gone = run.process.as_deref().and_then(liveness::is_gone);
    let limit = if run.process.is_some() { DEAD_AFTER } else { DEAD_AFTER_OF_EARLIER };
    is_gone == Some(true) || *unseen_for > limit
}

impl<'a> Ledger<'a> {
    /// None when another scheduler has held the night, or the days are left to others.
    pub(super) async fn begin(
        night: &'a Night,
        store: &'a Store,
        days: &[Day],
        started_by: StartedBy,
    ) -> Result<Option<Self>, Failure> {
        let (work, host) = (Work::begin(), liveness::host());
        let process = work.told().to_owned();
        let new = |day: &Day| {
            let (run_id, started_at) = night.clock.new_run();
            NewRun {
                run_id,
                day: *day,
                started_by: started_by.name().to_owned(),
                orchestrator: started_by.orchestrator(),
                program_version: env!("CARGO_PKG_VERSION").to_owned(),
                config_hash: night.config.hash(),
                started_at,
                process: process.clone(),
                host: host.clone(),
                due_at: started_by.due_at(),
            }
        };
        let Some(runs) = lease::begin(night, store, || days.iter().map(new).collect()).await? else {
            return Ok(None);
        };
        runs.iter().for_each(|run| info!(run_id = %run.run_id, day = %run.day, "run begins"));
        if let [run] = &runs[..] {
            Span::current().record("topshelf.run_id", display(&run.run_id));
        }
        let open = runs.into_iter().map(|run| (run.day, run.run_id)).collect();
        // The day that has just ended goes before all others.
        let current = night.schedule.ended_day(night.clock.now());
        let giving_way = match days.last().filter(|newest| **newest < current) {
            Some(day) => Some(GivingWay::begin(store.clone(), night.halt.clone(), *day).await),
            None => None,
        };
        let signs = SignsOfLife::begin(store.clone(), night.halt.clone(), process);
        Ok(Some(Self {
            night,
            store,
            open,
            retries: Vec::new(),
            outcomes: Vec::new(),
            signs: Some(signs),
            giving_way,
            _work: work,
        }))
    }

    /// Notes that the day is tried once more.
    pub(super) fn retry(&mut self, day: Day, failure: &Failure) {
        let run_id = self.run_of(day).clone();
        self.retries.push((self.night.clock.now(), run_id, failure.chain()));
    }

    pub(super) fn run_of(&self, day: Day) -> &RunId {
        let (_, run) = self.open.iter().find(|(open, _)| *open == day).expect("the day's run was begun");
        run
    }

    pub(super) async fn end(&mut self, day: Day, ended: Result<RunReport, Failure>) -> Result<(), Failure> {
        let ended = ended.map_err(|failure| self.night.why(failure));
        let run_id = self.run_of(day).clone();
        let ended = ended.map(|report| report.with_peak_memory(memory::peak_bytes()));
        let written = self.write_end(&run_id, &ended).await;
        let written = written.map_err(|failure| not_written(&run_id, day, &ended, &failure));
        match &ended {
            Ok(report) => info!(%run_id, %day, verdict = ?report.verdict(), "run ended"),
            // Whoever asked for the run tells of its failure.
            Err(failure) => info!(%run_id, %day, error = failure.chain(), "run failed"),
        }
        self.open.retain(|(open, _)| *open != day);
        if self.open.is_empty() {
            (self.signs, self.giving_way) = (None, None);
        }
        self.outcomes.push(RunOutcome::new(run_id, day, ended));
        written
    }

    async fn write_end(&self, run_id: &RunId, ended: &Result<RunReport, Failure>) -> Result<(), Failure> {
        let (outcome, error, mut report) = match ended {
            Ok(report) if report.is_held() => (Outcome::Held, None, report.to_json()),
            Ok(report) => (Outcome::Succeeded, None, report.to_json()),
            Err(failure) => {
                let learned = failure.reported().cloned().unwrap_or_default();
                let is_stopped = self.night.halt.stopped().is_some();
                let (outcome, error) = match self.store.has_published(run_id).await? {
                    // Its connection was lost while it committed, and it could not look in time.
                    true => (Outcome::Died, format!("{}; it had published", failure.chain())),
                    false => (Outcome::Failed, failure.chain()),
                };
                (if is_stopped { Outcome::Stopped } else { outcome }, Some(error), learned)
            }
        };
        let retries = self.retries.iter().filter(|(_, tried, _)| tried == run_id);
        let retries: Vec<_> = retries.map(|(at, _, error)| json!({ "at": at, "error": error })).collect();
        if !retries.is_empty() {
            // Of a run that failed before it had learned anything this is all there is.
            report = if report.is_object() { report } else { json!({}) };
            report["retries"] = retries.into();
        }
        let end = RunEnd { ended_at: self.night.clock.now(), outcome, error, report };
        Ok(self.store.end_run(run_id, &end).await?)
    }

    /// All open runs end by the same failure, which is the answer too.
    pub(super) async fn end_all(self, failure: Failure) -> Result<Vec<RunOutcome>, Failure> {
        let failure = self.night.why(failure);
        let is_stopped = self.night.halt.stopped().is_some();
        let noted_by = time::Instant::now() + NOTE_TIME_MAX;
        for (day, run_id) in &self.open {
            let until = SystemTime::now();
            info!(%run_id, %day, error = failure.chain(), "run failed");
            let ended = Err(failure.again());
            let written = self.write_end(run_id, &ended);
            // A process that ends waits for no database.
            let limit = noted_by.saturating_duration_since(time::Instant::now());
            let limit = if is_stopped { limit } else { Duration::MAX };
            match time::timeout(limit, written).await {
                // The day was ours until now: whoever takes it from here on writes later.
                Ok(Ok(())) if is_stopped => {
                    let _ = time::timeout(limit, sweep(self.night, *day, until)).await;
                }
                Ok(Ok(())) => (),
                // What failed first is what a person needs to see, even if the ledger fails too.
                Ok(Err(ledger)) if !ledger.is_transient() => {
                    error!(%run_id, error = ledger.chain(), "could not write the failure into the ledger");
                }
                // For each it would be waited.
                not_written => {
                    let error = not_written.ok().and_then(Result::err).map(|ledger| ledger.chain());
                    error!(%run_id, error, "could not write the failure into the ledger");
                    break;
                }
            }
        }
        Err(failure)
    }
}

/// What a person needs to know when a run has ended and the ledger could not be told: most of all what readers see.
fn not_written(run: &RunId, day: Day, ended: &Result<RunReport, Failure>, ledger: &Failure) -> Failure {
    let untold = "its end could not be written into the ledger";
    let help = "the next run writes down that it died; `topshelf moves` tells what readers see";
    match ended {
        Ok(report) => {
            let what = match report.verdict() {
                Verdict::Published => format!("readers see {day} by run {run}"),
                Verdict::Unchanged => format!("readers see {day} as before, which run {run} came to as well"),
                Verdict::Held | Verdict::PartlyHeld | Verdict::Pending => {
                    format!("run {run} is done, and checks hold back some of {day} or all")
                }
            };
            ledger.again().within(format!("{what}, but {untold}")).help(help)
        }
        Err(failure) => {
            error!(run_id = %run, error = ledger.chain(), "could not write the failure into the ledger");
            failure.again().within(format!("run {run} failed, and {untold}")).or_help(help)
        }
    }
}

/// Ends the runs whose process is gone.
pub(crate) async fn bury_the_dead(night: &Night, store: &Store) -> Result<(), Failure> {
    let looked_at = SystemTime::now();
    let (dead, alive): (Vec<_>, Vec<_>) = store.under_way().await?.into_iter().partition(is_dead);
    for under_way in dead {
        let RunRecord { run_id, day, seen_at, started_at, rankings_digest, .. } = &under_way.run;
        let when = if rankings_digest.is_some() { "after it had published" } else { "before it published" };
        // Only then is it ended: should we die meanwhile, the next does both.
        if alive.iter().all(|alive| alive.run.day != *day) {
            sweep(night, *day, looked_at).await;
        }
        let seen_at = seen_at.unwrap_or(*started_at);
        let error =
            format!("its process was gone before it ended, {when}; its last sign of life was at {seen_at}");
        let report = serde_json::Value::Null;
        let end = RunEnd { ended_at: night.clock.now(), outcome: Outcome::Died, error: Some(error), report };
        // If not, another process was faster, or the run lives.
        if store.end_dead_run(&under_way, &end).await? {
            warn!(%run_id, %day, when, "an earlier run died before it ended");
        }
    }
    Ok(())
}

/// Removes from the lake what a run left there that died before `until`. Nobody else writes the day then: a
/// run that we did not see under way writes later.
async fn sweep(night: &Night, day: Day, until: SystemTime) {
    let swept = match night.lake() {
        Ok(lake) => lake.sweep(day, until).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = swept {
        warn!(%day, error = failure.chain(), "could not remove what an earlier run left in the lake");
    }
}

/// Says in the ledger that the work goes on, until dropped, and stops it when others have ended its runs.
struct SignsOfLife(JoinHandle<()>);

impl SignsOfLife {
    fn begin(store: Store, halt: Halt, process: String) -> Self {
        Self(tokio::spawn(async move {
            let mut signs = time::interval(SIGN_OF_LIFE_EVERY);
            signs.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
            // The first tick is now, when beginning has just said so.
            signs.tick().await;
            loop {
                signs.tick().await;
                match store.sign_of_life(&process).await {
                    Ok(0) => halt.stop("another run has ended it, as it gave no sign of life for too long"),
                    Ok(_) => (),
                    Err(error) => warn!(
                        error = Failure::from(error).chain(),
                        "could not say in the ledger that the run is under way"
                    ),
                }
            }
        }))
    }
}

impl Drop for SignsOfLife {
    fn drop(&mut self) {
        self.0.abort();
    }
}
