//! Between which dates the rows of a row group lie, and so whether they need to be read.

use crate::{
    date::{DateFormat, DayReader, Moment, Unit},
    wanted::ObjectDays,
};
use domain::Day;
use std::ops::RangeInclusive;

/// The least and the greatest date of rows of which none lacks it, or bounds of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DateBounds {
    /// As texts, in the order of their bytes.
    Text(Vec<u8>, Vec<u8>),
    /// Days since 1970-01-01.
    Days(i64, i64),
    /// Time since 1970-01-01T00:00:00Z.
    Instants(i64, i64, Unit),
    /// Time since 1970-01-01T00:00:00 on a clock of no zone.
    Civil(i64, i64, Unit),
}

impl DateBounds {
    /// Whether rows between the bounds may be of one of the days, in an object that may hold
    /// `object_days`. What the bounds cannot rule out may be.
    #[must_use]
    pub fn may_hold(&self, days: &[Day], object_days: ObjectDays, reader: &DayReader) -> bool {
        let Some(range) = self.days(&mut reader.clone()) else { return true };
        let is_in_range = |day: &Day| range.contains(&day.epoch_days());
        days.iter().filter(|day| object_days.may_hold(**day)).any(is_in_range)
    }

    /// Days since 1970-01-01 that no row is before or behind; none where that is not known.
    fn days(&self, reader: &mut DayReader) -> Option<RangeInclusive<i32>> {
        let (first, last) = match self {
            Self::Text(min, max) => text_days(min, max, reader)?,
            Self::Days(min, max) => (Moment::of_days(*min)?.epoch_day, Moment::of_days(*max)?.epoch_day),
            Self::Civil(min, max, unit) => {
                let day = |count| Moment::of_civil(unit.seconds(count)).map(|moment| moment.epoch_day);
                (day(*min)?, day(*max)?)
            }
            Self::Instants(min, max, unit) => {
                let mut day = |count| reader.moment_of(unit.seconds(count)).map(|moment| moment.epoch_day);
                // Where clocks go back over midnight, a later instant is of an earlier day.
                (day(*min)?.saturating_sub(1), day(*max)?.saturating_add(1))
            }
        };
        (first <= last).then_some(first..=last)
    }
}

/// The days between two texts in the order of their bytes. Text between dates of one year begins with
/// the year and a hyphen, as they do, and so is written as they are: then it lies between them as a day
/// too, but for its offset from UTC, which is less than a day, and the zone's, which is about a day at
/// most. In other forms of ISO 8601 and in other formats the order of bytes tells nothing.
fn text_days(min: &[u8], max: &[u8], reader: &mut DayReader) -> Option<(i32, i32)> {
    let (min, max) = (min.first_chunk::<10>()?, max.first_chunk::<10>()?);
    if *reader.format() != DateFormat::Iso || min[..5] != max[..5] || min[4] != b'-' {
        return None;
    }
    let (first, last) = (reader.epoch_day(min)?, reader.epoch_day(max)?);
    Some((first.saturating_sub(2), last.saturating_add(2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    const ZONES: [&str; 3] = ["UTC", "America/Sao_Paulo", "Pacific/Kiritimati"];

    fn reader(zone: &str) -> DayReader {
        DayReader::new(DateFormat::Iso, TimeZone::get(zone).unwrap())
    }

    fn check(bounds: &DateBounds, day: &str, expected: bool) {
        let held = bounds.may_hold(&[day.parse().unwrap()], ObjectDays::Any, &reader("UTC"));
        assert_eq!(held, expected, "{bounds:?} and {day}");
    }

    fn text(min: &str, max: &str) -> DateBounds {
        DateBounds::Text(min.into(), max.into())
    }

    #[test]
    fn days_outside_of_the_bounds_are_ruled_out() {
        let november = DateBounds::Days(20_028, 20_057);
        check(&november, "2024-10-31", false);
        check(&november, "2024-11-01", true);
        check(&november, "2024-11-30", true);
        check(&november, "2024-12-01", false);
        check(&DateBounds::Civil(1_732_060_799_999, 1_732_060_800_000, Unit::Millis), "2024-11-19", true);
        check(&DateBounds::Civil(1_732_060_800_000, 1_732_060_800_000, Unit::Millis), "2024-11-19", false);
        check(&text("2024-11-01", "2024-11-15"), "2024-11-18", false);
    }

    #[test]
    fn what_is_no_bound_rules_nothing_out() {
        for bounds in [
            DateBounds::Days(7, 6),
            DateBounds::Days(i64::MIN, 0),
            DateBounds::Days(0, i64::from(i32::MAX)),
            DateBounds::Instants(0, i64::MAX, Unit::Seconds),
            text("", "2024-11-15"),
            text("2024-11-01", "2025-01-15"),
            text("2024-11-01", "2024-11-1:"),
            text("20241101", "20241115"),
            text("01/11/2024", "02/11/2024"),
        ] {
            check(&bounds, "2024-11-20", true);
        }
        let pattern = DayReader::new(DateFormat::pattern("%Y-%d-%m").unwrap(), TimeZone::UTC);
        let days = ["2024-11-20".parse().unwrap()];
        assert!(text("2024-01-01", "2024-02-02").may_hold(&days, ObjectDays::Any, &pattern));
    }

    #[test]
    fn the_day_of_an_object_counts_alone() {
        let days = ["2024-11-20".parse().unwrap(), "2024-11-21".parse().unwrap()];
        let bounds = DateBounds::Days(20_047, 20_047);
        let held = |day: &str| bounds.may_hold(&days, ObjectDays::Only(day.parse().unwrap()), &reader("UTC"));
        assert!(held("2024-11-20") && !held("2024-11-21"));
    }

    proptest! {
        #[test]
        fn no_day_of_a_row_is_ruled_out(
            zone in prop::sample::select(&ZONES[..]),
            texts in proptest::collection::vec(
                r"20(24|25)-(0[1-3]|1[0-2])-[0-3][0-9]([T ]([01][0-9]|2[0-3]):[0-5]0(Z|[+-](1[0-9]|2[0-3]):?30)?)?|20(24|25)(0[1-3]|1[0-2])[0-3][0-9]|2024-(W47|325|112)",
                1..6,
            ),
            numbers in proptest::collection::vec(1_500_000_000_i64..1_800_000_000, 1..6),
        ) {
            let reader = reader(zone);
            let mut days = reader.clone();
            let least = |numbers: &[i64]| (*numbers.iter().min().unwrap(), *numbers.iter().max().unwrap());
            let (min, max) = (texts.iter().min().unwrap(), texts.iter().max().unwrap());
            let (first, last) = least(&numbers);
            let check = |bounds: DateBounds, day: Option<i32>| {
                let date = |day| jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(day);
                day.is_none_or(|day| bounds.may_hold(&[Day::from_date(date(day))], ObjectDays::Any, &reader))
            };
            for one in &texts {
                prop_assert!(check(text(min, max), days.epoch_day(one.as_bytes())), "{}", one);
            }
            for one in &numbers {
                let [instant, civil] =
                    [days.moment_of(*one), Moment::of_civil(*one)].map(|moment| moment.map(|of| of.epoch_day));
                prop_assert!(check(DateBounds::Instants(first, last, Unit::Seconds), instant));
                prop_assert!(check(DateBounds::Civil(first, last, Unit::Seconds), civil));
            }
        }
    }
}
