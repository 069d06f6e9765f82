//! One CSV record at a time, exactly: RFC 4180 with its rare cases. The slower path of the hot loop.
//!
//! A record is fields separated by a delimiter, mostly a comma, and ended by `\n` or `\r\n`. A field that begins with a
//! quote runs to the next single quote, two quotes inside it stand for one, and it may hold delimiters
//! and line breaks. A quote anywhere else, or text behind a closing quote, is bad quoting. **A bad
//! record costs its first physical line only**: reading goes on with the line after it, so a stray
//! quote never swallows its neighbours.

use domain::RejectReason;
use std::borrow::Cow;

/// The longest record, in bytes with its line ending; a longer one is rejected. Short for a fuzzer.
pub const RECORD_BYTES_MAX: usize = if cfg!(fuzzing) { 600 } else { 1 << 20 };

/// A field's place in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Field {
    start: usize,
    end: usize,
    has_escapes: bool,
}

impl Field {
    /// The field's bytes, with doubled quotes made single.
    pub(crate) fn value(self, buffer: &[u8]) -> Cow<'_, [u8]> {
        let raw = &buffer[self.start..self.end];
        if !self.has_escapes {
            return Cow::Borrowed(raw);
        }
        let mut value = Vec::with_capacity(raw.len());
        let mut bytes = raw.iter();
        while let Some(byte) = bytes.next() {
            value.push(*byte);
            if *byte == b'"' {
                bytes.next();
            }
        }
        Cow::Owned(value)
    }
}

/// A record that was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How many fields it has.
    pub(crate) fields: usize,
    /// One past its line ending.
    pub(crate) end: usize,
    /// Whether the line has no text at all.
    pub(crate) is_blank: bool,
}

/// What the bytes at the start of a buffer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A record.
    Record(Shape),
    /// Bad quoting.
    Bad,
    /// The record does not end within the buffer.
    More,
}

/// What to do with the bytes at the start of a buffer, whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextRecord {
    /// A record of at most [`RECORD_BYTES_MAX`] bytes.
    Record(Shape),
    /// No record: the line is to be skipped up to its end, `line_end`, or, when none, up to the
    /// first line ending behind the buffer.
    Rejected { reason: RejectReason, line_end: Option<usize> },
    /// More bytes are needed to tell.
    More,
}

/// Parses the record at the start of `buffer`, however long, with the same answer for any buffer
/// that is long enough to give one.
pub(crate) fn next_record(
    buffer: &[u8],
    is_end: bool,
    delimiter: u8,
    on_field: &mut impl FnMut(usize, Field),
) -> NextRecord {
    let is_cut = buffer.len() > RECORD_BYTES_MAX;
    let window = if is_cut { &buffer[..RECORD_BYTES_MAX] } else { buffer };
    match parse_record(window, is_end && !is_cut, delimiter, on_field) {
        Parsed::Record(shape) => NextRecord::Record(shape),
        Parsed::More if !is_cut => NextRecord::More,
        Parsed::More => rejected(buffer, RejectReason::LineTooLong),
        Parsed::Bad => rejected(buffer, RejectReason::BadQuoting),
    }
}

pub(crate) fn rejected(buffer: &[u8], reason: RejectReason) -> NextRecord {
    NextRecord::Rejected { reason, line_end: memchr::memchr(b'\n', buffer).map(|at| at + 1) }
}

/// Parses the record at the start of `buffer`, telling `on_field` each field with its number.
/// `is_end` says that no bytes follow the buffer: the record then ends with it.
pub(crate) fn parse_record(
    buffer: &[u8],
    is_end: bool,
    delimiter: u8,
    on_field: &mut impl FnMut(usize, Field),
) -> Parsed {
    let mut at = 0;
    let mut fields = 0;
    loop {
        let is_quoted = buffer.get(at) == Some(&b'"');
        let scan = if is_quoted { quoted } else { unquoted };
        let scanned = scan(buffer, at, is_end, delimiter);
        let (field, next) = match scanned {
            Scanned::Field(field, next) => (field, next),
            Scanned::Bad => return Parsed::Bad,
            Scanned::More => return Parsed::More,
        };
        on_field(fields, field);
        fields += 1;
        match next {
            Next::Field(start) => at = start,
            Next::End(end) => {
                let is_blank = fields == 1 && !is_quoted && field.start == field.end;
                return Parsed::Record(Shape { fields, end, is_blank });
            }
        }
    }
}

enum Next {
    Field(usize),
    End(usize),
}

enum Scanned {
    Field(Field, Next),
    Bad,
    More,
}

fn unquoted(buffer: &[u8], start: usize, is_end: bool, delimiter: u8) -> Scanned {
    let found = memchr::memchr3(delimiter, b'\n', b'"', &buffer[start..]);
    let end = found.map_or(buffer.len(), |offset| start + offset);
    let without_cr = if buffer[start..end].ends_with(b"\r") { end - 1 } else { end };
    let field = |end| Field { start, end, has_escapes: false };
    match buffer.get(end) {
        Some(found) if *found == delimiter => Scanned::Field(field(end), Next::Field(end + 1)),
        Some(b'\n') => Scanned::Field(field(without_cr), Next::End(end + 1)),
        Some(_) => Scanned::Bad,
        None if is_end => Scanned::Field(field(without_cr), Next::End(end)),
        None => Scanned::More,
    }
}

fn quoted(buffer: &[u8], open: usize, is_end: bool, delimiter: u8) -> Scanned {
    let start = open + 1;
    let mut at = start;
    let mut has_escapes = false;
    let close = loop {
        let Some(offset) = memchr::memchr(b'"', &buffer[at..]) else {
            return if is_end { Scanned::Bad } else { Scanned::More };
        };
        let quote = at + offset;
        match buffer.get(quote + 1) {
            Some(b'"') => {
                has_escapes = true;
                at = quote + 2;
            }
            None if !is_end => return Scanned::More,
            _ => break quote,
        }
    };
    let field = Field { start, end: close, has_escapes };
    let after = &buffer[close + 1..];
    match after {
        [next, ..] if *next == delimiter => Scanned::Field(field, Next::Field(close + 2)),
        [b'\n', ..] => Scanned::Field(field, Next::End(close + 2)),
        [b'\r', b'\n', ..] => Scanned::Field(field, Next::End(close + 3)),
        [] | [b'\r'] if is_end => Scanned::Field(field, Next::End(buffer.len())),
        [b'\r'] => Scanned::More,
        _ => Scanned::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let mut fields = Vec::new();
        let parsed = next_record(text.as_bytes(), true, b',', &mut |_, field| fields.push(field));
        let seen = match parsed {
            NextRecord::Record(shape) if shape.is_blank => format!("blank to {}", shape.end),
            NextRecord::Record(shape) => {
                let values: Vec<_> = fields
                    .iter()
                    .map(|field| String::from_utf8(field.value(text.as_bytes()).into()).unwrap())
                    .collect();
                format!("{values:?} to {}", shape.end)
            }
            NextRecord::Rejected { reason, line_end } => format!("{reason}, line ends {line_end:?}"),
            NextRecord::More => "more".to_owned(),
        };
        assert_eq!(seen, expected, "{text:?}");
    }

    #[test]
    fn records_end_at_either_line_ending_or_the_end() {
        check("a,b\nc", r#"["a", "b"] to 4"#);
        check("a,b\r\nc", r#"["a", "b"] to 5"#);
        check("a,b", r#"["a", "b"] to 3"#);
        check("a\rb,c\n", r#"["a\rb", "c"] to 6"#);
        check(",\n", r#"["", ""] to 2"#);
        check("a,", r#"["a", ""] to 2"#);
        check("\n", "blank to 1");
        check("\r\nx", "blank to 2");
        check("\"\"\n", r#"[""] to 3"#);
    }

    #[test]
    fn quotes_hold_commas_line_breaks_and_doubled_quotes() {
        check("\"a,\"\"b\"\"\n\",c\r\n", r#"["a,\"b\"\n", "c"] to 14"#);
        check("x,\"y\"", r#"["x", "y"] to 5"#);
        check("x,\"y\"\r", r#"["x", "y"] to 6"#);
    }

    #[test]
    fn bad_quoting_costs_one_physical_line() {
        check("5\" screen,b\nc\n", "bad quoting, line ends Some(12)");
        check("\"a\"b,c\nd\n", "bad quoting, line ends Some(7)");
        check("\"never closed,b\nc,d\n", "bad quoting, line ends Some(16)");
    }

    #[test]
    fn an_unfinished_record_asks_for_more() {
        for text in ["a,b", "\"a", "\"a\"", "\"a\"\r", "a,\"b\"\"c"] {
            let parsed = next_record(text.as_bytes(), false, b',', &mut |_, _| ());
            assert_eq!(parsed, NextRecord::More, "{text:?}");
        }
    }

    #[test]
    fn a_record_may_have_so_many_bytes_and_no_more() {
        let whole = format!("{}\n", "x".repeat(RECORD_BYTES_MAX - 1));
        let shape = Shape { fields: 1, end: RECORD_BYTES_MAX, is_blank: false };
        assert_eq!(next_record(whole.as_bytes(), false, b',', &mut |_, _| ()), NextRecord::Record(shape));
        let long = format!("{}\n", "x".repeat(RECORD_BYTES_MAX));
        for (bytes, line_end) in [(long.len(), Some(long.len())), (long.len() - 1, None)] {
            let (next, reason) = (&long.as_bytes()[..bytes], RejectReason::LineTooLong);
            let next = next_record(next, false, b',', &mut |_, _| ());
            let expected =
                if line_end.is_none() { NextRecord::More } else { NextRecord::Rejected { reason, line_end } };
            assert_eq!(next, expected, "{bytes} bytes");
        }
    }
}
