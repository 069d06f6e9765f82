//! Who has events: advertisers, which of them are active, their products and how often each is clicked.

use super::{
    GenerateOptions,
    popularity::{Stream, Zipf, below, stream},
    unused::{Texts, Unused},
};
use rand_xoshiro::rand_core::RngCore;
use std::collections::HashSet;

/// An advertiser's characters.
pub(super) type AdvertiserText = [u8; 20];
/// A product's characters.
pub(super) type ProductText = [u8; 6];

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
    pub(super) text: ProductText,
    /// In 1 ÷ 256 of [`CLICK_RATE_MAX`]; a byte, so that a million products stay in the cache.
    click_rate: u8,
}

impl Product {
    /// Whether an ad is clicked, given 16 random bits.
    pub(super) fn is_clicked(&self, bits: u16) -> bool {
        u32::from(bits) * 256 < u32::from(self.click_rate) * CLICK_RATE_MAX
    }
}

/// Everyone who has events, and what else a line may say.
#[derive(Debug)]
pub(super) struct Population {
    advertisers: Vec<AdvertiserText>,
    is_active: Vec<bool>,
    /// Product `p` of advertiser `a` is at `a × products_each + p`.
    products: Vec<Product>,
    products_each: u32,
    advertiser_ranks: Zipf,
    product_ranks: Zipf,
    texts: Texts,
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
            texts: Texts::new(&mut of_population(3, 0)),
        }
    }

    /// The active advertisers.
    pub(super) fn active(&self) -> impl Iterator<Item = &AdvertiserText> {
        let all = self.advertisers.iter().zip(&self.is_active);
        all.filter(|(_, is_active)| **is_active).map(|(advertiser, _)| advertiser)
    }

    /// How many advertisers are active.
    pub(super) fn active_count(&self) -> u64 {
        self.active().count() as u64
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

    /// Texts for the unused columns, in the order of the random stream that belongs to `key`.
    pub(super) fn unused(&self, key: [u64; 4]) -> Unused<'_> {
        self.texts.unused(key)
    }

    /// The advertiser and the product at an index.
    pub(super) fn at(&self, index: u32) -> (&AdvertiserText, &Product) {
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
    let texts: Vec<ProductText> = distinct_ids(count, PRODUCT_ALPHABET, stream);
    let rates: Vec<u8> = texts.iter().map(|_| click_rate(stream)).collect();
    texts.into_iter().zip(rates).map(|(text, click_rate)| Product { text, click_rate })
}

/// The lower of two even draws: Beta(1, 2) between the lowest and the highest rate, its mean 2 %.
fn click_rate(stream: &mut Stream) -> u8 {
    let lowest = (CLICK_RATE_MIN * 256).div_ceil(CLICK_RATE_MAX);
    let mut draw = || below(256 - lowest, stream.next_u32());
    (lowest + draw().min(draw())) as u8
}

/// Different ids of `N` characters.
fn distinct_ids<const N: usize>(count: u32, alphabet: &[u8; 36], stream: &mut Stream) -> Vec<[u8; N]> {
    let mut seen = HashSet::with_capacity(count as usize);
    let mut ids = Vec::with_capacity(count as usize);
    while ids.len() < count as usize {
        let mut id = [0; N];
        for character in &mut id {
            *character = alphabet[below(36, stream.next_u32()) as usize];
        }
        if seen.insert(id) {
            ids.push(id);
        }
    }
    ids
}
