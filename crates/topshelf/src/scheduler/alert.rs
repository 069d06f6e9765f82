//! Telling people of nights that fail or are held, and of the first that is well again.
//!
//! One JSON object is posted to `schedule.webhook`; its `text` is what Slack and its likes show.

use crate::{
    checks::Severity,
    failure::Failure,
    liveness,
    pipeline::{Night, RunReport},
    retries::Retries,
};
use domain::{Day, RunId};
use miette::Diagnostic;
use serde::Serialize;
use std::time::Duration;
use store::{Outcome, RunStatus};
use tracing::{info, warn};

/// How long the other end may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// How often a post that failed is tried again, and the pause before the first time.
const RETRIES: (u32, Duration) = (3, Duration::from_secs(1));

/// The newest runs among which the night before is looked for.
const RUNS_LOOKED_AT: usize = 50;

/// Posts what happens to nights.
pub(super) struct Alerts {
    night: Night,
}

/// What is posted.
#[derive(Debug, Serialize)]
struct Alert<'a> {
    /// For people, in a few lines.
    text: String,
    /// `failure`, `hold` or `recovery`.
    event: &'static str,
    day: Day,
    run_id: Option<&'a RunId>,
    error: Option<String>,
    remedy: Option<String>,
    host: String,
    program_version: &'static str,
}

impl Alerts {
    pub(super) fn new(night: &Night) -> Self {
        Self { night: night.clone() }
    }

    pub(super) async fn failed(&self, day: Day, run_id: Option<&RunId>, failure: &Failure) {
        let remedy = failure.help().map(|help| help.to_string());
        let mut text = format!("The night of {day} failed: {}", failure.chain());
        if let Some(remedy) = &remedy {
            text = format!("{text}\nWhat to do: {remedy}");
        }
        text = format!("{text}\nReaders keep what they see; `topshelf run --day {day}` tries again.");
        let error = Some(failure.chain());
        self.post(&Alert { error, remedy, ..alert("failure", text, day, run_id) }).await;
    }

    pub(super) async fn panicked(&self, day: Day) {
        let text = format!("The night of {day} broke off by a defect of topshelf; its log has the message.");
        self.post(&alert("failure", text, day, None)).await;
    }

    pub(super) async fn held(&self, day: Day, run_id: &RunId, report: &RunReport) {
        let whom = match report.held_advertisers() {
            0 => "all rankings".to_owned(),
            1 => "the rankings of 1 advertiser".to_owned(),
            advertisers => format!("the rankings of {advertisers} advertisers"),
        };
        let waiting = report.waiting_run(run_id);
        let findings = report.findings().iter().filter(|finding| finding.severity == Severity::Hold);
        let why: Vec<_> =
            findings.take(3).map(|finding| format!("\n• {}: {}", finding.check, finding.message)).collect();
        let remedy = format!(
            "`topshelf runs {waiting}` tells all; mend the logs and `topshelf run --day {day}`, \
             or publish it as it is: `topshelf publish --accept {waiting} --reason '…'`"
        );
        let text = format!("Checks hold back {whom} of {day}.{}\nWhat to do: {remedy}", why.concat());
        self.post(&Alert { remedy: Some(remedy), ..alert("hold", text, day, Some(run_id)) }).await;
    }

    /// Tells of it if the night before was not well.
    pub(super) async fn succeeded(&self, day: Day, run_id: &RunId) {
        if self.night.config.schedule.webhook.is_empty() {
            return;
        }
        match self.night_before(run_id).await {
            Ok(Some((before, Outcome::Failed | Outcome::Held))) => {
                let text = format!("The night of {day} is published; the one before, of {before}, was not.");
                self.post(&alert("recovery", text, day, Some(run_id))).await;
            }
            Ok(_) => (),
            Err(failure) => warn!(error = failure.chain(), "could not read how the night before went"),
        }
    }

    async fn night_before(&self, run_id: &RunId) -> Result<Option<(Day, Outcome)>, Failure> {
        let runs = self.night.store().await?.runs(RUNS_LOOKED_AT, None).await?;
        let mut nights = runs.iter().filter(|run| run.due_at.is_some() && run.run_id != *run_id);
        Ok(nights.find_map(|run| match run.status {
            RunStatus::Ended(outcome @ (Outcome::Succeeded | Outcome::Failed | Outcome::Held)) => {
                Some((run.day, outcome))
            }
            _ => None,
        }))
    }

    /// Posts it; that it could not be is logged, and fails nothing.
    async fn post(&self, alert: &Alert<'_>) {
        let url = &self.night.config.schedule.webhook;
        if url.is_empty() {
            return;
        }
        let mut pauses = Retries::new(RETRIES.0, RETRIES.1).pauses(&self.night.clock);
        loop {
            let Err(error) = post_once(url, alert).await else {
                return info!(event = alert.event, day = %alert.day, "told the webhook");
            };
            match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return warn!(event = alert.event, error, "could not tell schedule.webhook"),
            }
        }
    }
}

async fn post_once(url: &str, alert: &Alert<'_>) -> Result<(), String> {
    let client = reqwest::Client::builder().timeout(ANSWER_TIME_MAX).build().map_err(told)?;
    let answer = client.post(url).json(alert).send().await.map_err(told)?;
    answer.error_for_status().map(drop).map_err(told)
}

/// The error without its URL, which is a secret.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn alert<'a>(event: &'static str, text: String, day: Day, run_id: Option<&'a RunId>) -> Alert<'a> {
    let (host, program_version) = (liveness::host(), env!("CARGO_PKG_VERSION"));
    Alert { text, event, day, run_id, error: None, remedy: None, host, program_version }
}
