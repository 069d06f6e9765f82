//! What is published, in numbers, computed once for a snapshot.
//!
//! Change and agreement are Jaccard's (1901): products in both sets ÷ products in either. Change from
//! day to day is one minus it. What was computed of two days is kept as long as both are served.

use crate::{
    served_day::ServedDay,
    wire::{Advertisers, AgreeingAdvertiser, ModelAgreement, ModelStats, Page, Stats, VariableAdvertiser},
};
use domain::ModelName;
use hashbrown::DefaultHashBuilder;
use std::{
    collections::BTreeSet,
    hash::BuildHasher,
    sync::{Arc, OnceLock},
};
use store::{DayStamp, PackedRanking, PackedRankings};

/// The most entries that a list of `/stats` can be asked for.
pub const LIMIT_MAX: usize = 1000;

/// Published days whose changes make the mean.
const CHANGE_DAYS: usize = 7;

/// The two models whose agreement is told.
const AGREEMENT_MODELS: [&str; 2] = ["TopCTR", "TopProduct"];

/// The numbers of a snapshot with at least one day.
#[derive(Debug)]
pub(crate) struct Statistics {
    /// The newest, which most numbers are of, and those before it whose changes are in the means.
    days: Vec<Arc<ServedDay>>,
    advertisers: Advertisers,
    models: Vec<ModelStats>,
    /// The models of the changes, by byte order.
    changing_models: Vec<ModelName>,
    /// Most change first.
    variable: Vec<Variable>,
    mean_overlap: Option<f64>,
    /// Least agreement first.
    agreement: Vec<Agreement>,
    changes: Vec<Arc<Changes>>,
}

/// How much the products of one advertiser by one model change.
#[derive(Debug, Clone, Copy)]
struct Variable {
    mean_change: f64,
    /// The advertiser's place on `days[day]`.
    place: u32,
    day: u8,
    days: u8,
    model: u16,
}

/// How far two models agree about the advertiser at a place of the newest day.
#[derive(Debug, Clone, Copy)]
struct Agreement {
    place: u32,
    overlap: Overlap,
}

/// Products in both of two sets, and in either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Overlap {
    common: u32,
    either: u32,
}

/// How far the rankings of two days name the same products.
#[derive(Debug)]
pub(crate) struct Changes {
    newer: DayStamp,
    older: DayStamp,
    /// Of each model computed for both days, by the advertiser's place on the newer day; of no products when the
    /// advertiser was not active on the older.
    models: Vec<(ModelName, Vec<Overlap>)>,
}

impl Statistics {
    /// The numbers of `days`, at least one, which come newest first. `known` was computed before, of these days or
    /// of others. It takes seconds for a hundred thousand advertisers.
    pub(crate) fn of(days: &[Arc<ServedDay>], known: &[Arc<Changes>]) -> Self {
        let newest = &days[0];
        let days = &days[..days.len().min(CHANGE_DAYS)];
        let changes = changes(days, known);
        let changing_models = changing_models(days);
        let variable = variable(days, &changes, &changing_models);
        let (mean_overlap, agreement) = agreement(newest);
        Self {
            days: days.to_vec(),
            advertisers: advertiser_counts(newest),
            models: model_stats(newest),
            changing_models,
            variable,
            mean_overlap,
            agreement,
            changes,
        }
    }

    /// What later numbers need not compute again.
    pub(crate) fn changes(&self) -> &[Arc<Changes>] {
        &self.changes
    }

    /// The same, when so many of the active advertisers are held, so many of them without any ranking of the
    /// day to be seen.
    pub(crate) fn with_held(mut self, held: usize, unseen: usize) -> Self {
        self.advertisers.active += unseen;
        self.advertisers.held = held;
        self
    }

    /// The answer to `/stats` with lists of at most `limit` entries, from the one after the first `offset`.
    pub(crate) fn answer(&self, offset: usize, limit: usize) -> Stats<'_> {
        let newest = &self.days[0];
        let variable = self.variable.iter().skip(offset).take(limit).map(|of| VariableAdvertiser {
            advertiser_id: self.days[usize::from(of.day)].advertiser(of.place as usize),
            model: &self.changing_models[usize::from(of.model)],
            mean_change: of.mean_change,
            days: usize::from(of.days),
        });
        let agreement = self.agreement.iter().skip(offset).take(limit).map(|of| AgreeingAdvertiser {
            advertiser_id: newest.advertiser(of.place as usize),
            common: of.overlap.common as usize,
            jaccard: of.overlap.jaccard(),
        });
        let (variable_total, agreement_total) = (self.variable.len(), self.agreement.len());
        let next_offset = Some(offset + limit).filter(|next| *next < variable_total.max(agreement_total));
        Stats {
            day: newest.day(),
            advertisers: self.advertisers,
            models: &self.models,
            most_variable_advertisers: variable.collect(),
            model_agreement: ModelAgreement {
                mean_overlap: self.mean_overlap,
                advertisers: agreement.collect(),
            },
            page: Page {
                offset,
                limit,
                next_offset,
                most_variable_advertisers: variable_total,
                model_agreement: agreement_total,
            },
        }
    }
}

fn advertiser_counts(day: &ServedDay) -> Advertisers {
    let is_ranked =
        |place: &usize| day.rankings().iter().any(|(_, rankings)| !rankings.ranking(*place).is_empty());
    let with_recommendations = (0..day.active()).filter(is_ranked).count();
    Advertisers { active: day.active(), with_recommendations, held: 0 }
}

fn model_stats(day: &ServedDay) -> Vec<ModelStats> {
    let of_model = |(model, rankings): &(ModelName, PackedRankings)| {
        let sizes = (0..day.active()).map(|place| rankings.ranking(place).product_ids().count());
        let (mut advertisers, mut recommendations) = (0, 0);
        for size in sizes.filter(|size| *size > 0) {
            advertisers += 1;
            recommendations += size;
        }
        ModelStats { model: model.clone(), advertisers, recommendations }
    };
    day.rankings().iter().map(of_model).collect()
}

/// The changes from each of `days` to the one before it, newest first.
fn changes(days: &[Arc<ServedDay>], known: &[Arc<Changes>]) -> Vec<Arc<Changes>> {
    let is_of = |changes: &Changes, newer: &ServedDay, older: &ServedDay| {
        changes.newer == *newer.stamp() && changes.older == *older.stamp()
    };
    let changes: Vec<OnceLock<Arc<Changes>>> = days
        .windows(2)
        .map(|pair| match known.iter().find(|changes| is_of(changes, &pair[0], &pair[1])) {
            Some(known) => OnceLock::from(known.clone()),
            None => OnceLock::new(),
        })
        .collect();
    // At the first load there are several to compute, and nobody to disturb yet.
    std::thread::scope(|threads| {
        for (of, pair) in changes.iter().zip(days.windows(2)) {
            if of.get().is_none() {
                threads.spawn(|| of.set(Arc::new(Changes::between(&pair[0], &pair[1]))));
            }
        }
    });
    changes.into_iter().map(|of| of.into_inner().expect("computed by its thread")).collect()
}

impl Changes {
    fn between(newer: &ServedDay, older: &ServedDay) -> Self {
        let older_places = places_on(newer, older);
        let sets = Sets::default();
        let mut models = Vec::new();
        for (model, rankings) in newer.rankings() {
            let Some(before) = older.rankings_by(model) else { continue };
            let overlap = |(place, older): (usize, &Option<u32>)| {
                let Some(older) = older else { return Overlap::default() };
                sets.overlap(rankings.ranking(place), before.ranking(*older as usize))
            };
            models.push((model.clone(), older_places.iter().enumerate().map(overlap).collect()));
        }
        Self { newer: newer.stamp().clone(), older: older.stamp().clone(), models }
    }

    fn of(&self, model: &ModelName) -> Option<&[Overlap]> {
        let found = self.models.iter().find(|(name, _)| name == model);
        found.map(|(_, overlaps)| overlaps.as_slice())
    }
}

/// By place on `day`, the advertiser's place on `other`.
fn places_on(day: &ServedDay, other: &ServedDay) -> Vec<Option<u32>> {
    (0..day.active())
        .map(|place| {
            let place = other.place(day.advertiser(place))?;
            Some(u32::try_from(place).expect("places are counted in 32 bits"))
        })
        .collect()
}

fn changing_models(days: &[Arc<ServedDay>]) -> Vec<ModelName> {
    let models: BTreeSet<_> = days.iter().flat_map(|day| day.models()).collect();
    models.into_iter().cloned().collect()
}

/// Most change first, then by advertiser and model.
fn variable(days: &[Arc<ServedDay>], changes: &[Arc<Changes>], models: &[ModelName]) -> Vec<Variable> {
    let of_models: Vec<Vec<_>> =
        models.iter().map(|model| changes.iter().map(|changes| changes.of(model)).collect()).collect();
    let mut all = Vec::new();
    let mut values = Vec::with_capacity(changes.len());
    for places in EachAdvertiser::of(days) {
        let (day, place) =
            (0u8..).zip(&places).find_map(|(day, place)| Some((day, (*place)?))).expect("on some day");
        for (model, changes) in (0u16..).zip(&of_models) {
            values.clear();
            for (newer, changes) in places.iter().zip(changes) {
                let overlap = newer.zip(*changes).map(|(place, changes)| changes[place as usize]);
                values.extend(
                    overlap.filter(|overlap| overlap.either > 0).map(|overlap| 1.0 - overlap.jaccard()),
                );
            }
            let days = u8::try_from(values.len()).expect("a week has few days");
            if let Some(mean_change) = mean(&mut values) {
                all.push(Variable { mean_change, place, day, days, model });
            }
        }
    }
    // A sort that keeps the order of equals.
    all.sort_by(|left, right| right.mean_change.total_cmp(&left.mean_change));
    all
}

/// Every advertiser of some days in byte order, as its place on each of them.
struct EachAdvertiser<'a> {
    days: &'a [Arc<ServedDay>],
    next: Vec<usize>,
}

impl<'a> EachAdvertiser<'a> {
    fn of(days: &'a [Arc<ServedDay>]) -> Self {
        Self { days, next: vec![0; days.len()] }
    }
}

impl Iterator for EachAdvertiser<'_> {
    type Item = Vec<Option<u32>>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = |(day, next): (&Arc<ServedDay>, &usize)| (*next < day.active()).then_some(*next);
        let heads: Vec<_> = self.days.iter().zip(&self.next).map(at).collect();
        let advertisers =
            || self.days.iter().zip(&heads).map(|(day, place)| place.map(|place| day.advertiser(place)));
        let first = advertisers().flatten().min()?;
        let is_first: Vec<_> = advertisers().map(|advertiser| advertiser == Some(first)).collect();
        let mut places = Vec::with_capacity(self.days.len());
        for (next, is_first) in self.next.iter_mut().zip(is_first) {
            places.push(is_first.then(|| u32::try_from(*next).expect("places are counted in 32 bits")));
            *next += usize::from(is_first);
        }
        Some(places)
    }
}

/// The mean; summed from the smallest, so that equal values in another order have an equal mean.
fn mean(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a few days")]
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn agreement(day: &ServedDay) -> (Option<f64>, Vec<Agreement>) {
    let [Some(left), Some(right)] = AGREEMENT_MODELS.map(|model| day.rankings_by(&ModelName::new(model)))
    else {
        return (None, Vec::new());
    };
    let sets = Sets::default();
    let mut all = Vec::new();
    for place in 0..day.active() {
        let rankings = [left, right].map(|rankings| rankings.ranking(place));
        if rankings.iter().all(|ranking| !ranking.is_empty()) {
            let overlap = sets.overlap(rankings[0], rankings[1]);
            let place = u32::try_from(place).expect("places are counted in 32 bits");
            all.push(Agreement { place, overlap });
        }
    }
    let common_total = all.iter().map(|of| u64::from(of.overlap.common)).sum();
    let mean_overlap = (!all.is_empty()).then(|| ratio(common_total, all.len() as u64));
    // Places are in byte order of the advertiser; the sort keeps the order of equals.
    all.sort_by(|left, right| left.overlap.jaccard().total_cmp(&right.overlap.jaccard()));
    (mean_overlap, all)
}

/// Of so many products, looking at each is faster than keeping them in order.
const PRODUCTS_FEW: usize = 32;

/// Compares sets of products.
#[derive(Default)]
struct Sets {
    hasher: DefaultHashBuilder,
}

impl Sets {
    /// The overlap of two rankings.
    fn overlap(&self, left: PackedRanking<'_>, right: PackedRanking<'_>) -> Overlap {
        if left == right {
            let common = count(left.product_ids().count());
            return Overlap { common, either: common };
        }
        let [left, right] = [left, right].map(|ranking| self.products(ranking));
        let is_in_right = |product: &&(u64, &[u8])| match right.len() {
            ..=PRODUCTS_FEW => right.contains(product),
            _ => right.binary_search(product).is_ok(),
        };
        let common = left.iter().filter(is_in_right).count();
        Overlap { common: count(common), either: count(left.len() + right.len() - common) }
    }

    /// Each with a hash of it first, which tells most apart; in order when they are many.
    fn products<'a>(&self, ranking: PackedRanking<'a>) -> Vec<(u64, &'a [u8])> {
        let mut products = Vec::with_capacity(PRODUCTS_FEW);
        products.extend(ranking.product_ids().map(|id| (self.hasher.hash_one(id), id)));
        if products.len() > PRODUCTS_FEW {
            products.sort_unstable();
        }
        products
    }
}

fn count(products: usize) -> u32 {
    u32::try_from(products).expect("a ranking has fewer than 2^31 products")
}

impl Overlap {
    /// NaN when there are no products.
    fn jaccard(self) -> f64 {
        ratio(u64::from(self.common), u64::from(self.either))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is read by people")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
