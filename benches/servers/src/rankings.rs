//! Rankings of as many advertisers as one asks for, for the benchmark of size.
//!
//! Every number depends on the advertiser, the day and the place alone. Counts fall with the place as Zipf's law has
//! it; of an advertiser's products a fifth are others on the next day; models next to each other share three quarters.

use domain::{
    AdvertiserId, Counts, Ctr, Day, DayRankings, ModelName, ModelRankings, ProductId, RankedProduct, Ranking,
};
use std::cmp::Reverse;

/// Products of a ranking.
pub const K: u64 = 20;

/// A product is another one after so many days.
const PRODUCT_DAYS: u64 = 5;

/// How many of its products a model does not share with the one before it.
const NOT_SHARED: u64 = 5;

/// The models, in byte order. The first and the last are topshelf's; the two between order by one count each.
pub const MODELS: [&str; 4] = ["TopCTR", "TopClicks", "TopImpressions", "TopProduct"];

/// What is published of day number `number`, which is `day`, with what each advertiser's events came to.
///
/// # Panics
/// Never: all ids are such.
#[must_use]
pub fn of_day(day: Day, number: u64, advertisers: u64) -> (DayRankings, Vec<Counts>) {
    let active: Vec<_> = (1..=advertisers).map(advertiser_id).collect();
    let of_model = |(place, model): (u64, &&str)| {
        let ranking = |(index, advertiser_id): (u64, &AdvertiserId)| Ranking {
            advertiser_id: advertiser_id.clone(),
            products: products(model, place, index, number),
        };
        let rankings = (1..).zip(&active).map(ranking).collect();
        ModelRankings { day, model: ModelName::new(*model), rankings }
    };
    let models = (0..).zip(&MODELS).map(of_model).collect();
    let totals = (1..=advertisers).map(|index| totals(index, number)).collect();
    (DayRankings { day, active, models }, totals)
}

fn advertiser_id(index: u64) -> AdvertiserId {
    AdvertiserId::new(format!("adv-{index:07}")).expect("the id is short and not empty")
}

/// The products of an advertiser by the model at `place`, in the model's order.
fn products(model: &str, place: u64, advertiser: u64, day: u64) -> Vec<RankedProduct> {
    let slots = place * NOT_SHARED..place * NOT_SHARED + K;
    let mut products: Vec<_> = slots.map(|slot| product(advertiser, slot, day)).collect();
    let by_id = |product: &RankedProduct| product.product_id.as_str().to_owned();
    match model {
        "TopCTR" => {
            products.sort_by_cached_key(|product| {
                (Reverse(product.counts.ctr()), Reverse(product.counts.impressions), by_id(product))
            });
        }
        _ => products.sort_by_cached_key(|product| (Reverse(counted(model, product.counts)), by_id(product))),
    }
    for product in &mut products {
        product.score = score(model, product.counts);
    }
    products
}

fn product(advertiser: u64, slot: u64, day: u64) -> RankedProduct {
    // A fifth of the slots get another product each day.
    let product = mixed(&[advertiser, slot, (day + slot) / PRODUCT_DAYS]);
    let shown = 1 + slot;
    let noise = mixed(&[product, day]);
    let impressions = 40 + 20_000 / shown / (1 + advertiser % 50) + noise % 37;
    let counts = Counts {
        impressions,
        clicks: impressions * (1 + noise % 29) / 400,
        views: 3 + 2_000 / shown / (1 + advertiser % 50) + noise % 11,
    };
    RankedProduct { product_id: product_id(product), score: 0.0, counts }
}

/// Eight to twelve letters and digits.
fn product_id(product: u64) -> ProductId {
    const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let length = 8 + product % 5;
    let letter = |place: u64| char::from(LETTERS[(mixed(&[product, place]) % 36) as usize]);
    ProductId::new((0..length).map(letter).collect::<String>()).expect("the id is short and not empty")
}

/// What a model orders by, when that is one count.
fn counted(model: &str, counts: Counts) -> u64 {
    match model {
        "TopClicks" => counts.clicks,
        "TopImpressions" => counts.impressions,
        _ => counts.views,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn score(model: &str, counts: Counts) -> f64 {
    match model {
        "TopCTR" => counts.ctr().map_or(0.0, Ctr::as_f64),
        _ => counted(model, counts) as f64,
    }
}

fn totals(advertiser: u64, day: u64) -> Counts {
    let mut totals = Counts::default();
    (0..K).for_each(|slot| totals += product(advertiser, slot, day).counts);
    totals
}

/// A number that looks random, the same each time: SplitMix64's step (Steele, Lea and Flood, 2014) over each word.
fn mixed(words: &[u64]) -> u64 {
    words.iter().fold(0, |state: u64, word| {
        let state = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn day(number: u64) -> DayRankings {
        of_day("2024-11-20".parse().unwrap(), number, 60).0
    }

    fn ids(ranking: &Ranking) -> HashSet<&str> {
        ranking.products.iter().map(|product| product.product_id.as_str()).collect()
    }

    #[test]
    fn everything_stands_in_the_order_that_the_store_asks_for() {
        let day = day(0);
        assert!(day.active.is_sorted());
        assert_eq!(day.ranking_count(), 4 * 60);
        assert!(MODELS.is_sorted());
        for model in &day.models {
            for ranking in &model.rankings {
                assert_eq!(ids(ranking).len(), 20, "each product once");
                let scores: Vec<_> = ranking.products.iter().map(|product| product.score).collect();
                assert!(scores.is_sorted_by(|left, right| left >= right), "{} {scores:?}", model.model);
            }
        }
    }

    #[test]
    fn a_fifth_of_the_products_are_others_on_the_next_day() {
        let (today, tomorrow) = (day(3), day(4));
        for (today, tomorrow) in today.models.iter().zip(&tomorrow.models) {
            for (today, tomorrow) in today.rankings.iter().zip(&tomorrow.rankings) {
                assert_eq!(ids(today).intersection(&ids(tomorrow)).count(), 16);
                assert_ne!(today.products, tomorrow.products);
            }
        }
    }

    #[test]
    fn models_next_to_each_other_share_three_quarters() {
        let day = day(0);
        for models in day.models.windows(2) {
            let common = ids(&models[0].rankings[0]).intersection(&ids(&models[1].rankings[0])).count();
            assert_eq!(common, 15);
        }
    }

    #[test]
    fn ids_have_eight_to_twelve_letters() {
        let day = day(0);
        let lengths: HashSet<_> = day.models[0].rankings.iter().flat_map(ids).map(str::len).collect();
        assert_eq!(lengths, HashSet::from([8, 9, 10, 11, 12]));
    }
}
