//! The bytes of column chunks, from a file or a bucket, some at a time.

use crate::{Location, ObjectInfo, SourceError};
use bytes::Bytes;
use std::{io, ops::Range};
use tokio::{runtime::Handle, task::JoinHandle};

/// Bytes of a large column chunk that are in memory at a time, if no page is larger; in a bucket as many
/// more are on their way.
const WINDOW_BYTES: u64 = 2 << 20;

/// Where an object's bytes come from.
#[derive(Clone)]
pub(super) struct Fetcher {
    pub(super) location: Location,
    pub(super) object: ObjectInfo,
    pub(super) runtime: Handle,
}

/// Bytes that were asked for; dropped, they are not asked for any more.
pub(super) enum Fetch {
    /// On their way.
    Begun(JoinHandle<Result<Bytes, SourceError>>),
    /// To be read when they are needed.
    Later(Range<u64>),
}

impl Fetcher {
    /// Asks for a range. Files are read when it is needed, by who needs it.
    pub(super) fn begin(&self, range: Range<u64>) -> Fetch {
        if !self.location.is_bucket() {
            return Fetch::Later(range);
        }
        let Self { location, object, .. } = self.clone();
        Fetch::Begun(self.runtime.spawn(async move { location.range_bytes(&object, range).await }))
    }

    /// Waits for what was asked for.
    pub(super) fn wait(&self, mut fetch: Fetch) -> Result<Bytes, SourceError> {
        match &mut fetch {
            Fetch::Begun(task) => self.runtime.block_on(task).unwrap_or_else(|error| {
                Err(SourceError::failed("read", self.location.object_url(&self.object.name), io::Error::other(error)))
            }),
            Fetch::Later(range) => {
                self.runtime.block_on(self.location.range_bytes(&self.object, range.clone()))
            }
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if let Self::Begun(task) = self {
            task.abort();
        }
    }
}

/// One column chunk, read from its start to its end.
pub(super) struct ChunkBytes {
    fetcher: Fetcher,
    /// What was fetched and not passed.
    bytes: Bytes,
    /// Where in the object what was not fetched begins, and the chunk ends.
    rest: Range<u64>,
    /// The next of it.
    ahead: Option<Fetch>,
}

impl ChunkBytes {
    /// A chunk that is in memory.
    pub(super) fn whole(fetcher: Fetcher, bytes: Bytes) -> Self {
        Self { fetcher, bytes, rest: 0..0, ahead: None }
    }

    /// A chunk of which nothing is in memory yet.
    pub(super) fn in_windows(fetcher: Fetcher, range: Range<u64>) -> Self {
        let mut chunk = Self { fetcher, bytes: Bytes::new(), rest: range, ahead: None };
        chunk.look_ahead();
        chunk
    }

    /// The bytes at hand: so many at least, if the chunk has them.
    pub(super) fn peek(&mut self, least: usize) -> Result<&[u8], SourceError> {
        while self.bytes.len() < least {
            let Some(fetch) = self.ahead.take() else { break };
            let fetched = self.fetcher.wait(fetch)?;
            self.rest.start += fetched.len() as u64;
            self.look_ahead();
            self.bytes = if self.bytes.is_empty() { fetched } else { [&self.bytes[..], &fetched].concat().into() };
        }
        Ok(&self.bytes)
    }

    /// Whether there is nothing left.
    pub(super) fn is_at_end(&self) -> bool {
        self.bytes.is_empty() && self.ahead.is_none()
    }

    /// Leaves bytes behind that were peeked at.
    pub(super) fn pass(&mut self, count: usize) {
        self.bytes = self.bytes.slice(count..);
    }

    fn look_ahead(&mut self) {
        let Range { start, end } = self.rest;
        if start < end {
            self.ahead = Some(self.fetcher.begin(start..end.min(start.saturating_add(WINDOW_BYTES))));
        }
    }
}
