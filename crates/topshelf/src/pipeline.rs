//! The night: count, rank, publish, each a function that every command, the scheduler and Airflow call.
//!
//! `count` reads logs and leaves the counts of each day in the lake; `rank` takes them from there and
//! leaves rankings; `publish` takes those and moves what readers see, in one transaction. `run` is the
//! three in a row for each day, written into the ledger. Nothing is handed on but through the lake.

mod assumed;
mod before;
mod checked;
mod count;
mod input;
mod ledger;
mod limits;
mod look;
mod parquet;
mod publish;
mod rank;
mod report;
mod retention;

pub use checked::Checked;
pub use count::count;
pub(crate) use ledger::is_dead;
pub(crate) use look::{LookedLog, configured_logs, find_log};
pub use publish::{accept, publish};
pub use rank::{rank, ranked_models};
pub(crate) use report::visible;
pub use report::{ModelReport, RunOutcome, RunReport, StageReport, Verdict};
pub use retention::{Trimmed, trim};

use crate::{clock::Clock, config::Config, failure::Failure, progress::Progress, schedule::Schedule};
use domain::{Day, RunId};
use lake::{CountsManifest, Lake};
use ledger::Ledger;
use source::{AwsSettings, Location};
use std::{collections::BTreeSet, path::Path};
use store::Store;

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
    /// Whether objects are read again that are unchanged since they were counted.
    pub recount: bool,
}

/// Who started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartedBy {
    /// A person or a script.
    Hand,
    /// The built-in scheduler.
    Schedule,
    /// An Airflow task.
    Airflow,
}

impl StartedBy {
    /// A command's starter: Airflow says so in the environment of its tasks.
    #[must_use]
    pub fn of_environment() -> Self {
        if std::env::var_os("AIRFLOW_CTX_DAG_ID").is_some() { Self::Airflow } else { Self::Hand }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hand => "hand",
            Self::Schedule => "schedule",
            Self::Airflow => "airflow",
        }
    }
}

impl Night {
    /// A night with the system's clock and the environment's credentials.
    ///
    /// # Errors
    /// When the schedule cannot be understood.
    pub fn new(config: Config, progress: Progress) -> Result<Self, Failure> {
        let schedule = Schedule::new(&config.schedule)?;
        let (clock, aws) = (Clock::system(), AwsSettings::from_env());
        Ok(Self { config, schedule, clock, progress, aws, recount: false })
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

    /// The store that is there, migrated: a mistyped path makes no empty one.
    ///
    /// # Errors
    /// When it is not there, or cannot be reached or migrated.
    pub async fn existing_store(&self) -> Result<Store, Failure> {
        let store = Store::open_existing(&self.config.store.url).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// The store, migrated.
    ///
    /// # Errors
    /// When it cannot be reached or migrated.
    pub async fn store(&self) -> Result<Store, Failure> {
        let store = Store::open(&self.config.store.url).await?;
        store.migrate().await?;
        Ok(store)
    }
}

/// Runs each day, oldest first, end to end: counts all in one pass, then ranks and publishes one after
/// the other. A day that lacks an object, whose objects cannot be read, whose lines are refused, or that
/// cannot be ranked or published, does not keep the others.
///
/// # Errors
/// When nothing could be begun; what happened to a day is in its outcome.
pub async fn run(night: &Night, days: &[Day], started_by: StartedBy) -> Result<Vec<RunOutcome>, Failure> {
    let days: Vec<Day> = days.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let store = night.store().await?;
    let mut ledger = Ledger::begin(night, &store, &days, started_by).await?;
    let counted = match count(night, &days).await {
        Ok(counted) => counted,
        Err(failure) => return ledger.end_all(failure).await,
    };
    let bar = night.progress.steps("publishing", days.len() as u64);
    for (day, counted) in days.iter().zip(counted) {
        let ended = match counted {
            Ok(counted) => rank_and_publish(night, &store, *day, ledger.run_of(*day), counted).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = ledger.end(*day, ended).await {
            return ledger.end_all(failure).await;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    retention::trim_after(night, &store, &days).await;
    Ok(ledger.outcomes)
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
    let before = if is_unchanged { rank::ranked_before(night, counts, &models).await } else { None };
    report.rank(match before {
        Some(ranked) => ranked,
        None => rank(night, day, &models).await?,
    });
    publish::publish_run(night, store, day, run, report).await
}
