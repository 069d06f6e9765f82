//! Bytes of logs in, exact integers out: the hot loop of topshelf.
//!
//! Enters: which days are wanted and who is active on them ([`Wanted`]), the objects to read
//! ([`CountedObject`]) and a way to open them at an offset ([`Objects`]). Leaves: [`Counted`], the
//! counts of each day and what became of every line. The work is cut into (object, byte range)
//! slices that threads take in any order; each gives partial counts that merge by addition.
//!
//! This crate never lists or fetches objects, knows no URL, no clock and no async runtime, and
//! keeps no hash of a key in the key's place: ids are compared whole.

mod active;
mod bytes16;
mod count;
mod date;
mod event;
mod groups;
mod header;
mod json;
mod layout;
mod merge;
mod padded;
mod record;
mod rows;
mod slice;
mod slots;
mod stream;
mod structure;
mod table;
mod wanted;
mod zeroed;

pub use count::{CountError, Counted, CountedDay, CountedObject, Limits, ObjectDay, Objects, count};
pub use date::{DateFormat, DateFormatError, DayReader};
pub use header::{Columns, HEADER_BYTES_MAX, Header, HeaderError};
pub use layout::{Delimited, Head, JsonLines, Layout};
pub use record::RECORD_BYTES_MAX;
pub use wanted::{ActiveList, ObjectDays, Wanted, read_active_list};
