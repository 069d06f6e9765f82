//! The K best products of each advertiser, model by model: `cargo xtask bench micro`.

use divan::{Bencher, counter::ItemsCount};
use domain::{AdvertiserId, Counts, DayCounts, DayCountsBuilder};
use ranking::{K_DEFAULT, MODELS, Model, rank};
use std::fmt;

fn main() {
    divan::main();
}

/// A model, shown by its name.
struct Named(&'static dyn Model);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// 1,600 advertisers of 500 products, with numbers in no order.
#[divan::bench(args = MODELS.iter().map(|model| Named(*model)))]
fn top_k(bencher: Bencher, model: &Named) {
    let (advertisers, products) = (1_600, 500);
    let counts = counts(advertisers, products);
    assert_eq!(rank(model.0, &counts, K_DEFAULT).rankings.len(), advertisers as usize);
    let ranked = ItemsCount::new(advertisers as usize * products as usize);
    bencher.counter(ranked).bench(|| rank(model.0, &counts, K_DEFAULT));
}

fn counts(advertisers: u32, products: u32) -> DayCounts {
    let mut builder = DayCountsBuilder::new("2024-11-20".parse().expect("it is a day"));
    for advertiser in 0..advertisers {
        builder.advertiser(AdvertiserId::new(format!("a{advertiser:06}")).expect("it is an id"));
        for product in 0..products {
            // Multiplying by an odd number scatters them (Knuth 1973).
            let scattered = u64::from((advertiser * products + product).wrapping_mul(2_654_435_769));
            let impressions = 1 + (scattered >> 20);
            let counts =
                Counts { impressions, clicks: impressions / (20 + scattered % 180), views: scattered >> 22 };
            builder.product(&format!("p{product:05}"), counts);
        }
    }
    builder.finish()
}
