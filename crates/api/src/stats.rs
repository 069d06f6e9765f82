//! What is published, in numbers, computed once when a snapshot is built.
//!
//! Change and agreement are Jaccard's (1901): products in both sets ÷ products in either. Change from
//! day to day is one minus it.

use crate::{
    packed::{PackedRankings, Rows},
    served_day::ServedDay,
    wire::{Advertisers, AgreeingAdvertiser, ModelAgreement, ModelStats, Stats, VariableAdvertiser},
};
use domain::{AdvertiserId, Day, ModelName};
use std::collections::BTreeSet;

/// The most entries that a list of `/stats` can be asked for.
pub const LIMIT_MAX: usize = 1000;

/// Published days whose changes make the mean.
const CHANGE_DAYS: usize = 7;

/// The two models whose agreement is told.
const AGREEMENT_MODELS: [&str; 2] = ["TopCTR", "TopProduct"];

/// The numbers of a snapshot with at least one day; each list holds at most [`LIMIT_MAX`] entries.
#[derive(Debug)]
pub(crate) struct Statistics {
    pub(crate) day: Day,
    pub(crate) advertisers: Advertisers,
    models: Vec<ModelStats>,
    most_variable: Vec<VariableAdvertiser>,
    mean_overlap: Option<f64>,
    agreement: Vec<AgreeingAdvertiser>,
}

impl Statistics {
    /// The numbers of `days`, which come newest first; none when there are no days.
    pub(crate) fn of(days: &[ServedDay], advertisers: &[AdvertiserId]) -> Option<Self> {
        let newest = days.first()?;
        let (mean_overlap, agreement) = agreement(newest, advertisers);
        Some(Self {
            day: newest.day,
            advertisers: advertiser_counts(newest, advertisers.len()),
            models: model_stats(newest, advertisers.len()),
            most_variable: most_variable(&days[..days.len().min(CHANGE_DAYS)], advertisers),
            mean_overlap,
            agreement,
        })
    }

    /// The same, when so many of the active advertisers are held, so many of them without any ranking of the
    /// day to be seen.
    pub(crate) fn with_held(mut self, held: usize, unseen: usize) -> Self {
        self.advertisers.active += unseen;
        self.advertisers.held = held;
        self
    }

    /// The answer to `/stats` with lists of at most `limit` entries.
    pub(crate) fn answer(&self, limit: usize) -> Stats<'_> {
        Stats {
            day: self.day,
            advertisers: self.advertisers,
            models: &self.models,
            most_variable_advertisers: &self.most_variable[..limit.min(self.most_variable.len())],
            model_agreement: ModelAgreement {
                mean_overlap: self.mean_overlap,
                advertisers: &self.agreement[..limit.min(self.agreement.len())],
            },
        }
    }
}

fn advertiser_counts(day: &ServedDay, places: usize) -> Advertisers {
    let active = || (0..places).filter(|place| day.is_active(*place));
    let is_ranked = |place: &usize| day.models.iter().any(|(_, rankings)| !rankings.rows(*place).is_empty());
    let with_recommendations = active().filter(is_ranked).count();
    Advertisers { active: active().count(), with_recommendations, held: 0 }
}

fn model_stats(day: &ServedDay, places: usize) -> Vec<ModelStats> {
    let of_model = |(model, rankings): &(ModelName, PackedRankings)| {
        let sizes =
            (0..places).filter(|place| day.is_active(*place)).map(|place| rankings.rows(place).count());
        let ranked: Vec<_> = sizes.filter(|size| *size > 0).collect();
        ModelStats { model: model.clone(), advertisers: ranked.len(), recommendations: ranked.iter().sum() }
    };
    day.models.iter().map(of_model).collect()
}

fn most_variable(days: &[ServedDay], advertisers: &[AdvertiserId]) -> Vec<VariableAdvertiser> {
    let models: BTreeSet<_> = days.iter().flat_map(|day| &day.models).map(|(model, _)| model).collect();
    let mut all: Vec<(f64, usize, usize, &ModelName)> = Vec::new();
    for model in models {
        let tables: Vec<Table<'_>> = days.iter().map(|day| (day, day.rankings(model))).collect();
        for place in 0..advertisers.len() {
            let changes = changes(&tables, place);
            if let Some(mean) = mean(changes.clone()) {
                all.push((mean, changes.len(), place, model));
            }
        }
    }
    // Places are in byte order of the advertiser.
    all.sort_by(|left, right| {
        right.0.total_cmp(&left.0).then(left.2.cmp(&right.2)).then_with(|| left.3.cmp(right.3))
    });
    all.truncate(LIMIT_MAX);
    all.into_iter()
        .map(|(mean_change, days, place, model)| VariableAdvertiser {
            advertiser_id: advertisers[place].clone(),
            model: model.clone(),
            mean_change,
            days,
        })
        .collect()
}

/// A day, and what one model ranked that day.
type Table<'a> = (&'a ServedDay, Option<&'a PackedRankings>);

/// The changes of one advertiser and model between consecutive days, where both can be compared.
fn changes(tables: &[Table<'_>], place: usize) -> Vec<f64> {
    let mut sets = Vec::with_capacity(tables.len());
    for (day, rankings) in tables {
        let rankings = rankings.filter(|_| day.is_active(place));
        sets.push(rankings.map(|rankings| product_set(rankings.rows(place))));
    }
    let change = |pair: &[Option<Vec<&str>>]| {
        let (common, either) = overlap(pair[0].as_ref()?, pair[1].as_ref()?);
        (either > 0).then(|| 1.0 - ratio(common, either))
    };
    sets.windows(2).filter_map(change).collect()
}

/// The mean; summed from the smallest, so that equal values in another order have an equal mean.
fn mean(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a few days")]
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn agreement(day: &ServedDay, advertisers: &[AdvertiserId]) -> (Option<f64>, Vec<AgreeingAdvertiser>) {
    let [Some(left), Some(right)] = AGREEMENT_MODELS.map(|model| day.rankings(&ModelName::new(model))) else {
        return (None, Vec::new());
    };
    let mut all = Vec::new();
    for place in (0..advertisers.len()).filter(|place| day.is_active(*place)) {
        let sets = [left, right].map(|rankings| product_set(rankings.rows(place)));
        if sets.iter().all(|set| !set.is_empty()) {
            let (common, either) = overlap(&sets[0], &sets[1]);
            all.push((ratio(common, either), place, common));
        }
    }
    let common_total = all.iter().map(|(_, _, common)| common).sum();
    let mean_overlap = (!all.is_empty()).then(|| ratio(common_total, all.len()));
    all.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
    all.truncate(LIMIT_MAX);
    let entry = |(jaccard, place, common): (f64, usize, usize)| AgreeingAdvertiser {
        advertiser_id: advertisers[place].clone(),
        common,
        jaccard,
    };
    (mean_overlap, all.into_iter().map(entry).collect())
}

fn product_set(rows: Rows<'_>) -> Vec<&str> {
    let mut products: Vec<_> = rows.map(|row| row.product_id).collect();
    products.sort_unstable();
    products
}

/// How many products are in both of two ordered sets, and in either.
fn overlap(left: &[&str], right: &[&str]) -> (usize, usize) {
    let common = left.iter().filter(|product| right.binary_search(product).is_ok()).count();
    (common, left.len() + right.len() - common)
}

#[expect(clippy::cast_precision_loss, reason = "a share is read by people")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
