//! The night: count, rank, publish, each a function that every command, the scheduler and Airflow call.
//!
//! `count` reads logs and leaves the counts of each day in the lake; `rank` takes them from there and
//! leaves rankings; `publish` takes those and moves what readers see, in one transaction. `run` is the
//! three in a row for each day, written into the ledger. Nothing is handed on but through the lake.

mod arrival;
mod assumed;
mod before;
mod checked;
#[cfg(feature = "cluster")]
pub(crate) mod cluster;
mod cluster_figures;
mod count;
mod input;
mod lease;
mod ledger;
mod limits;
mod look;
mod parquet;
mod publish;
mod rank;
mod report;
mod retention;
mod started_by;

pub use arrival::{Arrived, arrived};
pub(crate) use arrival::{find_input, find_marker, has_marker, is_there};
pub use checked::Checked;
#[cfg(feature = "cluster")]
pub use cluster::CountingWorker;
pub use cluster_figures::{ClusterExecutor, ClusterFigures, ClusterStage, EngineFigures};
pub use count::count;
pub use lease::Wait;
pub(crate) use ledger::{bury_the_dead, is_dead};
pub(crate) use look::{LookedLog, configured_logs, find_log};
pub use publish::{accept, publish};
pub use rank::{rank, ranked_models};
pub(crate) use report::visible;
pub use report::{ModelReport, RunOutcome, RunReport, StageReport, Verdict};
pub use retention::{Trimmed, trim};
pub use started_by::StartedBy;

use crate::{
    clock::Clock,
    config::Config,
    database::SharedDatabase,
    failure::Failure,
    halt::Halt,
    progress::Progress,
    retries::Retries,
    schedule::Schedule,
    traces::{self, span},
};
use domain::{Day, RunId};
use lake::{CountsManifest, Lake};
use ledger::Ledger;
use source::{AwsSettings, Location};
use std::{collections::BTreeSet, path::Path, time::Duration};
use store::{Database, Store};
use tracing::{field::Empty, warn};

/// Everything a stage needs to know; what it works on comes from the lake, the input and the store.
#[derive(Clone)]
pub struct Night {
    /// The effective configuration.
    pub config: Config,
    /// When nights begin, and the zone of the data's days.
    pub schedule: Schedule,
    /// What time it is.
    pub clock: Clock,
    /// Whether people see progress.
    pub progress: Progress,
    /// How buckets are reached.
    pub aws: AwsSettings,
    /// The database of the configuration, once it was asked for.
    pub shared: SharedDatabase,
    /// Whether objects are read again that are unchanged since they were counted.
    pub recount: bool,
    /// Whether a run waits for another of its day to end.
    pub wait: Wait,
    /// How often days are tried again that failed of what may pass.
    pub retries: Retries,
    /// Tells what is under way to stop.
    pub halt: Halt,
}

impl Night {
    /// A night with the system's clock and the environment's credentials.
    ///
    /// # Errors
    /// When the schedule cannot be understood.
    pub fn new(config: Config, progress: Progress) -> Result<Self, Failure> {
        let schedule = Schedule::new(&config.schedule)?;
        let (clock, aws) = (Clock::system(), AwsSettings::from_env());
        let (wait, retries, halt) = (Wait::No, Retries::none(), Halt::new());
        let (shared, recount) = (SharedDatabase::default(), false);
        Ok(Self { config, schedule, clock, progress, aws, shared, recount, wait, retries, halt })
    }

    /// The same, to be stopped by itself.
    fn of_one_run(&self) -> Self {
        Self { halt: self.halt.of_part(), ..self.clone() }
    }

    /// Why the work failed: that it was told to stop comes before what came of that.
    pub(crate) fn why(&self, failure: Failure) -> Failure {
        let Some(stopped) = self.halt.stopped() else { return failure };
        match failure.reported() {
            Some(report) => Failure::from(stopped).with_report(report.clone()),
            None => stopped.into(),
        }
    }

    /// The database, and what it is logged in to with. Neither is asked.
    ///
    /// # Errors
    /// When the two do not go together.
    pub fn database(&self) -> Result<Database, Failure> {
        self.shared.of(&self.config.store, &self.aws)
    }

    /// Where the logs are. No bucket is asked; a directory must be there.
    ///
    /// # Errors
    /// When the location cannot be opened.
    pub fn input(&self) -> Result<Location, Failure> {
        Ok(Location::open_with(&self.config.input.url, false, &self.aws)?)
    }

    /// The lake, which is made when it is a directory that is not there.
    ///
    /// # Errors
    /// When its location cannot be opened.
    pub fn lake(&self) -> Result<Lake, Failure> {
        let location = self.lake_location()?;
        let lake = Lake::new(location.object_store(), location.prefix(), location.url());
        Ok(lake.in_directory(location.directory().map(Path::to_owned)))
    }

    fn lake_location(&self) -> Result<Location, Failure> {
        Location::open_with(&self.config.lake.url, true, &self.aws).map_err(|error| {
            Failure::from(error).or_help("check lake.url (--lake): the place must be a directory that this user may write, or a bucket")
        })
    }

    /// For how long the night tries again what the store cannot do at the moment.
    fn patience(&self) -> Duration {
        Duration::from_secs(self.config.store.patience_seconds)
    }

    /// The store that is there, migrated: a mistyped path makes no empty one. It has no patience: a person waits.
    ///
    /// # Errors
    /// When it is not there, or cannot be reached or migrated.
    pub async fn existing_store(&self) -> Result<Store, Failure> {
        let store = Store::open_existing(self.database()?).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// The store, migrated, with the patience of a night: also for a server that is not there yet.
    ///
    /// # Errors
    /// When it cannot be reached or migrated, for as long as patience lasts.
    pub async fn store(&self) -> Result<Store, Failure> {
        let store = Store::open_patiently(self.database()?, self.patience()).await?;
        store.migrate().await?;
        Ok(store)
    }
}

/// Runs each day, oldest first, end to end: counts all in one pass, then ranks and publishes one after
/// the other. A day that lacks an object, whose objects cannot be read, whose lines are refused, or that
/// cannot be ranked or published, does not keep the others. Of a night that another scheduler has held, and of days that are
/// left to others, nothing.
///
/// # Errors
/// When nothing could be begun, or all was told to stop; what happened to a day is in its outcome.
pub async fn run(night: &Night, days: &[Day], started_by: StartedBy) -> Result<Vec<RunOutcome>, Failure> {
    traced(days, started_by, Box::pin(run_days(night, days, started_by))).await
}

async fn run_days(night: &Night, days: &[Day], started_by: StartedBy) -> Result<Vec<RunOutcome>, Failure> {
    let night = &night.of_one_run();
    let days: Vec<Day> = days.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let store = night.halt.unless_stopped(night.store()).await??;
    let begun = night.halt.unless_stopped(Ledger::begin(night, &store, &days, started_by)).await??;
    let Some(mut ledger) = begun else { return Ok(Vec::new()) };
    if let Err(failure) = produce(night, &store, &days, &mut ledger).await {
        return ledger.end_all(failure).await;
    }
    // What is not deleted now is deleted the next time.
    let _ = night.halt.unless_stopped(retention::trim_after(night, &store, &days)).await;
    Ok(ledger.outcomes)
}

/// Begins a run of the day that fails at once, since it cannot be made.
///
/// # Errors
/// When it could not be begun or ended; what happened is in its outcome.
pub async fn give_up(
    night: &Night,
    day: Day,
    started_by: StartedBy,
    failure: Failure,
) -> Result<Vec<RunOutcome>, Failure> {
    traced(&[day], started_by, Box::pin(give_up_day(night, day, started_by, failure))).await
}

async fn give_up_day(
    night: &Night,
    day: Day,
    started_by: StartedBy,
    failure: Failure,
) -> Result<Vec<RunOutcome>, Failure> {
    let store = night.store().await?;
    let Some(mut ledger) = Ledger::begin(night, &store, &[day], started_by).await? else {
        return Ok(Vec::new());
    };
    ledger.end(day, Err(failure)).await?;
    Ok(ledger.outcomes)
}

/// Makes the runs of the days inside a span, which tells the first failure.
async fn traced(
    days: &[Day],
    started_by: StartedBy,
    runs: impl Future<Output = Result<Vec<RunOutcome>, Failure>>,
) -> Result<Vec<RunOutcome>, Failure> {
    let (day, started_by) = (of_days(days), started_by.name());
    let span = span!("run", topshelf.day = day, topshelf.run_id = Empty, topshelf.started_by = started_by);
    let outcomes = traces::inside(span.clone(), runs).await?;
    if let Some(failure) = outcomes.iter().find_map(|outcome| outcome.ended.as_ref().err()) {
        traces::failed(&span, failure);
    }
    Ok(outcomes)
}

/// The days as a span tells them: one, or the first and the last.
fn of_days(days: &[Day]) -> String {
    match (days.iter().min(), days.iter().max()) {
        (Some(first), Some(last)) if first < last => format!("{first}/{last}"),
        (first, _) => first.map(ToString::to_string).unwrap_or_default(),
    }
}

/// Produces the days, and those again that failed of what may pass by itself.
async fn produce(night: &Night, store: &Store, days: &[Day], ledger: &mut Ledger<'_>) -> Result<(), Failure> {
    let mut left = days.to_vec();
    let mut pauses = night.retries.pauses(&night.clock);
    loop {
        let pause = pauses.next();
        let failed =
            night.halt.or_give_up(produce_once(night, store, &left, ledger, pause.is_some())).await??;
        let Some(pause) = pause.filter(|_| !failed.is_empty()) else { return Ok(()) };
        for (day, failure) in &failed {
            warn!(%day, error = failure.chain(), pause_s = pause.as_secs(), "the day failed, trying again");
            ledger.retry(*day, failure);
        }
        night.halt.unless_stopped(night.clock.sleep(pause)).await?;
        left = failed.into_iter().map(|(day, _)| day).collect();
    }
}

/// Produces the days; of those that failed and can be tried again, if there is a next time, why.
async fn produce_once(
    night: &Night,
    store: &Store,
    days: &[Day],
    ledger: &mut Ledger<'_>,
    has_next: bool,
) -> Result<Vec<(Day, Failure)>, Failure> {
    let is_for_next = |failure: &Failure| has_next && failure.is_transient();
    let counted = match count(night, days).await {
        Ok(counted) => counted,
        Err(failure) if is_for_next(&failure) => {
            return Ok(days.iter().map(|day| (*day, failure.again())).collect());
        }
        Err(failure) => return Err(failure),
    };
    let (mut for_next, mut unwritten) = (Vec::new(), None);
    let bar = night.progress.steps("publishing", days.len() as u64);
    for (day, counted) in days.iter().zip(counted) {
        night.halt.turn().await?;
        let ended = match counted {
            Ok(counted) => rank_and_publish(night, store, *day, ledger.run_of(*day), counted).await,
            Err(failure) => Err(failure),
        };
        match ended {
            Err(failure) if is_for_next(&failure) => for_next.push((*day, failure)),
            ended => {
                if let Err(failure) = ledger.end(*day, ended).await {
                    unwritten.get_or_insert(failure);
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    unwritten.map_or(Ok(for_next), Err)
}

async fn rank_and_publish(
    night: &Night,
    store: &Store,
    day: Day,
    run: &RunId,
    (counts, counting): (CountsManifest, StageReport),
) -> Result<RunReport, Failure> {
    let mut report = RunReport::of_counts(&counts, Some(counting));
    match rank_and_publish_counts(night, store, day, run, &counts, &mut report).await {
        Ok(()) => Ok(report),
        Err(failure) => Err(failure.with_report(report.to_json())),
    }
}

async fn rank_and_publish_counts(
    night: &Night,
    store: &Store,
    day: Day,
    run: &RunId,
    counts: &CountsManifest,
    report: &mut RunReport,
) -> Result<(), Failure> {
    let models = ranked_models(night, &[])?;
    let is_unchanged = report.is_input_unchanged();
    report.rank(rank::rank_counts(night, counts, &models, is_unchanged).await?);
    publish::publish_run(night, store, day, run, report).await
}
