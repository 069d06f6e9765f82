//! The K best products of each advertiser, as a model orders them.

use crate::Model;
use domain::{Counts, DayCounts, ModelName, ModelRankings, ProductCounts, ProductId, RankedProduct, Ranking};

/// How many products a ranking has at most, unless configured otherwise.
pub const K_DEFAULT: usize = 20;

/// Ranks each advertiser's products: at most `k`, best first. Advertisers without a ranked product
/// have no ranking.
#[must_use]
pub fn rank(model: &dyn Model, counts: &DayCounts, k: usize) -> ModelRankings {
    let rankings = counts.iter().filter_map(|(advertiser, products)| {
        let products = top_k(model, products, k);
        (!products.is_empty()).then(|| Ranking { advertiser_id: advertiser.clone(), products })
    });
    ModelRankings { day: counts.day(), model: ModelName::new(model.name()), rankings: rankings.collect() }
}

fn top_k(model: &dyn Model, products: ProductCounts<'_>, k: usize) -> Vec<RankedProduct> {
    let counts = products.counts();
    let mut ranked: Vec<usize> = (0..counts.len()).filter(|at| model.score(counts[*at]).is_some()).collect();
    // Products are in byte order of their ids, so their place breaks ties.
    let order =
        |left: &usize, right: &usize| model.order(counts[*left], counts[*right]).then(left.cmp(right));
    if (1..ranked.len()).contains(&k) {
        ranked.select_nth_unstable_by(k - 1, order);
    }
    ranked.truncate(k);
    ranked.sort_unstable_by(order);
    let ranked_product = |at: usize, score: f64, counts: Counts| RankedProduct {
        product_id: ProductId::new(products.product_id(at)).expect("ids in counts were checked when read"),
        score,
        counts,
    };
    ranked
        .into_iter()
        .filter_map(|at| Some(ranked_product(at, model.score(counts[at])?, counts[at])))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::{MODELS, model, rank};
    use domain::{AdvertiserId, Counts, DayCounts, DayCountsBuilder};
    use proptest::prelude::*;
    use std::{cmp::Ordering, collections::BTreeMap};

    fn counts_of(products: &BTreeMap<String, Counts>) -> DayCounts {
        let mut builder = DayCountsBuilder::new("2024-11-20".parse().unwrap());
        builder.advertiser(AdvertiserId::new("a").unwrap());
        for (product, counts) in products {
            builder.product(product, *counts);
        }
        builder.advertiser(AdvertiserId::new("without events").unwrap());
        builder.finish()
    }

    /// `products` is `id impressions clicks views`, the answer `id score` in order.
    fn check(name: &str, k: usize, products: &[&str], expected: &[&str]) {
        let parse = |line: &&str| {
            let words: Vec<_> = line.split(' ').collect();
            let number = |at: usize| words[at].parse().unwrap();
            (words[0].to_owned(), Counts { impressions: number(1), clicks: number(2), views: number(3) })
        };
        let rankings = rank(model(name).unwrap(), &counts_of(&products.iter().map(parse).collect()), k);
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

    proptest! {
        #[test]
        fn ranking_equals_sorting_everything(
            products in proptest::collection::btree_map(
                "[a-dé]{1,2}",
                (0u64..5, 0u64..4, 0u64..4)
                    .prop_map(|(impressions, clicks, views)| Counts { impressions, clicks, views }),
                0..30,
            ),
            k in 0usize..25,
        ) {
            for model in MODELS {
                let mut sorted: Vec<_> = products.clone().into_iter().filter(|(_, counts)| match model.name() {
                    "TopCTR" => counts.impressions > 0,
                    _ => counts.views > 0,
                }).collect();
                sorted.sort_by(|left, right| naive_order(model.name(), left, right));
                sorted.truncate(k);
                let rankings = rank(*model, &counts_of(&products), k).rankings;
                let ranked: Vec<_> = rankings.into_iter().flat_map(|ranking| ranking.products).collect();
                let ranked: Vec<_> =
                    ranked.into_iter().map(|product| (product.product_id.to_string(), product.counts)).collect();
                prop_assert_eq!(ranked, sorted);
            }
        }
    }
}
