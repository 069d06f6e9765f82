//! The naive reading: byte by byte, into ordered maps.

use super::{
    Active, LogObject,
    told::{EXAMPLE_BYTES_MAX, Told, ToldTally, tell_counts, tell_example, tell_tally},
};
use counting::{DateFormat, DayReader, ObjectDays, RECORD_BYTES_MAX};
use domain::{AdvertiserId, Counts, Day, Log, RejectReason};
use jiff::tz::TimeZone;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// Reads the objects, whose headers must be good.
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
                    Ok(row) if row.epoch_day != day.epoch_days() => {}
                    Ok(row) if !active.contains(row.advertiser.as_str()) => tally.inactive += 1,
                    Ok(row) => {
                        tally.kept += 1;
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

struct Row {
    epoch_day: i32,
    advertiser: String,
    product: String,
    counts: Counts,
}

struct Read {
    rows: Vec<Result<Row, (RejectReason, u64, String)>>,
    blank: u64,
}

fn read_log(log: &LogObject, zone: &TimeZone) -> Read {
    let (delimiter, header) = header(log).expect("the header is good");
    let rows = Rows { log, header, zone };
    let mut read = Read { rows: Vec::new(), blank: 0 };
    for record in records(without_mark(&log.bytes), delimiter).into_iter().skip(1) {
        if matches!(&record.fields, Ok(fields) if record.text.is_empty() && fields.len() == 1) {
            read.blank += 1;
            continue;
        }
        let row = record.fields.and_then(|fields| rows.row(&fields));
        read.rows.push(row.map_err(|reason| (reason, record.line, record.text)));
    }
    read
}

/// The delimiter with which the first record has the needed columns, each once, and the names of all.
pub(crate) fn header(log: &LogObject) -> Option<(u8, Vec<String>)> {
    let candidates = log.delimiter.map_or(b",\t;|".to_vec(), |delimiter| vec![delimiter]);
    let (columns, bytes) = (log.columns(), without_mark(&log.bytes));
    candidates.into_iter().find_map(|delimiter| {
        let (fields, _) = record(bytes, delimiter).ok()?;
        let names: Vec<_> = fields.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let count = |name: &str| names.iter().filter(|found| *found == name).count();
        let has_needed = columns.expected().into_iter().all(|name| count(name) == 1);
        (has_needed && count("date") <= 1).then_some((delimiter, names))
    })
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// A record: its first line, its text up to the first line ending, its fields.
struct Record {
    line: u64,
    text: String,
    fields: Result<Vec<Vec<u8>>, RejectReason>,
}

fn records(bytes: &[u8], delimiter: u8) -> Vec<Record> {
    let mut records = Vec::new();
    let mut at = 0;
    let mut line = 1;
    while at < bytes.len() {
        let line_end =
            bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |offset| at + offset + 1);
        let (fields, end) = match record(&bytes[at..], delimiter) {
            Ok((fields, length)) => (Ok(fields), at + length),
            Err(reason) => (Err(reason), line_end),
        };
        let text = bytes[at..line_end].strip_suffix(b"\n").unwrap_or(&bytes[at..line_end]);
        let text = &text[..text.len().min(EXAMPLE_BYTES_MAX)];
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text)).into_owned();
        records.push(Record { line, text, fields });
        line += bytes[at..end].iter().filter(|b| **b == b'\n').count() as u64;
        at = end;
    }
    records
}

/// A state machine over bytes: the fields of the first record and its length.
fn record(bytes: &[u8], delimiter: u8) -> Result<(Vec<Vec<u8>>, usize), RejectReason> {
    #[derive(PartialEq)]
    enum State {
        Start,
        Plain,
        Quoted,
        Closed,
    }
    let is_cut = bytes.len() > RECORD_BYTES_MAX;
    let bytes = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
    let mut fields = vec![Vec::new()];
    let mut state = State::Start;
    let mut at = 0;
    loop {
        let field = fields.last_mut().unwrap();
        let Some(byte) = bytes.get(at) else {
            if is_cut {
                return Err(RejectReason::LineTooLong);
            }
            if state == State::Quoted {
                return Err(RejectReason::BadQuoting);
            }
            if state != State::Closed && field.last() == Some(&b'\r') {
                field.pop();
            }
            return Ok((fields, at));
        };
        let at_crlf = *byte == b'\r' && matches!(bytes.get(at + 1), Some(b'\n') | None);
        match (&state, byte) {
            (State::Quoted, b'"') => state = State::Closed,
            (State::Quoted, _) => field.push(*byte),
            (State::Closed, b'"') => {
                field.push(b'"');
                state = State::Quoted;
            }
            (_, byte) if *byte == delimiter => {
                fields.push(Vec::new());
                state = State::Start;
            }
            (_, b'\n') => return Ok((fields, at + 1)),
            (State::Closed, b'\r') if at_crlf => {}
            (State::Closed, _) => return Err(RejectReason::BadQuoting),
            (State::Start, b'"') => state = State::Quoted,
            (_, b'"') => return Err(RejectReason::BadQuoting),
            (_, b'\r') if at_crlf => {}
            _ => {
                field.push(*byte);
                state = State::Plain;
            }
        }
        at += 1;
    }
}

/// The rules of the rows of one object.
struct Rows<'a> {
    log: &'a LogObject,
    header: Vec<String>,
    zone: &'a TimeZone,
}

impl Rows<'_> {
    fn row(&self, fields: &[Vec<u8>]) -> Result<Row, RejectReason> {
        if fields.len() != self.header.len() {
            return Err(RejectReason::FieldCount);
        }
        let field = |name: &str| {
            let place = self.header.iter().position(|column| column == name);
            let text = place.map(|place| String::from_utf8(fields[place].clone()));
            text.transpose().map_err(|_| RejectReason::NotUtf8)
        };
        let (advertiser, product) = (field("advertiser_id")?.unwrap(), field("product_id")?.unwrap());
        let kind = if self.log.log == Log::AdsViews { field("type")?.unwrap() } else { "view".into() };
        let date = field("date")?;
        if let Some(reason) = id_problem(&advertiser).or_else(|| id_problem(&product)) {
            return Err(reason);
        }
        let mut counts = Counts::default();
        match kind.as_str() {
            "impression" => counts.impressions = 1,
            "click" => counts.clicks = 1,
            "view" if self.log.log == Log::ProductViews => counts.views = 1,
            _ => return Err(RejectReason::UnknownType),
        }
        let epoch_day = match (date, self.log.days) {
            (Some(date), _) => self.epoch_day(&date).ok_or(RejectReason::BadDate)?,
            (None, ObjectDays::Only(day)) => day.epoch_days(),
            (None, ObjectDays::Any) => panic!("the header has no date"),
        };
        Ok(Row { epoch_day, advertiser, product, counts })
    }

    /// The day of a date. How date-times are read is for the tests of dates; here each has a reader of its own,
    /// which remembers nothing of an earlier one.
    fn epoch_day(&self, date: &str) -> Option<i32> {
        let plain = date.parse::<Day>().map(Day::epoch_days);
        plain.ok().or_else(|| DayReader::new(DateFormat::Iso, self.zone.clone()).epoch_day(date.as_bytes()))
    }
}

fn id_problem(id: &str) -> Option<RejectReason> {
    match id.len() {
        0 => Some(RejectReason::EmptyId),
        256.. => Some(RejectReason::IdTooLong),
        _ => id.contains('\0').then_some(RejectReason::NulInId),
    }
}
