//! Exact integers of what happened, and the ratio made of them.

use crate::{AdvertiserId, Day};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, ops::AddAssign};

/// What happened to one (day, advertiser, product): exact, mergeable by addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Times the product's ad was shown.
    pub impressions: u64,
    /// Times the product's ad was clicked.
    pub clicks: u64,
    /// Visits of the product's page.
    pub views: u64,
}

impl Counts {
    /// Clicks ÷ impressions; none without impressions.
    #[must_use]
    pub fn ctr(self) -> Option<Ctr> {
        (self.impressions > 0).then_some(Ctr { clicks: self.clicks, impressions: self.impressions })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.views += other.views;
    }
}

/// Click-through rate, clicks ÷ impressions, kept as two integers and compared exactly.
///
/// Two rates are equal when they are the same number: 1 ÷ 2 equals 2 ÷ 4.
#[derive(Debug, Clone, Copy)]
pub struct Ctr {
    clicks: u64,
    impressions: u64,
}

impl Ctr {
    /// The nearest `f64`, for people and JSON; never for ordering.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a score is read by people, order is exact")]
    pub fn as_f64(self) -> f64 {
        self.clicks as f64 / self.impressions as f64
    }
}

impl Ord for Ctr {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = u128::from(self.clicks) * u128::from(other.impressions);
        let right = u128::from(other.clicks) * u128::from(self.impressions);
        left.cmp(&right)
    }
}

impl PartialOrd for Ctr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ctr {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ctr {}

/// Counts of one day: for each active advertiser, its products that had an event.
///
/// Advertisers are in byte order, and so are the products of each. Active advertisers without any
/// event are there too, with no products. Kept in columns: millions of products fit in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCounts {
    day: Day,
    advertisers: Vec<AdvertiserId>,
    /// `advertiser_ends[i]` is one past the last product of advertiser `i`.
    advertiser_ends: Vec<usize>,
    product_text: String,
    /// `product_ends[p]` is one past the last byte of product `p` in `product_text`.
    product_ends: Vec<usize>,
    counts: Vec<Counts>,
}

impl DayCounts {
    /// The day counted.
    #[must_use]
    pub fn day(&self) -> Day {
        self.day
    }

    /// The active advertisers, in byte order.
    #[must_use]
    pub fn advertisers(&self) -> &[AdvertiserId] {
        &self.advertisers
    }

    /// How many (advertiser, product) had an event.
    #[must_use]
    pub fn product_count(&self) -> usize {
        self.counts.len()
    }

    /// Each active advertiser with its products, both in byte order.
    pub fn iter(&self) -> impl Iterator<Item = (&AdvertiserId, ProductCounts<'_>)> {
        self.advertisers.iter().enumerate().map(|(index, advertiser)| {
            let first = if index == 0 { 0 } else { self.advertiser_ends[index - 1] };
            (advertiser, ProductCounts { of: self, first, end: self.advertiser_ends[index] })
        })
    }
}

/// The products of one advertiser on one day, in byte order.
#[derive(Debug, Clone, Copy)]
pub struct ProductCounts<'a> {
    of: &'a DayCounts,
    first: usize,
    end: usize,
}

impl<'a> ProductCounts<'a> {
    /// How many products had an event.
    #[must_use]
    pub fn len(self) -> usize {
        self.end - self.first
    }

    /// Whether no product had an event.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.first == self.end
    }

    /// The counts, in the order of [`ProductCounts::iter`].
    #[must_use]
    pub fn counts(self) -> &'a [Counts] {
        &self.of.counts[self.first..self.end]
    }

    /// The id of the product at `index` of [`ProductCounts::counts`].
    #[must_use]
    pub fn product_id(self, index: usize) -> &'a str {
        let at = self.first + index;
        let start = if at == 0 { 0 } else { self.of.product_ends[at - 1] };
        &self.of.product_text[start..self.of.product_ends[at]]
    }

    /// Each product id with its counts, in byte order of the id.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Counts)> {
        (0..self.len()).map(move |index| (self.product_id(index), self.counts()[index]))
    }
}

/// Builds [`DayCounts`] in order: each advertiser once, its products after it.
#[derive(Debug)]
pub struct DayCountsBuilder {
    counts: DayCounts,
}

impl DayCountsBuilder {
    /// Starts the counts of `day`.
    #[must_use]
    pub fn new(day: Day) -> Self {
        let (advertisers, advertiser_ends) = (Vec::new(), Vec::new());
        let (product_text, product_ends) = (String::new(), Vec::new());
        let counts = Vec::new();
        Self { counts: DayCounts { day, advertisers, advertiser_ends, product_text, product_ends, counts } }
    }

    /// Begins the next active advertiser.
    ///
    /// # Panics
    /// When `advertiser` is not after the one before it in byte order.
    pub fn advertiser(&mut self, advertiser: AdvertiserId) {
        let counts = &mut self.counts;
        assert!(
            counts.advertisers.last().is_none_or(|last| *last < advertiser),
            "advertisers come once each, in byte order"
        );
        counts.advertisers.push(advertiser);
        counts.advertiser_ends.push(counts.counts.len());
    }

    /// Adds a product of the advertiser begun last.
    ///
    /// # Panics
    /// When no advertiser was begun. Products must come in byte order, which readers rely on.
    pub fn product(&mut self, product: &str, counts: Counts) {
        let of = &mut self.counts;
        let end = of.advertiser_ends.last_mut().expect("an advertiser comes before its products");
        of.product_text.push_str(product);
        of.product_ends.push(of.product_text.len());
        of.counts.push(counts);
        *end = of.counts.len();
    }

    /// The finished counts.
    #[must_use]
    pub fn finish(self) -> DayCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ctr(clicks: u64, impressions: u64) -> Ctr {
        Counts { impressions, clicks, views: 0 }.ctr().unwrap()
    }

    #[test]
    fn rates_compare_as_numbers_at_any_size() {
        assert_eq!(ctr(1, 2), ctr(2, 4));
        assert!(ctr(1, 3) < ctr(1, 2));
        assert!(ctr(u64::MAX - 1, u64::MAX) < ctr(u64::MAX, u64::MAX));
        assert_eq!(Counts { impressions: 0, clicks: 5, views: 0 }.ctr(), None);
    }

    #[test]
    fn columns_give_back_what_was_built() {
        let mut builder = DayCountsBuilder::new("2024-11-20".parse().unwrap());
        let one = Counts { impressions: 1, clicks: 0, views: 0 };
        for advertiser in ["a", "b", "c"] {
            builder.advertiser(AdvertiserId::new(advertiser).unwrap());
            if advertiser != "b" {
                builder.product("x", one);
                builder.product("yy", Counts { views: 2, ..one });
            }
        }
        let counts = builder.finish();
        let seen: Vec<_> = counts
            .iter()
            .map(|(advertiser, products)| {
                (
                    advertiser.as_str(),
                    products.iter().map(|(id, counts)| (id, counts.views)).collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(seen, [("a", vec![("x", 0), ("yy", 2)]), ("b", vec![]), ("c", vec![("x", 0), ("yy", 2)])]);
    }
}
