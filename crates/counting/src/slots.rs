//! Slots of the counting table: memory of its own, handed out in runs of a power of two.

use crate::{
    bytes16::Bytes16,
    room::Room,
    table::COUNTERS,
    zeroed::{Plain, Zeroed},
};
use std::{fmt::Debug, io};

/// A product's id as a slot holds it; zero in an empty slot.
pub(crate) trait SlotKey: Plain + Eq + Debug {
    /// The key of an empty slot.
    const EMPTY: Self;

    fn bytes(self) -> Bytes16;

    #[inline(always)]
    fn is_empty(self) -> bool {
        self == Self::EMPTY
    }
}

// SAFETY: an integer.
unsafe impl Plain for u64 {}

impl SlotKey for u64 {
    const EMPTY: Self = 0;

    #[inline(always)]
    fn bytes(self) -> Bytes16 {
        Bytes16 { low: self, high: 0 }
    }
}

// SAFETY: two integers.
unsafe impl Plain for Bytes16 {}

impl SlotKey for Bytes16 {
    const EMPTY: Self = Self::MIN;

    #[inline(always)]
    fn bytes(self) -> Bytes16 {
        self
    }
}

/// One product of one group: 16 bytes with a key of 8, 32 with a key of 16.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct Slot<K> {
    pub(crate) key: K,
    pub(crate) counters: [u16; COUNTERS],
}

// SAFETY: a plain key, and integers.
unsafe impl<K: Plain> Plain for Slot<K> {}

impl<K: SlotKey> Slot<K> {
    const EMPTY: Self = Self::of(K::EMPTY);

    /// How many slots a cache line holds.
    pub(crate) const PER_LINE: u32 = 64 / size_of::<Self>() as u32;

    /// A product without events.
    pub(crate) const fn of(key: K) -> Self {
        Self { key, counters: [0; COUNTERS] }
    }

    /// The counters.
    pub(crate) fn counts(&self) -> [i64; COUNTERS] {
        self.counters.map(i64::from)
    }
}

/// All slots of a table.
#[derive(Debug)]
pub(crate) struct Slots<K> {
    all: Zeroed<Slot<K>>,
    /// Slots from here on were never handed out.
    unused: usize,
    /// Runs given back: at `[b]` those of 2^b slots.
    free: [Vec<u32>; 32],
    /// What was handed out is taken from it; given back, it is kept for the next who asks.
    room: Room,
}

impl<K: SlotKey> Slots<K> {
    /// Addresses for as many slots as there is room for, of which only the first cache line is taken, and
    /// empty.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn new(room: Room) -> io::Result<Self> {
        let most = (room.bytes() / size_of::<Slot<K>>()).min(u32::MAX as usize);
        let (all, free) = (Zeroed::up_to(most + Self::FIRST)?, std::array::from_fn(|_| Vec::new()));
        Ok(Self { all, unused: Self::FIRST, free, room })
    }

    /// The first slots that are handed out lie behind a cache line.
    const FIRST: usize = Slot::<K>::PER_LINE as usize;

    /// Hands out `count` empty slots, a power of two that fills cache lines; returns the first.
    ///
    /// # Errors
    /// `OutOfMemory` when there is no room for so many.
    pub(crate) fn take(&mut self, count: u32) -> io::Result<u32> {
        if let Some(start) = self.free[count.trailing_zeros() as usize].pop() {
            return Ok(start);
        }
        let end = self.unused + count as usize;
        let start = u32::try_from(self.unused).ok().filter(|_| end <= self.all.len());
        let start = start.ok_or(io::ErrorKind::OutOfMemory)?;
        self.room.take(count as usize * size_of::<Slot<K>>())?;
        self.unused = end;
        Ok(start)
    }

    /// Takes back a run of slots, to be handed out again.
    pub(crate) fn give_back(&mut self, start: u32, count: u32) {
        let run = start as usize..start as usize + count as usize;
        self.all[run].fill(Slot::EMPTY);
        self.free[count.trailing_zeros() as usize].push(start);
    }

    /// Takes back everything.
    pub(crate) fn clear(&mut self) {
        self.all[..self.unused].fill(Slot::EMPTY);
        self.room.give_back((self.unused - Self::FIRST) * size_of::<Slot<K>>());
        self.unused = Self::FIRST;
        self.free.iter_mut().for_each(Vec::clear);
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, at: u32) -> &mut Slot<K> {
        &mut self.all[at as usize]
    }

    /// The slots of the cache line that begins at `start`.
    #[inline(always)]
    pub(crate) fn line(&self, start: u32) -> &[Slot<K>] {
        self.slice(start, Slot::<K>::PER_LINE)
    }

    /// `count` slots from `start` on.
    #[inline(always)]
    pub(crate) fn slice(&self, start: u32, count: u32) -> &[Slot<K>] {
        &self.all[start as usize..start as usize + count as usize]
    }

    /// `count` slots from `start` on.
    pub(crate) fn slice_mut(&mut self, start: u32, count: u32) -> &mut [Slot<K>] {
        &mut self.all[start as usize..start as usize + count as usize]
    }

    /// Asks for the cache line that begins at `start`.
    #[inline(always)]
    pub(crate) fn prefetch(&self, start: u32) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing into the program, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const self.all[start as usize]).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = start;
    }
}
