//! Telling people of nights that fail or are held, and of the first that is well again.
//!
//! One JSON object is posted to `schedule.webhook`; its `text` is what Slack and its likes show, written as they want it.

use crate::{
    checks::{Finding, Severity},
    config::Webhook,
    failure::Failure,
    liveness,
    pipeline::{Night, RunReport},
    retries::Retries,
    webhook,
};
use domain::{Day, RunId};
use miette::Diagnostic;
use serde::Serialize;
use source::AwsSettings;
use std::time::Duration;
use store::{Outcome, RunStatus};
use tracing::{info, warn};

/// How long the other end may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// How often a post that failed is tried again, and the pause before the first time.
const RETRIES: (u32, Duration) = (3, Duration::from_secs(1));

/// Of what holds a day, so much is told.
const FINDINGS_TOLD: usize = 3;

/// Days among which the night before is looked for.
const DAYS_LOOKED_AT: usize = 7;

/// Posts what happens to nights.
pub(super) struct Alerts {
    night: Night,
    /// Whether the last that was told is no recovery.
    is_in_trouble: bool,
}

/// What is posted.
#[derive(Debug, Serialize)]
struct Alert<'a> {
    /// For people, in a few lines; what would be markup of links and mentions is escaped.
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
        Self { night: night.clone(), is_in_trouble: false }
    }

    pub(super) async fn failed(&mut self, day: Day, run_id: &RunId, failure: &Failure) {
        let remedy = failure.help().map(|help| help.to_string());
        let mut text = format!("The night of {day} failed: {}", failure.chain());
        if let Some(remedy) = &remedy {
            text = format!("{text}\nWhat to do: {remedy}");
        }
        text = format!("{text}\nReaders keep what they see; `topshelf run --day {day}` tries again.");
        let error = Some(failure.chain());
        self.is_in_trouble = true;
        self.post(&Alert { error, remedy, ..alert("failure", text, day, Some(run_id)) }).await;
    }

    /// The ledger could not be read or written, so that nobody knows about the night.
    pub(super) async fn took_no_note(&mut self, day: Day, failure: &Failure) {
        let remedy = failure.help().map(|help| help.to_string());
        let text = format!(
            "The ledger took no note of the night of {day}: {}\nIt is tried again until it does; `topshelf doctor` tells what is wrong.",
            failure.chain()
        );
        self.is_in_trouble = true;
        let error = Some(failure.chain());
        self.post(&Alert { error, remedy, ..alert("failure", text, day, None) }).await;
    }

    pub(super) async fn held(&mut self, day: Day, run_id: &RunId, report: &RunReport) {
        let whom = match report.held_advertisers() {
            0 => "all rankings".to_owned(),
            1 => "the rankings of 1 advertiser".to_owned(),
            advertisers => format!("the rankings of {advertisers} advertisers"),
        };
        let waiting = report.waiting_run(run_id);
        let holds: Vec<_> =
            report.findings().iter().filter(|finding| finding.severity == Severity::Hold).collect();
        let one = |finding: &&Finding| {
            let whom =
                finding.advertiser_id.as_ref().map(|id| format!(" of advertiser {id}")).unwrap_or_default();
            format!("\n• {}{whom}: {}", finding.check, finding.message)
        };
        let mut why: Vec<_> = holds.iter().take(FINDINGS_TOLD).map(one).collect();
        if holds.len() > FINDINGS_TOLD {
            why.push(format!("\n• and {} more", holds.len() - FINDINGS_TOLD));
        }
        let remedy = format!(
            "`topshelf runs {waiting}` tells all; mend the logs and `topshelf run --day {day}`, \
             or publish it as it is: `topshelf publish --accept {waiting} --reason '…'`"
        );
        let text = format!("Checks hold back {whom} of {day}.{}\nWhat to do: {remedy}", why.concat());
        self.is_in_trouble = true;
        self.post(&Alert { remedy: Some(remedy), ..alert("hold", text, day, Some(run_id)) }).await;
    }

    /// Tells of the newest night if there was trouble before it.
    pub(super) async fn succeeded(&mut self, day: Day, run_id: &RunId) {
        if self.night.config.schedule.webhook.0.is_empty() {
            return;
        }
        let was_in_trouble = std::mem::take(&mut self.is_in_trouble);
        let before = match self.night_before(day).await {
            Ok(before) => before,
            Err(failure) => {
                return warn!(error = failure.chain(), "could not read how the night before went");
            }
        };
        let text = match before {
            Some((before, Outcome::Failed | Outcome::Held)) => {
                format!("The night of {day} is published; the one before, of {before}, was not.")
            }
            _ if was_in_trouble => format!("The night of {day} is published, after trouble."),
            _ => return,
        };
        self.post(&alert("recovery", text, day, Some(run_id))).await;
    }

    /// How the newest night of the days before went.
    async fn night_before(&self, day: Day) -> Result<Option<(Day, Outcome)>, Failure> {
        let store = self.night.store().await?;
        let mut before = day;
        for _ in 0..DAYS_LOOKED_AT {
            before = before.yesterday();
            let runs = store.runs(super::RUNS_OF_DAY, Some(before)).await?;
            let nights = runs.iter().filter(|run| run.due_at.is_some());
            let ended = nights.max_by_key(|run| run.ended_at).map(|run| &run.status);
            if let Some(RunStatus::Ended(outcome)) = ended {
                return Ok(Some((before, *outcome)));
            }
        }
        Ok(None)
    }

    /// Posts it; that it could not be is logged, and fails nothing.
    async fn post(&self, alert: &Alert<'_>) {
        let (webhook, aws) = (&self.night.config.schedule.webhook, &self.night.aws);
        if webhook.0.is_empty() {
            return;
        }
        let mut pauses = Retries::new(RETRIES.0, RETRIES.1).pauses(&self.night.clock);
        loop {
            // Who ends waits for no answer.
            let posted = self.night.halt.unless_stopped(post_once(webhook, aws, alert)).await;
            let Err(error) = posted.unwrap_or_else(|stopped| Err(stopped.to_string())) else {
                return info!(event = alert.event, day = %alert.day, "told the webhook");
            };
            let has_time = match pauses.next() {
                Some(pause) => self.night.halt.sleep(pause).await.is_ok(),
                None => false,
            };
            if !has_time {
                return warn!(event = alert.event, error, "could not tell schedule.webhook");
            }
        }
    }
}

async fn post_once(webhook: &Webhook, aws: &AwsSettings, alert: &Alert<'_>) -> Result<(), String> {
    let url = webhook::url(webhook, aws).await.map_err(|error| format!("{error}; {}", error.remedy))?;
    // One that leads elsewhere would be asked without what is to be told.
    let client =
        reqwest::Client::builder().timeout(ANSWER_TIME_MAX).redirect(reqwest::redirect::Policy::none());
    let answer = client.build().map_err(told)?.post(url).json(alert).send().await.map_err(told)?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("the server answered {status}")),
    }
}

/// The error without its URL, which is a secret.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn alert<'a>(event: &'static str, text: String, day: Day, run_id: Option<&'a RunId>) -> Alert<'a> {
    let (host, program_version, text) = (liveness::host(), env!("CARGO_PKG_VERSION"), escaped(&text));
    Alert { text, event, day, run_id, error: None, remedy: None, host, program_version }
}

/// Slack takes `<…>` for links and mentions, and wants these three escaped and no others
/// (<https://docs.slack.dev/messaging/formatting-message-text/#escaping>).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_is_escaped() {
        let day = "2024-11-20".parse().expect("it is a day");
        let error = "R&D's <!channel> said \"1 > 0\"".to_owned();
        let alert = Alert { error: Some(error.clone()), ..alert("failure", error.clone(), day, None) };
        assert_eq!(alert.text, "R&amp;D's &lt;!channel&gt; said \"1 &gt; 0\"");
        assert_eq!(alert.error, Some(error));
    }
}
