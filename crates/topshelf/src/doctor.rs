//! What a night needs, tried step by step: what was tried, what came back, how long it took, what to do about it.
//!
//! Flags enter, an [`Examination`] leaves; each step is told as soon as it was taken. Places, logs and headers are
//! looked at by the night's own code, so that the two cannot disagree. Nothing is changed: no file, folder, table
//! or row is made. One tiny object is put into the lake, to see that it can be, and deleted.

mod bucket;
mod certificate;
mod clock;
mod cluster;
mod configuration;
mod database;
mod date;
mod input;
mod lake;
mod machine;
mod network;
mod step;
mod tls;
mod webhook;

pub use step::{Outcome, Section, Step, Told};

use crate::{config::Flags, failure::Failure, pipeline::Night};
use domain::Day;
use serde::Serialize;
use std::time::{Duration, Instant};

/// For how long requests that fail are tried again: a doctor tells that they fail.
const PATIENCE: Duration = Duration::from_secs(6);

/// All that was tried.
#[derive(Debug, Serialize)]
pub struct Examination {
    /// Whether nothing failed that a night needs.
    pub ok: bool,
    /// The day whose input was looked for; none when the configuration cannot be loaded.
    pub day: Option<Day>,
    /// How long it took.
    pub elapsed_ms: u64,
    /// How many steps ended how.
    pub steps: Count,
    /// What was tried, in order.
    pub sections: Vec<Section>,
    /// Whether a step that was given up may still be at work.
    #[serde(skip)]
    pub has_hung: bool,
}

/// How many steps ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// As they should.
    pub ok: usize,
    /// Well enough.
    pub warning: usize,
    /// Not.
    pub failed: usize,
    /// Not tried.
    pub skipped: usize,
}

/// Looks at all that a night needs, for the input of a day; the one just ended if none is given. Gives also why the
/// configuration cannot be loaded, when it cannot.
pub async fn examine(
    flags: &Flags,
    day: Option<Day>,
    tell: &(dyn Fn(Told<'_>) + Sync),
) -> (Examination, Result<(), Failure>) {
    let began = Instant::now();
    let (section, loaded) = configuration::examine(flags, day, tell).await;
    let mut sections = vec![section];
    let mut has_hung = false;
    let (day, loaded) = match loaded {
        Ok((night, day)) => {
            has_hung = examine_places(&night, day, tell, &mut sections).await;
            (Some(day), Ok(()))
        }
        Err(failure) => (None, Err(failure)),
    };
    let steps = Count::of(&sections);
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    (Examination { ok: steps.failed == 0, day, elapsed_ms, steps, sections, has_hung }, loaded)
}

async fn examine_places(night: &Night, day: Day, tell: step::Tell<'_>, sections: &mut Vec<Section>) -> bool {
    let night = &Night { aws: night.aws.clone().with_patience(PATIENCE), ..night.clone() };
    let (section, has_input_hung, input) = input::examine(night, day, tell).await;
    sections.push(section);
    let (section, has_database_hung, file) = database::examine(night, tell).await;
    sections.push(section);
    let is_input_remote = input.endpoint.is_some();
    let (section, has_lake_hung) = lake::examine(night, input.endpoint, tell).await;
    sections.push(section);
    let cluster = cluster::examine(&night.config.cluster, tell).await;
    let has_cluster_hung = cluster.as_ref().is_some_and(|(_, has_hung)| *has_hung);
    sections.extend(cluster.map(|(section, _)| section));
    let (section, has_machine_hung) = machine::examine(night, file, input.bytes, is_input_remote, tell).await;
    sections.push(section);
    let webhook = webhook::examine(&night.config.schedule.webhook, &night.aws, tell).await;
    let has_webhook_hung = webhook.as_ref().is_some_and(|(_, has_hung)| *has_hung);
    sections.extend(webhook.map(|(section, _)| section));
    let hung = [
        has_input_hung,
        has_database_hung,
        has_lake_hung,
        has_cluster_hung,
        has_machine_hung,
        has_webhook_hung,
    ];
    hung.contains(&true)
}

/// Undoes what is half done, for whoever is interrupted; gives the name of what may be left in the lake.
pub async fn undo() -> Option<String> {
    lake::undo().await
}

impl Count {
    fn of(sections: &[Section]) -> Self {
        let mut count = Self::default();
        for step in sections.iter().flat_map(|section| &section.steps) {
            match step.outcome {
                Outcome::Ok => count.ok += 1,
                Outcome::Warning => count.warning += 1,
                Outcome::Failed => count.failed += 1,
                Outcome::Skipped => count.skipped += 1,
            }
        }
        count
    }
}
