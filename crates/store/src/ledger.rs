//! The ledger of runs: what a run says when it begins and ends, and what is read back.
//!
//! A run is written at its beginning and at its end (publishing adds the digest in between), and says now
//! and then that it lives. Once ended it never changes, which the database sees to. While it is under way its
//! row is the lease of its day: no other process begins a run of the day.

use crate::{
    columns::from_columns,
    error::{Failure, StoreError},
    time,
};
use domain::{Day, ModelName, RunId};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use std::{fmt, time::Duration};

/// A run that begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its name.
    pub run_id: RunId,
    /// The day it shall produce.
    pub day: Day,
    /// What started it: `hand`, `schedule`, `airflow`.
    pub started_by: String,
    /// Which workflow of an orchestrator began it, in that one's words; none when it said nothing. Has no NUL character.
    pub orchestrator: Option<String>,
    /// The version of the program that runs.
    pub program_version: String,
    /// Tells apart the configurations that runs had: every key counts, secrets apart.
    pub config_hash: String,
    /// When it began. Kept to the millisecond.
    pub started_at: Timestamp,
    /// Tells the work that it is part of from all other: opaque here. It holds the days of its runs.
    pub process: String,
    /// The machine, as people call it.
    pub host: String,
    /// The moment of the schedule that it is for; none when somebody asked for it.
    pub due_at: Option<Timestamp>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Every stage asked for was done.
    Succeeded,
    /// A stage failed; readers see what they saw before.
    Failed,
    /// Every stage asked for was done, and checks hold back some of what it made, or all.
    Held,
    /// Its process was gone before it could say how it ended, or it could not, and had published.
    Died,
    /// It was told to stop.
    Stopped,
}

impl Outcome {
    /// The outcome in the database, JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Died => "died",
            Self::Stopped => "stopped",
        }
    }
}

/// A run that ends.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// When. Kept to the millisecond.
    pub ended_at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Why it failed. A NUL character is kept as U+FFFD.
    pub error: Option<String>,
    /// Stages, tallies, inputs, timings: opaque here.
    pub report: serde_json::Value,
}

/// Where a run stands. Serialises as its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunStatus {
    /// Under way, or its process died without a word.
    Running,
    /// Ended, and immutable.
    Ended(Outcome),
    /// A status that a newer version of the program wrote.
    Other(String),
}

impl RunStatus {
    /// The status in the database, JSON and messages.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Running => "running",
            Self::Ended(outcome) => outcome.name(),
            Self::Other(name) => name,
        }
    }

    fn from_name(name: String) -> Self {
        match name.as_str() {
            "running" => Self::Running,
            "succeeded" => Self::Ended(Outcome::Succeeded),
            "failed" => Self::Ended(Outcome::Failed),
            "held" => Self::Ended(Outcome::Held),
            "died" => Self::Ended(Outcome::Died),
            "stopped" => Self::Ended(Outcome::Stopped),
            _ => Self::Other(name),
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for RunStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A run as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRecord {
    /// Its name.
    pub run_id: RunId,
    /// The day it produces.
    pub day: Day,
    /// Where it stands.
    pub status: RunStatus,
    /// What started it.
    pub started_by: String,
    /// Which workflow of an orchestrator began it; none when that said nothing, and of a run of an earlier version.
    pub orchestrator: Option<String>,
    /// The version of the program.
    pub program_version: String,
    /// The configuration it ran with.
    pub config_hash: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none while it runs.
    pub ended_at: Option<Timestamp>,
    /// Its process, as [`NewRun::process`] told it; none of a run of an earlier version.
    pub process: Option<String>,
    /// Its machine; none of a run of an earlier version.
    pub host: Option<String>,
    /// The moment of the schedule that it is for; none when somebody asked for it.
    pub due_at: Option<Timestamp>,
    /// When it last gave a sign of life; none of a run of an earlier version.
    pub seen_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// Stages, tallies, inputs, timings; none while it runs.
    pub report: Option<serde_json::Value>,
    /// The models computed, in byte order; none until it publishes.
    pub models: Option<Vec<ModelName>>,
    /// SHA-256 of all that it published, in hexadecimal; none until it publishes.
    pub rankings_digest: Option<String>,
    /// The run whose rows hold its rankings: itself, or the earlier one that had published the same.
    pub rankings_run_id: Option<RunId>,
}

impl RunRecord {
    /// Whether this is the run, as it was when it began.
    pub(crate) fn is_begun_as(&self, run: &NewRun) -> bool {
        self.status == RunStatus::Running
            && self.day == run.day
            && self.started_at == time::to_millisecond(run.started_at)
            && self.process.as_ref() == Some(&run.process)
    }

    /// Whether it ended exactly so.
    pub(crate) fn is_ended_as(&self, end: &RunEnd) -> bool {
        self.status == RunStatus::Ended(end.outcome)
            && self.ended_at == Some(time::to_millisecond(end.ended_at))
            && self.error == storable_error(end)
    }
}

/// A run that has not ended, as far as the ledger knows: its process may be gone.
#[derive(Debug, Clone, PartialEq)]
pub struct UnderWay {
    /// The run.
    pub run: RunRecord,
    /// How long ago it gave its last sign of life, or began, by the database's clock.
    pub unseen_for: Duration,
}

/// The runs that tell how the nights go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LastRuns {
    /// Of the newest day of which a run ended, the one that ended last; without its report.
    pub ended: Option<RunRecord>,
    /// The same of those that succeeded.
    pub succeeded: Option<RunRecord>,
}

/// A run that keeps another from being begun, and its status.
#[derive(Debug)]
pub(crate) struct Obstacle {
    run_id: String,
    status: String,
}

from_columns!(Obstacle { run_id, status });

impl Obstacle {
    /// Why the other run of the day is not begun.
    pub(crate) fn refusal(self, day: Day) -> Result<Failure, Failure> {
        let run_id = run_id(&self.run_id)?;
        Ok(match self.status.as_str() {
            "running" => StoreError::DayTaken { day, run_id }.into(),
            _ => StoreError::NightOver { day, run_id }.into(),
        })
    }
}

/// Why the run could not be written down.
pub(crate) fn not_inserted(run: &NewRun, error: sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(error) if error.is_unique_violation() => {
            StoreError::RunExists { run_id: run.run_id.clone() }.into()
        }
        error => error.into(),
    }
}

/// How long ago runs under way were heard of, as it is read.
#[derive(Debug)]
pub(crate) struct UnseenRow {
    pub(crate) run_id: String,
    pub(crate) unseen_ms: i64,
}

from_columns!(UnseenRow { run_id, unseen_ms });

/// Puts together what was read of runs under way, in the same order.
pub(crate) fn under_way(rows: Vec<RunRow>, unseen: &[UnseenRow]) -> Result<Vec<UnderWay>, Failure> {
    let unseen_for = |run: &RunRow| {
        let ms =
            unseen.iter().find(|unseen| unseen.run_id == run.run_id).map_or(0, |unseen| unseen.unseen_ms);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    };
    rows.into_iter()
        .map(|row| Ok(UnderWay { unseen_for: unseen_for(&row), run: RunRecord::try_from(row)? }))
        .collect()
}

/// A row of `runs`, the same from both databases.
#[derive(Debug)]
pub(crate) struct RunRow {
    run_id: String,
    day: String,
    status: String,
    started_by: String,
    orchestrator: Option<String>,
    program_version: String,
    config_hash: String,
    started_at: String,
    ended_at: Option<String>,
    process: Option<String>,
    host: Option<String>,
    due_at: Option<String>,
    seen_at: Option<String>,
    error: Option<String>,
    report: Option<String>,
    models: Option<String>,
    rankings_digest: Option<String>,
    rankings_run_id: Option<String>,
}

from_columns!(RunRow {
    run_id,
    day,
    status,
    started_by,
    orchestrator,
    program_version,
    config_hash,
    started_at,
    ended_at,
    process,
    host,
    due_at,
    seen_at,
    error,
    report,
    models,
    rankings_digest,
    rankings_run_id
});

impl TryFrom<RunRow> for RunRecord {
    type Error = Failure;

    fn try_from(row: RunRow) -> Result<Self, Failure> {
        Ok(Self {
            run_id: run_id(&row.run_id)?,
            day: day(&row.day)?,
            status: RunStatus::from_name(row.status),
            started_by: row.started_by,
            orchestrator: row.orchestrator,
            program_version: row.program_version,
            config_hash: row.config_hash,
            started_at: time::from_text(&row.started_at)?,
            ended_at: row.ended_at.as_deref().map(time::from_text).transpose()?,
            process: row.process,
            host: row.host,
            due_at: row.due_at.as_deref().map(time::from_text).transpose()?,
            seen_at: row.seen_at.as_deref().map(time::from_text).transpose()?,
            error: row.error,
            report: row.report.as_deref().map(report).transpose()?,
            models: row.models.as_deref().map(models).transpose()?,
            rankings_digest: row.rankings_digest,
            rankings_run_id: row.rankings_run_id.as_deref().map(run_id).transpose()?,
        })
    }
}

/// The reason of a failure as both databases can keep it.
pub(crate) fn storable_error(end: &RunEnd) -> Option<String> {
    end.error.as_ref().map(|error| error.replace('\0', "\u{FFFD}"))
}

pub(crate) fn run_id(text: &str) -> Result<RunId, Failure> {
    text.parse().map_err(|_| Failure::corrupt("a run id", text))
}

pub(crate) fn day(text: &str) -> Result<Day, Failure> {
    text.parse().map_err(|_| Failure::corrupt("a day", text))
}

pub(crate) fn report(text: &str) -> Result<serde_json::Value, Failure> {
    json("a report", text)
}

pub(crate) fn models(text: &str) -> Result<Vec<ModelName>, Failure> {
    json("names of models", text)
}

fn json<T: serde::de::DeserializeOwned>(kind: &str, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|_| Failure::corrupt(kind, text))
}
