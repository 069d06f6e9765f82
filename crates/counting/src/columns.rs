//! Rows that come column by column, as Parquet has them: the shapes in which [`crate::count`] takes them.
//!
//! A batch borrows what its reader decoded. Nothing is looked at here: which texts are ids, and which
//! numbers are days, is for the rules that lines of text obey too.

use crate::date::Unit;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use std::io;

/// The rows of one row group, some at a time and in order.
pub trait RowBatches {
    /// The next rows, of which there is at least one; none behind the last.
    ///
    /// # Errors
    /// When they cannot be read.
    fn next_batch(&mut self) -> io::Result<Option<RowBatch<'_>>>;
}

/// Rows of the needed columns.
#[derive(Debug, Clone, Copy)]
pub struct RowBatch<'b> {
    /// How many; each column has as many values.
    pub rows: usize,
    /// The advertisers' ids.
    pub advertiser: Texts<'b>,
    /// The products' ids; none in a log of advertisers.
    pub product: Option<Texts<'b>>,
    /// `impression` or `click`; none in a log of views.
    pub kind: Option<Texts<'b>>,
    /// The dates; none where the object's name tells the day.
    pub date: Option<Dates<'b>>,
}

/// The values of a column.
#[derive(Debug, Clone, Copy)]
pub enum Values<'b, T> {
    /// Row by row.
    Each(&'b [T]),
    /// By their place among the different ones.
    Keys {
        /// Row by row: an index of `entries`, or their number for a null.
        keys: &'b [u32],
        /// The values that keys stand for.
        entries: &'b [T],
        /// Another number within a row group and a column, other entries.
        dictionary: u64,
    },
}

impl<T: Copy> Values<'_, T> {
    /// How many rows they are of.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Each(values) => values.len(),
            Self::Keys { keys, .. } => keys.len(),
        }
    }

    /// The value of a row, or `null`.
    pub(crate) fn of(&self, row: usize, null: T) -> T {
        match self {
            Self::Each(values) => values[row],
            Self::Keys { keys, entries, .. } => entries.get(keys[row] as usize).copied().unwrap_or(null),
        }
    }
}

/// Text, or bytes that ought to be text.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'b> {
    /// Where the texts lie.
    pub bytes: &'b [u8],
    /// Where in `bytes` each lies.
    pub values: Values<'b, Span>,
}

impl<'b> Texts<'b> {
    /// The text of a row; a null has none.
    pub(crate) fn of(&self, row: usize) -> &'b [u8] {
        let span = self.values.of(row, NO_TEXT);
        if span == NO_TEXT { &[] } else { text_at(self.bytes, span) }
    }
}

/// Where a text lies among the bytes of its column: its first byte, and how many it has; or [`NO_TEXT`].
pub type Span = (u32, u32);

/// The span of a null.
pub const NO_TEXT: Span = (0, u32::MAX);

/// The bytes of a text that is not null.
pub(crate) fn text_at(bytes: &[u8], (start, length): Span) -> &[u8] {
    &bytes[start as usize..][..length as usize]
}

/// A column of dates or date-times. Where it holds numbers, [`NO_DATE`] is a null.
#[derive(Debug, Clone, Copy)]
pub enum Dates<'b> {
    /// As they are written in lines of text.
    Text(Texts<'b>),
    /// Days since 1970-01-01.
    Days(Values<'b, i64>),
    /// Time since 1970-01-01T00:00:00Z, to be taken in the zone.
    Instants(Values<'b, i64>, Unit),
    /// Time since 1970-01-01T00:00:00 on a clock of no zone, to be taken as it stands.
    Civil(Values<'b, i64>, Unit),
}

/// A number that is no date in any unit.
pub const NO_DATE: i64 = i64::MIN;

impl Dates<'_> {
    /// How many rows they are of.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Text(texts) => texts.values.rows(),
            Self::Days(values) | Self::Instants(values, _) | Self::Civil(values, _) => values.rows(),
        }
    }

    /// The date of a row as text, or the number in its place when it is none.
    fn written(&self, row: usize) -> Vec<u8> {
        let (number, text) = match self {
            Self::Text(texts) => return texts.of(row).to_vec(),
            Self::Days(values) => {
                let days = values.of(row, NO_DATE);
                let date = jiff::Span::new()
                    .try_days(days)
                    .and_then(|days| Date::constant(1970, 1, 1).checked_add(days));
                (days, date.map(|date| date.to_string()))
            }
            Self::Civil(values, unit) => {
                let count = values.of(row, NO_DATE);
                let time = Timestamp::from_second(unit.seconds(count));
                (count, time.map(|time| time.to_zoned(TimeZone::UTC).datetime().to_string()))
            }
            Self::Instants(values, unit) => {
                let count = values.of(row, NO_DATE);
                (count, Timestamp::from_second(unit.seconds(count)).map(|time| time.to_string()))
            }
        };
        let text = text.unwrap_or_else(|_| number.to_string());
        if number == NO_DATE { Vec::new() } else { text.into_bytes() }
    }
}

impl RowBatch<'_> {
    /// A row as a line of text might have it, for people to read.
    pub(crate) fn line(&self, row: usize) -> Vec<u8> {
        let texts = [Some(&self.advertiser), self.product.as_ref(), self.kind.as_ref()];
        let mut fields: Vec<_> = texts.into_iter().flatten().map(|texts| texts.of(row).to_vec()).collect();
        fields.extend(self.date.as_ref().map(|date| date.written(row)));
        fields.join(&b',')
    }

    /// Whether each column has the batch's rows.
    pub(crate) fn is_whole(&self) -> bool {
        let texts = [Some(self.advertiser), self.product, self.kind];
        let mut rows = texts.iter().flatten().map(|texts| texts.values.rows());
        rows.all(|rows| rows == self.rows) && self.date.is_none_or(|date| date.rows() == self.rows)
    }
}
