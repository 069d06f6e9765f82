//! Exact integers of what happened, and the ratio made of them.

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
}
