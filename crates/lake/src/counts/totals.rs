//! What a day's counts come to for each advertiser.

use domain::{Counts, CountsSlice};
use serde::{Deserialize, Serialize};

/// What the products of an advertiser come to. Sums stop at the largest number that the lake keeps, which no
/// day reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AdvertiserTotals {
    /// All products together.
    pub counts: Counts,
    /// Clicks beyond the impressions of their product: each of an ad that was shown without our knowing.
    pub unseen_clicks: u64,
}

impl AdvertiserTotals {
    /// Of some of its products.
    pub(super) fn of(products: &CountsSlice<'_>) -> Self {
        let mut totals = Self::default();
        for counts in products.counts() {
            totals.add(Self {
                counts: *counts,
                unseen_clicks: counts.clicks.saturating_sub(counts.impressions),
            });
        }
        totals
    }

    /// Adds those of other products.
    pub(super) fn add(&mut self, other: Self) {
        let sum = |one: u64, other: u64| one.saturating_add(other).min(i64::MAX.cast_unsigned());
        self.counts.impressions = sum(self.counts.impressions, other.counts.impressions);
        self.counts.clicks = sum(self.counts.clicks, other.counts.clicks);
        self.counts.views = sum(self.counts.views, other.counts.views);
        self.unseen_clicks = sum(self.unseen_clicks, other.unseen_clicks);
    }
}
