//! Figures of the day and of what was published before, for the checks; and what comes of their findings.
#![expect(clippy::cast_precision_loss, reason = "how far rankings changed needs no exact number")]

use super::Night;
use crate::{
    checks::{self, AdvertiserFigures, CheckVerdict, DayFigures, Finding, History, PublishedDay, Severity},
    failure::Failure,
};
use domain::{AdvertiserId, Day, DayRankings, Log, ModelName, ProductId};
use jiff::civil::Time;
use lake::{AdvertiserTotals, CountsManifest};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use store::{Hold, Holds, LastRankings, Store, TAKEN_BACK, TotalsOfDay};

/// Published days that make the baseline.
const BASELINE_DAYS: usize = 7;

/// Published days among which those of the same weekday are looked for.
const DAYS_LOOKED_AT: usize = 60;

/// What the checks of a run came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Checked {
    /// Days that the run was compared with.
    pub baseline: Vec<Day>,
    /// How far rankings differ from those published last, 0 to 1, on average; none when there are none.
    pub change: Option<f64>,
    /// What became of each check, by its name.
    pub verdicts: BTreeMap<String, CheckVerdict>,
    /// What was found, about all first, then by advertiser.
    pub findings: Vec<Finding>,
}

/// Checks the day's rankings before they are published.
pub(super) async fn check(
    night: &Night,
    store: &Store,
    counts: &CountsManifest,
    totals: &[(AdvertiserId, AdvertiserTotals)],
    rankings: &DayRankings,
) -> Result<Checked, Failure> {
    let (day, checks) = (rankings.day, &night.config.checks);
    let (mut history, baseline) = history(store, day, checks.min_days).await?;
    let mut changes = Vec::new();
    for of_model in &rankings.models {
        let last = store.last_rankings(day, &of_model.model).await?;
        changes.extend(of_model.rankings.iter().filter_map(|ranking| {
            let last = last.get(&ranking.advertiser_id)?;
            let now: HashSet<_> = ranking.products.iter().map(|product| &product.product_id).collect();
            Some(change(last, &now))
        }));
        note_ranked(&mut history.ranked, &of_model.model, &last);
    }
    for advertiser in history.ranked.keys() {
        // Who was held lately has other days of its own; who is seen on all of those days has none.
        let days = history.advertisers.get(advertiser).map_or(0, Vec::len);
        if days < checks.min_days.min(baseline.len()) {
            let own = store.totals_of(advertiser, day, BASELINE_DAYS).await?;
            history.advertisers.insert(advertiser.clone(), own);
        }
    }
    let change = mean(&changes);
    let figures = figures(counts, totals, rankings, change);
    let findings = checks::check(checks, &figures, &history);
    let verdicts = checks::verdicts(checks, &findings, baseline.len());
    Ok(Checked { baseline, change, verdicts, findings })
}

impl Checked {
    /// Adds what is held back though no check of this run found it: someone has taken it back before.
    pub(super) fn note_taken_back(&mut self, holds: &Holds) {
        let all = holds.all.iter().map(|hold| (None, hold));
        let each = holds.advertisers.iter().map(|(advertiser, hold)| (Some(advertiser.clone()), hold));
        let taken_back = all.chain(each).filter(|(_, hold)| hold.check == TAKEN_BACK);
        self.findings.extend(taken_back.map(|(advertiser_id, hold)| Finding {
            check: TAKEN_BACK,
            severity: Severity::Hold,
            advertiser_id,
            message: hold.message.clone(),
        }));
    }

    /// What readers must not see.
    pub(super) fn holds(&self) -> Holds {
        let mut holds = Holds::default();
        let mut held: BTreeMap<Option<&AdvertiserId>, Hold> = BTreeMap::new();
        for finding in self.findings.iter().filter(|finding| finding.severity == Severity::Hold) {
            let hold = || Hold { check: finding.check.to_owned(), message: String::new() };
            let hold = held.entry(finding.advertiser_id.as_ref()).or_insert_with(hold);
            if !hold.message.is_empty() {
                hold.message += "; ";
            }
            hold.message += &finding.message;
        }
        for (advertiser, hold) in held {
            match advertiser {
                None => holds.all = Some(hold),
                Some(advertiser) => drop(holds.advertisers.insert(advertiser.clone(), hold)),
            }
        }
        if holds.all.is_some() {
            // Each is held by what holds all; once that is accepted, so are they.
            holds.advertisers.clear();
        }
        holds
    }
}

/// What was published before the day, and the days compared with: the last of the same weekday, or the last
/// when there are too few of those.
async fn history(store: &Store, day: Day, min_days: usize) -> Result<(History, Vec<Day>), Failure> {
    let before = store.days_before(day, DAYS_LOOKED_AT).await?;
    let is_same_weekday = |other: &&Day| (day.epoch_days() - other.epoch_days()) % 7 == 0;
    let mut baseline = baseline(store, before.iter().filter(is_same_weekday)).await?;
    let is_same_weekday = baseline.len() >= min_days;
    if !is_same_weekday {
        baseline = self::baseline(store, before.iter()).await?;
    }
    let mut history = History { is_same_weekday, ..History::default() };
    for totals in &baseline {
        let change = totals.report.as_ref().and_then(|report| report["checks"]["change"].as_f64());
        history.changes.extend(change);
        for (advertiser, counts) in &totals.advertisers {
            history.advertisers.entry(advertiser.clone()).or_default().push(*counts);
        }
    }
    let days = baseline.iter().map(|totals| totals.day).collect();
    history.days = baseline.into_iter().map(published_day).collect();
    Ok((history, days))
}

fn published_day(totals: TotalsOfDay) -> PublishedDay {
    let last_times = totals.report.as_ref().map(last_times).unwrap_or_default();
    PublishedDay::new(totals.advertisers, totals.active, last_times)
}

/// The last times that a run's report tells of the logs of events.
fn last_times(report: &serde_json::Value) -> BTreeMap<Log, Time> {
    let of_log = |log: Log| {
        let time = report["logs"][log.name()]["last_time"].as_str()?;
        Some((log, time.parse().ok()?))
    };
    [Log::AdsViews, Log::ProductViews].into_iter().filter_map(of_log).collect()
}

/// The first of the days that can be compared with: of which something was counted, and not all is held.
async fn baseline(store: &Store, days: impl Iterator<Item = &Day>) -> Result<Vec<TotalsOfDay>, Failure> {
    let mut baseline = Vec::new();
    for day in days {
        let totals = store.totals(*day).await?;
        if !totals.advertisers.is_empty() && !totals.is_held {
            baseline.push(totals);
        }
        if baseline.len() == BASELINE_DAYS {
            break;
        }
    }
    Ok(baseline)
}

fn note_ranked(
    ranked: &mut BTreeMap<AdvertiserId, BTreeSet<ModelName>>,
    model: &ModelName,
    last: &LastRankings,
) {
    for advertiser in last.keys() {
        ranked.entry(advertiser.clone()).or_default().insert(model.clone());
    }
}

fn figures(
    counts: &CountsManifest,
    totals: &[(AdvertiserId, AdvertiserTotals)],
    rankings: &DayRankings,
    change: Option<f64>,
) -> DayFigures {
    let of_advertiser = |(advertiser, totals): &(AdvertiserId, AdvertiserTotals)| {
        let AdvertiserTotals { counts, unseen_clicks } = *totals;
        (advertiser.clone(), AdvertiserFigures { counts, unseen_clicks, ranked: BTreeSet::new() })
    };
    let mut advertisers: BTreeMap<_, _> = totals.iter().map(of_advertiser).collect();
    for of_model in &rankings.models {
        for ranking in &of_model.rankings {
            let figures = advertisers.get_mut(&ranking.advertiser_id).expect("who is ranked is active");
            figures.ranked.insert(of_model.model.clone());
        }
    }
    let logs = counts.logs.iter().map(|(log, input)| (*log, input.tally)).collect();
    let last_times = counts.logs.iter().filter_map(|(log, input)| Some((*log, input.last_time?))).collect();
    DayFigures { logs, last_times, advertisers, change }
}

/// One minus Jaccard's similarity (1901): 0 for the same products, 1 for none in common.
fn change(last: &[ProductId], now: &HashSet<&ProductId>) -> f64 {
    let common = last.iter().filter(|product| now.contains(product)).count();
    let either = last.len() + now.len() - common;
    1.0 - common as f64 / either as f64
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
