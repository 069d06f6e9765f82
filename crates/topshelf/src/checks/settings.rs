//! How checks are configured; defaults hold what no night should publish unseen, and let usual nights pass.

use serde::{Deserialize, Serialize};

/// What is checked before a day is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checks {
    /// Published days that it takes to say what is typical; with fewer, nothing is compared with them.
    pub min_days: usize,
    /// The list of active advertisers is much shorter than usual.
    pub active: Active,
    /// A log whose dates have times ends earlier than usual.
    pub ends_early: EndsEarly,
    /// Impressions, clicks or views of all advertisers are far from usual.
    pub volume: Volume,
    /// The same of one advertiser.
    pub advertiser_volume: Volume,
    /// The click-through rate of all advertisers is far from usual.
    pub ctr: Volume,
    /// An active advertiser has no ranking any more.
    pub lost_rankings: LostRankings,
    /// An advertiser has clicks on ads that were not shown.
    pub clicks: Clicks,
    /// More lines are rejected than usual.
    pub rejected: Rejected,
    /// Rankings changed more than usual.
    pub change: Change,
}

/// What a finding leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Readers keep what they see until someone decides.
    Hold,
    /// It is published and told.
    Warn,
    /// It is not looked for.
    Off,
}

/// See [`Checks::active`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// What a finding leads to.
    pub severity: Severity,
    /// The share of the usual number that may be missing, 0 to 1.
    pub max_drop: f64,
}

/// See [`Checks::ends_early`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndsEarly {
    /// What a finding leads to.
    pub severity: Severity,
    /// By how much a log may end before the earliest end of the days to compare with.
    pub max_gap_minutes: u32,
    /// A log with fewer events, now and usually, is not looked at.
    pub min: u64,
}

/// See [`Checks::volume`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// What a finding leads to.
    pub severity: Severity,
    /// Fewer than so many times the usual are too few; 0 lets any be.
    pub drop: f64,
    /// More than so many times the usual are too many; 0 lets any be.
    pub rise: f64,
    /// Fewer than this, now and usually, are not compared.
    pub min: u64,
}

/// See [`Checks::lost_rankings`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostRankings {
    /// What a finding leads to.
    pub severity: Severity,
    /// An advertiser that usually has fewer impressions and views is not looked at.
    pub min: u64,
}

/// See [`Checks::clicks`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clicks {
    /// What a finding leads to.
    pub severity: Severity,
    /// The share of an advertiser's clicks that may be beyond the impressions of their product, 0 to 1.
    pub max_unseen_ratio: f64,
    /// An advertiser with fewer clicks is not looked at.
    pub min: u64,
}

/// See [`Checks::rejected`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// What a finding leads to.
    pub severity: Severity,
    /// The share of a log's lines that may be rejected, 0 to 1; past `input.max_rejected_ratio` the run is
    /// refused in any case.
    pub max_ratio: f64,
}

/// See [`Checks::change`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What a finding leads to.
    pub severity: Severity,
    /// So many times the usual change are too much.
    pub rise: f64,
    /// A change of less than this is never too much, 0 to 1.
    pub min: f64,
}

impl Change {
    /// The most that rankings may change where `usual` is usual.
    pub(super) fn max(&self, usual: f64) -> f64 {
        (self.rise * usual).max(self.min)
    }
}

impl Checks {
    /// Nothing is looked for.
    #[must_use]
    pub fn off() -> Self {
        let mut checks = Self::default();
        let severities = [
            &mut checks.active.severity,
            &mut checks.ends_early.severity,
            &mut checks.volume.severity,
            &mut checks.advertiser_volume.severity,
            &mut checks.ctr.severity,
            &mut checks.lost_rankings.severity,
            &mut checks.clicks.severity,
            &mut checks.rejected.severity,
            &mut checks.change.severity,
        ];
        severities.into_iter().for_each(|severity| *severity = Severity::Off);
        checks
    }
}

impl Default for Checks {
    fn default() -> Self {
        use Severity::{Hold, Warn};
        Self {
            min_days: 3,
            active: Active { severity: Hold, max_drop: 0.5 },
            ends_early: EndsEarly { severity: Hold, max_gap_minutes: 30, min: 5_000 },
            volume: Volume { severity: Hold, drop: 0.6, rise: 3.0, min: 1_000 },
            advertiser_volume: Volume { severity: Hold, drop: 0.1, rise: 10.0, min: 50 },
            ctr: Volume { severity: Hold, drop: 0.33, rise: 3.0, min: 10_000 },
            lost_rankings: LostRankings { severity: Hold, min: 20 },
            clicks: Clicks { severity: Hold, max_unseen_ratio: 0.5, min: 100 },
            rejected: Rejected { severity: Warn, max_ratio: 0.001 },
            change: Change { severity: Warn, rise: 2.0, min: 0.5 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use figment::{
        Figment,
        providers::{Format, Toml},
    };

    #[test]
    fn the_runbook_has_the_defaults() {
        #[derive(Deserialize)]
        struct File {
            checks: Checks,
        }
        let runbook = include_str!("../../../../docs/runbook.md");
        let (_, toml) = runbook.split_once("```toml\n").unwrap();
        let toml = Toml::string(toml.split_once("```").unwrap().0);
        let file: File = Figment::from(toml).extract().unwrap();
        assert_eq!(file.checks, Checks::default());
    }
}
