//! Parquet objects: their columns and row groups as the footer has them, and the rows of one row group.
//!
//! Of an object only the footer and the column chunks that are asked for are read. The footer is decoded
//! by the `parquet` crate, the pages here: what they hold stays as it is written, texts where they lie in
//! a page, dictionaries beside their keys. Nothing here knows which column means what.
//!
//! Bytes are not taken for what a footer and pages say they are before that is checked: lengths, numbers
//! of rows, keys, places. What Parquet itself cannot tell is whether a byte of a value was changed, unless
//! its page has a checksum.

mod chunk;
mod codec;
mod column;
mod delta;
mod footer;
mod hybrid;
mod outline;
mod page;
mod page_header;
mod row_groups;
mod rows;
mod thrift;

pub use column::{ColumnKind, ColumnUse, TimeUnit};
pub use footer::{DateRange, ParquetFooter, ParquetObject};
pub use row_groups::RowGroups;
pub use rows::{ColumnRows, Keys, RowGroupReader, RowValues};

use crate::{Location, ObjectInfo, SourceError};
use parquet::errors::ParquetError;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The bytes with which a Parquet object begins and ends.
const MAGIC: &[u8; 4] = b"PAR1";
/// The same of one whose footer is encrypted.
const MAGIC_ENCRYPTED: &[u8; 4] = b"PARE";

/// Whether an object that begins so says that it is Parquet.
#[must_use]
pub fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(MAGIC) || head.starts_with(MAGIC_ENCRYPTED)
}

/// Why bytes are not what they should be.
#[derive(Debug, PartialEq, Eq)]
struct Broken(String);

/// Why rows could not be read.
#[derive(Debug)]
enum Failure {
    /// The object is broken.
    Broken(Broken),
    /// Its bytes could not be had.
    Unread(io::Error),
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unread(error)
    }
}

impl Failure {
    fn of(self, location: &Location, object: &ObjectInfo) -> SourceError {
        match self {
            Self::Broken(Broken(reason)) => {
                SourceError::Damaged { url: location.object_url(&object.name), format: "Parquet", reason }
            }
            Self::Unread(error) => chunk::unread(location, object, error),
        }
    }
}

/// Bytes behind a page's last one that may be looked at with it: whoever reads several at a time needs no
/// other way for the last of them.
const PADDING_BYTES: usize = 16;

/// What the `parquet` crate makes of bytes that may be anything. It checks much of what it reads, and
/// panics at some of the rest: then the object is as broken as when it says so. Nothing outlives the
/// panic that it could have left half done. What no panic tells, memory that is not there and too deep
/// recursion, is for [`outline`] to keep away.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Broken> {
    let read = catch_unwind(AssertUnwindSafe(read));
    let read = read.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(ParquetError::General(text.unwrap_or_else(|| "it makes no sense".to_owned())))
    });
    read.map_err(|error| match error {
        ParquetError::General(reason) | ParquetError::EOF(reason) | ParquetError::NYI(reason) => {
            Broken(reason)
        }
        error => Broken(error.to_string()),
    })
}
