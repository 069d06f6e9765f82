//! The configuration: can it be loaded, and when does the next night begin.

use super::step::{Answer, Examined, Section, Tell};
use crate::{
    config::{self, Flags},
    failure::Failure,
    pipeline::Night,
    progress::Progress,
};
use domain::Day;
use figment::{Figment, Source};
use std::collections::BTreeSet;

/// Loads the configuration; gives the night and the day to look at, or why it cannot be loaded.
pub(super) async fn examine(
    flags: &Flags,
    day: Option<Day>,
    tell: Tell<'_>,
) -> (Section, Result<(Night, Day), Failure>) {
    let mut examined = Examined::begin("configuration", "", ["load", "schedule"], tell);
    let loaded = load(&mut examined, flags, day).await;
    let (section, _) = examined.end();
    (section, loaded)
}

async fn load(examined: &mut Examined<'_>, flags: &Flags, day: Option<Day>) -> Result<(Night, Day), Failure> {
    let loaded = config::load(flags);
    let answer = match &loaded {
        Ok((_, figment)) => Answer::ok(layers(figment)),
        Err(failure) => Answer::of(
            failure,
            "a key is misspelt, a value is not what it should be, or the file is not there",
        ),
    };
    let tried = "read the file, the environment and the flags";
    examined.step("load", tried, async { answer.alone() }).await;
    let (config, _) = loaded?;
    let night = Night::new(config, Progress::none());
    let night = night.map(|night| {
        let day = day.unwrap_or_else(|| night.schedule.ended_day(night.clock.now()));
        (night, day)
    });
    let answer = match &night {
        Ok((night, day)) => Answer::ok(when(night, *day)),
        Err(failure) => Answer::of(failure, "schedule.cron or schedule.timezone is mistyped"),
    };
    let tried = "read schedule.cron and schedule.timezone";
    examined.step("schedule", tried, async { answer.alone() }).await;
    night
}

fn when(night: &Night, day: Day) -> String {
    let next = night.schedule.next_run_at(night.clock.now());
    let zone = night.schedule.zone().clone();
    format!(
        "the next night begins at {}; the day looked at is {day}",
        next.to_zoned(zone).strftime("%Y-%m-%d %H:%M %Z")
    )
}

/// Where values came from that are no defaults.
fn layers(figment: &Figment) -> String {
    let files: BTreeSet<_> = figment
        .metadata()
        .filter_map(|metadata| match &metadata.source {
            Some(Source::File(file)) => Some(file.display().to_string()),
            _ => None,
        })
        .collect();
    let file = match files.into_iter().next() {
        Some(file) => format!("of {file}"),
        None => "without a file".to_owned(),
    };
    format!("read {file}; every key is known")
}
