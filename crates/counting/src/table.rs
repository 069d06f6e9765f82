//! Partial counts: a small hash table per (day, advertiser) group, whose probe touches one cache line.
//!
//! Events are skewed: a few advertisers have most of them. As a group's slots lie side by side, the
//! busy ones share few pages, and the address cache of the processor holds them. A slot is 32 bytes:
//! the product's id inline when it has at most 16 bytes, and three counters. Longer ids lie in an
//! arena; their slot holds a hash and the offset, and the text is compared whole. Counters are 32
//! bits wide and carry into a list when they overflow.

use crate::{
    bytes16::{Bytes16, PADDING_BYTES, fold},
    slots::{Slot, Slots},
};
use std::{
    hash::{BuildHasher, RandomState},
    io,
};

/// Ids of at most so many bytes lie inline in their slot.
const INLINE_BYTES_MAX: usize = 16;

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

/// What an event adds to: which of a slot's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
pub(crate) enum Counter {
    #[default]
    Impressions,
    Clicks,
    Views,
}

/// How many [`Counter`]s there are.
pub(crate) const COUNTERS: usize = 3;

/// An addition that 32 bits could not hold.
#[derive(Debug, Clone, Copy)]
struct Carry {
    slot_key: Bytes16,
    group: u32,
    length: u32,
    counter: Counter,
    amount: i64,
}

/// Where a group's slots lie. A group without any points at slot 0, which stays empty.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    /// Its first slot.
    start: u32,
    /// Its slots less one; they are a power of two.
    mask: u32,
    occupied: u32,
    /// It grows before more than so many are occupied.
    limit: u32,
}

/// Slots of a group's first table, a power of two.
const GROUP_SLOTS_MIN: u32 = 8;

/// Events per (group, product): partial counts of whatever slices were added.
#[derive(Debug)]
pub(crate) struct Table {
    groups: Vec<Group>,
    slots: Slots,
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
    /// By [`Counter`].
    pub(crate) counters: [i64; COUNTERS],
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
    /// An empty table for groups `0..groups`.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn new(groups: usize) -> io::Result<Self> {
        let random = RandomState::new();
        // Seeds decide where a product lies, never what is counted: no input can be made to collide.
        let seeds = [random.hash_one(1), random.hash_one(2) | 1];
        let (groups, slots) = (vec![Group::default(); groups], Slots::new()?);
        let (arena, carries) = (Vec::new(), Vec::new());
        Ok(Self { groups, slots, arena, carries, seeds, step: 1, wrapped: 0, carry_amount: 1 << 32 })
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
        Key { bytes, hash: self.hash(bytes, length as u32), group, length: length as u32 }
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
    fn hash(&self, bytes: Bytes16, length: u32) -> u64 {
        let high = if length as usize > INLINE_BYTES_MAX { 0 } else { bytes.high };
        fold(bytes.low ^ self.seeds[0], high ^ self.seeds[1])
    }

    /// Asks for the cache line that [`Table::add`] will touch first.
    #[inline(always)]
    pub(crate) fn prefetch(&self, key: &Key) {
        let group = self.groups[key.group as usize];
        self.slots.prefetch(group.start + group.place(key.hash));
    }

    /// Adds one event, or takes one back. `id` gives a long id's bytes.
    ///
    /// # Errors
    /// When the system gives no memory.
    #[inline(always)]
    pub(crate) fn add<'a>(
        &mut self,
        key: &Key,
        counter: Counter,
        id: impl Fn() -> &'a [u8],
    ) -> io::Result<()> {
        let group = self.groups[key.group as usize];
        let mut place = group.place(key.hash);
        loop {
            let slot = self.slots.get_mut(group.start + place);
            if slot.length == key.length {
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
                place = self.insert(key, id())?;
                break;
            }
            place = (place + 1) & group.mask;
        }
        let start = self.groups[key.group as usize].start;
        self.count(start + place, key.group, counter);
        Ok(())
    }

    #[inline(always)]
    fn count(&mut self, at: u32, group: u32, counter: Counter) {
        let slot = self.slots.get_mut(at);
        let count = slot.counters[counter as usize].wrapping_add(self.step);
        slot.counters[counter as usize] = count;
        if count == self.wrapped {
            let (slot_key, length) = (slot.key, slot.length);
            self.carries.push(Carry { slot_key, group, length, counter, amount: self.carry_amount });
        }
    }

    /// Gives a product that the group does not have a place of its own.
    #[cold]
    fn insert(&mut self, key: &Key, id: &[u8]) -> io::Result<u32> {
        if self.groups[key.group as usize].occupied == self.groups[key.group as usize].limit {
            self.grow(key.group)?;
        }
        let group = &mut self.groups[key.group as usize];
        let place = free_place(&self.slots, group, key.hash);
        group.occupied += 1;
        let slot = self.slots.get_mut(group.start + place);
        *slot = Slot { key: key.bytes, counters: [0; COUNTERS], length: key.length };
        if key.length as usize > INLINE_BYTES_MAX {
            slot.key.high = self.arena.len() as u64;
            self.arena.extend_from_slice(id);
        }
        Ok(place)
    }

    /// Gives a group twice the slots.
    fn grow(&mut self, number: u32) -> io::Result<()> {
        let old = self.groups[number as usize];
        let slots = if old.limit == 0 { GROUP_SLOTS_MIN } else { (old.mask + 1) * 2 };
        let start = self.slots.take(slots)?;
        let new = Group { start, mask: slots - 1, occupied: old.occupied, limit: slots / 4 * 3 };
        if old.limit != 0 {
            for at in old.start..=old.start + old.mask {
                let slot = *self.slots.get_mut(at);
                if slot.length != 0 {
                    let place = free_place(&self.slots, &new, self.hash(slot.key, slot.length));
                    *self.slots.get_mut(new.start + place) = slot;
                }
            }
            self.slots.give_back(old.start, old.mask + 1);
        }
        self.groups[number as usize] = new;
        Ok(())
    }

    /// How many products a group has.
    pub(crate) fn products(&self, group: usize) -> usize {
        self.groups[group].occupied as usize
    }

    /// What the table holds of a group's products, in no order.
    pub(crate) fn entries(&self, group: usize) -> impl Iterator<Item = Entry<'_>> {
        let Group { start, mask, limit, .. } = self.groups[group];
        let slots = if limit == 0 { &[][..] } else { self.slots.slice(start, mask + 1) };
        slots.iter().filter(|slot| slot.length != 0).map(move |slot| self.entry(group, slot))
    }

    fn entry(&self, group: usize, slot: &Slot) -> Entry<'_> {
        let mut counters = slot.counters.map(i64::from);
        let is_same = |carry: &&Carry| {
            carry.slot_key == slot.key && carry.group as usize == group && carry.length == slot.length
        };
        for carry in self.carries.iter().filter(is_same) {
            counters[carry.counter as usize] += carry.amount;
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

impl Group {
    /// Where a product with this hash is looked for first, counted from the group's first slot.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves a place in the group")]
    fn place(self, hash: u64) -> u32 {
        hash as u32 & self.mask
    }
}

fn free_place(slots: &Slots, group: &Group, hash: u64) -> u32 {
    let mut place = group.place(hash);
    while slots.get(group.start + place).length != 0 {
        place = (place + 1) & group.mask;
    }
    place
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

const _: () = assert!(PADDING_BYTES >= INLINE_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use Counter::{Clicks, Impressions, Views};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const GROUPS: usize = 9;

    fn add(table: &mut Table, group: u32, id: &str, counter: Counter) {
        let mut buffer = id.as_bytes().to_vec();
        buffer.resize(id.len() + PADDING_BYTES, b'?');
        let key = table.key(group, &buffer, 0, id.len());
        table.add(&key, counter, || id.as_bytes()).unwrap();
    }

    fn contents(table: &Table) -> BTreeMap<(usize, Vec<u8>), [i64; COUNTERS]> {
        let entries = (0..GROUPS).flat_map(|group| table.entries(group).map(move |entry| (group, entry)));
        entries
            .filter(|(_, entry)| entry.counters != [0; COUNTERS])
            .map(|(group, entry)| ((group, entry.product.bytes(&mut [0; 16]).to_vec()), entry.counters))
            .collect()
    }

    #[test]
    fn a_counter_carries_past_32_bits_and_back() {
        let mut table = Table::new(GROUPS).unwrap();
        add(&mut table, 7, "p", Clicks);
        let group = table.groups[7];
        for at in group.start..=group.start + group.mask {
            let slot = table.slots.get_mut(at);
            if slot.length != 0 {
                slot.counters[Clicks as usize] = u32::MAX;
            }
        }
        add(&mut table, 7, "p", Clicks);
        assert_eq!(contents(&table)[&(7, b"p".to_vec())], [0, 1 << 32, 0]);
        table.take_back(true);
        add(&mut table, 7, "p", Clicks);
        assert_eq!(contents(&table)[&(7, b"p".to_vec())], [0, (1 << 32) - 1, 0]);
        add(&mut table, 8, "new", Impressions);
        assert_eq!(contents(&table)[&(8, b"new".to_vec())], [-1, 0, 0]);
    }

    #[test]
    fn groups_grow_in_what_others_gave_back() {
        let mut table = Table::new(GROUPS).unwrap();
        for round in 0..3 {
            for group in 0..u32::try_from(GROUPS).unwrap() {
                for product in 0..1000 * (group + 1) {
                    add(&mut table, group, &format!("p{}", product * (round + 1)), Views);
                }
            }
        }
        let contents = contents(&table);
        assert_eq!(contents.values().map(|counters| counters[Views as usize]).sum::<i64>(), 3 * 1000 * 45);
        assert_eq!(contents[&(0, b"p0".to_vec())], [0, 0, 3]);
        assert_eq!(contents[&(8, b"p8998".to_vec())], [0, 0, 2]);
        assert_eq!(table.products(0), contents.keys().filter(|(group, _)| *group == 0).count());
    }

    proptest! {
        #[test]
        fn a_table_counts_as_a_map_counts(
            events in proptest::collection::vec(
                (
                    0u32..3,
                    "[a-c]{1,2}|[a-b\0]{1,3}|x{15,17}|[ab]{16,18}|y{200}[ab]{30,55}",
                    prop::sample::select(vec![Impressions, Clicks, Views]),
                    any::<bool>(),
                ),
                0..400,
            )
        ) {
            let mut table = Table::new(GROUPS).unwrap();
            let mut map = BTreeMap::<_, [i64; COUNTERS]>::new();
            for (group, id, counter, is_undo) in &events {
                table.take_back(*is_undo);
                add(&mut table, *group, id, *counter);
                map.entry((*group as usize, id.as_bytes().to_vec())).or_default()[*counter as usize] +=
                    if *is_undo { -1 } else { 1 };
            }
            map.retain(|_, counters| *counters != [0; COUNTERS]);
            prop_assert_eq!(contents(&table), map);
        }

        #[test]
        fn products_order_as_bytes(ids in proptest::collection::vec("[a-b\0é]{1,20}", 2)) {
            let mut table = Table::new(GROUPS).unwrap();
            for id in &ids {
                add(&mut table, 0, id, Views);
            }
            let find = |id: &str| {
                let mut products = table.entries(0).map(|entry| entry.product);
                products.find(|product| product.bytes(&mut [0; 16]) == id.as_bytes()).unwrap()
            };
            prop_assert_eq!(find(&ids[0]).order(&find(&ids[1])), ids[0].as_bytes().cmp(ids[1].as_bytes()));
        }
    }
}
