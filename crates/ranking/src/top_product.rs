//! `TopProduct`: the most viewed.

use crate::Model;
use domain::{Counts, Log};
use std::cmp::Ordering;

/// Orders by views descending. A product without a view is not ranked.
pub(crate) struct TopProduct;

impl Model for TopProduct {
    fn name(&self) -> &'static str {
        "TopProduct"
    }

    fn needs(&self) -> Log {
        Log::ProductViews
    }

    #[expect(clippy::cast_precision_loss, reason = "a score is read by people, order is exact")]
    fn score(&self, counts: Counts) -> Option<f64> {
        (counts.views > 0).then_some(counts.views as f64)
    }

    fn order(&self, left: Counts, right: Counts) -> Ordering {
        right.views.cmp(&left.views)
    }
}
