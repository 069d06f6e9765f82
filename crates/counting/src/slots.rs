//! Slots of the counting table: memory of its own, handed out in runs of a power of two.

use crate::{bytes16::Bytes16, table::COUNTERS};
use memmap2::MmapMut;
use std::{fmt::Debug, io, marker::PhantomData};

/// A product's id as a slot holds it: integers without padding, of which any bits are a value.
///
/// # Safety
/// As just said: slots are made from zeroed memory.
pub(crate) unsafe trait SlotKey: Copy + Eq + Debug + 'static {
    /// The key of an empty slot.
    const EMPTY: Self;

    fn bytes(self) -> Bytes16;

    #[inline(always)]
    fn is_empty(self) -> bool {
        self == Self::EMPTY
    }
}

// SAFETY: an integer.
unsafe impl SlotKey for u64 {
    const EMPTY: Self = 0;

    #[inline(always)]
    fn bytes(self) -> Bytes16 {
        Bytes16 { low: self, high: 0 }
    }
}

// SAFETY: two integers of the same size.
unsafe impl SlotKey for Bytes16 {
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
    /// The last is not used: it fills the slot.
    pub(crate) counters: [u16; COUNTERS + 1],
}

impl<K: SlotKey> Slot<K> {
    const EMPTY: Self = Self::of(K::EMPTY);

    /// How many slots a cache line holds.
    pub(crate) const PER_LINE: u32 = 64 / size_of::<Self>() as u32;

    /// A product without events.
    pub(crate) const fn of(key: K) -> Self {
        Self { key, counters: [0; COUNTERS + 1] }
    }

    /// The counters.
    pub(crate) fn counts(&self) -> [i64; COUNTERS] {
        std::array::from_fn(|counter| i64::from(self.counters[counter]))
    }
}

/// Slots of new memory.
const SLOTS_MIN: usize = 1 << 12;

/// Empty slots lie in zeroed pages, huge ones where the system has them.
#[derive(Debug)]
pub(crate) struct Slots<K> {
    memory: MmapMut,
    capacity: usize,
    /// Slots from here on were never handed out.
    unused: usize,
    /// Runs given back: at `[b]` those of 2^b slots.
    free: [Vec<u32>; 32],
    keys: PhantomData<K>,
}

impl<K: SlotKey> Slots<K> {
    /// Memory of which only the first cache line is taken, and empty.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn new() -> io::Result<Self> {
        let free = std::array::from_fn(|_| Vec::new());
        Ok(Self {
            memory: map::<K>(SLOTS_MIN)?,
            capacity: SLOTS_MIN,
            unused: Slot::<K>::PER_LINE as usize,
            free,
            keys: PhantomData,
        })
    }

    /// Hands out `count` empty slots, a power of two that fills cache lines; returns the first.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn take(&mut self, count: u32) -> io::Result<u32> {
        if let Some(start) = self.free[count.trailing_zeros() as usize].pop() {
            return Ok(start);
        }
        let start = u32::try_from(self.unused).map_err(|_| io::ErrorKind::OutOfMemory)?;
        start.checked_add(count).ok_or(io::ErrorKind::OutOfMemory)?;
        self.unused += count as usize;
        while self.unused > self.capacity {
            self.double()?;
        }
        Ok(start)
    }

    /// Takes back a run of slots, to be handed out again.
    pub(crate) fn give_back(&mut self, start: u32, count: u32) {
        let run = start as usize..start as usize + count as usize;
        self.all_mut()[run].fill(Slot::EMPTY);
        self.free[count.trailing_zeros() as usize].push(start);
    }

    fn double(&mut self) -> io::Result<()> {
        let mut memory = map::<K>(self.capacity * 2)?;
        memory[..self.memory.len()].copy_from_slice(&self.memory);
        (self.memory, self.capacity) = (memory, self.capacity * 2);
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, at: u32) -> &mut Slot<K> {
        &mut self.all_mut()[at as usize]
    }

    /// The slots of the cache line that begins at `start`.
    #[inline(always)]
    pub(crate) fn line(&self, start: u32) -> &[Slot<K>] {
        self.slice(start, Slot::<K>::PER_LINE)
    }

    #[inline(always)]
    /// `count` slots from `start` on.
    pub(crate) fn slice(&self, start: u32, count: u32) -> &[Slot<K>] {
        &self.all()[start as usize..start as usize + count as usize]
    }

    #[inline(always)]
    fn all(&self) -> &[Slot<K>] {
        // SAFETY: the mapping is page-aligned, holds `capacity` slots, lives as long as `self`, and
        // any bits are a `Slot`, which is integers (see `SlotKey`).
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.capacity) }
    }

    #[inline(always)]
    fn all_mut(&mut self) -> &mut [Slot<K>] {
        // SAFETY: as in `all`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.capacity) }
    }

    /// Asks for the cache line that begins at `start`.
    #[inline(always)]
    pub(crate) fn prefetch(&self, start: u32) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing into the program, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const self.all()[start as usize]).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = start;
    }
}

fn map<K>(slots: usize) -> io::Result<MmapMut> {
    let memory = MmapMut::map_anon(slots * size_of::<Slot<K>>())?;
    // Fewer misses of the address cache; a system without huge pages says no and loses nothing.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}
