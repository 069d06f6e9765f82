//! What the last run's report tells in numbers.
//!
//! A run of the ledger goes in, with the report as the pipeline wrote it; numbers come out. What a report does not tell,
//! because the run did not come so far, is 0.

use serde_json::Value;
use store::RunRecord;

/// The logs and the stages that there are.
pub(super) const LOGS: [&str; 3] = ["advertiser_ids", "ads_views", "product_views"];
pub(super) const STAGES: [&str; 3] = ["count", "rank", "publish"];

/// A run that ended, in numbers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct LastRun {
    pub(super) duration_seconds: f64,
    /// Seconds of each of [`STAGES`].
    pub(super) stages: [f64; 3],
    /// Lines read and rejected of each of [`LOGS`].
    pub(super) lines: [(u64, u64); 3],
    pub(super) published: u64,
    pub(super) held: u64,
    pub(super) retries: usize,
}

impl LastRun {
    pub(super) fn of(run: &RunRecord) -> Self {
        let duration =
            run.ended_at.map_or(0.0, |ended_at| ended_at.duration_since(run.started_at).as_secs_f64());
        Self {
            duration_seconds: duration.max(0.0),
            ..run.report.as_ref().map(Self::of_report).unwrap_or_default()
        }
    }

    fn of_report(report: &Value) -> Self {
        let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let (active, held) = (number("/active_advertisers"), number("/held_advertisers"));
        let (published, held) = match report["verdict"].as_str() {
            Some("published" | "unchanged" | "partly_held") => (active.saturating_sub(held), held),
            Some("held") => (0, active),
            _ => (0, 0),
        };
        Self {
            stages: STAGES.map(|stage| stage_seconds(report, stage)),
            lines: LOGS.map(|log| {
                let rejected =
                    report.pointer(&format!("/logs/{log}/tally/rejected")).and_then(Value::as_object);
                let rejected = rejected.into_iter().flat_map(|by_reason| by_reason.values());
                (number(&format!("/logs/{log}/tally/read")), rejected.filter_map(Value::as_u64).sum())
            }),
            published,
            held,
            retries: report["retries"].as_array().map_or(0, Vec::len),
            ..Self::default()
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric is read by people and alarms")]
fn stage_seconds(report: &Value, stage: &str) -> f64 {
    let stages = report["stages"].as_array().into_iter().flatten().filter(|told| told["stage"] == stage);
    stages.filter_map(|told| told["elapsed_ms"].as_u64()).sum::<u64>() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_told_in_numbers() {
        let report = json!({
            "stages": [{ "stage": "count", "elapsed_ms": 1500 }, { "stage": "publish", "elapsed_ms": 250 }],
            "active_advertisers": 10,
            "held_advertisers": 2,
            "verdict": "partly_held",
            "logs": { "ads_views": { "tally": { "read": 100, "rejected": { "bad_date": 3, "empty_id": 1 } } } },
            "retries": [{ "at": "2024-11-21T02:31:00Z", "error": "busy" }],
        });
        let expected = LastRun {
            duration_seconds: 0.0,
            stages: [1.5, 0.0, 0.25],
            lines: [(0, 0), (100, 4), (0, 0)],
            published: 8,
            held: 2,
            retries: 1,
        };
        assert_eq!(LastRun::of_report(&report), expected);
    }

    #[test]
    fn what_is_held_whole_is_of_all_advertisers_and_what_failed_of_none() {
        let told = |verdict: &str| {
            let report = json!({ "active_advertisers": 10, "held_advertisers": 0, "verdict": verdict });
            let LastRun { published, held, .. } = LastRun::of_report(&report);
            (published, held)
        };
        assert_eq!(told("held"), (0, 10));
        assert_eq!(told("unchanged"), (10, 0));
        assert_eq!(told("pending"), (0, 0));
        assert_eq!(LastRun::of_report(&Value::Null), LastRun::default());
    }
}
