//! Whether an object can be a log of JSON lines: told by its first lines.
//!
//! An object with wrong names of members must not be a log without events. So one of its first lines, as many
//! as [`HEADER_BYTES_MAX`] hold, must have all members that are needed, whatever their values. Mostly that is
//! the first line, and nothing else is looked at; lines that are bad, or of other members, may come before it.

use super::{
    object::{self, for_each_member},
    text::decoded,
    value::{value_end, without_space},
};
use crate::{
    header::{Columns, HEADER_BYTES_MAX, HeaderError, is_utf16, shown, shown_line},
    layout::{Head, JsonLines, Layout},
};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Whether an object that begins so is JSON.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    let first = without_mark(bytes).iter().find(|byte| !b" \t\r\n".contains(byte));
    first.is_some_and(|byte| b"{[".contains(byte))
}

/// Whether there is nothing but white space behind the byte-order mark.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    object::is_blank(without_mark(bytes))
}

/// Whether an object of this name, compressed or not, is called JSON.
pub(crate) fn is_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let compressions = [".gz", ".gzip", ".zst", ".zstd"];
    let name = compressions.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    [".json", ".jsonl", ".ndjson"].iter().any(|ending| name.ends_with(ending))
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Finds out that an object's lines have the needed members; none when the head does not tell.
///
/// # Errors
/// When the head is of something else than JSON lines, or no line of it has all needed members.
pub(crate) fn layout(head: &Head<'_>, columns: &Columns) -> Result<Option<Layout>, HeaderError> {
    let text = without_mark(head.bytes);
    if text.trim_ascii_start().first() == Some(&b'[') {
        return Err(HeaderError::NotJsonLines("a JSON array"));
    }
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let is_line = |line: &&[u8]| !object::is_blank(line) && (head.is_whole || line.ends_with(b"\n"));
    let mut seen = Seen::default();
    for (number, line) in lines.filter(is_line).enumerate() {
        let names = names(line);
        if number == 0 && names.is_none() && is_part_of_document(line) {
            seen.may_be_document = true;
        } else if number == 1 && seen.may_be_document && names.is_none() {
            return Err(HeaderError::NotJsonLines("a JSON document spread over lines"));
        }
        let Some(names) = names else { continue };
        if columns.expected().iter().all(|needed| names.iter().any(|name| name == needed)) {
            let data_start = (head.bytes.len() - text.len()) as u64;
            return Ok(Some(Layout::JsonLines(JsonLines { members: columns.clone(), data_start })));
        }
        seen.add(names);
    }
    if head.is_whole || head.bytes.len() >= HEADER_BYTES_MAX {
        Err(seen.refusal(text, head.is_whole, columns))
    } else {
        Ok(None)
    }
}

/// The names of the members of the object that the line is.
fn names(line: &[u8]) -> Option<Vec<String>> {
    std::str::from_utf8(line).ok()?;
    let mut names = Vec::new();
    let name = |name: &[u8]| String::from_utf8_lossy(&decoded(name)).into_owned();
    for_each_member(line, |member| names.push(name(&line[member.name])))?;
    Some(names)
}

/// Whether a line looks like the beginning of an object that goes on in the next line.
fn is_part_of_document(line: &[u8]) -> bool {
    let goes_on = line.trim_ascii_end().last().is_some_and(|byte| b"{[,:".contains(byte));
    goes_on && first_value_end(line).is_none()
}

/// The end of the value that the line begins with.
fn first_value_end(line: &[u8]) -> Option<usize> {
    value_end(line, without_space(line, 0))
}

/// What lines without all needed members had.
#[derive(Default)]
struct Seen {
    /// Distinct, in the order in which they were found.
    names: Vec<String>,
    has_objects: bool,
    may_be_document: bool,
}

/// So many names are kept for a message.
const NAMES_MAX: usize = 100;

impl Seen {
    fn add(&mut self, names: Vec<String>) {
        self.has_objects = true;
        for name in names {
            if self.names.len() < NAMES_MAX && !self.names.contains(&name) {
                self.names.push(name);
            }
        }
    }

    fn refusal(self, text: &[u8], is_whole: bool, columns: &Columns) -> HeaderError {
        if !self.has_objects {
            return without_object(text, is_whole);
        }
        let expected = columns.expected();
        let is_missing = |name: &&&str| !self.names.iter().any(|found| found == *name);
        let missing: Vec<_> = expected.iter().filter(is_missing).copied().collect();
        let lack = match &missing[..] {
            [] => "though each is in some line".to_owned(),
            _ => format!("missing: {}", missing.join(", ")),
        };
        let found = if self.names.is_empty() { "none".to_owned() } else { shown(&self.names) };
        HeaderError::MissingMember { lack, found, expected: expected.join(", ") }
    }
}

/// Why text of which no line is an object is refused. More may follow it when it is not the whole.
fn without_object(text: &[u8], is_whole: bool) -> HeaderError {
    let mut lines = text.split(|byte| *byte == b'\n');
    let Some(first) = lines.find(|line| !object::is_blank(line)) else { return HeaderError::Empty };
    if is_utf16(text) {
        HeaderError::NotText("UTF-16")
    } else if has_several_objects(first) {
        HeaderError::NotJsonLines("JSON objects one behind the other in a line")
    } else if !is_whole && lines.next().is_none() {
        HeaderError::TooLong
    } else {
        HeaderError::NoJsonObject { first: shown_line(first) }
    }
}

/// Whether an object follows one that begins the line.
fn has_several_objects(line: &[u8]) -> bool {
    first_value_end(line).is_some_and(|end| line.get(without_space(line, end)) == Some(&b'{'))
}
