//! Two readings of the same logs: counting's, and a naive one beside it; and a comparison of the two.
//!
//! Both tell what they read as text, so that a difference is a line. The tests beside this folder and the
//! fuzz targets `csv` and `json` use the same readings.

pub(crate) mod case;
pub(crate) mod naive;
pub(crate) mod ours;
pub(crate) mod told;

use counting::{Columns, Head, HeaderError, Layout, ObjectDays};
use domain::{AdvertiserId, Day, Log};

/// An object of a log, in memory.
#[derive(Debug, Clone)]
pub(crate) struct LogObject {
    pub(crate) log: Log,
    pub(crate) days: ObjectDays,
    /// With its header line, if it has one.
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

    /// How it is written, or why it cannot be the log.
    pub(crate) fn layout(&self) -> Result<Layout, HeaderError> {
        let layout = self.layout_of_part(self.bytes.len())?;
        Ok(layout.expect("a whole object tells"))
    }

    /// The same, from its first bytes; none when they do not tell.
    pub(crate) fn layout_of_part(&self, end: usize) -> Result<Option<Layout>, HeaderError> {
        let head = Head { name: "log", bytes: &self.bytes[..end], is_whole: end == self.bytes.len() };
        Layout::read(&head, self.delimiter, &self.columns())
    }
}

/// The wanted days, each with its active advertisers.
pub(crate) type Active = [(Day, Vec<AdvertiserId>)];
