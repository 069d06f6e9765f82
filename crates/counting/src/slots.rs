//! Slots of the counting table: memory of its own, handed out in runs of a power of two.

use crate::{bytes16::Bytes16, table::COUNTERS};
use memmap2::MmapMut;
use std::io;

/// One product of one group.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(32))]
pub(crate) struct Slot {
    /// The id inline; of a long id, its hash and its offset in the arena.
    pub(crate) key: Bytes16,
    pub(crate) counters: [u32; COUNTERS],
    /// The id's length in bytes; 0 in an empty slot.
    pub(crate) length: u32,
}

/// Slots of new memory.
const SLOTS_MIN: usize = 1 << 12;

/// Empty slots lie in zeroed pages, huge ones where the system has them.
#[derive(Debug)]
pub(crate) struct Slots {
    memory: MmapMut,
    capacity: usize,
    /// Slots from here on were never handed out.
    unused: usize,
    /// Runs given back: at `[b]` those of 2^b slots.
    free: [Vec<u32>; 32],
}

impl Slots {
    /// Memory of which only slot 0 is taken, and empty.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn new() -> io::Result<Self> {
        let free = std::array::from_fn(|_| Vec::new());
        Ok(Self { memory: map(SLOTS_MIN)?, capacity: SLOTS_MIN, unused: 1, free })
    }

    /// Hands out `count` empty slots, a power of two; returns the first.
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
        self.all_mut()[run].fill(Slot::default());
        self.free[count.trailing_zeros() as usize].push(start);
    }

    fn double(&mut self) -> io::Result<()> {
        let mut memory = map(self.capacity * 2)?;
        memory[..self.memory.len()].copy_from_slice(&self.memory);
        (self.memory, self.capacity) = (memory, self.capacity * 2);
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn get(&self, at: u32) -> &Slot {
        &self.all()[at as usize]
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, at: u32) -> &mut Slot {
        &mut self.all_mut()[at as usize]
    }

    /// `count` slots from `start` on.
    pub(crate) fn slice(&self, start: u32, count: u32) -> &[Slot] {
        &self.all()[start as usize..start as usize + count as usize]
    }

    #[inline(always)]
    fn all(&self) -> &[Slot] {
        // SAFETY: the mapping is page-aligned, holds `capacity` slots, lives as long as `self`, and
        // any bytes are a valid `Slot`, which is integers without padding.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.capacity) }
    }

    #[inline(always)]
    fn all_mut(&mut self) -> &mut [Slot] {
        // SAFETY: as in `all`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.capacity) }
    }

    /// Asks for the cache line of a slot.
    #[inline(always)]
    pub(crate) fn prefetch(&self, at: u32) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing into the program, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const *self.get(at)).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }
}

fn map(slots: usize) -> io::Result<MmapMut> {
    let memory = MmapMut::map_anon(slots * size_of::<Slot>())?;
    // Fewer misses of the address cache; a system without huge pages says no and loses nothing.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}

const _: () = assert!(size_of::<Slot>() == 32);
