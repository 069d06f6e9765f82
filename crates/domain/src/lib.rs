//! The words of topshelf as types.
//!
//! Every other crate speaks in these: ids, days, counts, rankings, runs, and the tallies that say
//! what became of every line that was read. Nothing here does I/O, looks at a clock, or is async.

mod block;
mod counts;
mod day;
mod id;
mod log;
mod ranking;
mod run;

pub use block::{CountsBlock, CountsSlice};
pub use counts::{Counts, Ctr};
pub use day::{Day, DayError, DayRange};
pub use id::{AdvertiserId, ID_BYTES_MAX, IdError, ProductId};
pub use log::{Log, RejectExample, RejectReason, Rejects, Tally};
pub use ranking::{DayRankings, ModelName, ModelRankings, RankedProduct, Ranking};
pub use run::{RunId, RunIdError};
