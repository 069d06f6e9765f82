//! Whatever is published comes back as it was.

use crate::{
    database::Database,
    notation::{publish, rankings_of},
};
use domain::{
    AdvertiserId, Counts, DayRankings, ModelName, ModelRankings, ProductId, RankedProduct, Ranking,
};
use proptest::{collection::vec, option, prelude::*, test_runner::TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use store::Publication;

fn id() -> impl Strategy<Value = String> {
    let awkward =
        prop::sample::select(vec!['\t', '\n', '\r', '\\', '\'', '"', ' ', '.', 'N', 'é', '🛒', '\u{1}']);
    let character = prop_oneof![awkward, prop::char::range('a', 'c'), any::<char>()];
    vec(character.prop_filter("NUL is refused", |character| *character != '\0'), 1..5)
        .prop_map(|characters| characters.into_iter().collect())
}

fn product() -> impl Strategy<Value = RankedProduct> {
    let count = || prop_oneof![0..10_u64, 0..=i64::MAX as u64];
    (id(), any::<f64>(), count(), count(), count()).prop_map(|(id, score, impressions, clicks, views)| {
        let counts = Counts { impressions, clicks, views };
        RankedProduct { product_id: ProductId::new(id).unwrap(), score, counts }
    })
}

/// A day in which each active advertiser may have a ranking of each of three models.
fn day_rankings() -> impl Strategy<Value = DayRankings> {
    let unique = |products: Vec<RankedProduct>| {
        let mut ids = BTreeSet::new();
        products.into_iter().filter(|of| ids.insert(of.product_id.clone())).collect()
    };
    let ranking = move || option::of(vec(product(), 1..4).prop_map(unique));
    let active = prop::collection::btree_map(id(), vec(ranking(), 3), 0..6);
    let days =
        prop::sample::select(vec!["2024-02-29", "2024-11-20", "2024-11-21", "1970-01-01", "9999-12-31"]);
    (days, active, 0..=3_usize).prop_map(|(day, active, models)| make(day, active, models))
}

fn make(day: &str, active: BTreeMap<String, Vec<Option<Vec<RankedProduct>>>>, models: usize) -> DayRankings {
    let day = day.parse().unwrap();
    let models =
        ["TopCTR", "TopProduct", "a 'model'"].into_iter().enumerate().take(models).map(|(at, model)| {
            let rankings = active.iter().filter_map(|(advertiser, rankings)| {
                let products = rankings[at].clone()?;
                Some(Ranking { advertiser_id: AdvertiserId::new(advertiser.as_str()).unwrap(), products })
            });
            ModelRankings { day, model: ModelName::new(model), rankings: rankings.collect() }
        });
    let models = models.collect();
    let active = active.into_keys().map(|id| AdvertiserId::new(id).unwrap()).collect();
    DayRankings { day, active, models }
}

/// Days are published over each other in one database, as nights do.
fn check(database: impl Future<Output = Database>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(database);
    let store = runtime.block_on(database.migrated());
    let mut runner = TestRunner::new(ProptestConfig { cases: 64, ..ProptestConfig::default() });
    let outcome = runner.run(&day_rankings(), |content| {
        runtime.block_on(async {
            publish(&store, &content).await;
            let published = store.published(usize::MAX, &[]).await.unwrap();
            let day = published.days.into_iter().find(|day| day.day() == content.day).unwrap();
            prop_assert_eq!(rankings_of(day), content.clone());
            let again = publish(&store, &content).await.1;
            prop_assert!(matches!(again, Publication::Unchanged { .. }), "{:?}", again);
            Ok(())
        })
    });
    outcome.unwrap();
}

#[test]
fn postgres_gives_back_what_was_published() {
    check(Database::postgres());
}

#[test]
fn sqlite_gives_back_what_was_published() {
    check(Database::sqlite());
}
