//! How much memory counting takes, and where partial counts go when it is full.

use crate::{
    run::{RunFile, SpillPlace},
    table::Table,
};
use std::{io, sync::Arc};

/// The memory of all threads together.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Bytes that the threads' tables may take, and after that what is needed to merge them. The buffers
    /// that a thread reads into come on top.
    pub table_bytes: u64,
    /// Where partial counts go when the tables are full.
    pub spill: Arc<dyn SpillPlace>,
}

/// What one of the threads may take of it.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) bytes: usize,
    /// None when the share is as large as any machine.
    pub(crate) place: Option<Arc<dyn SpillPlace>>,
}

/// The share of a thread without a limit: addresses for as much are to be had, whatever the machine.
const UNLIMITED_BYTES: usize = 64 << 30;

/// The least [`Memory::table_bytes`] with which `threads` threads can count so many groups, which are
/// the advertisers of every day: with less, hardly anything would be kept before it goes to disk.
#[must_use]
pub fn table_bytes_min(threads: usize, groups: usize) -> u64 {
    (threads * Table::bytes_min(groups)) as u64
}

/// Partial counts could not be written to disk, or be read back.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct SpillError(pub(crate) io::Error);

impl From<SpillError> for io::Error {
    fn from(error: SpillError) -> Self {
        Self::other(error)
    }
}

impl Memory {
    /// The same share for each of `threads` threads.
    pub(crate) fn share(&self, threads: usize) -> Share {
        let bytes = usize::try_from(self.table_bytes).unwrap_or(usize::MAX) / threads.max(1);
        // What a mapping can have at most.
        Share { bytes: bytes.min(isize::MAX as usize / 4), place: Some(Arc::clone(&self.spill)) }
    }
}

impl Share {
    /// Without a limit.
    pub(crate) fn unlimited() -> Self {
        Self { bytes: UNLIMITED_BYTES, place: None }
    }

    /// An empty file for runs.
    pub(crate) fn create(&self) -> io::Result<RunFile> {
        let place = self.place.as_ref().ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(RunFile::new(place.create()?, self.block_bytes()))
    }

    /// About how many bytes a block of a run has.
    fn block_bytes(&self) -> usize {
        (self.bytes >> 10).clamp(64, 8 << 10)
    }

    /// Entries of runs that a part gathers, beside those of blocks that begin before it: with those, their
    /// sorting and their result, they take about the share.
    pub(crate) fn part_entries(&self) -> usize {
        (self.bytes / 300).clamp(64, 256 << 10)
    }

    /// How many runs can be merged at once: a part reads two blocks of each at least, which take some
    /// twenty times their bytes.
    pub(crate) fn runs_max(&self) -> usize {
        (self.bytes / (40 * self.block_bytes())).clamp(2, 128)
    }
}
