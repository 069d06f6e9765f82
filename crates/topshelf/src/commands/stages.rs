//! `run`, `backfill`, and the stages one at a time.

use super::output::{Output, advertisers, grouped, table};
use crate::{
    checks::{Finding, Severity},
    cli::{Publish, Range, Rank},
    failure::{Exit, Failure},
    pipeline::{self, ModelReport, Night, RunOutcome, RunReport, StageReport, StartedBy, Verdict},
};
use domain::{Day, DayRange, Log, Tally};
use lake::{CountsManifest, LogInput};
use serde_json::json;
use std::fmt::Write;

/// The most days of one backfill: ten years. More is a slip of the hand, and each day is a run.
const BACKFILL_DAYS_MAX: usize = 3660;

pub(super) fn day_or_ended(night: &Night, day: Option<Day>) -> Day {
    day.unwrap_or_else(|| night.schedule.ended_day(night.clock.now()))
}

/// One day end to end.
pub(super) async fn run(night: &Night, day: Option<Day>, output: Output) -> Result<(), Failure> {
    let day = day_or_ended(night, day);
    report(pipeline::run(night, &[day], StartedBy::of_environment()).await?, output)
}

/// Each day of a range.
pub(super) async fn backfill(night: &Night, range: &Range, output: Output) -> Result<(), Failure> {
    let days: Vec<_> = DayRange { first: range.from, last: range.to }.days().collect();
    if days.len() > BACKFILL_DAYS_MAX {
        let message =
            format!("{} to {} are {} days, more than {BACKFILL_DAYS_MAX}", range.from, range.to, days.len());
        return Err(Failure::new(Exit::Usage, message).help("backfill a shorter range at a time"));
    }
    if days.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("--from {} is after --to {}", range.from, range.to))
            .help("the first day comes first"));
    }
    // The day that has just ended is taken last, and by itself: its night may come meanwhile, and goes first.
    let current = night.schedule.ended_day(night.clock.now());
    let before = days.partition_point(|day| *day < current);
    let (mut outcomes, mut failure) = (Vec::new(), None);
    for days in [&days[..before], &days[before..]].into_iter().filter(|days| !days.is_empty()) {
        match pipeline::run(night, days, StartedBy::of_environment()).await {
            Ok(run) => outcomes.extend(run),
            Err(failed) => failure = failure.or(Some(failed)),
        }
    }
    let reported = if outcomes.is_empty() { Ok(()) } else { report(outcomes, output) };
    failure.map_or(reported, Err)
}

/// The last stage alone.
pub(super) async fn publish(night: &Night, flags: Publish, output: Output) -> Result<(), Failure> {
    if let Some(run) = &flags.accept {
        let reason = flags.reason.as_deref().unwrap_or_default();
        let advertiser = flags.advertiser.as_ref();
        let accepted = pipeline::accept(night, run, advertiser, reason).await?;
        let json =
            json!({ "run_id": run, "advertisers": accepted, "advertiser_id": advertiser, "reason": reason });
        return output.either(&json, || format!("{} of run {run} published", of_advertisers(accepted)));
    }
    let day = day_or_ended(night, flags.one.day);
    let outcome = pipeline::publish(night, day, StartedBy::of_environment()).await?;
    report(vec![outcome], output)
}

pub(super) fn of_advertisers(number: u64) -> String {
    format!("the rankings of {}", advertisers(number))
}

/// Prints the runs; fails as the first failed one does.
fn report(outcomes: Vec<RunOutcome>, output: Output) -> Result<(), Failure> {
    let json = json!({ "runs": outcomes.iter().map(RunOutcome::to_json).collect::<Vec<_>>() });
    let has_success = outcomes.iter().any(|outcome| outcome.ended.is_ok());
    output.with_notices(report_notices(&outcomes, output), || {
        if has_success || outcomes.len() > 1 {
            return output.either(&json, || runs_table(&outcomes));
        }
        // One failed run is told by its failure alone; programs still get it as JSON.
        output.json_only(&json)
    })?;
    let held = held(&outcomes);
    let days_asked = outcomes.len();
    let several = days_asked > 1;
    let failed: Vec<_> =
        outcomes.into_iter().filter_map(|outcome| Some((outcome.day, outcome.ended.err()?))).collect();
    let failed_days = failed.len();
    match failed.into_iter().next() {
        None => held.map_or(Ok(()), Err),
        Some((_, failure)) if !several => Err(failure),
        Some((day, failure)) => {
            Err(failure.within(format!("{failed_days} of {days_asked} days failed, the first is {day}")))
        }
    }
}

/// What is told beside the runs; that input was not read again, the report tells programs.
fn report_notices(outcomes: &[RunOutcome], output: Output) -> Vec<String> {
    let mut told = notices(outcomes);
    for outcome in outcomes.iter().filter(|_| output.is_for_people()) {
        let stages = outcome.ended.as_ref().map_or(&[][..], |report| &report.stages);
        told.extend(stages.iter().filter_map(|stage| kept_notice(outcome.day, stage)));
    }
    told
}

/// That checks hold something back, with what to do about it.
fn held(outcomes: &[RunOutcome]) -> Option<Failure> {
    let of = |outcome: &RunOutcome| {
        let report = outcome.ended.as_ref().ok().filter(|report| report.is_held())?;
        let what = match report.verdict() {
            Verdict::Held => "all rankings".to_owned(),
            _ => of_advertisers(report.held_advertisers() as u64),
        };
        Some((
            format!("{what} of {} are held back", outcome.day),
            report.waiting_run(&outcome.run_id).clone(),
        ))
    };
    let held: Vec<_> = outcomes.iter().filter_map(of).collect();
    let (_, run) = held.first()?;
    let message = held.iter().map(|(message, _)| message.as_str()).collect::<Vec<_>>().join("; ");
    let help = format!(
        "readers keep what they see; `topshelf runs {run}` tells what was found; mend the logs and run the day again, or publish it as it is: `topshelf publish --accept {run} --reason '…'`"
    );
    Some(Failure::new(Exit::Held, message).help(help))
}

/// The most findings that are told one by one.
const FINDINGS_TOLD: usize = 20;

/// What checks found.
fn finding_notices(outcome: &RunOutcome, report: &RunReport) -> Vec<String> {
    // Of rejected lines a notice of their own tells more.
    let is_told = |finding: &&Finding| finding.check != "rejected" || finding.severity == Severity::Hold;
    let findings: Vec<_> = report.findings().iter().filter(is_told).collect();
    let told = findings.iter().take(FINDINGS_TOLD).map(|finding| {
        let Finding { check, severity, advertiser_id, message } = finding;
        let does = match severity {
            Severity::Hold if report.is_held() => "holds",
            // Readers see it all the same.
            Severity::Hold => "would hold, had nobody accepted it,",
            _ => "warns of",
        };
        let whom =
            advertiser_id.as_ref().map_or("all advertisers".to_owned(), |id| format!("advertiser {id}"));
        format!("{}: {check} {does} {whom}: {message}", outcome.day)
    });
    let mut notices: Vec<_> = told.collect();
    if findings.len() > FINDINGS_TOLD {
        let more = grouped((findings.len() - FINDINGS_TOLD) as u64);
        notices.push(format!(
            "{}: {more} more findings, which `topshelf runs {}` tells",
            outcome.day, outcome.run_id
        ));
    }
    notices
}

fn runs_table(outcomes: &[RunOutcome]) -> String {
    let numbers = ["ads read", "views read", "kept", "inactive", "rejected", "advertisers", "products"];
    let header = [&["day", "outcome"][..], &numbers, &["run"]].concat();
    let mut table = table(&header, &numbers);
    for outcome in outcomes {
        let mut row = vec![outcome.day.to_string(), verdict(outcome)];
        match &outcome.ended {
            Ok(report) => row.extend(numbers_of(report)),
            Err(_) => row.extend(numbers.map(|_| String::new())),
        }
        row.push(outcome.run_id.to_string());
        table.add_row(row);
    }
    table.to_string()
}

fn verdict(outcome: &RunOutcome) -> String {
    match &outcome.ended {
        Ok(report) => match report.verdict() {
            Verdict::Unchanged => "unchanged".into(),
            Verdict::Held => "held".into(),
            Verdict::PartlyHeld => format!("published, {} held", report.held_advertisers()),
            Verdict::Published | Verdict::Pending => "published".into(),
        },
        Err(failure) if failure.exit == Exit::Refused => "refused".into(),
        Err(_) => "failed".into(),
    }
}

fn numbers_of(report: &RunReport) -> [String; 7] {
    let read = |log| report.logs().get(&log).map_or("—".to_owned(), |input| grouped(input.tally.read));
    let mut events = Tally::default();
    let of_events = report.logs().iter().filter(|(log, _)| **log != Log::AdvertiserIds);
    of_events.for_each(|(_, input)| events += input.tally);
    let advertisers = report.models().iter().map(|model| model.advertisers).max().unwrap_or_default();
    let products = report.models().iter().map(|model| model.products).sum::<usize>();
    [
        read(Log::AdsViews),
        read(Log::ProductViews),
        grouped(events.kept),
        grouped(events.inactive),
        grouped(events.rejected.total()),
        grouped(advertisers as u64),
        grouped(products as u64),
    ]
}

/// What a person should know beside the table: models left out, logs in several objects, lines rejected,
/// why days failed.
fn notices(outcomes: &[RunOutcome]) -> Vec<String> {
    let mut notices = Vec::new();
    for outcome in outcomes {
        match &outcome.ended {
            Err(failure) if outcomes.len() > 1 => {
                notices.push(format!("{}: {}", outcome.day, failure.chain()))
            }
            Err(_) => {}
            Ok(report) => {
                notices.extend(finding_notices(outcome, report));
                for (model, reason) in report.not_computed() {
                    notices.push(format!("{model} was not computed: {reason}"));
                }
                for (log, input) in report.logs() {
                    notices.extend(no_event_notice(outcome.day, *log, input));
                    notices.extend(objects_notice(*log, input));
                    notices.extend(other_days_notice(outcome.day, *log, input));
                    notices.extend(rejected_notice(*log, input));
                }
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    notices.retain(|notice| seen.insert(notice.clone()));
    notices
}

/// That the input was not read, or not all of it.
fn kept_notice(day: Day, stage: &StageReport) -> Option<String> {
    match (stage.stage, stage.reused, stage.kept_objects) {
        ("count", true, _) => Some(format!(
            "{day}: no object of the input changed since the day was counted, so none was read (--recount reads them)"
        )),
        (_, _, 0) => None,
        (_, _, 1) => Some(format!(
            "{day}: an object did not change since it was counted, so only the others were read (--recount reads all)"
        )),
        (_, _, kept) => Some(format!(
            "{day}: {} objects did not change since they were counted, so only the others were read (--recount reads all)",
            grouped(kept)
        )),
    }
}

/// That a log has nothing to rank, though it is there.
fn no_event_notice(day: Day, log: Log, input: &LogInput) -> Option<String> {
    let is_empty = log != Log::AdvertiserIds && input.tally.kept == 0;
    is_empty.then(|| {
        format!("{log}: no event of {day} by an active advertiser, the models that need it rank nothing")
    })
}

/// Which objects a log was read from, when they are several that no folder of a day holds together: a
/// copy that lies beside its original would count twice.
fn objects_notice(log: Log, input: &LogInput) -> Option<String> {
    let names: Vec<_> = input.objects.iter().map(|object| object.name.as_str()).collect();
    if names.len() < 2 || names.iter().all(|name| name.contains('=')) {
        return None;
    }
    let more = if names.len() > 3 { ", …" } else { "" };
    Some(format!(
        "{log}: read from {} objects together ({}{more})",
        names.len(),
        names[..names.len().min(3)].join(", ")
    ))
}

/// That objects in a folder of the day hold lines of other days, which count on none.
fn other_days_notice(day: Day, log: Log, input: &LogInput) -> Option<String> {
    let is_folder_of_day = |folder: &str| folder.ends_with(&format!("={day}"));
    let partitions = input.objects.iter().filter(|object| object.name.split('/').any(is_folder_of_day));
    let others = partitions.map(|object| object.tally.other_days).sum::<u64>();
    (others > 0).then(|| {
        format!(
            "{log}: lines of another day in the folder of {day}, which count on none: {}",
            grouped(others)
        )
    })
}

/// How many lines of a log were rejected and why, with an example.
fn rejected_notice(log: Log, input: &LogInput) -> Option<String> {
    let (example, tally) = (input.examples.first()?, input.tally);
    let reasons: Vec<_> = tally.rejected.iter().map(|(reason, lines)| format!("{reason}: {lines}")).collect();
    Some(format!(
        "{log}: {} of {} lines rejected ({}), such as {}:{}: {}",
        tally.rejected.total(),
        tally.read,
        reasons.join(", "),
        example.object,
        example.line,
        pipeline::visible(&example.text)
    ))
}

/// The first stage alone.
pub(super) async fn count(night: &Night, day: Option<Day>, output: Output) -> Result<(), Failure> {
    let day = day_or_ended(night, day);
    let counted = night.halt.or_give_up(pipeline::count(night, &[day])).await?;
    let counted = counted.map_err(|failure| night.why(failure))?;
    let (manifest, stage) = counted.into_iter().next().expect("one day was counted")?;
    let notice = kept_notice(day, &stage).filter(|_| output.is_for_people());
    output.with_notices(notice, || output.either(&manifest, || counted_text(&manifest)))
}

fn counted_text(manifest: &CountsManifest) -> String {
    let numbers = ["objects", "read", "kept", "inactive", "other days", "rejected", "blank"];
    let mut table = table(&[&["log"][..], &numbers].concat(), &numbers);
    for (log, input) in &manifest.logs {
        let Tally { read, kept, inactive, other_days, rejected, blank } = input.tally;
        let numbers = [input.objects.len() as u64, read, kept, inactive, other_days, rejected.total(), blank];
        table.add_row([vec![log.to_string()], numbers.map(grouped).to_vec()].concat());
    }
    let (advertisers, products) = (manifest.active_advertisers as u64, manifest.products);
    let mut text = format!("{table}\n");
    let (advertisers, products) = (grouped(advertisers), grouped(products));
    write!(text, "{}: {products} products of {advertisers} active advertisers counted", manifest.day)
        .expect("a string takes any text");
    text
}

/// The second stage alone.
pub(super) async fn rank(night: &Night, flags: Rank, output: Output) -> Result<(), Failure> {
    let day = day_or_ended(night, flags.day);
    let models = pipeline::ranked_models(night, &flags.model)?;
    let ranked = night.halt.or_give_up(pipeline::rank(night, day, &models)).await?;
    let ranked = ranked.map_err(|failure| night.why(failure))?;
    let models: Vec<_> = ranked.manifests.iter().map(ModelReport::of).collect();
    let json = json!({ "day": day, "models": models, "not_computed": ranked.not_computed });
    let not_computed = ranked.not_computed.iter();
    let notices = not_computed.map(|(model, reason)| format!("{model} was not computed: {reason}"));
    output.with_notices(notices, || output.either(&json, || ranked_text(day, &models)))
}

fn ranked_text(day: Day, models: &[ModelReport]) -> String {
    let numbers = ["k", "advertisers", "products"];
    let mut table = table(&[&["day", "model"][..], &numbers].concat(), &numbers);
    for model in models {
        let numbers = [model.k, model.advertisers, model.products].map(|number| grouped(number as u64));
        table.add_row([vec![day.to_string(), model.model.to_string()], numbers.to_vec()].concat());
    }
    table.to_string()
}
