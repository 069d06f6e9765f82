//! `TopCTR`: the best clicks ÷ impressions; among equals, the most impressions.

use crate::Model;
use domain::{Counts, Ctr, Log};
use std::cmp::Ordering;

/// Orders by CTR descending, then impressions descending. A product with clicks but no impressions
/// has no CTR and is not ranked; one with impressions and no click has CTR 0 and is.
pub(crate) struct TopCtr;

impl Model for TopCtr {
    fn name(&self) -> &'static str {
        "TopCTR"
    }

    fn needs(&self) -> Log {
        Log::AdsViews
    }

    fn score(&self, counts: Counts) -> Option<f64> {
        counts.ctr().map(Ctr::as_f64)
    }

    fn order(&self, left: Counts, right: Counts) -> Ordering {
        right.ctr().cmp(&left.ctr()).then(right.impressions.cmp(&left.impressions))
    }
}
