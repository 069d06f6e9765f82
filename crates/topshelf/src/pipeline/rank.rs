//! The second stage: counts in the lake become rankings in the lake.

use super::{Night, StageReport, publish::ranked};
use crate::{
    failure::{Exit, Failure},
    traces::{self, span},
};
use domain::{Day, ModelName};
use lake::{CountsManifest, CountsReader, Lake, RankingsManifest};
use ranking::{Model, Ranker};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tracing::field::Empty;

/// What ranking left in the lake.
#[derive(Debug)]
pub struct Ranked {
    /// The rankings of each computed model.
    pub manifests: Vec<RankingsManifest>,
    /// Models that were not computed, with the reason.
    pub not_computed: BTreeMap<ModelName, String>,
    /// How long it took.
    pub stage: StageReport,
}

/// The models called `names`, or every configured one when there are none, each once.
///
/// # Errors
/// When a name is no model's.
pub fn ranked_models(night: &Night, names: &[String]) -> Result<Vec<&'static dyn Model>, Failure> {
    let names = if names.is_empty() { &night.config.ranking.models } else { names };
    let mut models = BTreeMap::new();
    for name in names {
        let model = ranking::model(name).ok_or_else(|| {
            let known = ranking::MODELS.iter().map(|model| model.name()).collect::<Vec<_>>().join(", ");
            Failure::new(Exit::Usage, format!("{name:?} is not a model"))
                .help(format!("the models are {known}"))
        })?;
        models.insert(model.name(), model);
    }
    Ok(models.into_values().collect())
}

/// Ranks the day's counts by each model whose log was counted, all in one pass.
///
/// # Errors
/// When the day has not been counted, or the lake cannot be read or written.
pub async fn rank(night: &Night, day: Day, models: &[&'static dyn Model]) -> Result<Ranked, Failure> {
    traced(day, Box::pin(rank_day(night, day, models))).await
}

/// Ranks counts by each model, if the lake does not hold their rankings already.
pub(super) async fn rank_counts(
    night: &Night,
    counts: &CountsManifest,
    models: &[&'static dyn Model],
    are_unchanged: bool,
) -> Result<Ranked, Failure> {
    let ranked = async {
        let before = if are_unchanged { ranked_before(night, counts, models).await } else { None };
        match before {
            Some(ranked) => Ok(ranked),
            None => rank_day(night, counts.day, models).await,
        }
    };
    traced(counts.day, Box::pin(ranked)).await
}

/// Ranks inside a span.
async fn traced(day: Day, work: impl Future<Output = Result<Ranked, Failure>>) -> Result<Ranked, Failure> {
    let span = span!("rank", topshelf.day = %day, topshelf.reused = Empty);
    let ranked = traces::inside(span.clone(), work).await?;
    span.record("topshelf.reused", ranked.stage.reused);
    Ok(ranked)
}

async fn rank_day(night: &Night, day: Day, models: &[&'static dyn Model]) -> Result<Ranked, Failure> {
    let started = Instant::now();
    let lake = night.lake()?;
    let with_k: Vec<_> =
        models.iter().map(|model| (*model, night.config.ranking.k_of(model.name()))).collect();
    let halt = night.halt.clone();
    let rank_all = move |reader: CountsReader| {
        let logs = &reader.manifest().logs;
        let (computed, left_out): (Vec<_>, Vec<_>) =
            with_k.iter().copied().partition(|(model, _)| logs.contains_key(&model.needs()));
        let mut ranker = Ranker::new(day, Arc::clone(reader.active()), &computed);
        for block in reader {
            if let Some(stopped) = halt.stopped() {
                return Ok(Err(stopped));
            }
            ranker.add(&block?);
        }
        Ok(Ok((computed, ranker.finish(), left_out)))
    };
    let read = lake.read_counts(day, night.config.counting.threads(), rank_all).await?;
    let (ranked, counted) = read.ok_or_else(|| not_counted(&lake, day))?;
    let (computed, rankings, left_out) = ranked?;
    let mut manifests = Vec::new();
    for ((_, k), rankings) in computed.into_iter().zip(rankings) {
        manifests.push(lake.write_rankings(&rankings, k, &counted.counts_digest).await?);
    }
    let not_computed =
        left_out.into_iter().map(|(model, _)| (ModelName::new(model.name()), why_not_computed(model)));
    Ok(Ranked { manifests, not_computed: not_computed.collect(), stage: StageReport::since("rank", started) })
}

/// What the lake holds of counts that were not made anew, if they were ranked by each of the models and as
/// it is configured now.
async fn ranked_before(
    night: &Night,
    counts: &CountsManifest,
    models: &[&'static dyn Model],
) -> Option<Ranked> {
    let started = Instant::now();
    let lake = night.lake().ok()?;
    let (mut manifests, mut not_computed) = (Vec::new(), BTreeMap::new());
    for model in models {
        let (name, k) = (ModelName::new(model.name()), night.config.ranking.k_of(model.name()));
        if counts.logs.contains_key(&model.needs()) {
            // What cannot be read is ranked again.
            manifests.push(ranked(&lake, counts, &name, k).await.ok()?.1);
        } else {
            not_computed.insert(name, why_not_computed(*model));
        }
    }
    Some(Ranked { manifests, not_computed, stage: StageReport::since("rank", started).reused() })
}

pub(super) fn why_not_computed(model: &dyn Model) -> String {
    format!("it needs {log}, and input.{log} is empty", log = model.needs())
}

/// The day is not in the lake.
pub(super) fn not_counted(lake: &Lake, day: Day) -> Failure {
    let message = format!("{day} has not been counted: {} is not there", lake.counts_manifest_url(day));
    Failure::new(Exit::Failed, message)
        .help(format!("run `topshelf count --day {day}` first, with the same --lake"))
}
