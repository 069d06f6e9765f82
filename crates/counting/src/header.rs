//! The header line of delimited text: where the needed columns are.

use crate::{
    layout::{Delimited, Layout},
    record::{Field, Parsed, Shape, parse_record},
    wanted::example_text,
};
use serde::{Deserialize, Serialize};

/// The longest header, in bytes.
pub const HEADER_BYTES_MAX: usize = 1 << 20;

/// What the needed columns are called in the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The advertiser's id.
    pub advertiser_id: String,
    /// The product's id; none in a log of advertisers.
    pub product_id: Option<String>,
    /// `impression` or `click`; none in a log of views.
    pub kind: Option<String>,
    /// The date or date-time; none where the object's name tells the day, if the header lacks it.
    pub date: Option<String>,
    /// Whether `date` may be missing, since the object's name tells the day.
    pub date_is_optional: bool,
}

impl Columns {
    /// The names that the header must have, in the order of the contract.
    #[must_use]
    pub fn expected(&self) -> Vec<&str> {
        let names = self.names().into_iter().zip(self.are_expected());
        names.filter_map(|(name, is_expected)| name.filter(|_| is_expected)).collect()
    }

    /// Finds the needed columns among those of an object.
    ///
    /// # Errors
    /// [`HeaderError::Missing`] or [`HeaderError::Repeated`].
    pub fn find(&self, names: &[String]) -> Result<ColumnPlaces, HeaderError> {
        let place = |name: &String| self.place(name, names);
        let optional = |name: &Option<String>| name.as_ref().map(place).transpose();
        Ok(ColumnPlaces {
            advertiser: place(&self.advertiser_id)?,
            product: optional(&self.product_id)?,
            kind: optional(&self.kind)?,
            date: match optional(&self.date) {
                Err(HeaderError::Missing { .. }) if self.date_is_optional => None,
                found => found?,
            },
        })
    }

    fn place(&self, wanted: &str, names: &[String]) -> Result<usize, HeaderError> {
        let mut places = names.iter().enumerate().filter(|(_, name)| *name == wanted);
        match (places.next(), places.next()) {
            (Some((place, _)), None) => Ok(place),
            (Some(_), Some(_)) => Err(HeaderError::Repeated(wanted.to_owned())),
            (None, _) => Err(HeaderError::Missing {
                missing: wanted.to_owned(),
                found: shown(names),
                expected: self.expected().join(", "),
            }),
        }
    }

    /// All names, in the order of the contract.
    pub(crate) fn names(&self) -> [Option<&str>; 4] {
        let Self { advertiser_id, product_id, kind, date, .. } = self;
        [Some(advertiser_id), product_id.as_ref(), kind.as_ref(), date.as_ref()]
            .map(|name| name.map(String::as_str))
    }

    /// Which of the names must be there.
    pub(crate) fn are_expected(&self) -> [bool; 4] {
        let [advertiser, product, kind, date] = self.names().map(|name| name.is_some());
        [advertiser, product, kind, date && !self.date_is_optional]
    }
}

/// Where the needed columns are among an object's, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnPlaces {
    /// The advertiser's id.
    pub advertiser: usize,
    /// The product's id.
    pub product: Option<usize>,
    /// `impression` or `click`.
    pub kind: Option<usize>,
    /// The date or date-time.
    pub date: Option<usize>,
}

/// Why an object is not what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No byte at all.
    #[error("the object is empty: it has no header line")]
    Empty,
    /// The bytes are another format's or encoding's.
    #[error("the object looks like {0}, not text in UTF-8")]
    NotText(&'static str),
    /// A needed column is not there.
    #[error("no column {missing:?}; found: {found}; expected: {expected}")]
    Missing {
        /// The first missing column.
        missing: String,
        /// The columns found.
        found: String,
        /// The columns expected.
        expected: String,
    },
    /// A needed column is there twice.
    #[error("column {0:?} stands in the header more than once")]
    Repeated(String),
    /// The first line is no CSV record.
    #[error("the header line has bad quoting")]
    BadQuoting,
    /// The bytes are JSON, but not one record a line.
    #[error("the object looks like {0}, not JSON lines: one {{…}} a line")]
    NotJsonLines(&'static str),
    /// The bytes are JSON, but no line is a record.
    #[error("no line is a JSON object, the first is: {first}")]
    NoJsonObject {
        /// The start of the first line.
        first: String,
    },
    /// No record has all members that are needed.
    #[error("no line has all members that are needed, {lack}; found: {found}; expected: {expected}")]
    MissingMember {
        /// Which members are nowhere, or that each is somewhere.
        lack: String,
        /// The members found.
        found: String,
        /// The members expected.
        expected: String,
    },
    /// There is no end of the first line within [`HEADER_BYTES_MAX`].
    #[error("the first line does not end within {HEADER_BYTES_MAX} bytes")]
    TooLong,
}

/// The header line, read with each delimiter that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    readings: Vec<Reading>,
}

/// The names of the columns, and where the records begin.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    delimiter: u8,
    names: Vec<String>,
    data_start: u64,
    lines: u64,
}

/// Tried in this order when none is given.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

impl Header {
    /// Reads the header from an object's first bytes; `is_whole` when there are no more. Without a
    /// `delimiter` it may be a comma, a tab, a semicolon or a bar: [`Header::layout`] finds which.
    /// None when it does not end within `bytes`: call again with more, up to [`HEADER_BYTES_MAX`].
    ///
    /// # Errors
    /// [`HeaderError`] when the object cannot be CSV.
    pub fn read(bytes: &[u8], is_whole: bool, delimiter: Option<u8>) -> Result<Option<Self>, HeaderError> {
        if let Some(format) = other_format(bytes) {
            return Err(HeaderError::NotText(format));
        }
        let bom = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let text = &bytes[bom..];
        if text.is_empty() && is_whole {
            return Err(HeaderError::Empty);
        }
        let delimiters = delimiter.map_or(DELIMITERS.to_vec(), |delimiter| vec![delimiter]);
        let mut readings = Vec::new();
        for delimiter in delimiters {
            let mut fields = Vec::new();
            match parse_record(text, is_whole, delimiter, &mut |_, field: Field| fields.push(field)) {
                Parsed::More if bytes.len() >= HEADER_BYTES_MAX => return Err(HeaderError::TooLong),
                Parsed::More => return Ok(None),
                Parsed::Bad => {}
                Parsed::Record(Shape { end, .. }) => {
                    let name = |field: &Field| String::from_utf8_lossy(&field.value(text)).into_owned();
                    let lines = memchr::memchr_iter(b'\n', &text[..end]).count() as u64;
                    let names = fields.iter().map(name).collect();
                    readings.push(Reading { delimiter, names, data_start: (bom + end) as u64, lines });
                }
            }
        }
        if readings.is_empty() { Err(HeaderError::BadQuoting) } else { Ok(Some(Self { readings })) }
    }

    /// Finds the needed columns, with the first delimiter that lets them be found.
    ///
    /// # Errors
    /// [`HeaderError::Missing`] or [`HeaderError::Repeated`].
    pub fn layout(&self, columns: &Columns) -> Result<Layout, HeaderError> {
        let layouts = self.readings.iter().map(|reading| reading.layout(columns));
        // The delimiter that makes most columns is most likely the one that was meant.
        let likely = self.readings.iter().rev().max_by_key(|reading| reading.names.len());
        layouts
            .into_iter()
            .find_map(Result::ok)
            .map_or_else(|| likely.expect("a header has a reading").layout(columns), Ok)
    }
}

impl Reading {
    fn layout(&self, columns: &Columns) -> Result<Layout, HeaderError> {
        let ColumnPlaces { advertiser, product, kind, date } = columns.find(&self.names)?;
        Ok(Layout::Delimited(Delimited {
            delimiter: self.delimiter,
            fields: self.names.len(),
            advertiser,
            product,
            kind,
            date,
            data_start: self.data_start,
            header_lines: self.lines,
        }))
    }
}

/// The columns found, each cut where a message would become unreadable.
pub(crate) fn shown(names: &[String]) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(30)
        .map(|name| name.chars().take(60).flat_map(char::escape_debug).collect())
        .collect();
    if names.len() > 30 {
        shown.push(format!("… {} in all", names.len()));
    }
    shown.join(", ")
}

/// The start of a line, for a message: what cannot be seen is escaped, and quotes stay quotes.
pub(crate) fn shown_line(line: &[u8]) -> String {
    let escaped = |char: char| match char {
        '"' | '\'' => char.to_string(),
        _ => char.escape_debug().to_string(),
    };
    example_text(line).chars().map(escaped).collect()
}

/// Names the format whose signature the bytes carry, when it is none that is read here.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 8] = [
        (b"\x1F\x8B", "gzip"),
        (b"\x28\xB5\x2F\xFD", "zstd"),
        (b"PAR1", "Parquet"),
        (b"\xFF\xFE", "UTF-16"),
        (b"\xFE\xFF", "UTF-16"),
        (b"PK\x03\x04", "a zip archive"),
        (b"BZh", "bzip2"),
        (b"Obj\x01", "Avro"),
    ];
    let signed = SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)).map(|(_, name)| *name);
    let first_line = &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())];
    let without_signature = || memchr::memchr(0, first_line).map(|_| "binary data");
    signed.or_else(|| is_utf16(bytes).then_some("UTF-16")).or_else(without_signature)
}

/// Whether text without a signature begins with two ASCII characters of UTF-16.
pub(crate) fn is_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [1..128, 0, 1..128, 0, ..] | [0, 1..128, 0, 1..128, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ads() -> Columns {
        Columns {
            advertiser_id: "advertiser_id".into(),
            product_id: Some("product_id".into()),
            kind: Some("type".into()),
            date: Some("date".into()),
            date_is_optional: false,
        }
    }

    fn check(text: &[u8], expected: Result<(usize, usize, usize, usize, u64), &str>) {
        let layout = Header::read(text, true, None).and_then(|header| header.expect("whole").layout(&ads()));
        let seen = layout.map(|layout| {
            let Layout::Delimited(at) = layout else { panic!("a header is of delimited text") };
            (at.advertiser, at.product.unwrap(), at.kind.unwrap(), at.date.unwrap(), at.data_start)
        });
        assert_eq!(seen.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn columns_are_found_by_name() {
        check(b"advertiser_id,product_id,type,date\n", Ok((0, 1, 2, 3, 35)));
        check(b"\xEF\xBB\xBFdate,x,\"type\",product_id,advertiser_id\r\nrow", Ok((4, 3, 2, 0, 43)));
        check(b"advertiser_id\tproduct_id\ttype\tdate\tx,y", Ok((0, 1, 2, 3, 38)));
        check(b"\"advertiser_id\";product_id;type;a|b;date\n", Ok((0, 1, 2, 4, 41)));
        check(b"date,\"a \"\"b\n\",type,product_id,advertiser_id", Ok((4, 3, 2, 0, 43)));
    }

    #[test]
    fn what_is_no_log_is_refused_by_name() {
        check(b"", Err("the object is empty: it has no header line"));
        check(b"\x1F\x8B\x08", Err("the object looks like gzip, not text in UTF-8"));
        check(b"a\0b\n", Err("the object looks like binary data, not text in UTF-8"));
        check(
            b"advertiser_id:product_id:type:date\n",
            Err(
                "no column \"advertiser_id\"; found: advertiser_id:product_id:type:date; expected: advertiser_id, product_id, type, date",
            ),
        );
        check(
            b"advertiser_id;product,id;kind;date\n",
            Err(
                "no column \"product_id\"; found: advertiser_id, product,id, kind, date; expected: advertiser_id, product_id, type, date",
            ),
        );
        check(
            b"advertiser_id,product_id,date,type,date\n",
            Err("column \"date\" stands in the header more than once"),
        );
        check(b"advertiser_id,\"product_id,type,date\n", Err("the header line has bad quoting"));
    }

    #[test]
    fn a_header_may_need_more_bytes() {
        assert_eq!(Header::read(b"advertiser_id,prod", false, None), Ok(None));
    }
}
