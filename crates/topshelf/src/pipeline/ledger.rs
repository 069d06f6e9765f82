//! The ledger while the pipeline works: runs begin, give signs of life, and end.
//!
//! Whoever begins runs first ends those of others whose process is gone: a run that is not under way any
//! more is not left as if it were, and what it left behind in the lake goes.

use super::{Night, RunOutcome, RunReport, StartedBy, Verdict};
use crate::{failure::Failure, liveness, memory};
use domain::{Day, RunId};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use store::{NewRun, Outcome, RunEnd, RunRecord, Store, UnderWay};
use tokio::{task::JoinHandle, time};
use tracing::{error, info, warn};

/// How often runs give a sign of life.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(10);

/// A run that gave none for so long is dead, wherever its process was: nine missed, so that a database that
/// restarts costs no run its life.
const DEAD_AFTER: Duration = Duration::from_secs(90);

/// The same of a run of an earlier version, which gives none.
const DEAD_AFTER_OF_EARLIER: Duration = Duration::from_secs(24 * 60 * 60);

/// The runs of the days that are being worked on, and what became of those that ended.
pub(super) struct Ledger<'a> {
    night: &'a Night,
    store: &'a Store,
    open: Vec<(Day, RunId)>,
    pub(super) outcomes: Vec<RunOutcome>,
    /// After the signs, which are given of all runs of the process.
    _signs: SignsOfLife,
    _own: OwnRuns,
}

/// Whether a run under way has lost its process: that is seen where it was, and elsewhere concluded from
/// its silence.
pub(crate) fn is_dead(UnderWay { run, unseen_for }: &UnderWay) -> bool {
    let is_gone = run.process.as_deref().and_then(|process| match process == liveness::this_process() {
        // One of ours that nobody works on has ended, and the ledger could not be told.
        true => Some(!OwnRuns::has(&run.run_id)),
        false => liveness::is_gone(process),
    });
    let limit = if run.process.is_some() { DEAD_AFTER } else { DEAD_AFTER_OF_EARLIER };
    is_gone.unwrap_or(*unseen_for > limit)
}

impl<'a> Ledger<'a> {
    pub(super) async fn begin(
        night: &'a Night,
        store: &'a Store,
        days: &[Day],
        started_by: StartedBy,
    ) -> Result<Self, Failure> {
        bury_the_dead(night, store).await?;
        let process = liveness::this_process();
        let (mut open, mut own) = (Vec::new(), OwnRuns::default());
        for day in days {
            let (run_id, started_at) = night.clock.new_run();
            let run = NewRun {
                run_id: run_id.clone(),
                day: *day,
                started_by: started_by.name().to_owned(),
                program_version: env!("CARGO_PKG_VERSION").to_owned(),
                config_hash: night.config.hash(),
                started_at,
                process: process.clone(),
            };
            own.add(&run_id);
            store.begin_run(&run).await?;
            info!(run_id = %run_id, day = %day, "run begins");
            open.push((*day, run_id));
        }
        let signs = SignsOfLife::begin(store.clone(), process);
        Ok(Self { night, store, open, outcomes: Vec::new(), _signs: signs, _own: own })
    }

    pub(super) fn run_of(&self, day: Day) -> &RunId {
        let (_, run) = self.open.iter().find(|(open, _)| *open == day).expect("the day's run was begun");
        run
    }

    pub(super) async fn end(&mut self, day: Day, ended: Result<RunReport, Failure>) -> Result<(), Failure> {
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
        self.outcomes.push(RunOutcome::new(run_id, day, ended));
        written
    }

    async fn write_end(&self, run_id: &RunId, ended: &Result<RunReport, Failure>) -> Result<(), Failure> {
        let (outcome, error, report) = match ended {
            Ok(report) if report.is_held() => (Outcome::Held, None, report.to_json()),
            Ok(report) => (Outcome::Succeeded, None, report.to_json()),
            Err(failure) => {
                let learned = failure.reported().cloned().unwrap_or_default();
                let (outcome, error) = match self.store.has_published(run_id).await? {
                    false => (Outcome::Failed, failure.chain()),
                    // Its connection was lost while it committed, and it could not look in time.
                    true => (Outcome::Died, format!("{}; it had published", failure.chain())),
                };
                (outcome, Some(error), learned)
            }
        };
        let end = RunEnd { ended_at: self.night.clock.now(), outcome, error, report };
        Ok(self.store.end_run(run_id, &end).await?)
    }

    /// All open runs end by the same failure, which is the answer too.
    pub(super) async fn end_all(mut self, failure: Failure) -> Result<Vec<RunOutcome>, Failure> {
        for (day, _) in self.open.clone() {
            // What failed first is what a person needs to see; that the ledger fails too is in the log.
            if self.end(day, Err(failure.again())).await.is_err() {
                break;
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
async fn bury_the_dead(night: &Night, store: &Store) -> Result<(), Failure> {
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

/// Runs that this process works on, until dropped.
#[derive(Debug, Default)]
struct OwnRuns(Vec<RunId>);

/// The runs of all of them, one as often as it is worked on: in several databases, under the same name.
static OWN_RUNS: Mutex<Vec<RunId>> = Mutex::new(Vec::new());

impl OwnRuns {
    fn all() -> MutexGuard<'static, Vec<RunId>> {
        OWN_RUNS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(run: &RunId) -> bool {
        Self::all().contains(run)
    }

    fn add(&mut self, run: &RunId) {
        Self::all().push(run.clone());
        self.0.push(run.clone());
    }
}

impl Drop for OwnRuns {
    fn drop(&mut self) {
        let mut all = Self::all();
        for run in &self.0 {
            if let Some(index) = all.iter().position(|own| own == run) {
                all.swap_remove(index);
            }
        }
    }
}

/// Says in the ledger that this process lives, until dropped.
struct SignsOfLife(JoinHandle<()>);

impl SignsOfLife {
    fn begin(store: Store, process: String) -> Self {
        Self(tokio::spawn(async move {
            let mut signs = time::interval(SIGN_OF_LIFE_EVERY);
            signs.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
            // The first tick is now, when beginning has just said so.
            signs.tick().await;
            loop {
                signs.tick().await;
                if let Err(error) = store.sign_of_life(&process).await {
                    warn!(
                        error = Failure::from(error).chain(),
                        "could not say in the ledger that the run is under way"
                    );
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
