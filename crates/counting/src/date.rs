//! Dates and date-times of the logs: text in, days and times of day out.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Time},
    fmt::{
        strtime::{self, BrokenDownTime},
        temporal::Pieces,
    },
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

const SECONDS_OF_DAY: i64 = 86_400;

/// A time of day in whole seconds; or none where only the day is told, which is less than any.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct TimeOfDay(
    /// One more than the seconds since midnight, or 0.
    pub(crate) u32,
);

impl TimeOfDay {
    pub(crate) const NONE: Self = Self(0);

    /// So many seconds after midnight, less than those of a day.
    fn of(second: i64) -> Self {
        Self(u32::try_from(second + 1).expect("a second of a day"))
    }

    fn of_time(time: Time) -> Self {
        let [hour, minute, second] = [time.hour(), time.minute(), time.second()].map(i64::from);
        Self::of(hour * 3600 + minute * 60 + second)
    }

    pub(crate) fn time(self) -> Option<Time> {
        let second = i64::from(self.0.checked_sub(1)?);
        Some(Time::midnight() + SignedDuration::from_secs(second))
    }
}

/// What a date field tells: a day, in days since 1970-01-01, and of a date-time the time of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) epoch_day: i32,
    pub(crate) time: TimeOfDay,
}

impl Moment {
    /// A number of days since 1970-01-01; none when no such date exists.
    pub(crate) fn of_days(days: i64) -> Option<Self> {
        let is_existing = EXISTING_DAYS.contains(&days);
        is_existing.then(|| Self::of_day(i32::try_from(days).expect("days of dates fit")))
    }

    /// Seconds since 1970-01-01T00:00:00 on a clock of no zone.
    pub(crate) fn of_civil(seconds: i64) -> Option<Self> {
        let day = Self::of_days(seconds.div_euclid(SECONDS_OF_DAY))?;
        Some(Self { time: TimeOfDay::of(seconds.rem_euclid(SECONDS_OF_DAY)), ..day })
    }

    fn of_day(epoch_day: i32) -> Self {
        Self { epoch_day, time: TimeOfDay::NONE }
    }

    fn of_date(date: Date) -> Self {
        Self::of_day(domain::Day::from_date(date).epoch_days())
    }
}

/// Reads what a date field tells. A date-time with an offset is taken in the zone, one without
/// stands as it is written.
#[derive(Debug, Clone)]
pub struct DayReader {
    format: DateFormat,
    zone: TimeZone,
    last: Span,
}

/// Seconds since 1970-01-01T00:00:00Z from which and before which the zone has an offset, in seconds.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: i64,
    before: i64,
    offset: i64,
}

impl Span {
    /// Of no instant.
    const NONE: Self = Self { from: 0, before: 0, offset: 0 };

    /// Of all that there are.
    const UTC: Self = Self { from: i64::MIN, before: i64::MAX, offset: 0 };

    /// The one around an instant.
    fn around(instant: Timestamp, zone: &TimeZone) -> Self {
        let second = |instant: Timestamp| instant.as_second();
        // The last transition before the next second may be at the instant itself.
        let next = Timestamp::from_second(second(instant) + 1).unwrap_or(Timestamp::MAX);
        let (from, before) = (zone.preceding(next).next(), zone.following(instant).next());
        Self {
            from: second(from.map_or(Timestamp::MIN, |from| from.timestamp())),
            before: before.map_or(second(Timestamp::MAX) + 1, |before| second(before.timestamp())),
            offset: zone.to_offset(instant).seconds().into(),
        }
    }
}

impl DayReader {
    /// A reader of dates in `format`, whose instants are taken in `zone`.
    #[must_use]
    pub fn new(format: DateFormat, zone: TimeZone) -> Self {
        let is_utc = zone == TimeZone::UTC || zone.iana_name() == Some("UTC");
        Self { format, zone, last: if is_utc { Span::UTC } else { Span::NONE } }
    }

    /// How dates are written.
    pub(crate) fn format(&self) -> &DateFormat {
        &self.format
    }

    /// Days since 1970-01-01; none when the field is not a date that exists.
    pub fn epoch_day(&mut self, field: &[u8]) -> Option<i32> {
        self.moment(field).map(|moment| moment.epoch_day)
    }

    /// What a field tells; none when it is not a date that exists.
    pub(crate) fn moment(&mut self, field: &[u8]) -> Option<Moment> {
        match &self.format {
            DateFormat::Iso => match parse_iso(field)? {
                Iso::Civil(moment) => Some(moment),
                Iso::Instant { seconds } => self.moment_of(seconds),
                Iso::Unusual => self.unusual(field),
            },
            DateFormat::Pattern(pattern) => self.of_pattern(&strtime::parse(pattern, field).ok()?),
        }
    }

    /// What an instant is in the zone, given as seconds since 1970-01-01T00:00:00Z.
    pub(crate) fn moment_of(&mut self, seconds: i64) -> Option<Moment> {
        if !(self.last.from..self.last.before).contains(&seconds) {
            self.last = Span::around(Timestamp::from_second(seconds).ok()?, &self.zone);
        }
        Moment::of_civil(seconds.checked_add(self.last.offset)?)
    }

    fn of_pattern(&mut self, parts: &BrokenDownTime) -> Option<Moment> {
        if parts.offset().is_some() {
            return self.moment_of(parts.to_timestamp().ok()?.as_second());
        }
        let time = parts.hour().and_then(|_| parts.to_time().ok());
        let time = time.map_or(TimeOfDay::NONE, TimeOfDay::of_time);
        Some(Moment { time, ..Moment::of_date(parts.to_date().ok()?) })
    }

    /// ISO 8601 in its rarer forms, by jiff.
    fn unusual(&mut self, field: &[u8]) -> Option<Moment> {
        let pieces = Pieces::parse(std::str::from_utf8(field).ok()?).ok()?;
        match (pieces.time(), pieces.to_numeric_offset()) {
            (Some(time), Some(offset)) => {
                let instant = offset.to_timestamp(pieces.date().to_datetime(time)).ok()?;
                self.moment_of(instant.as_second())
            }
            (time, None) => {
                let time = time.map_or(TimeOfDay::NONE, TimeOfDay::of_time);
                Some(Moment { time, ..Moment::of_date(pieces.date()) })
            }
            (None, Some(_)) => None,
        }
    }
}

enum Iso {
    /// A date, or a date-time without offset.
    Civil(Moment),
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
    let [separator, time @ ..] = &field[10..] else {
        return Some(Iso::Civil(Moment::of_day(epoch_day)));
    };
    if !matches!(separator, b'T' | b't' | b' ') {
        return None;
    }
    let Some((second_of_day, rest)) = parse_time(time) else { return Some(Iso::Unusual) };
    let offset_seconds = match rest {
        [] => {
            return Some(Iso::Civil(Moment { epoch_day, time: TimeOfDay::of(second_of_day.into()) }));
        }
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
    let seconds = i64::from(epoch_day) * SECONDS_OF_DAY + i64::from(second_of_day) - offset_seconds;
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

    /// The day, and behind it the time if there is one.
    fn told_in(zone: &str, format: DateFormat, field: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let Some(moment) = DayReader::new(format, zone).moment(field.as_bytes()) else { return "-".into() };
        let epoch = Date::constant(1970, 1, 1);
        let date = epoch.checked_add(jiff::Span::new().days(moment.epoch_day)).unwrap();
        let time = moment.time.time().map(|time| format!(" {time}"));
        format!("{date}{}", time.unwrap_or_default())
    }

    fn check(zone: &str, cases: &[(&str, &str)]) {
        for (field, expected) in cases {
            assert_eq!(told_in(zone, DateFormat::Iso, field), *expected, "{field:?} in {zone}");
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
                ("2024-11-20T23:59:60Z", "2024-11-20 23:59:59"),
                ("2024-11-20 23:30:00.123456789-01:00", "2024-11-21 00:30:00"),
                ("2024-11-20t00:10:00,5+00:30", "2024-11-19 23:40:00"),
                ("2024-11-20 10:00", "2024-11-20 10:00:00"),
                ("2024-11-20 10:00:00+00", "2024-11-20 10:00:00"),
                ("2024-11-20T10:00:00+0530", "2024-11-20 04:30:00"),
                ("20241120", "2024-11-20"),
                ("20241120T233000-0100", "2024-11-21 00:30:00"),
                ("20241120T233000", "2024-11-20 23:30:00"),
                ("9999-12-31T23:59:59Z", "9999-12-31 23:59:59"),
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
                ("2024-11-20T02:59:59Z", "2024-11-19 23:59:59"),
                ("2024-11-20T03:00:00Z", "2024-11-20 00:00:00"),
                ("2024-11-20T00:30:00", "2024-11-20 00:30:00"),
                ("2024-11-20", "2024-11-20"),
                // Clocks went from 24:00 back to 23:00 and later from 00:00 on to 01:00.
                ("2018-02-18T01:59:59Z", "2018-02-17 23:59:59"),
                ("2018-02-18T02:00:00Z", "2018-02-17 23:00:00"),
                ("2018-02-18T02:30:00Z", "2018-02-17 23:30:00"),
                ("2018-11-04T02:59:59Z", "2018-11-03 23:59:59"),
                ("2018-11-04T03:00:00Z", "2018-11-04 01:00:00"),
            ],
        );
    }

    #[test]
    fn patterns_of_the_user() {
        let format = || DateFormat::pattern("%d/%m/%Y").unwrap();
        assert_eq!(told_in("UTC", format(), "20/11/2024"), "2024-11-20");
        assert_eq!(told_in("UTC", format(), "31/11/2024"), "-");
        assert_eq!(told_in("UTC", format(), "2024-11-20"), "-");
        let with_time =
            |pattern, field| told_in("Asia/Kathmandu", DateFormat::pattern(pattern).unwrap(), field);
        assert_eq!(with_time("%d/%m/%Y %H:%M", "20/11/2024 14:10"), "2024-11-20 14:10:00");
        assert_eq!(with_time("%d.%m.%Y %I:%M:%S %p", "20.11.2024 02:10:33 PM"), "2024-11-20 14:10:33");
        assert_eq!(with_time("%F %T %z", "2024-11-20 20:15:00 +0000"), "2024-11-21 02:00:00");
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
                let zoned = instant.to_zoned(zone.clone());
                let expected =
                    Moment { time: TimeOfDay::of_time(zoned.time()), ..Moment::of_date(zoned.date()) };
                prop_assert_eq!(reader.moment(instant.to_string().as_bytes()), Some(expected), "{}", instant);
            }
        }
    }
}
