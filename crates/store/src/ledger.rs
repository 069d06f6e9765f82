//! The ledger of runs: what a run says when it begins and ends, and what is read back.
//!
//! A run is written twice, at its beginning and at its end (publishing adds the digest in between).
//! Once ended it never changes.

use crate::{columns::from_columns, error::Failure, time};
use domain::{Day, ModelName, RunId};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use std::fmt;

/// A run that begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its name.
    pub run_id: RunId,
    /// The day it shall produce.
    pub day: Day,
    /// What started it: `hand`, `schedule`, `airflow`.
    pub started_by: String,
    /// The version of the program that runs.
    pub program_version: String,
    /// Tells apart the configurations that runs had: every key counts, secrets apart.
    pub config_hash: String,
    /// When it began. Kept to the millisecond.
    pub started_at: Timestamp,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Every stage asked for was done.
    Succeeded,
    /// A stage failed; readers see what they saw before.
    Failed,
}

impl Outcome {
    /// The outcome in the database, JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
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
    /// The version of the program.
    pub program_version: String,
    /// The configuration it ran with.
    pub config_hash: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none while it runs.
    pub ended_at: Option<Timestamp>,
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

/// A row of `runs`, the same from both databases.
#[derive(Debug)]
pub(crate) struct RunRow {
    run_id: String,
    day: String,
    status: String,
    started_by: String,
    program_version: String,
    config_hash: String,
    started_at: String,
    ended_at: Option<String>,
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
    program_version,
    config_hash,
    started_at,
    ended_at,
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
            program_version: row.program_version,
            config_hash: row.config_hash,
            started_at: time::from_text(&row.started_at)?,
            ended_at: row.ended_at.as_deref().map(time::from_text).transpose()?,
            error: row.error,
            report: row.report.as_deref().map(|text| json("a report", text)).transpose()?,
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

pub(crate) fn models(text: &str) -> Result<Vec<ModelName>, Failure> {
    json("names of models", text)
}

fn json<T: serde::de::DeserializeOwned>(kind: &str, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|_| Failure::corrupt(kind, text))
}
