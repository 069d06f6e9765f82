//! Who has events: advertisers, which of them are active, their products and how often each is clicked.

use super::{
    GenerateOptions,
    popularity::{Stream, Zipf, below, stream},
};
use rand_xoshiro::rand_core::RngCore;
use std::collections::HashSet;

/// An advertiser's 20 characters and the comma after them.
pub(super) type AdvertiserField = [u8; 21];
/// A product's 6 characters and the comma after them.
pub(super) type ProductField = [u8; 7];

const ADVERTISER_ALPHABET: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const PRODUCT_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The lowest click rate of a product, in 1 ÷ 65,536: 0.5 %.
const CLICK_RATE_MIN: u32 = 328;
/// The highest click rate of a product, in 1 ÷ 65,536: 5 %.
const CLICK_RATE_MAX: u32 = 3_277;

/// Marks the random streams of the population; those of events have the log here.
const STREAMS_OF_POPULATION: u64 = u64::MAX;

/// A product and the chance that its ad, once shown, is clicked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) field: ProductField,
    /// In 1 ÷ 256 of [`CLICK_RATE_MAX`]; a byte, so that a million products stay in the cache.
    click_rate: u8,
}

impl Product {
    /// Whether an ad is clicked, given 16 random bits.
    pub(super) fn is_clicked(&self, bits: u16) -> bool {
        u32::from(bits) * 256 < u32::from(self.click_rate) * CLICK_RATE_MAX
    }
}

/// Everyone who has events.
#[derive(Debug)]
pub(super) struct Population {
    advertisers: Vec<AdvertiserField>,
    is_active: Vec<bool>,
    /// Product `p` of advertiser `a` is at `a × products_each + p`.
    products: Vec<Product>,
    products_each: u32,
    advertiser_ranks: Zipf,
    product_ranks: Zipf,
}

impl Population {
    pub(super) fn new(options: &GenerateOptions) -> Self {
        let of_population = |what, whose| stream([options.seed, STREAMS_OF_POPULATION, what, whose]);
        let advertisers = distinct_ids(options.advertisers, ADVERTISER_ALPHABET, &mut of_population(0, 0));
        let is_active = active(options, &mut of_population(1, 0));
        let products = (0..options.advertisers)
            .flat_map(|advertiser| products(options.products, &mut of_population(2, u64::from(advertiser))))
            .collect();
        Self {
            advertisers,
            is_active,
            products,
            products_each: options.products,
            advertiser_ranks: Zipf::new(options.advertisers),
            product_ranks: Zipf::new(options.products),
        }
    }

    /// The file of active advertisers.
    pub(super) fn advertiser_ids_csv(&self) -> Vec<u8> {
        let mut csv = b"advertiser_id\n".to_vec();
        let all = self.advertisers.iter().zip(&self.is_active);
        for (advertiser, _) in all.filter(|(_, is_active)| **is_active) {
            csv.extend_from_slice(&advertiser[..advertiser.len() - 1]);
            csv.push(b'\n');
        }
        csv
    }

    /// How many advertisers are active.
    pub(super) fn active_count(&self) -> u64 {
        self.is_active.iter().filter(|is_active| **is_active).count() as u64
    }

    /// An index for [`Population::at`]: the product of the next event.
    ///
    /// Half of the events fall on any product alike, so that even the least popular has some; the other
    /// half follow Zipf's law over advertisers, and within one over its products.
    pub(super) fn draw(&self, is_alike: bool, stream: &mut Stream) -> u32 {
        let bits = stream.next_u64();
        if is_alike {
            return below(self.products.len() as u32, (bits >> 32) as u32);
        }
        let advertiser = self.advertiser_ranks.rank(bits);
        advertiser * self.products_each + self.product_ranks.rank(stream.next_u64())
    }

    /// The advertiser and the product at an index.
    pub(super) fn at(&self, index: u32) -> (&AdvertiserField, &Product) {
        (&self.advertisers[(index / self.products_each) as usize], &self.products[index as usize])
    }
}

/// Exactly the wanted share, rounded: a shuffle (Fisher and Yates 1938, Durstenfeld 1964) says who.
fn active(options: &GenerateOptions, stream: &mut Stream) -> Vec<bool> {
    let active_count = (f64::from(options.advertisers) * options.active_ratio).round() as u32;
    let mut is_active: Vec<bool> = (0..options.advertisers).map(|index| index < active_count).collect();
    for last in (1..options.advertisers).rev() {
        is_active.swap(last as usize, below(last + 1, stream.next_u32()) as usize);
    }
    is_active
}

fn products(count: u32, stream: &mut Stream) -> impl Iterator<Item = Product> + use<> {
    let fields: Vec<ProductField> = distinct_ids(count, PRODUCT_ALPHABET, stream);
    let rates: Vec<u8> = fields.iter().map(|_| click_rate(stream)).collect();
    fields.into_iter().zip(rates).map(|(field, click_rate)| Product { field, click_rate })
}

/// The lower of two even draws: Beta(1, 2) between the lowest and the highest rate, its mean 2 %.
fn click_rate(stream: &mut Stream) -> u8 {
    let lowest = (CLICK_RATE_MIN * 256).div_ceil(CLICK_RATE_MAX);
    let mut draw = || below(256 - lowest, stream.next_u32());
    (lowest + draw().min(draw())) as u8
}

/// Different ids of `N - 1` characters, each with the comma that follows it in a line.
fn distinct_ids<const N: usize>(count: u32, alphabet: &[u8; 36], stream: &mut Stream) -> Vec<[u8; N]> {
    let mut seen = HashSet::with_capacity(count as usize);
    let mut ids = Vec::with_capacity(count as usize);
    while ids.len() < count as usize {
        let mut id = [b','; N];
        for character in &mut id[..N - 1] {
            *character = alphabet[below(36, stream.next_u32()) as usize];
        }
        if seen.insert(id) {
            ids.push(id);
        }
    }
    ids
}
