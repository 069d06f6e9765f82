//! What stages leave behind on object storage: counts and rankings of each day, with manifests.
//!
//! ```text
//! counts/day=2024-11-20/counts-<digest>.parquet       advertiser_id, product_id, impressions, clicks, views;
//!                                                     one or several, in order of advertiser, then product
//! counts/day=2024-11-20/advertisers-<digest>.parquet  advertiser_id, impressions, clicks, views, unseen_clicks: every
//!                                                     active advertiser, and what its products come to
//! counts/day=2024-11-20/manifest.json
//! rankings/day=2024-11-20/model=TopCTR/rankings-<digest>.parquet
//! rankings/day=2024-11-20/model=TopCTR/manifest.json
//! ```
//!
//! Data objects are named by the SHA-256 of their bytes, so none is overwritten by another (only
//! by itself); the manifest, written last in one put, is the commit, and then what the
//! manifest before it named is deleted. What writes that were killed left behind is swept. A reader reads the manifest and
//! then exactly what it names, checks size and digest, and begins anew when a commit replaced them meanwhile. The same counts and rankings give the same
//! bytes: no clock, run or place is in them. Nothing here counts, ranks or publishes.

mod commit;
mod counts;
mod days;
mod error;
mod in_order;
mod manifest;
mod parquet_file;
pub mod probe;
mod rankings;
mod sweep;

pub use counts::{AdvertiserTotals, CountsReader, CountsThere, NewCounts};
pub use error::{LakeError, WriteCountsError};
pub use manifest::{CountsInput, CountsManifest, DataObject, LogInput, ObjectInput, RankingsManifest};

use object_store::{ObjectStore, path::Path};
use std::{fmt, path::PathBuf, sync::Arc};

/// The lake: a place on object storage that stages write to and read from.
#[derive(Clone)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
    directory: Option<PathBuf>,
}

impl Lake {
    /// The lake below `prefix` of the store; `url` names the place in messages.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path, url: &str) -> Self {
        Self { store, prefix, url: url.trim_end_matches('/').to_owned(), directory: None }
    }

    /// The same lake, which lies in a directory: only there are files that are no objects yet.
    #[must_use]
    pub fn in_directory(mut self, directory: Option<PathBuf>) -> Self {
        self.directory = directory;
        self
    }

    /// The place as messages name it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lake({})", self.url)
    }
}
