//! Records of fields with a delimiter between them, byte by byte.

use super::{Record, Values, example, without_mark};
use crate::readings::LogObject;
use counting::RECORD_BYTES_MAX;
use domain::{Log, RejectReason};

/// The delimiter with which the first record has the needed columns, each once, and the names of all.
pub(super) fn header(log: &LogObject) -> Option<(u8, Vec<String>)> {
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

/// The records behind the header.
pub(super) fn records(log: &LogObject, delimiter: u8, names: &[String]) -> Vec<Record> {
    let bytes = without_mark(&log.bytes);
    let mut records = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let line_end =
            bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |offset| at + offset + 1);
        let text = example(&bytes[at..line_end]);
        let (fields, end) = match record(&bytes[at..], delimiter) {
            Ok((fields, length)) => (Ok(fields), at + length),
            Err(reason) => (Err(reason), line_end),
        };
        let values = fields.and_then(|fields| match &fields[..] {
            [field] if field.is_empty() && text.is_empty() => Ok(None),
            _ => values(log, &fields, names).map(Some),
        });
        records.push(Record { line, text, values });
        line += bytes[at..end].iter().filter(|b| **b == b'\n').count() as u64;
        at = end;
    }
    records.remove(0);
    records
}

fn values(log: &LogObject, fields: &[Vec<u8>], names: &[String]) -> Result<Values, RejectReason> {
    if fields.len() != names.len() {
        return Err(RejectReason::FieldCount);
    }
    let field = |name: &str| {
        let place = names.iter().position(|column| column == name);
        let text = place.map(|place| String::from_utf8(fields[place].clone()));
        text.transpose().map_err(|_| RejectReason::NotUtf8)
    };
    Ok(Values {
        advertiser: field("advertiser_id")?.expect("it is needed"),
        product: field("product_id")?.expect("it is needed"),
        kind: if log.log == Log::AdsViews { field("type")? } else { None },
        date: field("date")?,
    })
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
