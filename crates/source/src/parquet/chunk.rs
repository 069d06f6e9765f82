//! The bytes of column chunks, some at a time.

use crate::{Location, ObjectInfo, Reading, SourceError};
use bytes::Bytes;
use std::{
    io::{self, Read},
    ops::Range,
};

/// Bytes of a large column chunk that are in memory at a time, if no page is larger.
const WINDOW_BYTES: u64 = 2 << 20;

/// One column chunk, read from its start to its end.
pub(super) struct ChunkBytes {
    /// What was read and not passed.
    bytes: Bytes,
    /// What was not read.
    rest: Option<Rest>,
}

struct Rest {
    reader: Box<dyn Read + Send>,
    bytes: u64,
}

impl ChunkBytes {
    /// A chunk that is in memory.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { bytes, rest: None }
    }

    /// A chunk of which nothing is in memory yet.
    pub(super) fn in_windows(
        reading: &Reading,
        object: &ObjectInfo,
        range: Range<u64>,
    ) -> Result<Self, SourceError> {
        let bytes = range.end - range.start;
        let rest = Rest { reader: reading.open(object, range)?, bytes };
        Ok(Self { bytes: Bytes::new(), rest: Some(rest).filter(|_| bytes > 0) })
    }

    /// The bytes at hand: so many at least, if the chunk has them.
    pub(super) fn peek(&mut self, least: usize) -> io::Result<&[u8]> {
        let missing = least.saturating_sub(self.bytes.len()) as u64;
        if let Some(rest) = self.rest.as_mut().filter(|_| missing > 0) {
            let wanted = missing.max(WINDOW_BYTES).min(rest.bytes);
            let mut bytes =
                Vec::with_capacity(self.bytes.len() + usize::try_from(wanted).unwrap_or_default());
            bytes.extend_from_slice(&self.bytes);
            rest.reader.by_ref().take(wanted).read_to_end(&mut bytes)?;
            rest.bytes -= wanted;
            self.bytes = bytes.into();
            self.rest.take_if(|rest| rest.bytes == 0);
        }
        Ok(&self.bytes)
    }

    /// Whether there is nothing left.
    pub(super) fn is_at_end(&self) -> bool {
        self.bytes.is_empty() && self.rest.is_none()
    }

    /// Leaves bytes behind that were peeked at.
    pub(super) fn pass(&mut self, count: usize) {
        self.bytes = self.bytes.slice(count..);
    }
}

/// The whole of a range.
pub(super) fn read_whole(
    reading: &Reading,
    object: &ObjectInfo,
    range: Range<u64>,
) -> Result<Bytes, SourceError> {
    let length = range.end - range.start;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    let read = reading.open(object, range)?.take(length).read_to_end(&mut bytes);
    read.map_err(|error| unread(reading.location(), object, error))?;
    Ok(bytes.into())
}

/// Why a reader failed.
pub(super) fn unread(location: &Location, object: &ObjectInfo, error: io::Error) -> SourceError {
    match error.downcast() {
        Ok(error) => error,
        Err(error) => SourceError::failed("read", location.object_url(&object.name), error),
    }
}
