//! The calendar date of the data.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A calendar date of the data, never the time at which we worked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

/// A text is not a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a day: expected YYYY-MM-DD, a date that exists")]
pub struct DayError(pub String);

impl Day {
    /// The day of a civil date.
    #[must_use]
    pub fn from_date(date: Date) -> Self {
        Self(date)
    }

    /// The civil date of the day.
    #[must_use]
    pub fn date(self) -> Date {
        self.0
    }

    /// Days since 1970-01-01, negative before it.
    #[must_use]
    pub fn epoch_days(self) -> i32 {
        // Howard Hinnant, "chrono-compatible low-level date algorithms" (2013), days_from_civil.
        let (year, month, day) =
            (i32::from(self.0.year()), i32::from(self.0.month()), i32::from(self.0.day()));
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The next day; the last representable day is its own tomorrow.
    #[must_use]
    pub fn tomorrow(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(self.0))
    }

    /// The day before; the first representable day is its own yesterday.
    #[must_use]
    pub fn yesterday(self) -> Self {
        Self(self.0.yesterday().unwrap_or(self.0))
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let error = || DayError(text.to_owned());
        let bytes = text.as_bytes();
        let shaped = bytes.len() == 10
            && bytes.iter().enumerate().all(|(i, byte)| match i {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !shaped {
            return Err(error());
        }
        let year = text[..4].parse().map_err(|_| error())?;
        let month = text[5..7].parse().map_err(|_| error())?;
        let day = text[8..].parse().map_err(|_| error())?;
        Date::new(year, month, day).map(Self).map_err(|_| error())
    }
}

impl TryFrom<String> for Day {
    type Error = DayError;
    fn try_from(text: String) -> Result<Self, DayError> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Days from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRange {
    /// The first day.
    pub first: Day,
    /// The last day, not before `first`.
    pub last: Day,
}

impl DayRange {
    /// Every day of the range, oldest first; none when `last` is before `first`.
    pub fn days(self) -> impl Iterator<Item = Day> {
        let mut next = (self.first <= self.last).then_some(self.first);
        std::iter::from_fn(move || {
            let day = next?;
            next = (day < self.last).then(|| day.tomorrow());
            Some(day)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn only_dates_that_exist_are_days() {
        assert_eq!(day("2024-02-29").to_string(), "2024-02-29");
        for text in ["2023-02-29", "2024-13-01", "2024-1-01", "20241120", "", "2024-11-20 ", "+024-11-20"] {
            assert_eq!(text.parse::<Day>(), Err(DayError(text.to_owned())));
        }
    }

    #[test]
    fn a_range_includes_both_ends() {
        let range = DayRange { first: day("2024-02-28"), last: day("2024-03-01") };
        let days: Vec<_> = range.days().map(|day| day.to_string()).collect();
        assert_eq!(days, ["2024-02-28", "2024-02-29", "2024-03-01"]);
        assert_eq!(DayRange { first: range.last, last: range.first }.days().count(), 0);
    }

    proptest! {
        #[test]
        fn epoch_days_agree_with_jiff(days in -700_000i32..2_900_000) {
            let epoch = Date::constant(1970, 1, 1);
            let date = epoch.checked_add(jiff::Span::new().days(days)).unwrap();
            prop_assert_eq!(Day::from_date(date).epoch_days(), days);
        }
    }
}
