//! The ledger while the pipeline works: runs begin, give signs of life, and end.
//!
//! Whoever begins runs first ends those of others whose process is gone: a run that is not under way any
//! more is not left as if it were, and what it left behind in the lake goes.

use super::{
    Night, RunOutcome, RunReport, StartedBy,
    lease::{self, GivingWay},
};
use crate::{failure::Failure, halt::Halt, liveness, memory};
use domain::{Day, RunId};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use std::time::{Duration, SystemTime};
use store::{NewRun, Outcome, RunEnd, RunRecord, Store, UnderWay};
use tokio::{task::JoinHandle, time};
use tracing::{error, info, warn};

/// How often runs give a sign of life.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(10);

/// A run that gave none for so long is dead, wherever its process is: nine missed, so that a database that
/// restarts costs no run its life. Should it live all the same, the store refuses what it publishes.
const DEAD_AFTER: Duration = Duration::from_secs(90);

/// The same of a run of an earlier version, which gives none.
const DEAD_AFTER_OF_EARLIER: Duration = Duration::from_secs(24 * 60 * 60);

/// Why and when a day was tried once more.
#[derive(Debug, Serialize)]
struct Retry {
    at: Timestamp,
    error: String,
}

/// The runs of the days that are being worked on, and what became of those that ended.
pub(super) struct Ledger<'a> {
    night: &'a Night,
    store: &'a Store,
    open: Vec<(Day, RunId)>,
    /// Days that were tried again, and why.
    retries: Vec<(Day, Retry)>,
    pub(super) outcomes: Vec<RunOutcome>,
    _signs: SignsOfLife,
    _giving_way: Option<GivingWay>,
}

/// Whether a run under way has lost its process: that is seen where it was, and concluded from its silence.
pub(crate) fn is_dead(UnderWay { run, unseen_for }: &UnderWay) -> bool {
    let is_gone = run.process.as_deref().and_then(liveness::is_gone);
    let limit = if run.process.is_some() { DEAD_AFTER } else { DEAD_AFTER_OF_EARLIER };
    is_gone == Some(true) || *unseen_for > limit
}

impl<'a> Ledger<'a> {
    /// None when another scheduler has held the night.
    pub(super) async fn begin(
        night: &'a Night,
        store: &'a Store,
        days: &[Day],
        started_by: StartedBy,
    ) -> Result<Option<Self>, Failure> {
        let (process, host) = (liveness::new_work(), liveness::host());
        let new = |day: &Day| {
            let (run_id, started_at) = night.clock.new_run();
            NewRun {
                run_id,
                day: *day,
                started_by: started_by.name().to_owned(),
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
        let open = runs.into_iter().map(|run| (run.day, run.run_id)).collect();
        let (store_copy, halt) = (store.clone(), night.halt.clone());
        let newest = days.last().filter(|_| days.len() > 1 || started_by == StartedBy::Refresh);
        let giving_way = match newest {
            Some(day) => Some(GivingWay::begin(store_copy.clone(), halt.clone(), *day).await),
            None => None,
        };
        let signs = SignsOfLife::begin(store_copy, halt, process);
        let (retries, outcomes) = (Vec::new(), Vec::new());
        Ok(Some(Self { night, store, open, retries, outcomes, _signs: signs, _giving_way: giving_way }))
    }

    /// Notes that the day is tried once more.
    pub(super) fn retry(&mut self, day: Day, failure: &Failure) {
        let (at, error) = (self.night.clock.now(), failure.chain());
        self.retries.push((day, Retry { at, error }));
    }

    pub(super) fn run_of(&self, day: Day) -> &RunId {
        let (_, run) = self.open.iter().find(|(open, _)| *open == day).expect("the day's run was begun");
        run
    }

    pub(super) async fn end(&mut self, day: Day, ended: Result<RunReport, Failure>) -> Result<(), Failure> {
        let ended = ended.map_err(|failure| self.night.why(failure));
        let run_id = self.run_of(day).clone();
        let ended = ended.map(|report| report.with_peak_memory(memory::peak_bytes()));
        let is_stopped = self.night.halt.stopped().is_some();
        let (outcome, error, mut report) = match &ended {
            Ok(report) if report.is_held() => (Outcome::Held, None, report.to_json()),
            Ok(report) => (Outcome::Succeeded, None, report.to_json()),
            Err(failure) => {
                let learned = failure.reported().cloned().unwrap_or_default();
                let outcome = if is_stopped { Outcome::Stopped } else { Outcome::Failed };
                (outcome, Some(failure.chain()), learned)
            }
        };
        let retries: Vec<_> =
            self.retries.iter().filter(|(tried, _)| *tried == day).map(|(_, retry)| retry).collect();
        if !retries.is_empty() {
            // Of a run that failed before it had learned anything this is all there is.
            report = if report.is_object() { report } else { json!({}) };
            report["retries"] = json!(retries);
        }
        let end = RunEnd { ended_at: self.night.clock.now(), outcome, error, report };
        let written = self.store.end_run(&run_id, &end).await.map_err(Failure::from);
        match &ended {
            Ok(report) => info!(%run_id, %day, verdict = ?report.verdict(), "run ended"),
            // Whoever asked for the run tells of its failure.
            Err(failure) => info!(%run_id, %day, error = failure.chain(), "run failed"),
        }
        self.open.retain(|(open, _)| *open != day);
        self.outcomes.push(RunOutcome::new(run_id, day, ended));
        written
    }

    /// All open runs end by the same failure, which is the answer too.
    pub(super) async fn end_all(mut self, failure: Failure) -> Result<Vec<RunOutcome>, Failure> {
        let failure = self.night.why(failure);
        if self.night.halt.stopped().is_some() {
            for (day, _) in &self.open {
                sweep(self.night, *day, SystemTime::now()).await;
            }
        }
        for (day, _) in self.open.clone() {
            // What failed first is what a person needs to see, even if the ledger fails too.
            if let Err(ledger) = self.end(day, Err(failure.again())).await {
                error!(%day, error = ledger.chain(), "could not write the failure into the ledger");
                // Each would be waited for.
                if ledger.is_transient() {
                    break;
                }
            }
        }
        Err(failure)
    }
}

/// Ends the runs whose process is gone.
pub(super) async fn bury_the_dead(night: &Night, store: &Store) -> Result<(), Failure> {
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
pub(super) async fn sweep(night: &Night, day: Day, until: SystemTime) {
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
