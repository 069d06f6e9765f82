//! What checks look at: a day in figures.

use domain::{AdvertiserId, Counts, Log, ModelName, Tally};
use jiff::civil::Time;
use std::collections::{BTreeMap, BTreeSet};

/// The day that a run is about to publish.
#[derive(Debug, Clone)]
pub struct DayFigures {
    /// What became of each log's lines.
    pub logs: BTreeMap<Log, Tally>,
    /// The latest time of day in each log whose dates have times.
    pub last_times: BTreeMap<Log, Time>,
    /// Every active advertiser.
    pub advertisers: BTreeMap<AdvertiserId, AdvertiserFigures>,
    /// How far rankings differ from those last published, 0 to 1, on average; none when there are none.
    pub change: Option<f64>,
}

/// An active advertiser's day.
#[derive(Debug, Clone, Default)]
pub struct AdvertiserFigures {
    /// All its products together.
    pub counts: Counts,
    /// Clicks beyond the impressions of their product.
    pub unseen_clicks: u64,
    /// The models by which it has a ranking.
    pub ranked: BTreeSet<ModelName>,
}

/// What was published before.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Days to compare with.
    pub days: Vec<PublishedDay>,
    /// Whether they all are of the weekday of the day that is checked.
    pub is_same_weekday: bool,
    /// What was counted of each advertiser on days to compare it with: those, or the last on which readers see
    /// its rankings when it has too few of those.
    pub advertisers: BTreeMap<AdvertiserId, Vec<Counts>>,
    /// The models by which each advertiser has a ranking that readers see now.
    pub ranked: BTreeMap<AdvertiserId, BTreeSet<ModelName>>,
    /// How far rankings changed at earlier publications, 0 to 1.
    pub changes: Vec<f64>,
}

/// A published day: of each advertiser what the run counted whose rankings readers see.
#[derive(Debug, Clone)]
pub struct PublishedDay {
    /// How many advertisers were active.
    pub active: usize,
    /// Each advertiser's, as far as readers see its rankings.
    pub advertisers: BTreeMap<AdvertiserId, Counts>,
    /// The latest time of day in each log whose dates had times.
    pub last_times: BTreeMap<Log, Time>,
    all: Counts,
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Metric {
    Impressions,
    Clicks,
    Views,
}

impl DayFigures {
    /// All advertisers together, but for some.
    pub(super) fn total(&self, without: &BTreeSet<&AdvertiserId>) -> Counts {
        let others = self.advertisers.iter().filter(|(advertiser, _)| !without.contains(advertiser));
        sum(others.map(|(_, figures)| figures.counts))
    }
}

impl PublishedDay {
    /// The day of these advertisers, of so many that were active, and of logs that ended so.
    #[must_use]
    pub fn new(
        advertisers: BTreeMap<AdvertiserId, Counts>,
        active: usize,
        last_times: BTreeMap<Log, Time>,
    ) -> Self {
        Self { active, all: sum(advertisers.values().copied()), advertisers, last_times }
    }

    /// All advertisers together, but for some.
    pub(super) fn total(&self, without: &BTreeSet<&AdvertiserId>) -> Counts {
        let mut total = self.all;
        for counts in without.iter().filter_map(|advertiser| self.advertisers.get(*advertiser)) {
            total.impressions -= counts.impressions;
            total.clicks -= counts.clicks;
            total.views -= counts.views;
        }
        total
    }
}

impl Metric {
    pub(super) const ALL: [Self; 3] = [Self::Impressions, Self::Clicks, Self::Views];

    pub(super) fn of(self, counts: Counts) -> u64 {
        match self {
            Self::Impressions => counts.impressions,
            Self::Clicks => counts.clicks,
            Self::Views => counts.views,
        }
    }

    /// What a line of a log is counted as.
    pub(super) fn of_log(log: Log) -> &'static [Self] {
        match log {
            Log::AdvertiserIds => &[],
            Log::AdsViews => &[Self::Impressions, Self::Clicks],
            Log::ProductViews => &[Self::Views],
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Impressions => "impressions",
            Self::Clicks => "clicks",
            Self::Views => "views",
        }
    }
}

fn sum(counts: impl Iterator<Item = Counts>) -> Counts {
    let mut sum = Counts::default();
    counts.for_each(|counts| sum += counts);
    sum
}
