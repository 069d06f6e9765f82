//! Whether a day's input is there: what a night waits for, and what `topshelf input` tells.
//!
//! Only names, sizes and times of objects are looked at, nothing is read, and nothing is asked of the ledger. What was
//! there once is there as long as nobody deletes it, so that a day that was run may be asked for again.

use super::{
    Night,
    input::{self, PlannedLog},
    rank::{ranked_models, why_not_computed},
};
use crate::failure::{Exit, Failure};
use domain::{Day, Log, ModelName};
use ranking::Model;
use serde::Serialize;
use source::{Location, LogPattern, ObjectDays, PlannedObject};
use std::{collections::BTreeMap, time::SystemTime};

/// A day's input that is there.
#[derive(Debug, Serialize)]
pub struct Arrived {
    /// The day.
    pub day: Day,
    /// What there is of each configured log.
    pub logs: BTreeMap<Log, ArrivedLog>,
    /// The configured models that can be computed of these logs.
    pub models: Vec<ModelName>,
    /// Those that cannot, with the reason.
    #[serde(skip)]
    pub not_computed: BTreeMap<ModelName, String>,
}

/// The objects of a log that a day needs, however many: never by name.
#[derive(Debug, Serialize)]
pub struct ArrivedLog {
    /// How many there are.
    pub objects: usize,
    /// Their bytes, as they lie there; of objects of several days, all of them.
    pub size_bytes: u64,
}

/// What is there of the day's input, once all that a night waits for is.
///
/// # Errors
/// With what lacks, of the day; or when the objects cannot be listed.
pub async fn arrived(night: &Night, day: Day) -> Result<Arrived, Failure> {
    let location = night.input()?;
    let planned = if has_marker(night) {
        find_marker(night, &location, day).await?;
        input::plan(night, &location, &[day]).await?
    } else {
        plan_new(night, &location, day).await?
    };
    let logs: BTreeMap<_, _> = planned.iter().map(|planned| (planned.log, ArrivedLog::of(planned))).collect();
    let models = ranked_models(night, &[])?.into_iter();
    let (computed, left_out): (Vec<_>, Vec<_>) = models.partition(|model| logs.contains_key(&model.needs()));
    let name = |model: &dyn Model| ModelName::new(model.name());
    let models = computed.into_iter().map(name).collect();
    let not_computed = left_out.into_iter().map(|model| (name(model), why_not_computed(model))).collect();
    Ok(Arrived { day, logs, models, not_computed })
}

impl ArrivedLog {
    fn of(planned: &PlannedLog) -> Self {
        let sizes = planned.objects.iter().map(|planned| planned.object.size);
        Self { objects: planned.objects.len(), size_bytes: sizes.sum() }
    }
}

/// Fails, for the day, with what lacks of its input: the marker where there is one, which says that the logs are whole;
/// else the objects of a log.
pub(crate) async fn is_there(night: &Night, day: Day) -> Result<(), Failure> {
    let location = night.input()?;
    match has_marker(night) {
        true => find_marker(night, &location, day).await.map(drop),
        false => plan_new(night, &location, day).await.map(drop),
    }
}

/// Whether an object is written when the day's logs are all there.
pub(crate) fn has_marker(night: &Night) -> bool {
    !night.config.schedule.input_marker.is_empty()
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
