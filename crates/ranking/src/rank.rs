//! The K best products of each advertiser by each model, kept while the counts go by.

use crate::{Model, top::Top};
use domain::{AdvertiserId, CountsBlock, Day, ModelName, ModelRankings, Ranking};
use std::sync::Arc;

/// How many products a ranking has at most, unless configured otherwise.
pub const K_DEFAULT: usize = 20;

/// Ranks the products of a day's advertisers by several models in one pass over the counts, and keeps
/// no more than the best of each.
pub struct Ranker {
    day: Day,
    active: Arc<[AdvertiserId]>,
    /// Whose products are being ranked.
    advertiser: Option<u32>,
    models: Vec<ModelRanker>,
}

/// What one model has made of the counts so far.
struct ModelRanker {
    model: &'static dyn Model,
    top: Top,
    rankings: Vec<Ranking>,
}

impl Ranker {
    /// Will rank by each of the models, with at most so many products in a ranking; `active` are the
    /// advertisers that the counts' indices mean.
    #[must_use]
    pub fn new(day: Day, active: Arc<[AdvertiserId]>, models: &[(&'static dyn Model, usize)]) -> Self {
        let ranker = |(model, k): &(_, usize)| {
            let (model, top, rankings) = (*model, Top::new(*k), Vec::new());
            ModelRanker { model, top, rankings }
        };
        Self { day, active, advertiser: None, models: models.iter().map(ranker).collect() }
    }

    /// Takes the next counts of the day, which come in order.
    pub fn add(&mut self, block: &CountsBlock) {
        for (advertiser, products) in block.advertisers() {
            if self.advertiser != Some(advertiser) {
                self.end_advertiser();
                self.advertiser = Some(advertiser);
            }
            for ranker in &mut self.models {
                ranker.model.add(&products, &mut ranker.top);
            }
        }
    }

    /// What each model says, in the order the models were given. Advertisers without a ranked product
    /// have no ranking.
    #[must_use]
    pub fn finish(mut self) -> Vec<ModelRankings> {
        self.end_advertiser();
        let day = self.day;
        let rankings = self.models.into_iter().map(|ranker| {
            let model = ModelName::new(ranker.model.name());
            ModelRankings { day, model, rankings: ranker.rankings }
        });
        rankings.collect()
    }

    fn end_advertiser(&mut self) {
        let Some(advertiser) = self.advertiser.take() else { return };
        let advertiser_id = &self.active[advertiser as usize];
        for ranker in &mut self.models {
            let products = ranker.top.take(ranker.model);
            if !products.is_empty() {
                ranker.rankings.push(Ranking { advertiser_id: advertiser_id.clone(), products });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MODELS, model};
    use domain::Counts;
    use proptest::prelude::*;
    use std::{cmp::Ordering, collections::BTreeMap};

    type Products = BTreeMap<String, Counts>;

    /// The rankings of advertisers, whose rows come in blocks of so many.
    fn ranked(name: &str, k: usize, advertisers: &[Products], block_rows: usize) -> ModelRankings {
        let ids: Arc<[_]> =
            (0..advertisers.len()).map(|number| AdvertiserId::new(format!("{number:03}")).unwrap()).collect();
        let rows = (0..).zip(advertisers);
        let rows: Vec<_> =
            rows.flat_map(|(index, products)| products.iter().map(move |row| (index, row))).collect();
        let day = "2024-11-20".parse().unwrap();
        let mut ranker = Ranker::new(day, ids, &[(model(name).unwrap(), k)]);
        for rows in rows.chunks(block_rows) {
            let mut block = CountsBlock::default();
            rows.iter().for_each(|(index, (product, counts))| block.push(*index, product, **counts));
            ranker.add(&block);
        }
        ranker.finish().remove(0)
    }

    /// `products` is `id impressions clicks views`, the answer `id score` in order.
    fn check(name: &str, k: usize, products: &[&str], expected: &[&str]) {
        let parse = |line: &&str| {
            let words: Vec<_> = line.split(' ').collect();
            let number = |at: usize| words[at].parse().unwrap();
            (words[0].to_owned(), Counts { impressions: number(1), clicks: number(2), views: number(3) })
        };
        let rankings = ranked(name, k, &[products.iter().map(parse).collect()], 100);
        let ranked: Vec<_> = rankings
            .rankings
            .iter()
            .flat_map(|ranking| &ranking.products)
            .map(|product| format!("{} {}", product.product_id, product.score))
            .collect();
        assert_eq!(ranked, expected);
    }

    #[test]
    fn top_ctr_orders_by_rate_then_impressions_then_id() {
        let products =
            ["d 2 1 0", "c 4 2 0", "b 2 1 0", "zero 9 0 0", "none 0 3 0", "over 1 2 0", "viewed 0 0 9"];
        check("TopCTR", 20, &products, &["over 2", "c 0.5", "b 0.5", "d 0.5", "zero 0"]);
        check("TopCTR", 2, &products, &["over 2", "c 0.5"]);
    }

    #[test]
    fn top_product_orders_by_views_then_id() {
        check("TopProduct", 2, &["b 9 9 3", "a 0 0 3", "c 1 1 4", "d 5 5 0"], &["c 4", "a 3"]);
        check("TopProduct", 2, &["d 5 5 0"], &[]);
        check("TopProduct", 0, &["d 5 5 1"], &[]);
    }

    /// The rules of the contract, spelt out.
    fn naive_order(name: &str, left: &(String, Counts), right: &(String, Counts)) -> Ordering {
        let ((left_id, left), (right_id, right)) = (left, right);
        let primary = match name {
            "TopCTR" => {
                let cross = |a: &Counts, b: &Counts| u128::from(a.clicks) * u128::from(b.impressions);
                cross(right, left).cmp(&cross(left, right)).then(right.impressions.cmp(&left.impressions))
            }
            _ => right.views.cmp(&left.views),
        };
        primary.then(left_id.as_bytes().cmp(right_id.as_bytes()))
    }

    /// Everything sorted and cut: for each advertiser with a ranked product, its index and products.
    fn naive(name: &str, k: usize, advertisers: &[Products]) -> Vec<(usize, Vec<(String, Counts)>)> {
        let ranked = advertisers.iter().map(|products| {
            let is_ranked =
                |counts: &Counts| if name == "TopCTR" { counts.impressions > 0 } else { counts.views > 0 };
            let mut sorted: Vec<_> =
                products.clone().into_iter().filter(|(_, counts)| is_ranked(counts)).collect();
            sorted.sort_by(|left, right| naive_order(name, left, right));
            sorted.truncate(k);
            sorted
        });
        ranked.enumerate().filter(|(_, products)| !products.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn ranking_equals_sorting_everything(
            advertisers in proptest::collection::vec(
                proptest::collection::btree_map(
                    "[a-dé]{1,2}",
                    (0u64..5, 0u64..4, 0u64..4)
                        .prop_map(|(impressions, clicks, views)| Counts { impressions, clicks, views }),
                    0..30,
                ),
                1..4,
            ),
            k in 0usize..25,
            block_rows in 1usize..40,
        ) {
            for model in MODELS {
                let rankings = ranked(model.name(), k, &advertisers, block_rows).rankings;
                let told: Vec<_> = rankings
                    .into_iter()
                    .map(|ranking| {
                        let products = ranking.products.into_iter();
                        let products = products.map(|product| (product.product_id.as_str().to_owned(), product.counts));
                        (ranking.advertiser_id.as_str().parse().unwrap(), products.collect())
                    })
                    .collect();
                prop_assert_eq!(told, naive(model.name(), k, &advertisers));
            }
        }
    }
}
