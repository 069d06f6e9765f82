//! The last stage: rankings in the lake become what readers see, in one transaction.

use super::{
    Night, RunOutcome, RunReport, StageReport, StartedBy, checked, ledger::Ledger, rank::not_counted,
    ranked_models, retention,
};
use crate::{
    failure::{Exit, Failure},
    traces::{self, span},
};
use domain::{AdvertiserId, Day, DayRankings, ModelName, ModelRankings, RunId};
use lake::{CountsManifest, Lake, RankingsManifest};
use std::{collections::BTreeMap, time::Instant};
use store::{Decision, NewPublication, Store};
use tracing::{field::Empty, info};

/// Publishes a day from the lake, as a run of its own.
///
/// # Errors
/// When the store cannot be reached; what happened to the day is in the outcome.
pub async fn publish(night: &Night, day: Day, started_by: StartedBy) -> Result<RunOutcome, Failure> {
    let run = Box::pin(publish_alone(night, day, started_by));
    let mut outcomes = super::traced(&[day], started_by, run).await?;
    Ok(outcomes.pop().expect("the run has just ended"))
}

async fn publish_alone(night: &Night, day: Day, started_by: StartedBy) -> Result<Vec<RunOutcome>, Failure> {
    let night = &night.of_one_run();
    let store = night.halt.unless_stopped(night.store()).await??;
    let ledger = night.halt.unless_stopped(Ledger::begin(night, &store, &[day], started_by)).await??;
    let mut ledger = ledger.expect("no stage alone is a night's");
    let published = night.halt.or_give_up(publish_from_lake(night, &store, day, ledger.run_of(day))).await;
    ledger.end(day, published.unwrap_or_else(|stopped| Err(stopped.into()))).await?;
    // What is not deleted now is deleted the next time.
    let _ = night.halt.unless_stopped(retention::trim_after(night, &store, &[day])).await;
    Ok(ledger.outcomes)
}

async fn publish_from_lake(
    night: &Night,
    store: &Store,
    day: Day,
    run: &RunId,
) -> Result<RunReport, Failure> {
    let lake = night.lake()?;
    let counts = lake.counts_manifest(day).await?.ok_or_else(|| not_counted(&lake, day))?;
    let mut report = RunReport::of_counts(&counts, None);
    match publish_run(night, store, day, run, &mut report).await {
        Ok(()) => Ok(report),
        Err(failure) => Err(failure.with_report(report.to_json())),
    }
}

/// Publishes what the lake holds of the day as `run`.
pub(super) async fn publish_run(
    night: &Night,
    store: &Store,
    day: Day,
    run: &RunId,
    report: &mut RunReport,
) -> Result<(), Failure> {
    let span = span!("publish", topshelf.day = %day, topshelf.run_id = %run, topshelf.verdict = Empty);
    traces::inside(span.clone(), publish_day(night, store, day, run, report)).await?;
    span.record("topshelf.verdict", tracing::field::debug(report.verdict()));
    Ok(())
}

async fn publish_day(
    night: &Night,
    store: &Store,
    day: Day,
    run: &RunId,
    report: &mut RunReport,
) -> Result<(), Failure> {
    let started = Instant::now();
    let lake = night.lake()?;
    let counts = lake.counts_manifest(day).await?.ok_or_else(|| not_counted(&lake, day))?;
    report.is_of(&counts)?;
    let totals = lake.totals(&counts).await?;
    let mut models = Vec::new();
    let mut manifests = Vec::new();
    let mut not_computed = BTreeMap::new();
    for model in ranked_models(night, &[])? {
        let name = ModelName::new(model.name());
        if counts.logs.contains_key(&model.needs()) {
            let (rankings, manifest) =
                ranked(&lake, &counts, &name, night.config.ranking.k_of(model.name())).await?;
            models.push(rankings);
            manifests.push(manifest);
        } else {
            not_computed.insert(name, super::rank::why_not_computed(model));
        }
    }
    report.models_are(&manifests, not_computed);
    let active = totals.iter().map(|(advertiser, _)| advertiser.clone()).collect();
    let rankings = DayRankings { day, active, models };
    let checked = checked::check(night, store, &counts, &totals, &rankings).await?;
    let (holds, totals) =
        (checked.holds(), totals.iter().map(|(_, totals)| totals.counts).collect::<Vec<_>>());
    let new = NewPublication { rankings: &rankings, totals: &totals, holds: &holds };
    let (published, holds) = store.publish(run, new, night.clock.now()).await?;
    report.publish(StageReport::since("publish", started), published, checked, &holds);
    Ok(())
}

/// Publishes what checks held back of a run, of one advertiser or of all; of how many it was.
///
/// # Errors
/// When nothing of the run is held back, or the store cannot be reached.
pub async fn accept(
    night: &Night,
    run: &RunId,
    advertiser: Option<&AdvertiserId>,
    reason: &str,
) -> Result<u64, Failure> {
    let store = night.existing_store().await?;
    let accepted = store.accept(run, Decision { advertiser, reason, at: night.clock.now() }).await?;
    info!(run_id = %run, advertisers = accepted, reason, "what was held back is published");
    Ok(accepted)
}

/// The day's rankings by the model, if they were ranked from these counts and are as long as configured.
pub(super) async fn ranked(
    lake: &Lake,
    counts: &CountsManifest,
    model: &ModelName,
    k: usize,
) -> Result<(ModelRankings, RankingsManifest), Failure> {
    let day = counts.day;
    let remedy = || format!("run `topshelf rank --day {day}` first, with the same --lake");
    let read = lake.read_rankings(day, model).await?;
    let (rankings, manifest) = read.ok_or_else(|| {
        let url = lake.rankings_manifest_url(day, model);
        let message = format!("{day} has not been ranked by {model}: {url} is not there");
        Failure::new(Exit::Failed, message).help(remedy())
    })?;
    if manifest.counts_digest != counts.counts_digest {
        let message =
            format!("the rankings of {day} by {model} were made from older counts than the lake holds now");
        // A run that counts and ranks anew mends it; so does whoever wrote one after the other, once it is done.
        return Err(Failure::new(Exit::Failed, message).help(remedy()).transient_if(true));
    }
    if manifest.k != k {
        let message = format!(
            "the rankings of {day} by {model} hold {} products at most, {k} are configured",
            manifest.k
        );
        return Err(Failure::new(Exit::Failed, message).help(remedy()));
    }
    Ok((rankings, manifest))
}
