//! Which objects of a location hold the days asked for.
//!
//! A log's pattern and some days enter; the objects that may hold lines of those days leave, each
//! with the days it counts for. No object is opened: names, sizes and fingerprints are all.

use crate::{
    Location, LogPattern, SourceError,
    error::{NoObject, SPELLED_OUT_MAX},
    location::ObjectInfo,
    pattern::NamePattern,
};
use domain::{Day, Log};
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;

/// How many listings wait for the network at a time.
const LISTINGS_AT_A_TIME: usize = 8;

/// An object that must be read, and for which days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedObject {
    /// The object.
    pub object: ObjectInfo,
    /// The days it counts for.
    pub days: ObjectDays,
}

/// The days whose lines an object may hold, as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectDays {
    /// The name tells no day: each line says its own.
    Any,
    /// The configured template was filled with this day: only its lines count.
    Template(Day),
    /// The object lies in a Hive folder of this day, `date=2024-11-20/`: only its lines count, and
    /// where the object has no date column, every line is of this day.
    Partition(Day),
}

impl ObjectDays {
    /// Whether the object counts for `day`.
    #[must_use]
    pub fn may_hold(self, day: Day) -> bool {
        match self {
            Self::Any => true,
            Self::Template(only) | Self::Partition(only) => only == day,
        }
    }
}

/// One listing to make: names to look for, and the days they are looked for.
struct Search {
    names: NamePattern,
    /// The day the names mean, when they mean one.
    template_day: Option<Day>,
    wanted_for: Vec<Day>,
}

/// The objects of `log` that may hold lines of `days`, in byte order of the name, none twice for the
/// same [`ObjectDays`]. `date_column` is what the log's date column is called: a Hive folder may be
/// named by it, or by `date`, `day` or `dt`. Objects that are named after other days are not in it.
///
/// Lists directories on the calling thread.
///
/// # Errors
/// [`SourceError::NoObject`] when a day has no object; others when the location cannot be listed.
pub async fn plan(
    location: &Location,
    log: Log,
    pattern: &LogPattern,
    days: &[Day],
    date_column: &str,
) -> Result<Vec<PlannedObject>, SourceError> {
    let searches = searches(pattern, days);
    let listings: Vec<_> = searches.iter().map(|search| location.find(&search.names)).collect();
    let found: Vec<Vec<ObjectInfo>> =
        stream::iter(listings).buffered(LISTINGS_AT_A_TIME).try_collect().await?;
    let mut planned = BTreeMap::new();
    let mut lacking = Vec::new();
    for (search, objects) in searches.iter().zip(found) {
        let objects = planned_of(search, objects, date_column);
        let lacks = |day: &&Day| !objects.iter().any(|object| object.days.may_hold(**day));
        lacking.extend(search.wanted_for.iter().filter(lacks));
        planned.extend(objects.into_iter().map(|object| ((object.object.name.clone(), object.days), object)));
    }
    if lacking.is_empty() {
        return Ok(planned.into_values().collect());
    }
    lacking.sort_unstable();
    Err(no_object(location, log, pattern, lacking).await)
}

/// The objects that the pattern takes, filled with the day, in byte order of their names.
///
/// Lists directories on the calling thread.
///
/// # Errors
/// [`SourceError`] when the location cannot be listed.
pub async fn named(
    location: &Location,
    pattern: &LogPattern,
    day: Day,
) -> Result<Vec<ObjectInfo>, SourceError> {
    location.find(&pattern.names(day)).await
}

fn searches(pattern: &LogPattern, days: &[Day]) -> Vec<Search> {
    let mut searches = BTreeMap::<String, Search>::new();
    for day in days {
        let names = pattern.names(*day);
        let template_day = pattern.names_a_day().then_some(*day);
        let search = Search { names, template_day, wanted_for: Vec::new() };
        let search = searches.entry(search.names.as_str().to_owned()).or_insert(search);
        if !search.wanted_for.contains(day) {
            search.wanted_for.push(*day);
        }
    }
    searches.into_values().collect()
}

fn planned_of(search: &Search, objects: Vec<ObjectInfo>, date_column: &str) -> Vec<PlannedObject> {
    let planned = |object: ObjectInfo| {
        let days = match (search.template_day, partition_day(&object.name, date_column)) {
            (None, None) => ObjectDays::Any,
            (Some(day), None) => ObjectDays::Template(day),
            (None, Some(day)) => ObjectDays::Partition(day),
            (Some(template), Some(partition)) if template == partition => ObjectDays::Partition(partition),
            (Some(_), Some(_)) => return None,
        };
        Some(PlannedObject { object, days })
    };
    let is_wanted = |object: &PlannedObject| search.wanted_for.iter().any(|day| object.days.may_hold(*day));
    objects.into_iter().filter_map(planned).filter(is_wanted).collect()
}

/// The day of the Hive folder an object lies in; the innermost counts.
fn partition_day(name: &str, date_column: &str) -> Option<Day> {
    let (folders, _) = name.rsplit_once('/')?;
    folders.rsplit('/').find_map(|folder| {
        let (key, value) = folder.split_once('=')?;
        let is_date = key == date_column || matches!(key, "date" | "day" | "dt");
        if is_date { value.parse().ok() } else { None }
    })
}

async fn no_object(location: &Location, log: Log, pattern: &LogPattern, days: Vec<Day>) -> SourceError {
    let names = pattern.names(days[0]);
    let folder = names.literal_prefix().rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut there = match location.entries(folder).await {
        Ok(there) => there,
        Err(error) => return error,
    };
    if there.is_empty() && !folder.is_empty() {
        there = match location.entries("").await {
            Ok(there) => there,
            Err(error) => return error,
        };
    }
    let has_more = there.len() > SPELLED_OUT_MAX;
    there.truncate(SPELLED_OUT_MAX);
    let pattern = if let [_] = days[..] { names.as_str() } else { pattern.as_str() };
    SourceError::NoObject(Box::new(NoObject {
        log,
        pattern: pattern.to_owned(),
        url: location.url().to_owned(),
        days,
        there,
        has_more,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hive_folder_tells_the_day() {
        let day = |name| partition_day(name, "fecha").map(|day| day.to_string()).unwrap_or_default();
        assert_eq!(day("v/date=2024-11-20/part-0.csv"), "2024-11-20");
        assert_eq!(day("v/fecha=2024-11-20/country=es/part-0.csv"), "2024-11-20");
        assert_eq!(day("dt=2024-11-20/x"), "2024-11-20");
        assert_eq!(day("day=2024-11-20/x"), "2024-11-20");
        for name in [
            "date=2024-11-20",
            "v/date=2024-11-20.csv",
            "v/date=__HIVE_DEFAULT_PARTITION__/x",
            "v/updated=2024-11-20/x",
            "v/date=2024-13-20/x",
        ] {
            assert_eq!(day(name), "", "{name}");
        }
    }
}
