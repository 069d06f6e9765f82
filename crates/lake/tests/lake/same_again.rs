//! What is read is what was written, and the same input gives the same bytes.

use crate::{
    place::{Place, on_both},
    samples::{any_products, any_rankings, counts, counts_of, day, input, rankings},
};
use domain::{AdvertiserId, Counts, DayCountsBuilder, ModelName};
use lake::LakeError;
use proptest::prelude::*;

#[tokio::test]
async fn nothing_is_read_where_nothing_was_written() {
    on_both(async |place| {
        assert!(place.lake.read_counts(day()).await.unwrap().is_none());
        assert!(place.lake.read_active(day()).await.unwrap().is_none());
        assert!(place.lake.counts_manifest(day()).await.unwrap().is_none());
        assert!(place.lake.read_rankings(day(), &ModelName::new("TopCTR")).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn what_is_written_is_read() {
    on_both(async |place| {
        let written = place.lake.write_counts(&counts(7), input()).await.unwrap();
        assert_eq!(place.lake.read_counts(day()).await.unwrap(), Some((counts(7), written.clone())));
        assert_eq!(place.lake.read_active(day()).await.unwrap().unwrap(), counts(7).advertisers());
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
        let manifest = place.lake.write_counts(&counts(7), input()).await.unwrap();
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
    let first = place.lake.write_counts(&counts(7), input()).await.unwrap();
    let mut other_input = input();
    other_input.program_version = "0.2.0".to_owned();
    let same = place.lake.write_counts(&counts(7), other_input).await.unwrap();
    assert_eq!(same.counts_digest, first.counts_digest);
    let other = place.lake.write_counts(&counts(8), input()).await.unwrap();
    assert_ne!(other.counts_digest, first.counts_digest);
}

#[tokio::test]
async fn a_count_that_no_reader_of_parquet_could_hold_is_refused() {
    let mut builder = DayCountsBuilder::new(day());
    builder.advertiser(AdvertiserId::new("a").unwrap());
    builder.product("x", Counts { impressions: u64::MAX, clicks: 0, views: 0 });
    let place = Place::directory();
    let error = place.lake.write_counts(&builder.finish(), input()).await.unwrap_err();
    assert!(matches!(error, LakeError::Unwritable { .. }));
    assert_eq!(
        error.to_string(),
        "the counts of 2024-11-20 cannot be written to the lake: a count of 18446744073709551615 is more than 63 bits hold"
    );
    assert!(place.objects().await.is_empty());
}

/// More rows than one batch or page holds, for many advertisers and for one.
#[tokio::test]
async fn many_rows() {
    let products = |advertiser: usize, count: usize| {
        let counts =
            move |product| Counts { impressions: product as u64, clicks: advertiser as u64, views: 1 };
        (
            format!("{advertiser:04}"),
            (0..count).map(|product| (format!("p{product:06}"), counts(product))).collect(),
        )
    };
    let place = Place::directory();
    for sample in
        [(0..700).map(|advertiser| products(advertiser, 200)).collect(), [products(1, 150_000)].into()]
    {
        let counts = counts_of(&sample);
        place.lake.write_counts(&counts, input()).await.unwrap();
        assert!(place.lake.read_counts(day()).await.unwrap().unwrap().0 == counts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_counts_come_back_and_give_the_same_bytes_again(products in any_products()) {
        let counts = counts_of(&products);
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let (one, other) = (Place::directory(), Place::directory());
            one.lake.write_counts(&counts, input()).await.unwrap();
            other.lake.write_counts(&counts.clone(), input()).await.unwrap();
            assert_eq!(one.lake.read_counts(day()).await.unwrap().unwrap().0, counts);
            assert_eq!(one.lake.read_active(day()).await.unwrap().unwrap(), counts.advertisers());
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
