//! What a run says of itself: for the ledger, for people and for programs.

use super::{Checked, ClusterFigures};
use crate::{
    checks::Finding,
    failure::{Exit, Failure},
};
use domain::{Day, Log, ModelName, RunId};
use lake::{CountsManifest, LogInput, RankingsManifest};
use serde::Serialize;
use std::{collections::BTreeMap, time::Instant};
use store::{Holds, Publication};

/// How long a stage took.
#[derive(Debug, Clone, Serialize)]
pub struct StageReport {
    /// `count`, `rank` or `publish`.
    pub stage: &'static str,
    /// Wall time; of counting, that of all days counted in the same pass.
    pub elapsed_ms: u64,
    /// Whether what the lake held already was kept, since nothing that it depends on had changed.
    pub reused: bool,
    /// Objects of events that were counted before and are as they were, so that only the others were read.
    #[serde(skip_serializing_if = "is_zero")]
    pub kept_objects: u64,
    /// Bytes of partial counts that went to disk, as there was no memory for them; of all days together.
    #[serde(skip_serializing_if = "is_zero")]
    pub spilled_bytes: u64,
    /// What a cluster did, if one counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterFigures>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StageReport {
    /// The stage that began at `since` and ends now.
    #[must_use]
    pub fn since(stage: &'static str, since: Instant) -> Self {
        let elapsed_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self { stage, elapsed_ms, reused: false, kept_objects: 0, spilled_bytes: 0, cluster: None }
    }

    /// The same, of a stage that found its result in the lake.
    #[must_use]
    pub fn reused(self) -> Self {
        Self { reused: true, ..self }
    }

    /// The same, of a stage that did not read so many objects again.
    #[must_use]
    pub fn kept(self, kept_objects: usize) -> Self {
        Self { kept_objects: kept_objects as u64, ..self }
    }

    /// The same, of a stage for which a cluster did this.
    #[must_use]
    pub fn by_cluster(self, cluster: Option<ClusterFigures>) -> Self {
        Self { cluster, ..self }
    }

    /// The same, of a stage that kept so much on disk.
    #[must_use]
    pub fn spilled(self, spilled_bytes: u64) -> Self {
        Self { spilled_bytes, ..self }
    }
}

/// A line of a log as a message shows it: what cannot be seen is escaped, and quotes stay quotes.
pub(crate) fn visible(text: &str) -> String {
    let mut visible = String::new();
    for char in text.chars() {
        match char {
            '"' | '\'' => visible.push(char),
            _ => visible.extend(char.escape_debug()),
        }
    }
    visible
}

/// One model of a run.
#[derive(Debug, Clone, Serialize)]
pub struct ModelReport {
    /// The model.
    pub model: ModelName,
    /// How many products a ranking has at most.
    pub k: usize,
    /// How many advertisers have a ranking.
    pub advertisers: usize,
    /// How many products are ranked in all.
    pub products: usize,
}

/// What publishing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Readers see this run's rankings.
    Published,
    /// Readers saw the same rankings already; what they see stays.
    Unchanged,
    /// Readers see this run's rankings, but for advertisers that checks hold.
    PartlyHeld,
    /// Checks hold all; what readers see stays.
    Held,
    /// Not yet known.
    Pending,
}

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// What was done, in order.
    pub stages: Vec<StageReport>,
    counts_digest: String,
    active_advertisers: usize,
    logs: BTreeMap<Log, LogInput>,
    models: Vec<ModelReport>,
    /// Models that were not computed, with the reason.
    not_computed: BTreeMap<ModelName, String>,
    verdict: Verdict,
    checks: Checked,
    /// The advertisers that are held, each by itself.
    held_advertisers: usize,
    /// The run whose rankings readers see, when they were the same already.
    published_run: Option<RunId>,
    /// The run that waits to be accepted: this one when there is none here.
    waiting_run: Option<RunId>,
    /// The most memory that the process has had until the run ended; none where the system does not tell.
    peak_memory_bytes: Option<u64>,
}

impl RunReport {
    /// The report of a run whose day is counted.
    #[must_use]
    pub fn of_counts(counts: &CountsManifest, counting: Option<StageReport>) -> Self {
        Self {
            stages: counting.into_iter().collect(),
            counts_digest: counts.counts_digest.clone(),
            active_advertisers: counts.active_advertisers,
            logs: counts.logs.clone(),
            models: Vec::new(),
            not_computed: BTreeMap::new(),
            verdict: Verdict::Pending,
            checks: Checked::default(),
            held_advertisers: 0,
            published_run: None,
            waiting_run: None,
            peak_memory_bytes: None,
        }
    }

    /// The same report, with the most memory that the process has had.
    #[must_use]
    pub(super) fn with_peak_memory(self, peak_memory_bytes: Option<u64>) -> Self {
        Self { peak_memory_bytes, ..self }
    }

    /// Whether the lake still holds the counts that this report tells of.
    ///
    /// # Errors
    /// When another run has counted the day differently meanwhile.
    pub fn is_of(&self, counts: &CountsManifest) -> Result<(), Failure> {
        if counts.counts_digest == self.counts_digest {
            return Ok(());
        }
        let message = format!("another run has counted {} differently meanwhile", counts.day);
        let failure = Failure::new(Exit::Failed, message).help("run the day again, one run at a time");
        // Such as a run that was taken for dead, and woke: the next time it is gone.
        Err(failure.transient_if(true))
    }

    /// Adds what ranking did.
    pub fn rank(&mut self, ranked: super::rank::Ranked) {
        self.stages.push(ranked.stage);
        self.models_are(&ranked.manifests, ranked.not_computed);
    }

    /// Says which models were computed, and why others were not.
    pub fn models_are(&mut self, manifests: &[RankingsManifest], not_computed: BTreeMap<ModelName, String>) {
        self.models = manifests.iter().map(ModelReport::of).collect();
        self.not_computed = not_computed;
    }

    /// Adds what checking and publishing did.
    pub fn publish(&mut self, stage: StageReport, published: Publication, checks: Checked, holds: &Holds) {
        self.stages.push(stage);
        self.checks = checks;
        self.checks.note_taken_back(holds);
        let is_seen_whole = matches!(published, Publication::Unchanged { is_held: false, .. });
        self.held_advertisers = if is_seen_whole { 0 } else { holds.advertisers.len() };
        self.verdict = match published {
            Publication::Moved if holds.is_empty() => Verdict::Published,
            Publication::Moved => Verdict::PartlyHeld,
            Publication::Held { waiting_run } => {
                self.waiting_run = Some(waiting_run);
                Verdict::Held
            }
            Publication::Unchanged { published_run, is_held } => {
                self.waiting_run = is_held.then(|| published_run.clone());
                self.published_run = Some(published_run);
                if is_held { Verdict::PartlyHeld } else { Verdict::Unchanged }
            }
        };
    }

    /// Whether readers do not see all of the run because of checks.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self.verdict, Verdict::Held | Verdict::PartlyHeld)
    }

    /// The run that waits to be accepted, when this one is `run`: an earlier one that made the same, or this.
    #[must_use]
    pub fn waiting_run<'a>(&'a self, run: &'a RunId) -> &'a RunId {
        self.waiting_run.as_ref().unwrap_or(run)
    }

    /// How many advertisers are held, each by itself.
    #[must_use]
    pub fn held_advertisers(&self) -> usize {
        self.held_advertisers
    }

    /// What the checks found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.checks.findings
    }

    /// What publishing did.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The models that were computed.
    #[must_use]
    pub fn models(&self) -> &[ModelReport] {
        &self.models
    }

    /// Models that were not computed, with the reason.
    pub fn not_computed(&self) -> impl Iterator<Item = (&ModelName, &str)> {
        self.not_computed.iter().map(|(model, reason)| (model, reason.as_str()))
    }

    /// Whether the day's input was the one that it had been counted from before, and not read again.
    #[must_use]
    pub fn is_input_unchanged(&self) -> bool {
        self.stages.iter().any(|stage| stage.stage == "count" && stage.reused)
    }

    /// How many objects of the day's events were counted before, and not read again while others were.
    #[must_use]
    pub fn kept_objects(&self) -> u64 {
        self.stages.iter().map(|stage| stage.kept_objects).sum()
    }

    /// What became of each log's lines.
    #[must_use]
    pub fn logs(&self) -> &BTreeMap<Log, LogInput> {
        &self.logs
    }

    /// The report as the ledger keeps it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a report is plain data")
    }
}

impl ModelReport {
    /// The report of a model's rankings as they lie in the lake.
    #[must_use]
    pub fn of(manifest: &RankingsManifest) -> Self {
        Self {
            model: manifest.model.clone(),
            k: manifest.k,
            advertisers: manifest.advertisers,
            products: manifest.products,
        }
    }
}

/// A run that ended.
#[derive(Debug)]
pub struct RunOutcome {
    /// The run.
    pub run_id: RunId,
    /// Its day.
    pub day: Day,
    /// What it did, or why it failed.
    pub ended: Result<RunReport, Failure>,
}

impl RunOutcome {
    pub(super) fn new(run_id: RunId, day: Day, ended: Result<RunReport, Failure>) -> Self {
        Self { run_id, day, ended }
    }

    /// The outcome for programs.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let (outcome, error, report) = match &self.ended {
            Ok(report) => (serde_json::to_value(report.verdict).expect("a word"), None, report.to_json()),
            Err(failure) => {
                let word = if failure.exit == Exit::Refused { "refused" } else { "failed" };
                (word.into(), Some(failure.chain()), failure.reported().cloned().unwrap_or_default())
            }
        };
        serde_json::json!({
            "run_id": self.run_id, "day": self.day, "outcome": outcome, "error": error, "report": report,
        })
    }
}
