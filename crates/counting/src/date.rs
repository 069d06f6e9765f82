//! Dates and date-times of the logs: text in, days out.

use jiff::{
    Timestamp,
    civil::Date,
    fmt::{strtime, temporal::Pieces},
    tz::TimeZone,
};
use std::ops::RangeInclusive;

/// How the date column is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DateFormat {
    /// `YYYY-MM-DD`, or a date-time of ISO 8601 or RFC 3339.
    #[default]
    Iso,
    /// A pattern of `strptime`, such as `%d/%m/%Y`.
    Pattern(String),
}

/// A pattern cannot give a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the date pattern {pattern:?} cannot be used: {reason}")]
pub struct DateFormatError {
    pattern: String,
    reason: String,
}

impl DateFormat {
    /// Takes a pattern such as `%d/%m/%Y`, after checking that it reads back a date it wrote.
    ///
    /// # Errors
    /// When the pattern has an unknown directive or leaves out year, month or day.
    pub fn pattern(pattern: &str) -> Result<Self, DateFormatError> {
        let error = |reason: String| DateFormatError { pattern: pattern.to_owned(), reason };
        let zoned = Date::constant(2024, 11, 23).at(13, 14, 15, 0).to_zoned(TimeZone::UTC);
        let zoned = zoned.map_err(|source| error(source.to_string()))?;
        let written = strtime::format(pattern, &zoned).map_err(|source| error(source.to_string()))?;
        let read = strtime::parse(pattern, &written).and_then(|parts| parts.to_date());
        match read.map_err(|source| error(source.to_string()))? {
            date if date == zoned.date() => Ok(Self::Pattern(pattern.to_owned())),
            date => Err(error(format!("it reads 2024-11-23 back as {date}"))),
        }
    }
}

/// What a number of a date-time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Millis,
    /// Millionths of a second.
    Micros,
    /// Billionths of a second.
    Nanos,
}

impl Unit {
    /// Whole seconds, downwards.
    pub(crate) fn seconds(self, count: i64) -> i64 {
        match self {
            Self::Seconds => count,
            Self::Millis => count.div_euclid(1_000),
            Self::Micros => count.div_euclid(1_000_000),
            Self::Nanos => count.div_euclid(1_000_000_000),
        }
    }
}

/// Days since 1970-01-01 of the first and the last date that there are: of the years -9999 and 9999.
const EXISTING_DAYS: RangeInclusive<i64> = -4_371_587..=2_932_896;

/// Reads the day of a date field. A date-time with an offset is taken in the zone, one without
/// stands as it is written.
#[derive(Debug, Clone)]
pub struct DayReader {
    format: DateFormat,
    zone: TimeZone,
    is_utc: bool,
    /// The day read last from an instant: seconds since 1970 from which and before which it lasts.
    last: (i64, i64, i32),
}

impl DayReader {
    /// A reader of dates in `format`, whose instants are taken in `zone`.
    #[must_use]
    pub fn new(format: DateFormat, zone: TimeZone) -> Self {
        let is_utc = zone == TimeZone::UTC || zone.iana_name() == Some("UTC");
        Self { format, zone, is_utc, last: (0, 0, 0) }
    }

    /// How dates are written.
    pub(crate) fn format(&self) -> &DateFormat {
        &self.format
    }

    /// Days since 1970-01-01; none when the field is not a date that exists.
    pub fn epoch_day(&mut self, field: &[u8]) -> Option<i32> {
        match &self.format {
            DateFormat::Iso => match parse_iso(field)? {
                Iso::Civil { epoch_day } => Some(epoch_day),
                Iso::Instant { seconds } => self.day_of(seconds),
                Iso::Unusual => self.unusual(field),
            },
            DateFormat::Pattern(pattern) => {
                let parts = strtime::parse(pattern, field).ok()?;
                match parts.offset() {
                    Some(_) => self.day_of(parts.to_timestamp().ok()?.as_second()),
                    None => parts.to_date().ok().map(epoch_day),
                }
            }
        }
    }

    /// A number of days since 1970-01-01; none when no such date exists.
    pub(crate) fn day_of_days(days: i64) -> Option<i32> {
        EXISTING_DAYS.contains(&days).then(|| i32::try_from(days).expect("days of dates fit"))
    }

    /// The day of seconds since 1970-01-01T00:00:00 on a clock of no zone.
    pub(crate) fn day_of_civil(seconds: i64) -> Option<i32> {
        Self::day_of_days(seconds.div_euclid(86_400))
    }

    /// The day of an instant, as seconds since 1970-01-01T00:00:00Z, in the zone.
    pub(crate) fn day_of(&mut self, seconds: i64) -> Option<i32> {
        if self.is_utc {
            return Self::day_of_civil(seconds);
        }
        let (from, before, day) = self.last;
        if (from..before).contains(&seconds) {
            return Some(day);
        }
        let date = Timestamp::from_second(seconds).ok()?.to_zoned(self.zone.clone()).date();
        let day = epoch_day(date);
        let midnight =
            |date: Date| date.to_zoned(self.zone.clone()).map(|zoned| zoned.timestamp().as_second());
        if let (Ok(from), Ok(Ok(before))) = (midnight(date), date.tomorrow().map(midnight)) {
            // A zone may leave a day and come back to it; remember only a span that holds the instant.
            if (from..before).contains(&seconds) && before - from <= 90_000 {
                self.last = (from, before, day);
            }
        }
        Some(day)
    }

    /// ISO 8601 in its rarer forms, by jiff.
    fn unusual(&mut self, field: &[u8]) -> Option<i32> {
        let pieces = Pieces::parse(std::str::from_utf8(field).ok()?).ok()?;
        match (pieces.time(), pieces.to_numeric_offset()) {
            (Some(time), Some(offset)) => {
                let instant = offset.to_timestamp(pieces.date().to_datetime(time)).ok()?;
                self.day_of(instant.as_second())
            }
            (_, None) => Some(epoch_day(pieces.date())),
            (None, Some(_)) => None,
        }
    }
}

fn epoch_day(date: Date) -> i32 {
    domain::Day::from_date(date).epoch_days()
}

enum Iso {
    /// A date, or a date-time without offset.
    Civil { epoch_day: i32 },
    /// A date-time with an offset, as seconds since 1970-01-01T00:00:00Z, fractions dropped.
    Instant { seconds: i64 },
    /// Not of the common form.
    Unusual,
}

/// Reads `YYYY-MM-DD`, and `YYYY-MM-DDThh:mm[:ss[.f]][Z|±hh[[:]mm]]` with `T`, `t` or a space.
/// None when the common form holds a date or time that does not exist.
fn parse_iso(field: &[u8]) -> Option<Iso> {
    let Some(date) = field.first_chunk::<10>() else { return Some(Iso::Unusual) };
    let (b'-', b'-') = (date[4], date[7]) else { return Some(Iso::Unusual) };
    let year = number(&date[..2])? * 100 + number(&date[2..4])?;
    let epoch_day = existing_day(year, number(&date[5..7])?, number(&date[8..])?)?;
    let [separator, time @ ..] = &field[10..] else { return Some(Iso::Civil { epoch_day }) };
    if !matches!(separator, b'T' | b't' | b' ') {
        return None;
    }
    let Some((second_of_day, rest)) = parse_time(time) else { return Some(Iso::Unusual) };
    let offset_seconds = match rest {
        [] => return Some(Iso::Civil { epoch_day }),
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), offset @ ..] => {
            let (hours, minutes) = match offset {
                [h1, h2] => (number(&[*h1, *h2])?, 0),
                [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (number(&[*h1, *h2])?, number(&[*m1, *m2])?),
                _ => return Some(Iso::Unusual),
            };
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i64::from(hours * 3600 + minutes * 60);
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return Some(Iso::Unusual),
    };
    let seconds = i64::from(epoch_day) * 86_400 + i64::from(second_of_day) - offset_seconds;
    Some(Iso::Instant { seconds })
}

/// `hh:mm`, `hh:mm:ss`, `hh:mm:ss.fff`: the second of the day, and what follows. A leap second
/// counts as the second before it.
fn parse_time(time: &[u8]) -> Option<(i32, &[u8])> {
    let Some((&[h1, h2, b':', m1, m2], rest)) = time.split_first_chunk::<5>() else { return None };
    let (hour, minute) = (number(&[h1, h2])?, number(&[m1, m2])?);
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (number(&[*s1, *s2])?, without_fraction(rest)?),
        _ => (0, rest),
    };
    let exists = hour <= 23 && minute <= 59 && second <= 60;
    exists.then_some((hour * 3600 + minute * 60 + second.min(59), rest))
}

fn without_fraction(rest: &[u8]) -> Option<&[u8]> {
    let [b'.' | b',', digits @ ..] = rest else { return Some(rest) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then(|| &digits[count..])
}

fn number(digits: &[u8]) -> Option<i32> {
    digits
        .iter()
        .try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i32::from(byte - b'0')))
}

/// Howard Hinnant, "chrono-compatible low-level date algorithms" (2013), after a check that the
/// date exists.
fn existing_day(year: i32, month: i32, day: i32) -> Option<i32> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day_in(zone: &str, format: DateFormat, field: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let Some(day) = DayReader::new(format, zone).epoch_day(field.as_bytes()) else { return "-".into() };
        let epoch = Date::constant(1970, 1, 1);
        epoch.checked_add(jiff::Span::new().days(day)).unwrap().to_string()
    }

    fn check(zone: &str, cases: &[(&str, &str)]) {
        for (field, expected) in cases {
            assert_eq!(day_in(zone, DateFormat::Iso, field), *expected, "{field:?} in {zone}");
        }
    }

    #[test]
    fn iso_dates_and_date_times() {
        check(
            "UTC",
            &[
                ("2024-11-20", "2024-11-20"),
                ("2024-02-29", "2024-02-29"),
                ("2023-02-29", "-"),
                ("2024-00-10", "-"),
                ("2024-11-20T23:59:60Z", "2024-11-20"),
                ("2024-11-20 23:30:00.123456789-01:00", "2024-11-21"),
                ("2024-11-20t00:10:00,5+00:30", "2024-11-19"),
                ("2024-11-20 10:00", "2024-11-20"),
                ("2024-11-20 10:00:00+00", "2024-11-20"),
                ("2024-11-20T10:00:00+0530", "2024-11-20"),
                ("20241120", "2024-11-20"),
                ("20241120T233000-0100", "2024-11-21"),
                ("2024-11-20T24:00:01Z", "-"),
                ("2024-11-20T10:00:00.Z", "-"),
                ("2024-11-20T10:61:00Z", "-"),
                ("2024-11-20X10:00:00", "-"),
                ("2024-11-20 ", "-"),
                (" 2024-11-20", "-"),
                ("2024-11-2", "-"),
                ("11/20/2024", "-"),
                ("1732060800", "-"),
                ("", "-"),
            ],
        );
    }

    #[test]
    fn instants_are_taken_in_the_zone_and_civil_times_are_not() {
        check(
            "America/Sao_Paulo",
            &[
                ("2024-11-20T02:59:59Z", "2024-11-19"),
                ("2024-11-20T03:00:00Z", "2024-11-20"),
                ("2024-11-20T00:30:00", "2024-11-20"),
                ("2024-11-20", "2024-11-20"),
                // Clocks went from 24:00 back to 23:00 and later from 00:00 on to 01:00.
                ("2018-02-18T02:30:00Z", "2018-02-17"),
                ("2018-11-04T03:00:00Z", "2018-11-04"),
            ],
        );
    }

    #[test]
    fn patterns_of_the_user() {
        let format = || DateFormat::pattern("%d/%m/%Y").unwrap();
        assert_eq!(day_in("UTC", format(), "20/11/2024"), "2024-11-20");
        assert_eq!(day_in("UTC", format(), "31/11/2024"), "-");
        assert_eq!(day_in("UTC", format(), "2024-11-20"), "-");
        assert!(DateFormat::pattern("%d/%m").is_err());
        assert!(DateFormat::pattern("%Q").is_err());
    }

    proptest! {
        #[test]
        fn instants_agree_with_jiff(
            seconds in -2_000_000_000i64..4_000_000_000,
            zone in prop_oneof![Just("UTC"), Just("America/Sao_Paulo"), Just("Asia/Kathmandu"), Just("Pacific/Apia")],
            steps in proptest::collection::vec(-100_000i64..100_000, 1..20),
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let mut reader = DayReader::new(DateFormat::Iso, zone.clone());
            let mut seconds = seconds;
            for step in steps {
                seconds += step;
                let instant = Timestamp::from_second(seconds).unwrap();
                let expected = epoch_day(instant.to_zoned(zone.clone()).date());
                prop_assert_eq!(reader.epoch_day(instant.to_string().as_bytes()), Some(expected), "{}", instant);
            }
        }
    }
}
