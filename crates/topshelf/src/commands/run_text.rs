//! One run as text: what it did, what was found, and what became of its rankings.

use super::{
    ledger::{took, verdict},
    output::advertisers,
};
use crate::{liveness, pipeline::visible};
use domain::RunId;
use serde_json::Value;
use std::collections::BTreeMap;
use store::{Move, RunRecord};

/// All that the ledger has of a run, a line a fact.
pub(super) fn whole(run: &RunRecord, status: &str, moves: &[Move]) -> String {
    let mut lines = vec![
        format!("run        {}", run.run_id),
        format!("day        {}", run.day),
        format!("status     {} {}", status, verdict(run)).trim_end().to_owned(),
        started_line(run),
        place_line(run),
        format!("took       {}", took(run)),
        format!("program    {} with configuration {}", run.program_version, run.config_hash),
    ];
    lines.extend(run.error.as_ref().map(|error| format!("error      {error}")));
    if let Some(report) = &run.report {
        lines.extend(retry_lines(report));
        lines.extend(memory_line(report));
        lines.extend(stage_lines(report));
        lines.extend(log_lines(report));
        lines.extend(model_lines(report));
        lines.extend(check_lines(report));
        lines.extend(finding_lines(report));
    }
    lines.extend(move_lines(moves, run.rankings_run_id.as_ref().unwrap_or(&run.run_id)));
    lines.join("\n")
}

/// When it was started, by what, and what that said of itself.
fn started_line(run: &RunRecord) -> String {
    let orchestrator = run.orchestrator.as_ref().map(|orchestrator| format!(" ({})", visible(orchestrator)));
    format!("started    {} by {}{}", run.started_at, run.started_by, orchestrator.unwrap_or_default())
}

/// Where it ran, and for which night.
fn place_line(run: &RunRecord) -> String {
    let host = run.host.as_deref().unwrap_or("an unknown host");
    let process = run.process.as_deref().and_then(liveness::process_id);
    let process = process.map(|id| format!(", process {id}")).unwrap_or_default();
    let seen = run.seen_at.filter(|_| run.ended_at.is_none());
    let seen = seen.map(|seen| format!(", last sign of life at {seen}")).unwrap_or_default();
    let due = run.due_at.map(|due_at| format!(", for the night due at {due_at}")).unwrap_or_default();
    format!("where      {host}{process}{seen}{due}")
}

fn retry_lines(report: &Value) -> Vec<String> {
    entries(report, "retries")
        .map(|retry| {
            let text = |key: &str| retry[key].as_str().unwrap_or_default().to_owned();
            format!("retried    at {} after: {}", text("at"), text("error"))
        })
        .collect()
}

fn memory_line(report: &Value) -> Option<String> {
    let bytes = report["peak_memory_bytes"].as_u64()?;
    Some(format!("memory     {} MiB at most", bytes >> 20))
}

fn entries<'a>(report: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    report[list].as_array().into_iter().flatten()
}

fn stage_lines(report: &Value) -> Vec<String> {
    entries(report, "stages")
        .flat_map(|stage| {
            let name = stage["stage"].as_str().unwrap_or_default();
            let line = format!("stage      {name} {} ms", stage["elapsed_ms"]);
            [Some(line), cluster_line(&stage["cluster"])].into_iter().flatten()
        })
        .collect()
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// What a cluster did of a stage, and what its scheduler told of that.
fn cluster_line(cluster: &Value) -> Option<String> {
    let mut line = format!("  cluster  job {}", cluster.as_object()?["job"].as_str().unwrap_or_default());
    if cluster["stages"].is_null() {
        return Some(line + &format!(", {} tasks; its scheduler told no more", cluster["tasks"]));
    }
    let stage = |stage: &Value| {
        let name = stage["stage"].as_str().unwrap_or_default();
        // Runs of earlier versions do not tell: all were done.
        let done = stage["tasks_done"].as_u64().filter(|done| stage["tasks"] != *done);
        let done = done.map(|done| format!("{done} of ")).unwrap_or_default();
        format!("{name} {done}{} tasks in {} ms", stage["tasks"], stage["elapsed_ms"])
    };
    let stages: Vec<_> = entries(cluster, "stages").map(stage).collect();
    let spilled = |of: &Value| of["spilled_bytes"].as_u64().unwrap_or_default();
    line += &format!(
        " on {}: {}, {} tasks tried again; shuffled {} rows, {} bytes; spilled {} bytes",
        counted(entries(cluster, "executors").count(), "executor"),
        stages.join(", "),
        cluster["task_retries"],
        cluster["shuffled_rows"],
        cluster["shuffled_bytes"],
        spilled(cluster) + entries(cluster, "stages").map(spilled).sum::<u64>(),
    );
    Some(line)
}

fn log_lines(report: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (log, input) in report["logs"].as_object().into_iter().flatten() {
        let tally = &input["tally"];
        let rejected = tally["rejected"].as_object().into_iter().flatten();
        let rejected: Vec<_> = rejected.map(|(reason, count)| format!("{reason} {count}")).collect();
        let rejected = if rejected.is_empty() { "0".to_owned() } else { rejected.join(", ") };
        lines.push(format!(
            "log        {log}: {} read, {} kept, {} inactive, {} of other days, rejected: {rejected}{}",
            tally["read"],
            tally["kept"],
            tally["inactive"],
            tally["other_days"],
            until(input)
        ));
        for object in entries(input, "objects").take(5) {
            let text = |key: &str| object[key].as_str();
            // A store of objects tells an ETag; a directory, when the file was written.
            let version = match (text("etag"), text("modified_at")) {
                (Some(etag), _) => format!("etag {etag}"),
                (None, Some(modified_at)) => format!("of {modified_at}"),
                (None, None) => "without a version".to_owned(),
            };
            lines.push(format!(
                "  object   {}, {} bytes, {version}{}",
                object["name"].as_str().unwrap_or_default(),
                object["size"],
                until(object)
            ));
        }
        for example in entries(input, "examples") {
            let text = |key: &str| visible(example[key].as_str().unwrap_or_default());
            lines.push(format!(
                "  rejected {}:{} {}: {}",
                text("object"),
                example["line"],
                text("reason"),
                text("text")
            ));
        }
    }
    lines
}

/// The last time of a log or an object, if its dates have times.
fn until(input: &Value) -> String {
    input["last_time"].as_str().map_or(String::new(), |time| format!(", until {time}"))
}

fn model_lines(report: &Value) -> Vec<String> {
    let computed = entries(report, "models").map(|model| {
        let name = model["model"].as_str().unwrap_or_default();
        format!("model      {name}: {} advertisers, {} products", model["advertisers"], model["products"])
    });
    let left_out = report["not_computed"].as_object().into_iter().flatten().map(|(model, reason)| {
        format!("model      {model} was not computed: {}", reason.as_str().unwrap_or_default())
    });
    computed.chain(left_out).collect()
}

/// The checks by what became of them; what those found follows.
fn check_lines(report: &Value) -> Vec<String> {
    let mut checks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (check, verdict) in report["checks"]["verdicts"].as_object().into_iter().flatten() {
        checks.entry(verdict.as_str().unwrap_or_default()).or_default().push(check);
    }
    let line = |(verdict, checks): (&str, Vec<&str>)| {
        format!("checks     {}: {}", verdict.replace('_', " "), checks.join(", "))
    };
    checks.into_iter().map(line).collect()
}

fn finding_lines(report: &Value) -> Vec<String> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = entries(&report["checks"], "findings").map(|finding| {
        let whom = match finding["advertiser_id"].as_str() {
            Some(advertiser) => format!("advertiser {advertiser}"),
            None => "all advertisers".to_owned(),
        };
        let (check, severity) = (text(finding, "check"), text(finding, "severity"));
        format!("check      {check} ({severity}) {whom}: {}", text(finding, "message"))
    });
    findings.collect()
}

fn move_lines(moves: &[Move], run: &RunId) -> Vec<String> {
    let line = |of: &Move| {
        let whom = of.advertiser_id.as_ref().map_or(String::new(), |id| format!(" of advertiser {id}"));
        let (came, went) = (of.came.get(run).unwrap_or(&0), of.went.get(run).unwrap_or(&0));
        let seen = match (of.is_of_pin(), came, went) {
            (true, ..) => String::new(),
            (_, came, 0) => format!(": readers came to see it of {}", advertisers(*came)),
            (_, 0, went) => format!(": readers see it no more of {}", advertisers(*went)),
            (_, came, went) => format!(": {} came, {} went", advertisers(*came), advertisers(*went)),
        };
        let because = of.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        format!("moved      {} {}{whom}{seen}{because}", of.at, of.kind)
    };
    moves.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_cluster_did_of_a_stage_is_told_below_it() {
        let lines = |cluster: Value| {
            stage_lines(&json!({ "stages": [{ "stage": "count", "elapsed_ms": 900, "cluster": cluster }] }))
        };
        assert_eq!(lines(Value::Null), ["stage      count 900 ms"]);
        let told = lines(json!({
            "job": "j", "tasks": 4, "spilled_bytes": 3, "task_retries": 1,
            "shuffled_rows": 12, "shuffled_bytes": 600,
            "stages": [
                { "stage": "count", "tasks": 4, "elapsed_ms": 700, "spilled_bytes": 0 },
                { "stage": "add", "tasks": 2, "elapsed_ms": 60, "spilled_bytes": 9 },
            ],
            "executors": [{}, {}],
        }));
        let expected = "  cluster  job j on 2 executors: count 4 tasks in 700 ms, add 2 tasks in 60 ms, 1 tasks tried again; shuffled 12 rows, 600 bytes; spilled 12 bytes";
        assert_eq!(told, ["stage      count 900 ms", expected]);
        let failed = lines(json!({
            "job": "j", "tasks": 4, "spilled_bytes": 0, "task_retries": 3,
            "shuffled_rows": 2, "shuffled_bytes": 9,
            "stages": [{ "stage": "count", "tasks": 4, "tasks_done": 1, "elapsed_ms": 0, "spilled_bytes": 0 }],
            "executors": [{}],
        }));
        assert!(
            failed[1].contains("on 1 executor: count 1 of 4 tasks in 0 ms, 3 tasks tried again"),
            "{failed:?}"
        );
        let silent = lines(json!({ "job": "j", "tasks": 4, "spilled_bytes": 0 }));
        assert_eq!(silent[1], "  cluster  job j, 4 tasks; its scheduler told no more");
    }
}
