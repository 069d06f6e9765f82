//! Flags of the commands about what readers see, saw, and shall see again.

use super::advertiser_id;
use clap::Args;
use domain::{AdvertiserId, Day, RunId};

/// Flags of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The advertiser
    #[arg(value_parser = advertiser_id)]
    pub advertiser: AdvertiserId,
    /// The model, in any case [default: every model of the last days]
    pub model: Option<String>,
    /// The day, YYYY-MM-DD [default: the newest published]
    #[arg(long, value_name = "DAY", requires = "model")]
    pub day: Option<Day>,
    /// How many days, without a model
    #[arg(long, value_name = "N", default_value_t = 7, conflicts_with = "model", value_parser = clap::value_parser!(u32).range(1..))]
    pub days: u32,
}

/// Flags of `runs`.
#[derive(Debug, Args)]
pub struct Runs {
    /// One run, whole
    pub run: Option<RunId>,
    /// Only runs of this day, YYYY-MM-DD
    #[arg(long, value_name = "DAY", conflicts_with = "run")]
    pub day: Option<Day>,
    /// At most so many, newest first
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "run", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Flags of `moves`.
#[derive(Debug, Args)]
pub struct Moves {
    /// Only moves of this day, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    pub day: Option<Day>,
    /// At most so many, newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// A day, as readers see it.
    Day(Day),
    /// What a run made, also what is held back of it.
    Run(RunId),
}

impl std::str::FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = text.parse().map(Self::Day);
        day.or_else(|_| text.parse().map(Self::Run))
            .map_err(|_| "neither a day (YYYY-MM-DD) nor a run".into())
    }
}

/// Flags of `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// The day or run before
    #[arg(value_name = "DAY|RUN")]
    pub from: Side,
    /// The day or run after
    #[arg(value_name = "DAY|RUN")]
    pub to: Side,
    /// Only this advertiser
    #[arg(long, value_name = "ADVERTISER", value_parser = advertiser_id)]
    pub advertiser: Option<AdvertiserId>,
    /// Only this model, in any case
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// At most so many lines of the table; JSON is always whole
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Flags of `rollback`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("back").required(true).multiple(true).args(["day", "to", "undo"]))]
pub struct Rollback {
    /// Take back the run that readers see of this day, YYYY-MM-DD; they see what they saw before it
    #[arg(long, value_name = "DAY")]
    pub day: Option<Day>,
    /// Let readers see this run of its day again, as they saw it last
    #[arg(long, value_name = "RUN", conflicts_with_all = ["day", "undo"])]
    pub to: Option<RunId>,
    /// Undo the last rollback, of the day if one is given
    #[arg(long)]
    pub undo: bool,
    /// Only this advertiser
    #[arg(long, value_name = "ADVERTISER", value_parser = advertiser_id, conflicts_with = "undo")]
    pub advertiser: Option<AdvertiserId>,
    /// Why: kept beside what it changed, and shown where readers are told of it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// Flags of `pin`.
#[derive(Debug, Args)]
pub struct Pin {
    /// The advertiser
    #[arg(value_parser = advertiser_id)]
    pub advertiser: AdvertiserId,
    /// A run that readers have seen of it
    pub run: RunId,
    /// Why: kept beside the pin, and shown where readers are told of it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// Flags of `unpin`.
#[derive(Debug, Args)]
pub struct Unpin {
    /// The advertiser
    #[arg(value_parser = advertiser_id)]
    pub advertiser: AdvertiserId,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
}
