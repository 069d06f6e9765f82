//! `runs`, `migrate` and `trim`: the ledger, the database it is in, and what is kept beside it.

use super::{
    output::{Output, grouped, table},
    run_text,
};
use crate::{
    cli::Runs,
    failure::{Exit, Failure},
    pipeline::{self, Night, Trimmed},
};
use domain::RunId;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashSet;
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
    let store = Store::open_existing(night.database()?).await?;
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
        return output.either(&json, || run_text::whole(&run, status(&run, &dead), &moves));
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

fn to_json(run: &RunRecord, dead: &HashSet<RunId>) -> Value {
    json!({
        "run_id": run.run_id,
        "day": run.day,
        "status": status(run, dead),
        "started_by": run.started_by,
        "orchestrator": run.orchestrator,
        "program_version": run.program_version,
        "config_hash": run.config_hash,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "process": run.process,
        "host": run.host,
        "due_at": run.due_at,
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
pub(super) fn status<'a>(run: &'a RunRecord, dead: &HashSet<RunId>) -> &'a str {
    if dead.contains(&run.run_id) { Outcome::Died.name() } else { run.status.name() }
}

pub(super) fn verdict(run: &RunRecord) -> &str {
    run.report.as_ref().and_then(|report| report["verdict"].as_str()).unwrap_or_default()
}

pub(super) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

pub(super) fn took(run: &RunRecord) -> String {
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
