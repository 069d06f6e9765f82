//! What checks held back, as those who ask about an advertiser need to know.
//!
//! Holds go in; for an advertiser the newest that concerns it comes out. What a hold of all advertisers says
//! of them all is not told to one.

use crate::wire::Held;
use domain::{AdvertiserId, Day, RunId};
use std::collections::HashMap;
use store::{PublishedHold, TAKEN_BACK};

/// Told of a hold of all advertisers.
const OF_ALL: &str = "a check of all advertisers together held the day back";

/// The same, when it was no check but someone's decision.
const ALL_TAKEN_BACK: &str = "what was published of the day was taken back by hand";

/// The holds of the kept days and of later ones.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    /// In order of the day.
    holds: Vec<PublishedHold>,
    /// Where the holds of an advertiser are, oldest first.
    of_advertiser: HashMap<AdvertiserId, Vec<usize>>,
    /// Where those of all are, oldest first.
    of_all: Vec<usize>,
}

impl Holds {
    pub(crate) fn new(holds: Vec<PublishedHold>) -> Self {
        let (mut of_advertiser, mut of_all) = (HashMap::<_, Vec<usize>>::new(), Vec::new());
        for (index, hold) in holds.iter().enumerate() {
            match &hold.advertiser_id {
                Some(advertiser) => of_advertiser.entry(advertiser.clone()).or_default().push(index),
                None => of_all.push(index),
            }
        }
        Self { holds, of_advertiser, of_all }
    }

    /// All of them, in order of the day.
    pub(crate) fn all(&self) -> &[PublishedHold] {
        &self.holds
    }

    /// The newest ranking of the advertiser that is held back, if it is newer than what `run` published of
    /// `day`: of a later day, or of the same by another run.
    pub(crate) fn after(&self, advertiser: &str, day: Day, run: &RunId) -> Option<Held<'_>> {
        let own = self.of_advertiser.get(advertiser).and_then(|holds| holds.last());
        let newest = own.into_iter().chain(self.of_all.last()).max()?;
        Some(self.held(*newest)).filter(|held| day < held.day || (day == held.day && run != held.run_id))
    }

    /// What keeps the advertiser's ranking of `day` from being seen.
    pub(crate) fn of_day(&self, advertiser: &str, day: Day) -> Option<Held<'_>> {
        let own = self.of_advertiser.get(advertiser).into_iter().flatten();
        let index = own.chain(&self.of_all).find(|index| self.holds[**index].day == day)?;
        Some(self.held(*index))
    }

    /// The newest hold of the advertiser by itself.
    pub(crate) fn own(&self, advertiser: &str) -> Option<Held<'_>> {
        self.of_advertiser.get(advertiser)?.last().map(|index| self.held(*index))
    }

    /// The advertisers that are held of `day`, each by itself.
    pub(crate) fn advertisers(&self, day: Day) -> impl Iterator<Item = &AdvertiserId> {
        self.holds.iter().filter(move |hold| hold.day == day).filter_map(|hold| hold.advertiser_id.as_ref())
    }

    fn held(&self, index: usize) -> Held<'_> {
        let PublishedHold { day, advertiser_id, run_id, hold } = &self.holds[index];
        let message = match (advertiser_id, hold.check.as_str()) {
            (Some(_), _) => &hold.message,
            (None, TAKEN_BACK) => ALL_TAKEN_BACK,
            (None, _) => OF_ALL,
        };
        Held { day: *day, run_id, check: &hold.check, message }
    }
}
