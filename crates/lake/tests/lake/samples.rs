//! Counts and rankings to write, small ones by hand and any by chance.

use domain::{
    AdvertiserId, Counts, Day, DayCounts, DayCountsBuilder, Log, ModelName, ModelRankings, ProductId,
    RankedProduct, Ranking, RejectExample, RejectReason, Tally,
};
use lake::{CountsInput, LogInput, ObjectInput};
use proptest::{collection::btree_map, prelude::*};
use std::collections::BTreeMap;

/// What each advertiser's products came to.
pub(crate) type Products = BTreeMap<String, BTreeMap<String, Counts>>;

pub(crate) fn day() -> Day {
    "2024-11-20".parse().unwrap()
}

pub(crate) fn counts_of(products: &Products) -> DayCounts {
    let mut builder = DayCountsBuilder::new(day());
    for (advertiser, products) in products {
        builder.advertiser(AdvertiserId::new(advertiser.as_str()).unwrap());
        products.iter().for_each(|(product, counts)| builder.product(product, *counts));
    }
    builder.finish()
}

/// Two advertisers; `views` tells one sample from another.
pub(crate) fn counts(views: u64) -> DayCounts {
    let product = |id: &str| (id.to_owned(), Counts { impressions: 10, clicks: 1, views });
    let products = [product("x/1"), product("ü \"2\"")].into();
    counts_of(&[("no events".to_owned(), BTreeMap::new()), ("shoes".to_owned(), products)].into())
}

pub(crate) fn rankings(views: u64) -> ModelRankings {
    let product = |id: &str, views| RankedProduct {
        product_id: ProductId::new(id).unwrap(),
        score: 0.1,
        counts: Counts { impressions: 10, clicks: 1, views },
    };
    let products = vec![product("ü \"2\"", views), product("x/1", 1)];
    let rankings = vec![Ranking { advertiser_id: AdvertiserId::new("shoes").unwrap(), products }];
    ModelRankings { day: day(), model: ModelName::new("TopCTR"), rankings }
}

pub(crate) fn input() -> CountsInput {
    let mut tally = Tally { read: 3, kept: 1, other_days: 1, ..Tally::default() };
    tally.rejected.add(RejectReason::BadDate, 1);
    let etag = Some("\"a1\"".to_owned());
    let objects =
        vec![ObjectInput { name: "ads_views.csv".to_owned(), size: 99, etag, modified_at: None, tally }];
    let text = "shoes,x,click,2024-13-01".to_owned();
    let example =
        RejectExample { object: "ads_views.csv".to_owned(), line: 2, reason: RejectReason::BadDate, text };
    CountsInput {
        program_version: "0.1.0".to_owned(),
        settings: [("timezone".to_owned(), "UTC".to_owned())].into(),
        logs: [(Log::AdsViews, LogInput { tally, objects, examples: vec![example] })].into(),
    }
}

/// Ids that share beginnings, reach the limit, and hold what separates fields and folders elsewhere.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{1,3}",
        "[ -~]{1,12}",
        "\\PC{1,12}",
        Just("x".repeat(255)),
        Just("é".repeat(127)),
        Just("/".to_owned()),
        Just("\"\r\n,".to_owned()),
        Just("\u{10ffff}".to_owned()),
    ]
}

fn any_counts() -> impl Strategy<Value = Counts> {
    let count = prop_oneof![0..5_u64, Just(i64::MAX.cast_unsigned()), 0..1_u64 << 40];
    (count.clone(), count.clone(), count).prop_map(|(impressions, clicks, views)| Counts {
        impressions,
        clicks,
        views,
    })
}

pub(crate) fn any_products() -> impl Strategy<Value = Products> {
    btree_map(id(), btree_map(id(), any_counts(), 0..12), 0..12)
}

pub(crate) fn any_rankings() -> impl Strategy<Value = ModelRankings> {
    let product = (id(), any::<f64>().prop_filter("a number", |score| !score.is_nan()), any_counts());
    let product = product.prop_map(|(id, score, counts)| RankedProduct {
        product_id: ProductId::new(id).unwrap(),
        score,
        counts,
    });
    let rankings = btree_map(id(), proptest::collection::vec(product, 1..21), 0..12);
    let model = prop_oneof![Just("TopCTR"), Just("Top/Product"), Just("50% ü")];
    (rankings, model).prop_map(|(rankings, model)| ModelRankings {
        day: day(),
        model: ModelName::new(model),
        rankings: rankings
            .into_iter()
            .map(|(advertiser, products)| Ranking {
                advertiser_id: AdvertiserId::new(advertiser).unwrap(),
                products,
            })
            .collect(),
    })
}
