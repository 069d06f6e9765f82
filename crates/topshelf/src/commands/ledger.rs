//! `runs`, `migrate` and `trim`: the ledger, the database it is in, and what is kept beside it.

use super::output::{Output, grouped, table};
use crate::{
    cli::Runs,
    failure::{Exit, Failure},
    pipeline::{self, Night, Trimmed, visible},
};
use domain::RunId;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use store::{Move, Outcome, RunRecord, Store, StoreError};

/// Creates or migrates the database.
pub(super) async fn migrate(night: &Night, output: Output) -> Result<(), Failure> {
    let store = night.store().await?;
    let database = store.description().to_owned();
    output.either(&json!({ "database": database }), || format!("{database} is ready"))
}

/// Deletes what is older than it need be kept.
pub(super) async fn trim(night: &Night, output: Output) -> Result<(), Failure> {
    let trimmed = pipeline::trim(night).await?;
    output.either(&trimmed, || trimmed_text(&trimmed, night.config.retention.keep_days))
}

fn trimmed_text(trimmed: &Trimmed, keep_days: u32) -> String {
    let (rows, objects) = (grouped(trimmed.rows), grouped(trimmed.objects as u64));
    match (trimmed.first_kept_day, trimmed.days.first(), trimmed.days.last()) {
        (None, ..) if keep_days == 0 => "retention.keep_days is 0: all is kept".to_owned(),
        (None, ..) => format!("no more than {keep_days} days are published: all is kept"),
        (Some(kept), Some(first), Some(last)) => format!(
            "{first} to {last} deleted ({rows} rows, {objects} objects in the lake); {kept} and later are kept"
        ),
        (Some(kept), ..) => format!("nothing is older than {kept}"),
    }
}

/// Lists runs, or shows one.
pub(super) async fn runs(night: &Night, flags: &Runs, output: Output) -> Result<(), Failure> {
    let store = Store::open_existing(&night.config.store.url).await?;
    let dead = dead(&store).await?;
    let to_json = |run: &RunRecord| to_json(run, &dead);
    if let Some(id) = &flags.run {
        let run = store.run(id).await?;
        let run = run.ok_or_else(|| {
            Failure::new(Exit::Failed, format!("there is no run {id} in {}", store.description()))
                .help("`topshelf runs` lists those there are")
        })?;
        let moves = moves_of(&store, &run).await?;
        let mut json = to_json(&run);
        json["moves"] = json!(moves);
        let seen_as = run.rankings_run_id.as_ref().unwrap_or(id);
        return output.either(&json, || [whole(&run, &dead), move_lines(&moves, seen_as)].concat());
    }
    let runs = store.runs(flags.limit as usize, flags.day).await?;
    let json = json!({ "runs": runs.iter().map(to_json).collect::<Vec<_>>() });
    output.either(&json, || list(&runs, &dead, store.description()))
}

/// What made readers see the run, and what made them see it no more, oldest first.
async fn moves_of(store: &Store, run: &RunRecord) -> Result<Vec<Move>, Failure> {
    let mut moves = match store.moves(usize::MAX, Some(run.day)).await {
        // The run is told all the same.
        Err(StoreError::Older { .. }) => Vec::new(),
        moves => moves?,
    };
    let id = run.rankings_run_id.as_ref().unwrap_or(&run.run_id);
    moves.retain(|of| {
        of.came.contains_key(id) || of.went.contains_key(id) || (of.is_of_pin() && of.run_id == *id)
    });
    moves.reverse();
    Ok(moves)
}

fn move_lines(moves: &[Move], run: &RunId) -> String {
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
        format!("\nmoved      {} {}{whom}{seen}{because}", of.at, of.kind)
    };
    moves.iter().map(line).collect()
}

fn advertisers(number: u64) -> String {
    if number == 1 { "1 advertiser".to_owned() } else { format!("{} advertisers", grouped(number)) }
}

fn to_json(run: &RunRecord, dead: &HashSet<RunId>) -> Value {
    json!({
        "run_id": run.run_id,
        "day": run.day,
        "status": status(run, dead),
        "started_by": run.started_by,
        "program_version": run.program_version,
        "config_hash": run.config_hash,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "process": run.process,
        "seen_at": run.seen_at,
        "error": run.error,
        "models": run.models,
        "rankings_digest": run.rankings_digest,
        "rankings_run_id": run.rankings_run_id,
        "report": run.report,
    })
}

fn list(runs: &[RunRecord], dead: &HashSet<RunId>, database: &str) -> String {
    if runs.is_empty() {
        return format!("no such runs in {database}; `topshelf run` makes one");
    }
    let mut table = table(&["run", "day", "status", "verdict", "started", "took", "by", "error"], &["took"]);
    for run in runs {
        table.add_row([
            run.run_id.to_string(),
            run.day.to_string(),
            status(run, dead).to_owned(),
            verdict(run).to_owned(),
            minute(run.started_at),
            took(run),
            run.started_by.clone(),
            run.error.as_deref().map(|error| shortened(error, 80)).unwrap_or_default(),
        ]);
    }
    table.to_string()
}

/// The runs whose process is gone, which the next run will write down.
async fn dead(store: &Store) -> Result<HashSet<RunId>, Failure> {
    let under_way = store.under_way().await?.into_iter();
    Ok(under_way.filter(pipeline::is_dead).map(|under_way| under_way.run.run_id).collect())
}

/// The run's status.
fn status<'a>(run: &'a RunRecord, dead: &HashSet<RunId>) -> &'a str {
    if dead.contains(&run.run_id) { Outcome::Died.name() } else { run.status.name() }
}

fn verdict(run: &RunRecord) -> &str {
    run.report.as_ref().and_then(|report| report["verdict"].as_str()).unwrap_or_default()
}

fn whole(run: &RunRecord, dead: &HashSet<RunId>) -> String {
    let mut lines = vec![
        format!("run        {}", run.run_id),
        format!("day        {}", run.day),
        format!("status     {} {}", status(run, dead), verdict(run)).trim_end().to_owned(),
        format!("started    {} by {}", run.started_at, run.started_by),
        format!("took       {}", took(run)),
        format!("program    {} with configuration {}", run.program_version, run.config_hash),
    ];
    lines.extend(run.error.as_ref().map(|error| format!("error      {error}")));
    if let Some(report) = &run.report {
        lines.extend(memory_line(report));
        lines.extend(stage_lines(report));
        lines.extend(log_lines(report));
        lines.extend(model_lines(report));
        lines.extend(check_lines(report));
        lines.extend(finding_lines(report));
    }
    lines.join("\n")
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
        .map(|stage| {
            format!("stage      {} {} ms", stage["stage"].as_str().unwrap_or_default(), stage["elapsed_ms"])
        })
        .collect()
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
            let etag = object["etag"].as_str().unwrap_or("none");
            lines.push(format!(
                "  object   {}, {} bytes, etag {etag}{}",
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

pub(super) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

fn took(run: &RunRecord) -> String {
    let Some(ended_at) = run.ended_at else { return "—".to_owned() };
    format!("{:.1} s", run.started_at.duration_until(ended_at).as_secs_f64())
}

fn shortened(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let start: String = text.chars().take(chars).collect();
    format!("{start}…")
}
