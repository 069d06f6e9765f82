//! `diff`: what came, went and moved between two runs or two days.

use super::output::{Output, grouped, table};
use crate::{
    cli::{self, Side},
    diff::{Change, Diff},
    failure::{Exit, Failure},
    pipeline::Night,
};
use domain::{AdvertiserId, DayRankings, ModelName};
use serde_json::json;
use std::collections::BTreeSet;
use store::Store;

/// The most advertisers that are told by name.
const ADVERTISERS_TOLD: usize = 10;

/// Prints what is not the same in two runs or on two days.
pub(super) async fn diff(night: &Night, flags: &cli::Diff, output: Output) -> Result<(), Failure> {
    let store = Store::open_existing(night.database()?).await?;
    let (from, to) = (rankings(&store, &flags.from).await?, rankings(&store, &flags.to).await?);
    expect_known(flags, &from, &to)?;
    let is_wanted = |advertiser: &AdvertiserId, model: &ModelName| {
        flags.advertiser.as_ref().is_none_or(|wanted| wanted == advertiser)
            && flags.model.as_ref().is_none_or(|wanted| model.matches(wanted))
    };
    let diff = crate::diff::diff(&from, &to, is_wanted);
    let side = |side: &Side, rankings: &DayRankings| match side {
        Side::Day(_) => json!({ "day": rankings.day, "run_id": null }),
        Side::Run(run) => json!({ "day": rankings.day, "run_id": run }),
    };
    let json = json!({
        "from": side(&flags.from, &from), "to": side(&flags.to, &to),
        "advertisers": diff.advertisers, "unchanged": diff.unchanged, "changes": diff.changes,
    });
    output.either(&json, || text(&diff, flags.limit as usize))
}

/// Refuses a name that neither side knows: nothing changed would be a wrong answer.
fn expect_known(flags: &cli::Diff, from: &DayRankings, to: &DayRankings) -> Result<(), Failure> {
    let both = [from, to];
    if let Some(advertiser) = &flags.advertiser
        && !both.iter().any(|rankings| rankings.active.binary_search(advertiser).is_ok())
    {
        let message = format!("advertiser {advertiser:?} was active on neither side");
        return Err(
            Failure::new(Exit::Failed, message).help("`topshelf diff` without --advertiser lists all")
        );
    }
    let models: BTreeSet<_> = both.iter().flat_map(|rankings| &rankings.models).map(|of| &of.model).collect();
    if let Some(model) = &flags.model
        && !models.iter().any(|known| known.matches(model))
    {
        let known = models.into_iter().map(ModelName::as_str).collect::<Vec<_>>().join(", ");
        return Err(Failure::new(Exit::Usage, format!("no model {model:?} was computed on either side"))
            .help(format!("there are: {known}")));
    }
    Ok(())
}

async fn rankings(store: &Store, side: &Side) -> Result<DayRankings, Failure> {
    match side {
        Side::Day(day) => store.rankings_of_day(*day).await?.ok_or_else(|| {
            Failure::new(Exit::Failed, format!("readers see nothing of {day}"))
                .help("`topshelf moves` tells which days they see, `topshelf runs` which runs there were")
        }),
        Side::Run(run) => {
            let found = store.rankings_of_run(run).await?;
            found.ok_or_else(|| {
                Failure::new(Exit::Failed, format!("there are no rankings of run {run}"))
                    .help("it is unknown, failed before it ranked, or is older than retention.keep_days: `topshelf runs` lists those there are")
            })
        }
    }
}

fn text(diff: &Diff, lines_max: usize) -> String {
    let mut table =
        table(&["advertiser", "model", "product", "rank before", "rank now"], &["rank before", "rank now"]);
    let mut lines = diff.changes.iter().flat_map(lines);
    for line in lines.by_ref().take(lines_max) {
        table.add_row(line);
    }
    let more = lines.count();
    let mut text = if diff.changes.is_empty() { String::new() } else { format!("{table}\n") };
    if more > 0 {
        text += &format!(
            "… and {} more lines (--limit, --advertiser, or --json for all)\n",
            grouped(more as u64)
        );
    }
    for (what, advertisers) in [("came", &diff.advertisers.came), ("went", &diff.advertisers.went)] {
        text += &named(what, advertisers);
    }
    text + &summary(diff)
}

/// A line a product: advertiser, model, product, its rank before and now.
fn lines(change: &Change) -> Vec<[String; 5]> {
    let line = |product: &dyn ToString, before: Option<usize>, now: Option<usize>| {
        let rank = |rank: Option<usize>| rank.map_or("—".to_owned(), |rank| rank.to_string());
        let (advertiser, model) = (change.advertiser_id.to_string(), change.model.to_string());
        [advertiser, model, product.to_string(), rank(before), rank(now)]
    };
    let came = change.came.iter().map(|of| line(&of.product_id, None, Some(of.rank)));
    let went = change.went.iter().map(|of| line(&of.product_id, Some(of.rank), None));
    let moved = change.moved.iter().map(|of| line(&of.product_id, Some(of.from_rank), Some(of.to_rank)));
    came.chain(went).chain(moved).collect()
}

fn named(what: &str, advertisers: &[AdvertiserId]) -> String {
    if advertisers.is_empty() {
        return String::new();
    }
    let names: Vec<_> = advertisers.iter().take(ADVERTISERS_TOLD).map(AdvertiserId::as_str).collect();
    let more = if advertisers.len() > ADVERTISERS_TOLD { ", …" } else { "" };
    format!("advertisers that {what}: {} ({}{more})\n", grouped(advertisers.len() as u64), names.join(", "))
}

fn summary(diff: &Diff) -> String {
    let sum = |of: fn(&Change) -> usize| grouped(diff.changes.iter().map(of).sum::<usize>() as u64);
    if diff.changes.is_empty() {
        return format!("all {} rankings are the same", grouped(diff.unchanged as u64));
    }
    format!(
        "{} rankings changed, {} are the same; {} products came, {} went, {} moved",
        grouped(diff.changes.len() as u64),
        grouped(diff.unchanged as u64),
        sum(|of| of.came.len()),
        sum(|of| of.went.len()),
        sum(|of| of.moved.len())
    )
}
