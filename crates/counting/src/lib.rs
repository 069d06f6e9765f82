//! Bytes of logs in, exact integers out: the hot loop of topshelf.
//!
//! Enters: which days are wanted and who is active on them ([`Wanted`]), the objects to read
//! ([`CountedObject`]) and a way to open them at an offset ([`Objects`]). Leaves: [`Counted`], the
//! counts of each day and what became of every line. The work is cut into (object, byte range)
//! slices, and where rows come column by column into row groups, that threads take in any order; each
//! gives partial counts that merge by addition.
//!
//! This crate never lists or fetches objects, knows no URL, no clock and no async runtime, and
//! keeps no hash of a key in the key's place: ids are compared whole.

mod active;
mod bytes16;
mod codes;
mod columns;
mod count;
mod date;
mod date_bounds;
mod event;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzed;
mod groups;
mod header;
mod instructions;
mod json;
mod layout;
mod lines;
mod memory;
mod merge;
mod padded;
mod record;
mod room;
mod row_group;
mod rows;
mod run;
mod slice;
mod slots;
mod sorted;
mod spread;
#[doc(hidden)]
pub mod stages;
mod stream;
mod structure;
mod table;
mod wanted;
mod zeroed;

pub use columns::{Dates, NO_DATE, NO_TEXT, RowBatch, RowBatches, Span, Texts, Values};
pub use count::{
    Content, CountError, Counted, CountedDay, CountedObject, Limits, ObjectDay, Objects, RowGroup, count,
    ranges,
};
pub use date::{DateFormat, DateFormatError, DayReader, Unit};
pub use date_bounds::DateBounds;
pub use header::{ColumnPlaces, Columns, HEADER_BYTES_MAX, Header, HeaderError};
pub use instructions::Instructions;
pub use layout::{Delimited, Head, JsonLines, Layout};
pub use memory::{Memory, table_bytes_min};
pub use merge::{CountsPart, DayCounts};
pub use record::RECORD_BYTES_MAX;
pub use run::{SpillFile, SpillPlace};
pub use sorted::SortedSums;
pub use spread::{CountedParts, Gathering, Part, Piece, Report, count_parts, parts};
pub use wanted::{ActiveList, ObjectDays, Wanted, read_active_list, read_active_rows};
