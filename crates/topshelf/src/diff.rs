//! What came, went and moved between two sets of rankings.
//!
//! Rankings of two days or runs go in; each advertiser and model whose ranking is not the same comes out. Nothing
//! here reads or prints.
#![expect(clippy::cast_precision_loss, reason = "products of a ranking are few")]

use domain::{AdvertiserId, DayRankings, ModelName, ProductId, Ranking};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What is not the same in two sets of rankings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// Who was active in one of them alone.
    pub advertisers: Advertisers,
    /// Rankings that are the same.
    pub unchanged: usize,
    /// Rankings that are not, in order of advertiser and model.
    pub changes: Vec<Change>,
}

/// Who was active in one of two sets of rankings alone, in byte order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advertisers {
    /// In the second.
    pub came: Vec<AdvertiserId>,
    /// In the first.
    pub went: Vec<AdvertiserId>,
}

/// An advertiser's ranking by a model that is not the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The advertiser.
    pub advertiser_id: AdvertiserId,
    /// The model.
    pub model: ModelName,
    /// Products that are ranked in the second alone, in its order.
    pub came: Vec<Place>,
    /// Products that are ranked in the first alone, in its order.
    pub went: Vec<Place>,
    /// Products that are ranked in both, at another rank; in the order of the second.
    pub moved: Vec<Shift>,
    /// One minus Jaccard's similarity (1901) of the products: 0 when they only moved, 1 when none stayed.
    pub change: f64,
}

/// A product at its rank, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The product.
    pub product_id: ProductId,
    /// Its rank.
    pub rank: usize,
}

/// A product that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shift {
    /// The product.
    pub product_id: ProductId,
    /// Its rank in the first.
    pub from_rank: usize,
    /// Its rank in the second.
    pub to_rank: usize,
}

/// Compares two sets of rankings, of those whom `is_wanted` lets.
#[must_use]
pub fn diff(
    from: &DayRankings,
    to: &DayRankings,
    is_wanted: impl Fn(&AdvertiserId, &ModelName) -> bool,
) -> Diff {
    let (before, after) = (by_advertiser(from), by_advertiser(to));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let (mut changes, mut unchanged) = (Vec::new(), 0);
    for key in keys.into_iter().filter(|(advertiser, model)| is_wanted(advertiser, model)) {
        match change(*key, before.get(key).copied(), after.get(key).copied()) {
            Some(change) => changes.push(change),
            None => unchanged += 1,
        }
    }
    let only = |one: &DayRankings, other: &DayRankings| {
        let is_new = |advertiser: &&AdvertiserId| other.active.binary_search(advertiser).is_err();
        one.active.iter().filter(is_new).cloned().collect()
    };
    Diff { advertisers: Advertisers { came: only(to, from), went: only(from, to) }, unchanged, changes }
}

type Key<'a> = (&'a AdvertiserId, &'a ModelName);

fn by_advertiser(rankings: &DayRankings) -> BTreeMap<Key<'_>, &Ranking> {
    let keyed = rankings
        .models
        .iter()
        .flat_map(|of| of.rankings.iter().map(move |ranking| ((&ranking.advertiser_id, &of.model), ranking)));
    keyed.collect()
}

/// What changed in a ranking; none when nothing did.
fn change((advertiser, model): Key<'_>, before: Option<&Ranking>, after: Option<&Ranking>) -> Option<Change> {
    let (before, after) = (ranks(before), ranks(after));
    let (mut came, mut moved) = (Vec::new(), Vec::new());
    for (product_id, rank) in &after {
        match before.iter().find(|(other, _)| other == product_id) {
            None => came.push(Place { product_id: (*product_id).clone(), rank: *rank }),
            Some((_, from_rank)) if from_rank != rank => {
                let product_id = (*product_id).clone();
                moved.push(Shift { product_id, from_rank: *from_rank, to_rank: *rank });
            }
            Some(_) => {}
        }
    }
    let is_gone =
        |(product_id, _): &&(&ProductId, usize)| !after.iter().any(|(other, _)| other == product_id);
    let went: Vec<_> = before
        .iter()
        .filter(is_gone)
        .map(|(product_id, rank)| Place { product_id: (*product_id).clone(), rank: *rank })
        .collect();
    let common = before.len() - went.len();
    let change = 1.0 - common as f64 / (common + came.len() + went.len()).max(1) as f64;
    let (advertiser_id, model) = (advertiser.clone(), model.clone());
    let is_same = came.is_empty() && went.is_empty() && moved.is_empty();
    (!is_same).then_some(Change { advertiser_id, model, came, went, moved, change })
}

fn ranks(ranking: Option<&Ranking>) -> Vec<(&ProductId, usize)> {
    ranking
        .map(|ranking| ranking.products.iter().map(|of| &of.product_id).zip(1..).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Counts, ModelRankings, RankedProduct};

    /// `a b | TopCTR a: x y | TopCTR b: z`: who is active, then a ranking a part.
    fn rankings(text: &str) -> DayRankings {
        let day = "2024-11-20".parse().unwrap();
        let mut parts = text.split('|');
        let id = |text: &str| AdvertiserId::new(text).unwrap();
        let active = parts.next().unwrap().split_whitespace().map(id).collect();
        let mut models: BTreeMap<ModelName, Vec<Ranking>> = BTreeMap::new();
        for part in parts.filter(|part| !part.trim().is_empty()) {
            let (head, products) = part.split_once(':').unwrap();
            let (model, advertiser) = head.trim().split_once(' ').unwrap();
            let products = products.split_whitespace().map(|product| RankedProduct {
                product_id: ProductId::new(product).unwrap(),
                score: 0.5,
                counts: Counts::default(),
            });
            let ranking = Ranking { advertiser_id: id(advertiser), products: products.collect() };
            models.entry(ModelName::new(model)).or_default().push(ranking);
        }
        let models = models.into_iter().map(|(model, rankings)| ModelRankings { day, model, rankings });
        DayRankings { day, active, models: models.collect() }
    }

    fn check(from: &str, to: &str, expected: &[&str]) {
        let diff = diff(&rankings(from), &rankings(to), |_, _| true);
        let mut told = Vec::new();
        for (what, advertisers) in [("came", &diff.advertisers.came), ("went", &diff.advertisers.went)] {
            told.extend(advertisers.iter().map(|advertiser| format!("{advertiser} {what}")));
        }
        for Change { advertiser_id, model, came, went, moved, change } in &diff.changes {
            let came = came.iter().map(|Place { product_id, rank }| format!("+{product_id}@{rank}"));
            let went = went.iter().map(|Place { product_id, rank }| format!("-{product_id}@{rank}"));
            let moved = moved.iter().map(|of| format!("{}@{}>{}", of.product_id, of.from_rank, of.to_rank));
            let all: Vec<_> = came.chain(went).chain(moved).collect();
            told.push(format!("{advertiser_id} {model}: {} ({change:.2})", all.join(" ")));
        }
        assert_eq!(told, expected, "{from} → {to}");
    }

    #[test]
    fn products_come_go_and_move() {
        let before = "a | TopCTR a: x y z";
        check(before, before, &[]);
        check(before, "a | TopCTR a: x z y", &["a TopCTR: z@3>2 y@2>3 (0.00)"]);
        check(before, "a | TopCTR a: n x y", &["a TopCTR: +n@1 -z@3 x@1>2 y@2>3 (0.50)"]);
        check(before, "a | TopCTR a: x", &["a TopCTR: -y@2 -z@3 (0.67)"]);
    }

    #[test]
    fn a_ranking_that_is_new_or_gone_comes_or_goes_whole() {
        check("a |", "a | TopCTR a: x y", &["a TopCTR: +x@1 +y@2 (1.00)"]);
        check(
            "a b | TopCTR a: x | TopCTR b: x",
            "a c | TopCTR a: x | TopCTR c: x",
            &["c came", "b went", "b TopCTR: -x@1 (1.00)", "c TopCTR: +x@1 (1.00)"],
        );
        check("a | TopCTR a: x | TopProduct a: x", "a | TopCTR a: x", &["a TopProduct: -x@1 (1.00)"]);
    }

    #[test]
    fn only_who_is_asked_about_is_compared() {
        let (from, to) = (rankings("a b | TopCTR a: x | TopCTR b: x"), rankings("a b | TopCTR a: y"));
        let told = diff(&from, &to, |advertiser, _| advertiser.as_str() == "a");
        assert_eq!((told.changes.len(), told.unchanged), (1, 0));
    }
}
