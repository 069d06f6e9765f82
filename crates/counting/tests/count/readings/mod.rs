//! Two readings of the same logs: counting's, and a naive one beside it; and a comparison of the two.
//!
//! Both tell what they read as text, so that a difference is a line. The tests beside this folder and the
//! fuzz target `csv` use the same readings.

pub(crate) mod case;
pub(crate) mod naive;
pub(crate) mod ours;
pub(crate) mod told;

use counting::{Columns, ObjectDays};
use domain::{AdvertiserId, Day, Log};

/// An object of a log, in memory.
#[derive(Debug, Clone)]
pub(crate) struct LogObject {
    pub(crate) log: Log,
    pub(crate) days: ObjectDays,
    /// With its header line.
    pub(crate) bytes: Vec<u8>,
    /// What stands between fields; none when the header is to tell.
    pub(crate) delimiter: Option<u8>,
    /// Whether it can only be read from its start to its end.
    pub(crate) is_stream: bool,
}

impl LogObject {
    /// What its columns are called.
    pub(crate) fn columns(&self) -> Columns {
        Columns {
            advertiser_id: "advertiser_id".into(),
            product_id: Some("product_id".into()),
            kind: (self.log == Log::AdsViews).then(|| "type".into()),
            date: Some("date".into()),
            date_is_optional: self.days != ObjectDays::Any,
        }
    }
}

/// The wanted days, each with its active advertisers.
pub(crate) type Active = [(Day, Vec<AdvertiserId>)];
