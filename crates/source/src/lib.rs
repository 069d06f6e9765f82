//! Where the logs lie, which objects the days asked for need, and their bytes.
//!
//! A [`Location`] is a directory or a bucket prefix. [`plan`] lists the objects of one log that may
//! hold lines of the days asked for. A [`Reading`] hands out their bytes as blocking readers, from any
//! offset, and fetches ahead of them what lies in a bucket. An object that changes between the plan and
//! the last byte is an error that names it. [`Location::decompressed`] unpacks what is compressed,
//! [`RowGroups`] reads the rows of Parquet objects. Nothing here knows what a log's line is, writes an
//! object, or keeps a large one in memory.

mod aws;
mod compression;
mod credentials;
mod error;
mod exchange;
mod listing;
mod location;
mod parquet;
mod pattern;
mod plan;
pub mod probe;
mod reader;

pub use aws::{AwsKeys, AwsSettings};
pub use compression::{Compression, Head};
pub use error::{Cause, NoObject, SourceError};
pub use location::{Location, ObjectInfo};
pub use parquet::{
    ColumnKind, ColumnRows, ColumnUse, DateRange, Keys, ParquetFooter, ParquetObject, RowGroupReader,
    RowGroups, RowValues, TimeUnit, is_parquet,
};
pub use pattern::{LogPattern, PatternError};
pub use plan::{ObjectDays, PlannedObject, named, plan};
pub use reader::{ReadLimits, ReadStats, Reading};
