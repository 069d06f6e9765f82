//! Partial counts: a hash table whose probe touches one cache line.
//!
//! A slot is 32 bytes: the product's id inline when it has at most 16 bytes, the (day, advertiser)
//! group, and two counters. Longer ids lie in an arena; their slot holds a hash and the offset, and
//! the text is compared whole. Counters are 32 bits wide and carry into a list when they overflow.

use crate::bytes16::{Bytes16, PADDING_BYTES, fold};
use memmap2::MmapMut;
use std::{
    hash::{BuildHasher, RandomState},
    io,
};

/// Ids of at most so many bytes lie inline in their slot.
const INLINE_BYTES_MAX: usize = 16;

/// Slots of a new table, a power of two.
const SLOTS_MIN: usize = 1 << 12;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
struct Slot {
    /// The id inline; of a long id, its hash and its offset in the arena.
    key: Bytes16,
    group: u32,
    /// The id's length in bytes; 0 in an empty slot.
    length: u32,
    counters: [u32; 2],
}

/// A product to be counted, with its hash.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Key {
    bytes: Bytes16,
    hash: u64,
    group: u32,
    length: u32,
}

impl Key {
    /// The id's bytes in the buffer that the key was made from, where it stands from `at`.
    pub(crate) fn id<'a>(&self, buffer: &'a [u8], at: usize) -> &'a [u8] {
        &buffer[at..at + self.length as usize]
    }
}

/// Which of a slot's two counters an event adds to.
pub(crate) type Counter = usize;

/// An addition that 32 bits could not hold.
#[derive(Debug, Clone, Copy)]
struct Carry {
    slot_key: Bytes16,
    group: u32,
    length: u32,
    counter: Counter,
    amount: i64,
}

/// Events per (group, product): partial counts of whatever slices were added.
#[derive(Debug)]
pub(crate) struct Table {
    slots: Slots,
    occupied: usize,
    arena: Vec<u8>,
    carries: Vec<Carry>,
    seeds: [u64; 2],
    step: u32,
    wrapped: u32,
    carry_amount: i64,
}

/// What a table holds of one product; zero where additions were taken back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) product: Product<'a>,
    pub(crate) counters: [i64; 2],
}

/// A product's id: its first 16 bytes as a number that orders as they do, and the whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) sort_key: u128,
    pub(crate) length: u32,
    /// The whole id when it is longer than 16 bytes.
    pub(crate) long: &'a [u8],
}

impl Table {
    /// An empty table.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn new() -> io::Result<Self> {
        let random = RandomState::new();
        // Seeds decide where a product lies, never what is counted: no input can be made to collide.
        let seeds = [random.hash_one(1), random.hash_one(2) | 1];
        let slots = Slots::new(SLOTS_MIN)?;
        let (arena, carries) = (Vec::new(), Vec::new());
        Ok(Self { slots, occupied: 0, arena, carries, seeds, step: 1, wrapped: 0, carry_amount: 1 << 32 })
    }

    /// From now on events are added, or, to undo a slice, taken back.
    pub(crate) fn take_back(&mut self, is_undo: bool) {
        (self.step, self.wrapped, self.carry_amount) =
            if is_undo { (u32::MAX, u32::MAX, -(1 << 32)) } else { (1, 0, 1 << 32) };
    }

    /// The key of the id that stands in `buffer` from `at`, `length` bytes long.
    /// [`PADDING_BYTES`] must be readable behind the id.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "an id has at most 255 bytes")]
    pub(crate) fn key(&self, group: u32, buffer: &[u8], at: usize, length: usize) -> Key {
        let bytes = if length <= INLINE_BYTES_MAX {
            Bytes16::load(buffer, at, length)
        } else {
            self.long_key(&buffer[at..at + length])
        };
        Key { bytes, hash: self.hash(bytes, group, length as u32), group, length: length as u32 }
    }

    #[cold]
    fn long_key(&self, id: &[u8]) -> Bytes16 {
        let mut hash = self.seeds[0] ^ id.len() as u64;
        for chunk in id.chunks(16) {
            let bytes = Bytes16::of(chunk);
            hash = fold(hash ^ bytes.low, bytes.high ^ self.seeds[1]).wrapping_add(chunk.len() as u64);
        }
        Bytes16 { low: hash, high: 0 }
    }

    #[inline(always)]
    fn hash(&self, bytes: Bytes16, group: u32, length: u32) -> u64 {
        let high = if length as usize > INLINE_BYTES_MAX { 0 } else { bytes.high };
        let spread = u64::from(group).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        fold(bytes.low ^ self.seeds[0] ^ spread, high ^ self.seeds[1])
    }

    /// Asks for the cache line that [`Table::add`] will touch first.
    #[inline(always)]
    pub(crate) fn prefetch(&self, key: &Key) {
        self.slots.prefetch(key.hash);
    }

    /// Makes room for `more` new products.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn reserve(&mut self, more: usize) -> io::Result<()> {
        while (self.occupied + more) * 10 > self.slots.len() * 7 {
            self.grow()?;
        }
        Ok(())
    }

    #[cold]
    fn grow(&mut self) -> io::Result<()> {
        let mut slots = Slots::new(self.slots.len() * 2)?;
        for slot in self.slots.as_slice().iter().filter(|slot| slot.length != 0) {
            let mut at = slots.start(self.hash(slot.key, slot.group, slot.length));
            while slots.as_slice()[at].length != 0 {
                at = slots.after(at);
            }
            slots.as_mut_slice()[at] = *slot;
        }
        self.slots = slots;
        Ok(())
    }

    /// Adds one event, or takes one back; room must have been reserved. `id` gives a long id's bytes.
    #[inline(always)]
    pub(crate) fn add<'a>(&mut self, key: &Key, counter: Counter, id: impl Fn() -> &'a [u8]) {
        let mut at = self.slots.start(key.hash);
        loop {
            let slot = &mut self.slots.as_mut_slice()[at];
            if slot.length == key.length && slot.group == key.group {
                let is_same = if key.length as usize <= INLINE_BYTES_MAX {
                    slot.key == key.bytes
                } else {
                    slot.key.low == key.bytes.low && arena_id(&self.arena, slot.key, slot.length) == id()
                };
                if is_same {
                    break;
                }
            }
            if slot.length == 0 {
                let Key { bytes, group, length, .. } = *key;
                *slot = Slot { key: bytes, group, length, counters: [0; 2] };
                if length as usize > INLINE_BYTES_MAX {
                    slot.key.high = self.arena.len() as u64;
                    self.arena.extend_from_slice(id());
                }
                self.occupied += 1;
                break;
            }
            at = self.slots.after(at);
        }
        let slot = &mut self.slots.as_mut_slice()[at];
        let count = slot.counters[counter].wrapping_add(self.step);
        slot.counters[counter] = count;
        if count == self.wrapped {
            let (slot_key, group, length) = (slot.key, slot.group, slot.length);
            self.carries.push(Carry { slot_key, group, length, counter, amount: self.carry_amount });
        }
    }

    /// How many slots there are; [`Table::group_at`] and [`Table::entry_at`] take a smaller index.
    pub(crate) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// The group of the product in a slot; none when the slot is empty.
    #[inline(always)]
    pub(crate) fn group_at(&self, index: usize) -> Option<u32> {
        let slot = &self.slots.as_slice()[index];
        (slot.length != 0).then_some(slot.group)
    }

    /// What an occupied slot holds.
    #[inline(always)]
    pub(crate) fn entry_at(&self, index: usize) -> Entry<'_> {
        let slot = &self.slots.as_slice()[index];
        let mut counters = slot.counters.map(i64::from);
        if !self.carries.is_empty() {
            let is_same = |carry: &&Carry| {
                carry.slot_key == slot.key && carry.group == slot.group && carry.length == slot.length
            };
            for carry in self.carries.iter().filter(is_same) {
                counters[carry.counter] += carry.amount;
            }
        }
        let (sort_key, long) = if slot.length as usize <= INLINE_BYTES_MAX {
            (slot.key.sort_key(), &[][..])
        } else {
            let long = arena_id(&self.arena, slot.key, slot.length);
            (Bytes16::of(long).sort_key(), long)
        };
        Entry { product: Product { sort_key, length: slot.length, long }, counters }
    }
}

fn arena_id(arena: &[u8], key: Bytes16, length: u32) -> &[u8] {
    let at = usize::try_from(key.high).expect("the arena is in memory");
    &arena[at..at + length as usize]
}

impl Product<'_> {
    /// The id's bytes, put into `inline` when they do not lie elsewhere.
    pub(crate) fn bytes<'a>(&'a self, inline: &'a mut [u8; 16]) -> &'a [u8] {
        if self.length as usize <= INLINE_BYTES_MAX {
            *inline = self.sort_key.to_be_bytes();
            &inline[..self.length as usize]
        } else {
            self.long
        }
    }

    /// Byte order of ids: the first 16 bytes, then the rest. Padding is zero, so where the first
    /// 16 bytes agree the shorter of two inline ids is first.
    pub(crate) fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.sort_key.cmp(&other.sort_key).then_with(|| {
            if self.long.is_empty() || other.long.is_empty() {
                self.length.cmp(&other.length)
            } else {
                self.long.cmp(other.long)
            }
        })
    }
}

/// Zeroed slots in pages of their own, huge ones where the system has them.
#[derive(Debug)]
struct Slots {
    memory: MmapMut,
    count: usize,
    shift: u32,
}

impl Slots {
    fn new(count: usize) -> io::Result<Self> {
        let memory = MmapMut::map_anon(count * size_of::<Slot>())?;
        // Fewer misses of the address cache; a system without huge pages says no and loses nothing.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        Ok(Self { memory, count, shift: u64::BITS - count.trailing_zeros() })
    }

    fn len(&self) -> usize {
        self.count
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the shift leaves an index into the slots")]
    fn start(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    #[inline(always)]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.count - 1)
    }

    #[inline(always)]
    fn as_slice(&self) -> &[Slot] {
        // SAFETY: the mapping is page-aligned, holds `count` slots, lives as long as `self`, and any
        // bytes are a valid `Slot`, which is integers without padding.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.count) }
    }

    #[inline(always)]
    fn as_mut_slice(&mut self) -> &mut [Slot] {
        // SAFETY: as in `as_slice`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.count) }
    }

    #[inline(always)]
    fn prefetch(&self, hash: u64) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let slot = &raw const self.as_slice()[self.start(hash)];
            // SAFETY: a prefetch reads nothing into the program, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(slot.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = hash;
    }
}

const _: () = assert!(size_of::<Slot>() == 32 && PADDING_BYTES >= INLINE_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn add(table: &mut Table, group: u32, id: &str, counter: Counter) {
        let mut buffer = id.as_bytes().to_vec();
        buffer.resize(id.len() + PADDING_BYTES, b'?');
        let key = table.key(group, &buffer, 0, id.len());
        table.reserve(1).unwrap();
        table.add(&key, counter, || id.as_bytes());
    }

    fn contents(table: &Table) -> BTreeMap<(u32, Vec<u8>), [i64; 2]> {
        let occupied =
            (0..table.slot_count()).filter_map(|index| Some((table.group_at(index)?, table.entry_at(index))));
        occupied
            .filter(|(_, entry)| entry.counters != [0, 0])
            .map(|(group, entry)| ((group, entry.product.bytes(&mut [0; 16]).to_vec()), entry.counters))
            .collect()
    }

    #[test]
    fn a_counter_carries_past_32_bits_and_back() {
        let mut table = Table::new().unwrap();
        add(&mut table, 7, "p", 1);
        for slot in table.slots.as_mut_slice().iter_mut().filter(|slot| slot.length != 0) {
            slot.counters[1] = u32::MAX;
        }
        add(&mut table, 7, "p", 1);
        assert_eq!(contents(&table)[&(7, b"p".to_vec())], [0, 1 << 32]);
        table.take_back(true);
        add(&mut table, 7, "p", 1);
        assert_eq!(contents(&table)[&(7, b"p".to_vec())], [0, (1 << 32) - 1]);
        add(&mut table, 8, "new", 0);
        assert_eq!(contents(&table)[&(8, b"new".to_vec())], [-1, 0]);
    }

    proptest! {
        #[test]
        fn a_table_counts_as_a_map_counts(
            events in proptest::collection::vec(
                (0u32..3, "[a-c]{1,2}|[a-b\0]{1,3}|x{15,17}|[ab]{16,18}|y{200}[ab]{30,55}", 0usize..2, any::<bool>()),
                0..400,
            )
        ) {
            let mut table = Table::new().unwrap();
            let mut map = BTreeMap::<_, [i64; 2]>::new();
            for (group, id, counter, is_undo) in &events {
                table.take_back(*is_undo);
                add(&mut table, *group, id, *counter);
                map.entry((*group, id.as_bytes().to_vec())).or_default()[*counter] += if *is_undo { -1 } else { 1 };
            }
            map.retain(|_, counters| *counters != [0, 0]);
            prop_assert_eq!(contents(&table), map);
        }

        #[test]
        fn products_order_as_bytes(ids in proptest::collection::vec("[a-b\0é]{1,20}", 2)) {
            let mut table = Table::new().unwrap();
            for id in &ids {
                add(&mut table, 0, id, 0);
            }
            let find = |id: &str| {
                (0..table.slot_count())
                    .filter(|index| table.group_at(*index).is_some())
                    .map(|index| table.entry_at(index).product)
                    .find(|product| product.bytes(&mut [0; 16]) == id.as_bytes())
                    .unwrap()
            };
            prop_assert_eq!(find(&ids[0]).order(&find(&ids[1])), ids[0].as_bytes().cmp(ids[1].as_bytes()));
        }
    }
}
