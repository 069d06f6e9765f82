//! The K best products of each advertiser, model by model: `cargo xtask bench micro`.

use divan::{Bencher, counter::ItemsCount};
use domain::{AdvertiserId, Counts, CountsBlock};
use ranking::{K_DEFAULT, MODELS, Model, Ranker};
use std::{fmt, sync::Arc};

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
    let id = |number| AdvertiserId::new(format!("a{number:06}")).expect("it is an id");
    let active: Arc<[_]> = (0..advertisers).map(id).collect();
    let day = "2024-11-20".parse().expect("it is a day");
    let rank = || {
        let mut ranker = Ranker::new(day, Arc::clone(&active), &[(model.0, K_DEFAULT)]);
        ranker.add(&counts);
        ranker.finish()
    };
    assert_eq!(rank()[0].rankings.len(), advertisers as usize);
    bencher.counter(ItemsCount::new(counts.len())).bench(rank);
}

fn counts(advertisers: u32, products: u32) -> CountsBlock {
    let mut block = CountsBlock::default();
    for advertiser in 0..advertisers {
        for product in 0..products {
            // Multiplying by an odd number scatters them (Knuth 1973).
            let scattered = u64::from((advertiser * products + product).wrapping_mul(2_654_435_769));
            let impressions = 1 + (scattered >> 20);
            let counts =
                Counts { impressions, clicks: impressions / (20 + scattered % 180), views: scattered >> 22 };
            block.push(advertiser, &format!("p{product:05}"), counts);
        }
    }
    block
}
