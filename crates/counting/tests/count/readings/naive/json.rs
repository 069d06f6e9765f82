//! Lines of JSON, each read with `serde_json`.

use super::{Record, Values, example, without_mark};
use crate::readings::LogObject;
use counting::{Columns, RECORD_BYTES_MAX};
use domain::RejectReason;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// Objects and arrays may stand in one another so often.
const DEPTH_MAX: usize = 127;

/// The members of an object, in order, those of one name too.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Whether one of the lines has all members that are needed.
pub(super) fn is_log(log: &LogObject) -> bool {
    let (columns, bytes) = (log.columns(), without_mark(&log.bytes));
    let has_all = |members: Vec<(String, _)>| {
        columns.expected().into_iter().all(|needed| members.iter().any(|(name, _)| name == needed))
    };
    let mut lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.any(|line| members(line).is_some_and(has_all))
}

pub(super) fn records(log: &LogObject) -> Vec<Record> {
    let lines = without_mark(&log.bytes).split_inclusive(|byte| *byte == b'\n');
    let records =
        (1..).zip(lines).map(|(line, text)| Record { line, text: example(text), values: values(log, text) });
    records.collect()
}

fn values(log: &LogObject, line: &[u8]) -> Result<Option<Values>, RejectReason> {
    if line.len() > RECORD_BYTES_MAX {
        return Err(RejectReason::LineTooLong);
    }
    if line.iter().all(|byte| b" \t\r\n".contains(byte)) {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| RejectReason::NotUtf8)?;
    let members = members(line).ok_or(RejectReason::BadJson)?;
    let columns = log.columns();
    let Columns { advertiser_id, product_id, kind, date, .. } = &columns;
    let names = [Some(advertiser_id), product_id.as_ref(), kind.as_ref(), date.as_ref()];
    let all =
        |name: &Option<&String>| members.iter().filter(|(found, _)| Some(found) == *name).collect::<Vec<_>>();
    if names.iter().any(|name| all(name).len() > 1) {
        return Err(RejectReason::RepeatedMember);
    }
    let raw = |name| all(name).first().map(|(_, value)| value.get()).filter(|value| *value != "null");
    let is_needed = |name: &&Option<&String>| name.is_some_and(|name| columns.expected().contains(&&**name));
    if names.iter().filter(is_needed).any(|name| raw(name).is_none()) {
        return Err(RejectReason::MissingMember);
    }
    let texts = names.iter().map(|name| raw(name).map(text).transpose());
    let texts: [Option<String>; 4] = texts.collect::<Result<Vec<_>, _>>()?.try_into().expect("four names");
    let [Some(advertiser), Some(product), kind, date] = texts else { panic!("ids are needed") };
    Ok(Some(Values { advertiser, product, kind, date }))
}

/// What a value says, if it is text or a whole number.
fn text(raw: &str) -> Result<String, RejectReason> {
    match raw.as_bytes()[0] {
        b'"' => Ok(serde_json::from_str(raw).expect("the text is valid")),
        b'-' | b'0'..=b'9' if !raw.contains(['.', 'e', 'E']) => Ok(raw.to_owned()),
        _ => Err(RejectReason::NotText),
    }
}

/// The members of the one valid object that a line is.
fn members(line: &str) -> Option<Vec<(String, Box<RawValue>)>> {
    let Members(members) = serde_json::from_str(line).ok()?;
    members.iter().all(|(_, value)| is_valid(value.get(), 2)).then_some(members)
}

/// Whether a raw value has no lone surrogate, and nothing in it, which stands at this depth, stands too deep.
fn is_valid(raw: &str, depth: usize) -> bool {
    match raw.as_bytes()[0] {
        b'{' | b'[' if depth > DEPTH_MAX => false,
        b'{' => serde_json::from_str(raw)
            .is_ok_and(|Members(members)| members.iter().all(|(_, value)| is_valid(value.get(), depth + 1))),
        b'[' => serde_json::from_str::<Vec<Box<RawValue>>>(raw)
            .is_ok_and(|values| values.iter().all(|value| is_valid(value.get(), depth + 1))),
        b'"' => serde_json::from_str::<String>(raw).is_ok(),
        _ => true,
    }
}
