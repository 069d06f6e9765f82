//! A published day in few pieces of memory: what a server holds, what it keeps on disk, and what a run keeps beside
//! its rows for servers to load.
//!
//! Advertisers and rankings go in, in byte order of the advertiser; rankings come out by the advertiser's place, as
//! the bytes that they are. A row takes about 15 bytes and no allocation. What was read from anywhere is checked
//! before it is held. Nothing here asks a database.

mod advertisers;
mod builder;
mod day;
mod kept;
mod parts;
mod ranking;
mod rankings;
mod stamp;

pub use advertisers::Advertisers;
pub use day::{PackedDay, SeenRun, UnpackedDay};
pub use ranking::{PackedRanking, Row, Rows};
pub use rankings::PackedRankings;
pub use stamp::DayStamp;

pub(crate) use builder::{DayBuilder, each_of};
pub(crate) use parts::{PARTS_FORMAT, PartsOfModel, parts};
pub(crate) use ranking::first_twice;

/// Why bytes or rankings are not a packed day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Corrupt(String);

impl Corrupt {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl From<&str> for Corrupt {
    fn from(what: &str) -> Self {
        Self::new(what)
    }
}
