//! What is read is what was written, and the same input gives the same bytes.

use crate::{
    place::{Place, on_both},
    samples::{
        DayCounts, Products, any_products, any_rankings, counts, counts_of, day, input, rankings, read_counts,
    },
};
use domain::{AdvertiserId, Counts, CountsBlock, ModelName};
use lake::{AdvertiserTotals, LakeError};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[tokio::test]
async fn nothing_is_read_where_nothing_was_written() {
    on_both(async |place| {
        assert!(read_counts(&place.lake).await.unwrap().is_none());
        assert!(place.lake.read_active(day()).await.unwrap().is_none());
        assert!(place.lake.counts_manifest(day()).await.unwrap().is_none());
        assert!(place.lake.read_rankings(day(), &ModelName::new("TopCTR")).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn what_is_written_is_read() {
    on_both(async |place| {
        let written = counts(7).write(&place.lake, input()).await.unwrap();
        assert_eq!(read_counts(&place.lake).await.unwrap(), Some((counts(7), written.clone())));
        assert_eq!(place.lake.read_active(day()).await.unwrap().unwrap(), counts(7).active);
        assert_eq!((written.active_advertisers, written.products), (2, 2));
        assert_eq!(written.logs, input().logs);

        let ranked = place.lake.write_rankings(&rankings(7), 20, &written.counts_digest).await.unwrap();
        assert_eq!((ranked.k, ranked.advertisers, ranked.products), (20, 1, 2));
        let read = place.lake.read_rankings(day(), &ModelName::new("TopCTR")).await.unwrap();
        assert_eq!(read, Some((rankings(7), ranked)));
        assert!(
            place.lake.read_rankings(day().tomorrow(), &ModelName::new("TopCTR")).await.unwrap().is_none()
        );
    })
    .await;
}

#[tokio::test]
async fn every_place_holds_the_same_bytes_under_the_same_names() {
    let mut lakes = Vec::new();
    for place in [Place::directory(), Place::bucket().await] {
        let manifest = counts(7).write(&place.lake, input()).await.unwrap();
        place.lake.write_rankings(&rankings(7), 20, &manifest.counts_digest).await.unwrap();
        lakes.push(place.objects().await);
    }
    assert_eq!(lakes[0], lakes[1]);
    let digest = |name: &str| {
        let digest = name.rsplit_once('-').unwrap().1.strip_suffix(".parquet").unwrap().to_owned();
        assert!(digest.len() == 16 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        digest
    };
    let names: Vec<_> = lakes[0]
        .keys()
        .map(
            |name| if name.ends_with(".json") { name.clone() } else { name.replace(&digest(name), "DIGEST") },
        )
        .collect();
    assert_eq!(
        names,
        [
            "counts/day=2024-11-20/advertisers-DIGEST.parquet",
            "counts/day=2024-11-20/counts-DIGEST.parquet",
            "counts/day=2024-11-20/manifest.json",
            "rankings/day=2024-11-20/model=TopCTR/manifest.json",
            "rankings/day=2024-11-20/model=TopCTR/rankings-DIGEST.parquet",
        ]
    );
}

#[tokio::test]
async fn the_digest_names_the_counts_and_nothing_else() {
    let place = Place::directory();
    let first = counts(7).write(&place.lake, input()).await.unwrap();
    let mut other_input = input();
    other_input.program_version = "0.2.0".to_owned();
    let same = counts(7).write(&place.lake, other_input).await.unwrap();
    assert_eq!(same.counts_digest, first.counts_digest);
    let other = counts(8).write(&place.lake, input()).await.unwrap();
    assert_ne!(other.counts_digest, first.counts_digest);
}

#[tokio::test]
async fn a_count_that_no_reader_of_parquet_could_hold_is_refused() {
    let mut block = CountsBlock::default();
    block.push(0, "x", Counts { impressions: u64::MAX, clicks: 0, views: 0 });
    let counts = DayCounts { active: vec![AdvertiserId::new("a").unwrap()], block };
    let place = Place::directory();
    let error = counts.write(&place.lake, input()).await.unwrap_err();
    assert!(matches!(error, LakeError::Unwritable { .. }));
    assert_eq!(
        error.to_string(),
        "the counts of 2024-11-20 cannot be written to the lake: a count of 18446744073709551615 is more than 63 bits hold"
    );
    assert!(!place.objects().await.keys().any(|name| name.ends_with(".json")), "nothing is committed");
}

/// Counts of so many advertisers with so many products each, whose ids have so many bytes.
fn many(advertisers: usize, products: usize, id_bytes: usize) -> DayCounts {
    let mut block = CountsBlock::default();
    for advertiser in 0..u32::try_from(advertisers).unwrap() {
        for product in 0..products {
            let counts = Counts { impressions: product as u64, clicks: advertiser.into(), views: 1 };
            block.push(advertiser, &format!("{product:0id_bytes$}"), counts);
        }
    }
    let active = (0..advertisers).map(|advertiser| AdvertiserId::new(format!("{advertiser:04}")).unwrap());
    DayCounts { active: active.collect(), block }
}

#[tokio::test]
async fn many_short_rows_are_several_row_groups_of_an_object() {
    let place = Place::directory();
    let counts = many(700, 200, 5);
    let manifest = counts.write(&place.lake, input()).await.unwrap();
    assert_eq!((manifest.counts.len(), manifest.products), (1, 140_000));
    assert!(read_counts(&place.lake).await.unwrap().unwrap().0 == counts);
}

/// With ids of four digits one row of them, product 96 of advertiser 431, begins a segment; with five, none does.
#[tokio::test]
async fn a_row_whose_key_says_so_begins_an_object() {
    let place = Place::directory();
    let counts = many(700, 200, 4);
    let manifest = counts.write(&place.lake, input()).await.unwrap();
    assert_eq!((manifest.counts.len(), manifest.products), (2, 140_000));
    assert!(read_counts(&place.lake).await.unwrap().unwrap().0 == counts);
}

#[tokio::test]
async fn more_than_an_object_holds_is_several_in_order() {
    let place = Place::directory();
    let counts = many(2, 140_000, 255);
    let manifest = counts.write(&place.lake, input()).await.unwrap();
    assert_eq!((manifest.counts.len(), manifest.products), (2, 280_000));
    assert!(read_counts(&place.lake).await.unwrap().unwrap().0 == counts);

    let name = "counts/day=2024-11-20/manifest.json";
    let mut manifest: serde_json::Value = serde_json::from_slice(&place.objects().await[name]).unwrap();
    manifest["counts"].as_array_mut().unwrap().reverse();
    place.put(name, serde_json::to_vec(&manifest).unwrap().into()).await;
    let error = read_counts(&place.lake).await.unwrap_err().to_string();
    assert!(error.contains("0\" is out of order; run `topshelf count --day 2024-11-20` again"), "{error}");
}

/// What the products of each advertiser come to.
fn totals(products: &Products) -> Vec<(AdvertiserId, AdvertiserTotals)> {
    let most = |sum: u128| u64::try_from(sum).unwrap_or(u64::MAX).min(i64::MAX as u64);
    let totals = |products: &BTreeMap<String, Counts>| {
        let sum = |of: fn(&Counts) -> u64| most(products.values().map(|counts| u128::from(of(counts))).sum());
        AdvertiserTotals {
            counts: Counts {
                impressions: sum(|counts| counts.impressions),
                clicks: sum(|counts| counts.clicks),
                views: sum(|counts| counts.views),
            },
            unseen_clicks: sum(|counts| counts.clicks - counts.clicks.min(counts.impressions)),
        }
    };
    products
        .iter()
        .map(|(id, products)| (AdvertiserId::new(id.as_str()).unwrap(), totals(products)))
        .collect()
}

/// The rows in one part, in the other, or some of their counts in each.
fn in_two(counts: &DayCounts, seed: u64) -> [DayCounts; 2] {
    let mut parts = [CountsBlock::default(), CountsBlock::default()];
    for (row, (advertiser, product, all)) in counts.block.rows().enumerate() {
        let half = Counts { impressions: all.impressions / 2, clicks: all.clicks / 3, views: all.views / 2 };
        let rest = Counts {
            impressions: all.impressions - half.impressions,
            clicks: all.clicks - half.clicks,
            views: all.views - half.views,
        };
        let shares = match (seed >> (row % 32 * 2)) & 3 {
            0 => [Some(all), None],
            1 => [None, Some(all)],
            _ => [Some(half), Some(rest)],
        };
        for (part, share) in parts.iter_mut().zip(shares) {
            share.into_iter().for_each(|share| part.push(advertiser, product, share));
        }
    }
    parts.map(|block| DayCounts { active: counts.active.clone(), block })
}

#[tokio::test]
async fn counts_that_are_gone_are_not_added_to() {
    let place = Place::directory();
    let earlier = counts(1).write(&place.lake, input()).await.unwrap();
    place.delete(&format!("counts/day=2024-11-20/{}", earlier.counts[0].name)).await;
    let error = counts(2).add_in_blocks(&place.lake, Some(earlier.clone()), input(), 1).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("the manifest names it, but it is not there"), "{told}");
    assert_eq!(place.lake.counts_manifest(day()).await.unwrap(), Some(earlier));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_counts_come_back_and_give_the_same_bytes_again(products in any_products(), block_rows in 1usize..9) {
        let counts = counts_of(&products);
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let (one, other) = (Place::directory(), Place::directory());
            counts.write(&one.lake, input()).await.unwrap();
            counts.write_in_blocks(&other.lake, input(), block_rows).await.unwrap();
            assert_eq!(read_counts(&one.lake).await.unwrap().unwrap().0, counts);
            assert_eq!(one.lake.read_active(day()).await.unwrap().unwrap(), counts.active);
            let manifest = one.lake.counts_manifest(day()).await.unwrap().unwrap();
            assert_eq!(one.lake.totals(&manifest).await.unwrap(), totals(&products));
            assert_eq!(one.objects().await, other.objects().await);
        });
    }

    #[test]
    fn counts_that_come_in_two_goes_are_those_of_one(products in any_products(), seed in any::<u64>(), block_rows in 1usize..9) {
        let counts = counts_of(&products);
        let [earlier, later] = in_two(&counts, seed);
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let (one, other) = (Place::directory(), Place::directory());
            let whole = counts.write(&one.lake, input()).await.unwrap();
            let earlier = earlier.write_in_blocks(&other.lake, input(), block_rows).await.unwrap();
            let sum = later.add_in_blocks(&other.lake, Some(earlier), input(), block_rows).await.unwrap();
            assert_eq!(sum, whole);
            assert_eq!(one.objects().await, other.objects().await);
        });
    }

    #[test]
    fn any_rankings_come_back_and_give_the_same_bytes_again(rankings in any_rankings()) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let (one, other) = (Place::directory(), Place::directory());
            one.lake.write_rankings(&rankings, 20, "digest").await.unwrap();
            other.lake.write_rankings(&rankings.clone(), 20, "digest").await.unwrap();
            let read = one.lake.read_rankings(day(), &rankings.model).await.unwrap();
            assert_eq!(read.unwrap().0, rankings);
            assert_eq!(one.objects().await, other.objects().await);
        });
    }
}
