//! The bytes of planned objects, from any offset to their ends.
//!
//! A [`Reading`] hands out blocking readers to several threads. From a bucket it fetches ahead of all of
//! them: they say what they will read in which order, and it keeps as many requests on their way as bring
//! more bytes, within a bound of bytes in memory. Every answer is compared with what was planned: an object
//! that was replaced, truncated or deleted meanwhile is [`SourceError::Changed`], never a silent end or a
//! mixture.

mod ahead;
mod bucket;
mod concurrency;
mod file;
mod part;
mod unchanged;

pub use ahead::{ReadLimits, ReadStats};

use crate::{Location, ObjectInfo, SourceError, location::Place};
use bucket::{BucketReader, Fetcher};
use bytes::Bytes;
use file::FileReader;
use std::{io::Read, ops::Range, sync::Arc};
use tokio::runtime::Handle;

/// Bytes ahead of each thread that reads: what it counts in the time that a store takes to answer.
const BYTES_PER_THREAD: u64 = 32 << 20;
/// The least and the most requests at a time, however many threads read.
const REQUESTS: Range<usize> = 128..512;
const REQUESTS_PER_THREAD: usize = 64;

impl ReadLimits {
    /// As much as is of use to so many threads that read at a time.
    #[must_use]
    pub fn for_threads(threads: usize) -> Self {
        let threads = threads.max(1);
        let requests_max = REQUESTS_PER_THREAD.saturating_mul(threads).clamp(REQUESTS.start, REQUESTS.end);
        Self { bytes_max: BYTES_PER_THREAD.saturating_mul(threads as u64), requests_max }
    }

    /// The same in at most so much memory.
    #[must_use]
    pub fn within(self, memory_bytes: u64) -> Self {
        Self { bytes_max: self.bytes_max.min(memory_bytes / 5 * 4), ..self }
    }

    /// The memory that this comes to, with what connections hold beside it.
    #[must_use]
    pub fn memory_bytes(self) -> u64 {
        self.bytes_max / 4 * 5
    }
}

/// Readers of a location's objects that share what is read ahead. Dropped with its readers, it cancels
/// what is on its way. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    location: Location,
    /// None in a directory, where the operating system reads ahead.
    fetcher: Option<Arc<Fetcher>>,
}

impl Reading {
    /// Nothing is requested before something is asked for or expected.
    #[must_use]
    pub fn new(location: &Location, limits: ReadLimits, runtime: &Handle) -> Self {
        let fetcher = match location.place() {
            Place::Directory(_) => None,
            Place::Bucket(_) => Some(Arc::new(Fetcher::new(location.clone(), limits, runtime.clone()))),
        };
        Self { location: location.clone(), fetcher }
    }

    /// Where the objects lie.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Whether each object's beginning costs a request, and its time.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.fetcher.is_some()
    }

    /// Says which ranges will be opened, in about this order, each as it will be given to
    /// [`Reading::open`]: they are fetched ahead from now on. To be called once, when all beginnings that
    /// are wanted were read.
    pub fn expect<'o>(&self, ranges: impl IntoIterator<Item = (&'o ObjectInfo, Range<u64>)>) {
        if let Some(fetcher) = &self.fetcher {
            fetcher.expect(ranges.into_iter());
        }
    }

    /// A blocking reader of `object` from the range's start to the object's end, for a caller that wants
    /// little of what is behind the range: only the range is read ahead.
    ///
    /// It is for plain threads: reading inside an async task would hold up others. Dropped early, it
    /// cancels its requests. What it reports as [`std::io::Error`] holds a [`SourceError`], see
    /// [`SourceError::of_read`].
    ///
    /// # Errors
    /// [`SourceError`] when the object cannot be opened or is not the planned one any more.
    pub fn open(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Box<dyn Read + Send>, SourceError> {
        match (self.location.place(), &self.fetcher) {
            (_, Some(fetcher)) => Ok(Box::new(BucketReader::open(fetcher, object, range))),
            (Place::Directory(root), None) => {
                Ok(Box::new(FileReader::open(&self.location, root, object, range.start)?))
            }
            (Place::Bucket(_), None) => unreachable!("a bucket's reading has a fetcher"),
        }
    }

    /// The first `n` bytes of an object, or all when it has fewer. A small one is fetched whole, and the
    /// rest kept for [`Reading::open`] where the bound allows. Reads files on the calling thread.
    ///
    /// # Errors
    /// [`SourceError`] when it cannot be read or is not the planned one any more.
    pub async fn head_bytes(&self, object: &ObjectInfo, n: usize) -> Result<Bytes, SourceError> {
        self.range_bytes(object, 0..object.size.min(n as u64)).await
    }

    /// The bytes of a range of an object, as [`Reading::head_bytes`].
    pub(crate) async fn range_bytes(
        &self,
        object: &ObjectInfo,
        range: Range<u64>,
    ) -> Result<Bytes, SourceError> {
        match (self.location.place(), &self.fetcher) {
            (_, Some(fetcher)) => fetcher.range_bytes(object, range).await,
            (Place::Directory(root), None) => {
                let reader = FileReader::open(&self.location, root, object, range.start)?;
                let mut bytes = Vec::new();
                let read = reader.take(range.end - range.start).read_to_end(&mut bytes);
                read.map_err(|error| {
                    SourceError::failed("read", self.location.object_url(&object.name), error)
                })?;
                Ok(bytes.into())
            }
            (Place::Bucket(_), None) => unreachable!("a bucket's reading has a fetcher"),
        }
    }

    /// What was requested so far; nothing in a directory.
    #[must_use]
    pub fn stats(&self) -> ReadStats {
        self.fetcher.as_ref().map_or_else(ReadStats::default, |fetcher| fetcher.stats())
    }
}

impl Location {
    /// One blocking reader of `object` from `offset` to its end, see [`Reading::open`].
    ///
    /// # Errors
    /// [`SourceError`] when the object cannot be opened or is not the planned one any more.
    pub fn read_from(
        &self,
        object: &ObjectInfo,
        offset: u64,
        runtime: &Handle,
    ) -> Result<Box<dyn Read + Send>, SourceError> {
        Reading::new(self, ReadLimits::for_threads(1), runtime).open(object, offset..object.size)
    }
}
