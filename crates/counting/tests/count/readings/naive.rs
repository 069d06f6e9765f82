//! The naive reading: an object's records one after the other, their events into ordered maps.

mod delimited;
mod json;

use super::{
    Active, LogObject,
    told::{EXAMPLE_BYTES_MAX, Told, ToldTally, tell_counts, tell_example, tell_tally},
};
use counting::{DateFormat, DayReader, ObjectDays};
use domain::{AdvertiserId, Counts, Day, Log, RejectReason};
use jiff::{
    Span, Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// Reads the objects, each of which must have a [`Format`].
pub(crate) fn naive(active: &Active, logs: &[LogObject], zone: &TimeZone) -> Told {
    let mut told = String::new();
    let read: Vec<_> = logs.iter().map(|log| read_log(log, zone)).collect();
    for (day, list) in active {
        let active: BTreeSet<_> = list.iter().map(AdvertiserId::as_str).collect();
        let mut counts = BTreeMap::<_, Counts>::new();
        let mut tallies = String::new();
        for (object, (log, read)) in logs.iter().zip(&read).enumerate() {
            if matches!(log.days, ObjectDays::Only(only) if only != *day) {
                continue;
            }
            let mut tally =
                ToldTally { object, read: read.rows.len() as u64, blank: read.blank, ..ToldTally::default() };
            let mut rejected = BTreeMap::<RejectReason, u64>::new();
            for row in &read.rows {
                match row {
                    Err((reason, ..)) => *rejected.entry(*reason).or_default() += 1,
                    Ok(row) if row.day != *day => {}
                    Ok(row) if !active.contains(row.advertiser.as_str()) => {
                        tally.inactive += 1;
                        tally.last_time = row.time.max(tally.last_time);
                    }
                    Ok(row) => {
                        tally.kept += 1;
                        tally.last_time = row.time.max(tally.last_time);
                        *counts.entry((row.advertiser.clone(), row.product.clone())).or_default() +=
                            row.counts;
                    }
                }
            }
            tally.rejected = rejected.into_iter().collect();
            tell_tally(&mut tallies, &tally);
        }
        writeln!(told, "{day}").unwrap();
        for ((advertiser, product), counts) in counts {
            tell_counts(&mut told, &advertiser, &product, counts);
        }
        told += &tallies;
    }
    for (object, log) in read.iter().enumerate() {
        let mut shown = BTreeMap::<RejectReason, u32>::new();
        for (reason, line, text) in log.rows.iter().filter_map(|row| row.as_ref().err()) {
            let shown = shown.entry(*reason).or_default();
            *shown += 1;
            if *shown <= 3 {
                tell_example(&mut told, &object.to_string(), *line, *reason, text);
            }
        }
    }
    told
}

/// How an object is written.
#[derive(Debug, PartialEq)]
pub(crate) enum Format {
    Delimited { delimiter: u8, names: Vec<String> },
    JsonLines,
}

/// How the object is written; none when it cannot be the log.
pub(crate) fn format(log: &LogObject) -> Option<Format> {
    let first = without_mark(&log.bytes).iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|byte| b"{[".contains(byte)) {
        json::is_log(log).then_some(Format::JsonLines)
    } else {
        delimited::header(log).map(|(delimiter, names)| Format::Delimited { delimiter, names })
    }
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// A record.
struct Record {
    /// The number of its first line.
    line: u64,
    /// The start of that line, as examples show it.
    text: String,
    /// None when the record is a blank line.
    values: Result<Option<Values>, RejectReason>,
}

/// The needed values of a record.
struct Values {
    advertiser: String,
    product: String,
    kind: Option<String>,
    date: Option<String>,
}

/// The start of a line, as examples show it.
fn example(line: &[u8]) -> String {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = &text[..text.len().min(EXAMPLE_BYTES_MAX)];
    String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text)).into_owned()
}

struct Row {
    day: Day,
    time: Option<Time>,
    advertiser: String,
    product: String,
    counts: Counts,
}

#[derive(Default)]
struct Read {
    rows: Vec<Result<Row, (RejectReason, u64, String)>>,
    blank: u64,
}

fn read_log(log: &LogObject, zone: &TimeZone) -> Read {
    let records = match format(log).expect("the object is a log") {
        Format::Delimited { delimiter, names } => delimited::records(log, delimiter, &names),
        Format::JsonLines => json::records(log),
    };
    let mut read = Read::default();
    for Record { line, text, values } in records {
        match values.and_then(|values| values.map(|values| row(values, log, zone)).transpose()) {
            Ok(None) => read.blank += 1,
            Ok(Some(row)) => read.rows.push(Ok(row)),
            Err(reason) => read.rows.push(Err((reason, line, text))),
        }
    }
    read
}

fn row(values: Values, log: &LogObject, zone: &TimeZone) -> Result<Row, RejectReason> {
    let Values { advertiser, product, kind, date } = values;
    if let Some(reason) = id_problem(&advertiser).or_else(|| id_problem(&product)) {
        return Err(reason);
    }
    let mut counts = Counts::default();
    match kind.as_deref() {
        None if log.log == Log::ProductViews => counts.views = 1,
        Some("impression") => counts.impressions = 1,
        Some("click") => counts.clicks = 1,
        _ => return Err(RejectReason::UnknownType),
    }
    let (day, time) = match (date, log.days) {
        (Some(date), _) => dated(&date, zone).ok_or(RejectReason::BadDate)?,
        (None, ObjectDays::Only(day)) => (day, None),
        (None, ObjectDays::Any) => panic!("the date is needed"),
    };
    Ok(Row { day, time, advertiser, product, counts })
}

fn id_problem(id: &str) -> Option<RejectReason> {
    match id.len() {
        0 => Some(RejectReason::EmptyId),
        256.. => Some(RejectReason::IdTooLong),
        _ => id.contains('\0').then_some(RejectReason::NulInId),
    }
}

/// The day of a date, and the time of a date-time in one of the forms that the tests write; the day of others is
/// for the tests of dates, and is asked of a reader of its own, which remembers nothing of an earlier one.
fn dated(date: &str, zone: &TimeZone) -> Option<(Day, Option<Time>)> {
    if let Ok(day) = date.parse() {
        return Some((day, None));
    }
    if let Ok(instant) = date.parse::<Timestamp>() {
        let zoned = instant.to_zoned(zone.clone());
        return Some((Day::from_date(zoned.date()), Some(in_whole_seconds(zoned.time()))));
    }
    let epoch_day = DayReader::new(DateFormat::Iso, zone.clone()).epoch_day(date.as_bytes())?;
    let day = Day::from_date(Date::constant(1970, 1, 1) + Span::new().days(epoch_day));
    let time = date.parse::<DateTime>().ok().filter(|_| date.len() > "YYYY-MM-DD".len());
    Some((day, time.map(|civil| in_whole_seconds(civil.time()))))
}

fn in_whole_seconds(time: Time) -> Time {
    time.with().subsec_nanosecond(0).build().unwrap()
}
