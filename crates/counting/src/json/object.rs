//! One line at a time, exactly: the slower path of JSON lines.

use super::{
    text::decoded,
    value::{member, value_end, whole_number_end, without_space},
};
use crate::{
    event::Fields,
    header::Columns,
    record::{NextRecord, RECORD_BYTES_MAX, Shape, rejected},
};
use domain::RejectReason;
use std::{borrow::Cow, ops::Range};

/// Where the parts of a member are in its line.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Between the quotes.
    pub(super) name: Range<usize>,
    /// With its quotes when it is text.
    pub(super) value: Range<usize>,
}

/// Tells the members of the one object that a line of UTF-8 is, in their order. None when it is no such line.
pub(super) fn for_each_member(line: &[u8], mut on_member: impl FnMut(Member)) -> Option<()> {
    let mut at = without_space(line, 0);
    if line.get(at) != Some(&b'{') {
        return None;
    }
    at = without_space(line, at + 1);
    if line.get(at) == Some(&b'}') {
        return is_blank(&line[at + 1..]).then_some(());
    }
    loop {
        let (name_end, value) = member(line, at)?;
        let end = value_end(line, value)?;
        on_member(Member { name: at + 1..name_end, value: value..end });
        at = without_space(line, end);
        match line.get(at)? {
            b',' => at = without_space(line, at + 1),
            b'}' => return is_blank(&line[at + 1..]).then_some(()),
            _ => return None,
        }
    }
}

/// Whether there is nothing but white space and line endings.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| b" \t\r\n".contains(byte))
}

/// The value of a needed member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needed {
    /// Text, as the range between its quotes.
    Text(Range<usize>),
    /// A whole number, which stands for its digits.
    Whole(Range<usize>),
    Null,
    Other,
}

impl Needed {
    pub(super) fn of(line: &[u8], value: Range<usize>) -> Self {
        match line[value.start] {
            b'"' => Self::Text(value.start + 1..value.end - 1),
            b'n' => Self::Null,
            _ if whole_number_end(line, value.start) == Some(value.end) => Self::Whole(value),
            _ => Self::Other,
        }
    }
}

/// Which of the needed members, in the order of [`Columns::names`], is called so.
pub(super) fn needed_member(name: &[u8], members: &Columns) -> Option<usize> {
    let name = decoded(name);
    members.names().iter().position(|needed| needed.is_some_and(|needed| needed.as_bytes() == &*name))
}

/// What the line says in the needed members, in the order of [`Columns::names`], or why it is rejected.
fn values<'l>(line: &'l [u8], members: &Columns) -> Result<[Option<Cow<'l, [u8]>>; 4], RejectReason> {
    if std::str::from_utf8(line).is_err() {
        return Err(RejectReason::NotUtf8);
    }
    let mut found: [Option<Needed>; 4] = Default::default();
    let mut is_repeated = false;
    let read = for_each_member(line, |member| {
        if let Some(place) = needed_member(&line[member.name], members) {
            is_repeated |= found[place].replace(Needed::of(line, member.value)).is_some();
        }
    });
    read.ok_or(RejectReason::BadJson)?;
    if is_repeated {
        return Err(RejectReason::RepeatedMember);
    }
    let is_missing = |place: usize| matches!(found[place], None | Some(Needed::Null));
    let is_needed = members.are_expected();
    if (0..found.len()).any(|place| is_needed[place] && is_missing(place)) {
        return Err(RejectReason::MissingMember);
    }
    let mut values: [Option<Cow<'l, [u8]>>; 4] = Default::default();
    for (value, found) in values.iter_mut().zip(found) {
        *value = match found {
            Some(Needed::Text(text)) => Some(decoded(&line[text])),
            Some(Needed::Whole(digits)) => Some(Cow::Borrowed(&line[digits])),
            Some(Needed::Other) => return Err(RejectReason::NotText),
            Some(Needed::Null) | None => None,
        };
    }
    Ok(values)
}

/// What a line says of an event, or why it is rejected.
pub(crate) fn read<'l>(line: &'l [u8], members: &Columns) -> Result<Fields<'l>, RejectReason> {
    let [advertiser, product, kind, date] = values(line, members)?;
    let (advertiser, product) = (advertiser.unwrap_or_default(), product.unwrap_or_default());
    Ok(Fields { advertiser, product, kind, date })
}

/// The line at the start of `buffer`, with the same answer for any buffer that is long enough to give one.
/// `is_end` says that no bytes follow the buffer.
pub(crate) fn next_line(buffer: &[u8], is_end: bool) -> NextRecord {
    let window = &buffer[..buffer.len().min(RECORD_BYTES_MAX)];
    let end = match memchr::memchr(b'\n', window) {
        Some(newline) => newline + 1,
        None if buffer.len() > RECORD_BYTES_MAX => return rejected(buffer, RejectReason::LineTooLong),
        None if is_end => buffer.len(),
        None => return NextRecord::More,
    };
    NextRecord::Record(Shape { fields: 1, end, is_blank: is_blank(&buffer[..end]) })
}
