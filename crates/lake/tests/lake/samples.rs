//! Counts and rankings to write, small ones by hand and any by chance.

use domain::{
    AdvertiserId, Counts, CountsBlock, Day, Log, ModelName, ModelRankings, ProductId, RankedProduct, Ranking,
    RejectExample, RejectReason, Tally,
};
use lake::{
    CountsInput, CountsManifest, Lake, LakeError, LogInput, NewCounts, ObjectInput, WriteCountsError,
};
use proptest::{collection::btree_map, prelude::*};
use std::collections::BTreeMap;

/// What each advertiser's products came to.
pub(crate) type Products = BTreeMap<String, BTreeMap<String, Counts>>;

pub(crate) fn day() -> Day {
    "2024-11-20".parse().unwrap()
}

/// The counts of a day as one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DayCounts {
    pub(crate) active: Vec<AdvertiserId>,
    pub(crate) block: CountsBlock,
}

impl DayCounts {
    pub(crate) async fn write(&self, lake: &Lake, input: CountsInput) -> Result<CountsManifest, LakeError> {
        self.write_in_blocks(lake, input, 100_000).await
    }

    /// Writes them, in blocks of so many rows.
    pub(crate) async fn write_in_blocks(
        &self,
        lake: &Lake,
        input: CountsInput,
        block_rows: usize,
    ) -> Result<CountsManifest, LakeError> {
        self.add_in_blocks(lake, None, input, block_rows).await
    }

    /// Writes them and what was counted earlier, in blocks of so many rows.
    pub(crate) async fn add_in_blocks(
        &self,
        lake: &Lake,
        added_to: Option<CountsManifest>,
        input: CountsInput,
        block_rows: usize,
    ) -> Result<CountsManifest, LakeError> {
        let rows: Vec<_> =
            self.block.rows().map(|(advertiser, id, counts)| (advertiser, id.to_owned(), counts)).collect();
        let blocks: Vec<_> = rows
            .chunks(block_rows)
            .map(|rows| {
                let mut block = CountsBlock::default();
                rows.iter()
                    .for_each(|(advertiser, product, counts)| block.push(*advertiser, product, *counts));
                block
            })
            .collect();
        let new =
            NewCounts { day: day(), active: self.active.clone().into(), input, added_to, there: Vec::new() };
        let parts = blocks.into_iter().map(|block| move || Ok::<_, std::convert::Infallible>(block));
        match lake.write_counts(new, parts, 2).await {
            Ok(manifest) => Ok(manifest),
            Err(WriteCountsError::Lake(error)) => Err(error),
            Err(WriteCountsError::Counts(never)) => match never {},
        }
    }
}

/// What the lake holds of the day.
pub(crate) async fn read_counts(lake: &Lake) -> Result<Option<(DayCounts, CountsManifest)>, LakeError> {
    let read = lake.read_counts(day(), 2, |reader| {
        let active = reader.active().to_vec();
        let mut all = CountsBlock::default();
        for block in reader {
            block?.rows().for_each(|(advertiser, product, counts)| all.push(advertiser, product, counts));
        }
        Ok(DayCounts { active, block: all })
    });
    read.await
}

pub(crate) fn counts_of(products: &Products) -> DayCounts {
    let active = products.keys().map(|id| AdvertiserId::new(id.as_str()).unwrap()).collect();
    let mut block = CountsBlock::default();
    for (index, products) in (0..).zip(products.values()) {
        products.iter().for_each(|(product, counts)| block.push(index, product, *counts));
    }
    DayCounts { active, block }
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
    let (name, last_time) = ("ads_views.csv".to_owned(), Some(jiff::civil::time(23, 59, 58, 0)));
    let objects = vec![ObjectInput { name, size: 99, etag, modified_at: None, tally, last_time }];
    let text = "shoes,x,click,2024-13-01".to_owned();
    let example =
        RejectExample { object: "ads_views.csv".to_owned(), line: 2, reason: RejectReason::BadDate, text };
    CountsInput {
        program_version: "0.1.0".to_owned(),
        settings: [("timezone".to_owned(), "UTC".to_owned())].into(),
        logs: [(Log::AdsViews, LogInput { tally, last_time, objects, examples: vec![example] })].into(),
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
