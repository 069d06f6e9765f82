//! One at a time: runs are begun when nobody else works on their days, and give way to newer days.
//!
//! A run under way is the lease of its day (`store::begin_runs`). Its signs of life keep it; whoever finds it
//! silent for too long ends it, and from then on the store refuses what it would publish.

use super::{Night, ledger::is_dead};
use crate::{
    failure::{Exit, Failure},
    halt::Halt,
    liveness,
};
use domain::Day;
use std::time::Duration;
use store::{NewRun, Store, StoreError, UnderWay};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tracing::{info, warn};

/// How often a day is asked for that others work on, and how often those who give way look; at first, sooner.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whether a run waits for another of its day to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It fails, and says who works on the day.
    No,
    /// It waits, at most so long.
    AtMost(Duration),
    /// It waits as long as it takes.
    Forever,
    /// It leaves the day to the other.
    Leave,
}

/// Begins the runs, all or none, as they are when their turn comes; whoever is dead is buried first. None when another
/// scheduler has held the night, or the day is left to whoever works on it.
pub(super) async fn begin(
    night: &Night,
    store: &Store,
    runs: impl Fn() -> Vec<NewRun>,
) -> Result<Option<Vec<NewRun>>, Failure> {
    let asked_at = Instant::now();
    let mut told_of = None;
    let mut pause = LOOK_FIRST;
    loop {
        super::ledger::bury_the_dead(night, store).await?;
        let runs = runs();
        let taken = match store.begin_runs(&runs).await {
            Err(StoreError::DayTaken { run_id, .. }) => run_id,
            Err(StoreError::NightOver { .. }) => return Ok(None),
            begun => return Ok(begun.map(|()| Some(runs))?),
        };
        let under_way = store.under_way().await?.into_iter().find(|under_way| under_way.run.run_id == taken);
        // It ended meanwhile, or its process did.
        let Some(holder) = under_way.filter(|under_way| !is_dead(under_way)) else { continue };
        let has_patience = match night.wait {
            Wait::No => false,
            Wait::AtMost(longest) => asked_at.elapsed() < longest,
            Wait::Forever => true,
            Wait::Leave => {
                info!("{}; it is left to that", message(&holder));
                return Ok(None);
            }
        };
        if !has_patience {
            return Err(taken_by(&holder));
        }
        if told_of.as_ref() != Some(&taken) {
            // That of several schedulers one works is no matter for anybody.
            match runs.iter().any(|run| run.due_at.is_some()) {
                true => info!("{}; waiting for it to end", message(&holder)),
                false => warn!("{}; waiting for it to end", message(&holder)),
            }
            told_of = Some(taken);
        }
        night.halt.sleep(pause).await?;
        pause = (pause * 2).min(LOOK_EVERY);
    }
}

fn taken_by(holder: &UnderWay) -> Failure {
    Failure::new(Exit::Failed, message(holder)).help(
        "one run at a time works on a day: --wait waits for it to end; a run whose process is gone needs no help, \
         the next one ends it once it gave no sign of life for 90 seconds; `topshelf runs` lists them",
    )
}

/// Who holds the day.
fn message(UnderWay { run, unseen_for }: &UnderWay) -> String {
    let process = run.process.as_deref().and_then(liveness::process_id);
    let process = process.map(|id| format!(", process {id}")).unwrap_or_default();
    let host = run.host.as_deref().unwrap_or("an unknown host");
    let seen = unseen_for.as_secs();
    format!(
        "{} is being worked on by run {} (started by {} on {host}{process} at {}, last sign of life {seen} s ago)",
        run.day,
        run.run_id,
        run.started_by,
        run.started_at.strftime("%Y-%m-%d %H:%M:%SZ"),
    )
}

/// Lets runs of newer days go first, until dropped: the work waits as long as others have one under way.
pub(super) struct GivingWay(JoinHandle<()>);

impl GivingWay {
    /// To those that are under way now, the work gives way from its beginning.
    pub(super) async fn begin(store: Store, halt: Halt, newest: Day) -> Self {
        give_way(&store, &halt, newest).await;
        Self(tokio::spawn(async move {
            loop {
                sleep(LOOK_EVERY).await;
                give_way(&store, &halt, newest).await;
            }
        }))
    }
}

async fn give_way(store: &Store, halt: &Halt, newest: Day) {
    // What cannot be looked at keeps nobody waiting.
    let under_way = store.under_way().await.unwrap_or_default();
    let first = under_way.iter().find(|other| other.run.day > newest && !is_dead(other));
    if let Some(first) = first.filter(|_| !halt.is_waiting()) {
        warn!("{}; it goes first", message(first));
    }
    halt.wait(first.is_some());
}

impl Drop for GivingWay {
    fn drop(&mut self) {
        self.0.abort();
    }
}
