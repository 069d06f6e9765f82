//! What checks held back of a run, and why.

use crate::columns::from_columns;
use domain::AdvertiserId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why something is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The check that found it, by its name.
    pub check: String,
    /// What it found, for people.
    pub message: String,
}

/// What of a run is held back: readers keep what they see of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holds {
    /// Everything.
    pub all: Option<Hold>,
    /// Advertisers.
    pub advertisers: BTreeMap<AdvertiserId, Hold>,
}

impl Holds {
    /// Whether nothing is held back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_none() && self.advertisers.is_empty()
    }

    /// Each as a row: the advertiser, empty for all, and why.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &Hold)> {
        let all = self.all.iter().map(|hold| ("", hold));
        all.chain(self.advertisers.iter().map(|(advertiser, hold)| (advertiser.as_str(), hold)))
    }

    /// Whether the advertiser's rankings may be seen.
    pub(crate) fn lets(&self, advertiser: &AdvertiserId) -> bool {
        self.all.is_none() && !self.advertisers.contains_key(advertiser)
    }

    /// What tells these holds from others: who is held, by which check.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        self.rows().map(|(advertiser, hold)| (advertiser.to_owned(), hold.check.clone())).collect()
    }
}

/// A hold as it is read.
#[derive(Debug)]
pub(crate) struct HoldRow {
    pub(crate) day: String,
    pub(crate) advertiser_id: String,
    pub(crate) run_id: String,
    pub(crate) check_name: String,
    pub(crate) message: String,
}

from_columns!(HoldRow { day, advertiser_id, run_id, check_name, message });
