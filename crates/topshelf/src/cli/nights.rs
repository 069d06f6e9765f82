//! Flags of the commands that make a day or look at its input: which days, and what to do when others work on them.

use super::{advertiser_id, time};
use crate::pipeline::Wait;
use clap::Args;
use domain::{AdvertiserId, Day, RunId};

/// A command about one day.
#[derive(Debug, Args)]
pub struct OneDay {
    /// The day of the data, YYYY-MM-DD [default: yesterday in the configured time zone]
    #[arg(long, value_name = "DAY")]
    pub day: Option<Day>,
}

/// What to do when somebody else works on the day.
#[derive(Debug, Args)]
pub struct Waiting {
    /// While another run of the day is under way, wait for its end, at most so long (such as 90s, 30m, 2h), instead of failing
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "forever", value_parser = wait)]
    pub wait: Option<Wait>,
}

fn wait(text: &str) -> Result<Wait, String> {
    if text == "forever" {
        return Ok(Wait::Forever);
    }
    time(text).map(Wait::AtMost)
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunDay {
    /// The day, and how it is counted.
    #[command(flatten)]
    pub counted: CountedDay,
    /// Whether it waits.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Flags of `publish`.
#[derive(Debug, Args)]
pub struct Publish {
    /// The day.
    #[command(flatten)]
    pub one: OneDay,
    /// Whether it waits.
    #[command(flatten)]
    pub waiting: Waiting,
    /// Publish instead what checks held back of this run
    #[arg(long, value_name = "RUN", conflicts_with = "day", requires = "reason")]
    pub accept: Option<RunId>,
    /// Accept the run for this advertiser alone
    #[arg(long, value_name = "ADVERTISER", value_parser = advertiser_id, requires = "accept")]
    pub advertiser: Option<AdvertiserId>,
    /// Why it is accepted: kept beside what it changed
    #[arg(long, value_name = "TEXT", requires = "accept", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: Option<String>,
}

/// A command that counts one day.
#[derive(Debug, Args)]
pub struct CountedDay {
    /// The day.
    #[command(flatten)]
    pub one: OneDay,
    /// Read all objects, also those that did not change since the day was counted
    #[arg(long)]
    pub recount: bool,
}

/// A command that counts several days.
#[derive(Debug, Args)]
pub struct Range {
    /// The first day, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    pub from: Day,
    /// The last day, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    pub to: Day,
    /// Read all objects, also those that did not change since their days were counted
    #[arg(long)]
    pub recount: bool,
    /// Whether it waits.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Flags of `rank`.
#[derive(Debug, Args)]
pub struct Rank {
    /// The day of the data, YYYY-MM-DD [default: yesterday in the configured time zone]
    #[arg(long, value_name = "DAY")]
    pub day: Option<Day>,
    /// A model to rank by, in any case; may be repeated [default: every configured model]
    #[arg(long, value_name = "MODEL")]
    pub model: Vec<String>,
}
