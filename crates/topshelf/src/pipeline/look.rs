//! A look at a day's input as counting will find it, without counting: which objects, and how they begin.

use super::{
    Night,
    count::reading,
    input::{self, PlannedLog},
};
use crate::failure::Failure;
use domain::{Day, Log};
use source::{Location, PlannedObject};

/// The objects of a log that a day needs.
pub(crate) struct LookedLog {
    night: Night,
    location: Location,
    planned: PlannedLog,
}

/// The logs that are configured.
pub(crate) fn configured_logs(night: &Night) -> Vec<Log> {
    input::logs(night).map(|(log, _)| log).collect()
}

/// Finds the objects of a configured log that the day needs.
///
/// # Errors
/// When there are none, or the location cannot be listed.
pub(crate) async fn find_log(
    night: &Night,
    location: &Location,
    log: Log,
    day: Day,
) -> Result<LookedLog, Failure> {
    let pattern = input::logs(night).find(|(of, _)| *of == log).expect("the log is configured");
    let planned = input::plan_log(night, location, pattern, &[day]).await?;
    Ok(LookedLog { night: night.clone(), location: location.clone(), planned })
}

impl LookedLog {
    /// The log.
    pub(crate) fn log(&self) -> Log {
        self.planned.log
    }

    /// How many objects there are.
    pub(crate) fn objects(&self) -> usize {
        self.planned.objects.len()
    }

    /// The names of the first objects.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.planned.objects.iter().map(|planned| planned.object.name.as_str())
    }

    /// The bytes of all objects.
    pub(crate) fn bytes(&self) -> u64 {
        self.planned.objects.iter().map(|planned| planned.object.size).sum()
    }

    /// Reads the first byte of the first object; gives its name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn read_a_byte(&self) -> Result<&str, Failure> {
        let object = &self.first().object;
        reading(&self.night, &self.location).head_bytes(object, 1).await?;
        Ok(&object.name)
    }

    /// Reads how the first and the last objects begin, at most so many; gives how many were read.
    ///
    /// # Errors
    /// When one cannot be read as the log.
    pub(crate) async fn read_beginnings(&self, most: usize) -> Result<usize, Failure> {
        let objects = &self.planned.objects;
        let from_end = objects.len().saturating_sub(most / 2).max(most - most / 2);
        let (first, last) = (objects.iter().take(most - most / 2), objects.iter().skip(from_end));
        let reading = reading(&self.night, &self.location);
        let mut read = 0;
        for object in first.chain(last) {
            input::form(&self.night, &reading, self.log(), object).await?;
            read += 1;
        }
        Ok(read)
    }

    fn first(&self) -> &PlannedObject {
        self.planned.objects.first().expect("a log without objects is not found")
    }
}
