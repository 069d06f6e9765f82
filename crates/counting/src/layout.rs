//! How an object's records are written, and where the needed values are in them: told by its first bytes.

use crate::{
    header::{Columns, HEADER_BYTES_MAX, Header, HeaderError},
    json,
};
use serde::{Deserialize, Serialize};

/// How an object's records are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// Fields with a delimiter between them, behind a header line.
    Delimited(Delimited),
    /// One JSON object a line, and no header.
    JsonLines(JsonLines),
}

/// Where the needed fields of a record are, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delimited {
    /// What stands between fields.
    pub delimiter: u8,
    /// How many fields each record has.
    pub fields: usize,
    /// The advertiser's id.
    pub advertiser: usize,
    /// The product's id.
    pub product: Option<usize>,
    /// `impression` or `click`.
    pub kind: Option<usize>,
    /// The date or date-time.
    pub date: Option<usize>,
    /// Offset of the first byte after the header.
    pub data_start: u64,
    /// Physical lines that the header takes.
    pub header_lines: u64,
}

/// What the needed members are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonLines {
    /// The members, by name.
    pub members: Columns,
    /// Offset of the first byte after the byte-order mark.
    pub data_start: u64,
}

/// The start of an object.
#[derive(Debug, Clone, Copy)]
pub struct Head<'h> {
    /// The object's name, which decides where its bytes do not.
    pub name: &'h str,
    /// Its first bytes.
    pub bytes: &'h [u8],
    /// Whether there are no more.
    pub is_whole: bool,
}

impl Layout {
    /// Finds how an object is written and where the needed values are. Without a `delimiter` it may be a
    /// comma, a tab, a semicolon or a bar. None when the head does not tell: call again with a longer one, up
    /// to [`HEADER_BYTES_MAX`](crate::HEADER_BYTES_MAX).
    ///
    /// What begins with `{` is JSON. What does not is delimited text, unless it lacks the needed columns and
    /// is called JSON: then its first line is a bad one.
    ///
    /// # Errors
    /// [`HeaderError`] when the object cannot be the log that has these columns.
    pub fn read(
        head: &Head<'_>,
        delimiter: Option<u8>,
        columns: &Columns,
    ) -> Result<Option<Self>, HeaderError> {
        if json::is_json(head.bytes) {
            return json::layout(head, columns);
        }
        if json::is_blank(head.bytes) && head.bytes.len() < HEADER_BYTES_MAX {
            return if head.is_whole { Err(HeaderError::Empty) } else { Ok(None) };
        }
        let delimited = match Header::read(head.bytes, head.is_whole, delimiter) {
            Ok(Some(header)) => header.layout(columns).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match delimited {
            Err(HeaderError::Missing { .. } | HeaderError::BadQuoting) if json::is_name(head.name) => {
                json::layout(head, columns)
            }
            delimited => delimited,
        }
    }

    /// Offset of the first byte of the first record.
    #[must_use]
    pub fn data_start(&self) -> u64 {
        match self {
            Self::Delimited(layout) => layout.data_start,
            Self::JsonLines(layout) => layout.data_start,
        }
    }

    /// Physical lines before the first record.
    pub(crate) fn header_lines(&self) -> u64 {
        match self {
            Self::Delimited(layout) => layout.header_lines,
            Self::JsonLines(_) => 0,
        }
    }

    /// Whether a record may hold line endings when there is a quote in it.
    pub(crate) fn may_quote_line_endings(&self) -> bool {
        matches!(self, Self::Delimited(_))
    }
}
