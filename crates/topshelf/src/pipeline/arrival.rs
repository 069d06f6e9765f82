//! Whether a day's input is there, which a night waits for.
//!
//! Only names and times of objects are looked at: nothing is read, and nothing is asked of the ledger.

use super::{
    Night,
    input::{self, PlannedLog},
};
use crate::failure::{Exit, Failure};
use domain::{Day, Log};
use source::{Location, LogPattern, ObjectDays, PlannedObject};
use std::time::SystemTime;

/// Fails, for the day, with what lacks of its input: the marker where there is one, which says that the logs are whole;
/// else the objects of a log.
pub(crate) async fn is_there(night: &Night, day: Day) -> Result<(), Failure> {
    let location = night.input()?;
    match night.config.schedule.input_marker.is_empty() {
        true => plan_new(night, &location, day).await.map(drop),
        false => find_marker(night, &location, day).await.map(drop),
    }
}

/// The name of the day's marker, which was written for it.
///
/// # Errors
/// When it is not there, or is of a day before.
pub(crate) async fn find_marker(night: &Night, location: &Location, day: Day) -> Result<String, Failure> {
    let marker = &night.config.schedule.input_marker;
    let pattern = LogPattern::parse(marker).expect("loading the configuration checks the pattern");
    let markers = source::named(location, &pattern, day).await?;
    // One that names no day is written again and again: that of the days before is none of this one.
    let is_of_day = |modified: SystemTime| pattern.names_a_day() || night.schedule.is_after(day, modified);
    if let Some(object) = markers.iter().find(|object| is_of_day(object.modified)) {
        return Ok(object.name.clone());
    }
    let name = location.object_url(&pattern.filled(day));
    let message = match markers.first() {
        None => format!("{name} is not there"),
        Some(_) => format!("{name} was not written since {day} ended at {}", night.schedule.end_of(day)),
    };
    let help = format!(
        "schedule.input_marker names an object that is written when the day's logs are all there: see whether they are in {}, \
         and what was to write it; `topshelf run --day {day}` does not wait for it",
        location.url()
    );
    Err(Failure::new(Exit::Failed, message).help(help).of_days([day]))
}

/// Finds the objects of the day's logs.
///
/// # Errors
/// With the log that has none, or when they cannot be listed.
pub(crate) async fn find_input(night: &Night, day: Day) -> Result<(), Failure> {
    input::plan(night, &night.input()?, &[day]).await.map(drop)
}

/// Finds the objects of the day's logs, those of events written for it: where no name tells a day, one must have been
/// written since the day ended.
///
/// # Errors
/// With the log that has none, or when they cannot be listed.
async fn plan_new(night: &Night, location: &Location, day: Day) -> Result<Vec<PlannedLog>, Failure> {
    let logs = input::plan(night, location, &[day]).await?;
    for planned in &logs {
        let is_new = |object: &PlannedObject| {
            object.days != ObjectDays::Any || night.schedule.is_after(day, object.object.modified)
        };
        if planned.log != Log::AdvertiserIds && !planned.objects.iter().any(is_new) {
            let (log, ended_at) = (planned.log, night.schedule.end_of(day));
            let message = format!("no object of {log} was written since {day} ended at {ended_at}");
            let help = format!(
                "name the day in input.{log}, such as \"{log}-{{day}}.csv\", or an object that is written last in schedule.input_marker"
            );
            return Err(Failure::new(Exit::Failed, message).help(help).of_days([day]));
        }
    }
    Ok(logs)
}
