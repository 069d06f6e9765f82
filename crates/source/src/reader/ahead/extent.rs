//! Bytes of an object that one reader reads through, as far as they are requested and there.

use super::{ExtentId, RequestId};
use crate::{ObjectInfo, SourceError};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    ops::Deref,
    sync::{Arc, Condvar},
};

/// One request's share of what is read through.
pub(super) const PART_BYTES: u64 = 4 << 20;
/// What is kept of an extent's beginning for the reader of the one before it, which finishes a line there.
const BEGINNING_BYTES: usize = 256 << 10;

/// Bytes of an object that one reader reads through.
pub(super) struct Extent {
    pub(super) object: Arc<ObjectInfo>,
    pub(super) start: u64,
    /// Where the next request begins.
    pub(super) next: u64,
    /// How far it is read ahead.
    pub(super) end: u64,
    /// What was requested and not yet taken, in order.
    pub(super) parts: VecDeque<Part>,
    pub(super) is_open: bool,
    /// Whether its reader was told of a failure and has not read on since: nothing is asked for ahead of it.
    pub(super) has_failed: bool,
    /// Wakes its reader.
    pub(super) arrived: Arc<Condvar>,
    /// The extent in whose beginning this one's last line ends.
    pub(super) tail: Tail,
    /// The extent whose tail lies at the beginning of this one.
    pub(super) follows: Option<ExtentId>,
}

pub(super) struct Part {
    pub(super) start: u64,
    pub(super) bytes: u64,
    pub(super) state: PartState,
}

pub(super) enum PartState {
    Coming(RequestId),
    Here(Buffer),
    Failed(SourceError),
}

pub(super) enum Tail {
    /// Nobody reads what is behind the extent's end, or it is gone.
    Nowhere,
    /// It will arrive with the first part of this extent.
    In(ExtentId),
    Kept(Bytes),
}

impl Extent {
    pub(super) fn has_more(&self) -> bool {
        self.next < self.end
    }

    pub(super) fn ahead_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// A part, or all that is left where it is little more.
    pub(super) fn part_bytes(&self) -> u64 {
        let left = self.end.saturating_sub(self.next);
        if left <= PART_BYTES + PART_BYTES / 4 { left } else { PART_BYTES }
    }
}

/// Bytes in memory.
pub(crate) enum Buffer {
    /// To be filled again when they are used.
    Own(Vec<u8>),
    /// Of something larger that others use too.
    Shared(Bytes),
}

impl Default for Buffer {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// A copy of what a line may need that ends behind the first `from` bytes: the part itself can then be
/// used up and its memory used again.
pub(super) fn beginning(part: &[u8], from: u64) -> Bytes {
    let part = usize::try_from(from).ok().and_then(|from| part.get(from..)).unwrap_or_default();
    Bytes::copy_from_slice(&part[..part.len().min(BEGINNING_BYTES)])
}
