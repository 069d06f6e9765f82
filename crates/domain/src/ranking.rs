//! Rankings: at most K products of one (day, advertiser, model), in order.

use crate::{AdvertiserId, Counts, Day, ProductId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a model, in its own spelling: `TopCTR`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelName(Box<str>);

impl ModelName {
    /// The model of that name.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(name.into())
    }

    /// The name in its own spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` means this model: letters of ASCII match in either case.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A product in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedProduct {
    /// The product.
    pub product_id: ProductId,
    /// What the model orders by, as a number: a rate for `TopCTR`, views for `TopProduct`.
    pub score: f64,
    /// The counts the score was made of.
    pub counts: Counts,
}

/// The products of one advertiser as one model orders them; rank is the place, from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Whose products.
    pub advertiser_id: AdvertiserId,
    /// At most K, best first, never empty: an advertiser without a ranked product has no ranking.
    pub products: Vec<RankedProduct>,
}

/// What one model says of one day: a ranking for each advertiser that has one, in byte order.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRankings {
    /// The day ranked.
    pub day: Day,
    /// The model that ranked.
    pub model: ModelName,
    /// One for each advertiser with a ranked product, in byte order of the advertiser.
    pub rankings: Vec<Ranking>,
}

/// Everything a run publishes for a day.
#[derive(Debug, Clone, PartialEq)]
pub struct DayRankings {
    /// The day.
    pub day: Day,
    /// The advertisers active on that day, in byte order, with rankings or without.
    pub active: Vec<AdvertiserId>,
    /// What each computed model says, in byte order of the model's name. A model that could not be
    /// computed, because its log is not configured, is absent.
    pub models: Vec<ModelRankings>,
}

impl DayRankings {
    /// How many (advertiser, model) have a ranking.
    #[must_use]
    pub fn ranking_count(&self) -> usize {
        self.models.iter().map(|model| model.rankings.len()).sum()
    }
}
