//! Partial counts: events per (group, product), of whatever slices were added.
//!
//! An id of at most 8 bytes is its own key in slots of 16 bytes, one of at most 16 bytes in slots of
//! 32. Longer ids lie in an arena; their key is a hash and the place there, and the text is compared
//! whole. Ids hold no NUL, so that a key padded with zeros is of one id only, and no byte 255, which
//! UTF-8 has not, so that it marks the key of a long id.

use crate::{
    bytes16::{Bytes16, fold},
    groups::{Groups, Step},
    padded::Padded,
    slots::SlotKey,
};
use std::{
    cmp::Ordering,
    hash::{BuildHasher, RandomState},
    io,
};

/// Ids of at most so many bytes are whole in their key.
const INLINE_BYTES_MAX: usize = 16;

/// The highest byte of a long id's key; its place in the arena is below.
const LONG: u64 = 0xFF << 56;

/// A product to be counted, with its hash.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Key {
    /// The id; of a long one its hash and [`LONG`].
    bytes: Bytes16,
    hash: u64,
    group: u32,
}

impl Key {
    /// The key of the same product in another group.
    #[inline(always)]
    pub(crate) fn in_group(self, group: u32) -> Self {
        Self { group, ..self }
    }
}

/// What an event adds to.
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

/// Decides where products lie, never what is counted: as seeds are random, no input can be made to
/// collide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hasher {
    seeds: [u64; 2],
}

impl Hasher {
    fn new() -> Self {
        let random = RandomState::new();
        Self { seeds: [random.hash_one(1), random.hash_one(2) | 1] }
    }

    /// The hash of a key, whatever place in the arena it has.
    #[inline(always)]
    pub(crate) fn hash(self, key: Bytes16) -> u64 {
        let high = if key.high >= LONG { LONG } else { key.high };
        fold(key.low ^ self.seeds[0], high ^ self.seeds[1])
    }

    #[inline(never)]
    fn long_key(self, id: &[u8]) -> Bytes16 {
        let mut hash = self.seeds[0] ^ id.len() as u64;
        for chunk in id.chunks(16) {
            let bytes = Bytes16::of(chunk);
            hash = fold(hash ^ bytes.low, bytes.high ^ self.seeds[1]).wrapping_add(chunk.len() as u64);
        }
        Bytes16 { low: hash, high: LONG }
    }
}

/// Events per (group, product).
#[derive(Debug)]
pub(crate) struct Table {
    /// Products whose ids have at most 8 bytes.
    short: Groups<u64>,
    /// All others.
    others: Groups<Bytes16>,
    /// Long ids, each behind a byte that says its length.
    arena: Vec<u8>,
    hasher: Hasher,
    step: Step,
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
    sort_key: u128,
    /// The whole id when it is longer than 16 bytes.
    long: &'a [u8],
}

impl Table {
    /// An empty table for groups `0..groups`.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn new(groups: usize) -> io::Result<Self> {
        let hasher = Hasher::new();
        let (short, others) = (Groups::new(groups, hasher)?, Groups::new(groups, hasher)?);
        Ok(Self { short, others, arena: Vec::new(), hasher, step: Step::ADD })
    }

    /// From now on events are added, or, to undo a slice, taken back.
    pub(crate) fn take_back(&mut self, is_undo: bool) {
        self.step = if is_undo { Step::TAKE_BACK } else { Step::ADD };
    }

    /// The key of a group's product by its id (1–255 bytes, none of them NUL or 255).
    #[inline(always)]
    pub(crate) fn key(&self, group: u32, id: Padded<'_>) -> Key {
        let bytes = if id.len() <= INLINE_BYTES_MAX { id.head() } else { self.hasher.long_key(id.bytes()) };
        self.key_of(group, bytes)
    }

    /// The key of a group's product by an id of at most 16 bytes, zero-padded.
    #[inline(always)]
    pub(crate) fn key_of(&self, group: u32, bytes: Bytes16) -> Key {
        Key { bytes, hash: self.hasher.hash(bytes), group }
    }

    /// Asks for the cache line that [`Table::add`] will touch first.
    #[inline(always)]
    pub(crate) fn prefetch(&self, key: &Key) {
        if key.bytes.high == 0 {
            self.short.prefetch(key.group, key.hash);
        } else {
            self.others.prefetch(key.group, key.hash);
        }
    }

    /// Adds one event, or takes one back; `id` is what the key was made of.
    ///
    /// # Errors
    /// When the system gives no memory.
    #[inline(always)]
    pub(crate) fn add(&mut self, key: &Key, counter: Counter, id: Padded<'_>) -> io::Result<()> {
        let (at, what) = ((key.group, key.hash), (counter, self.step));
        let bytes = key.bytes;
        if bytes.high == 0 {
            self.short.add(at, what, |slot| slot == bytes.low, || bytes.low)
        } else if bytes.high < LONG {
            self.others.add(at, what, |slot| slot == bytes, || bytes)
        } else {
            self.add_long(key, counter, id.bytes())
        }
    }

    /// Adds one event of a product whose id has at most 8 bytes.
    ///
    /// # Errors
    /// When the system gives no memory.
    #[inline(always)]
    pub(crate) fn add_short(&mut self, key: &Key, counter: Counter) -> io::Result<()> {
        let id = key.bytes.low;
        self.short.add((key.group, key.hash), (counter, Step::ADD), |slot| slot == id, || id)
    }

    #[inline(never)]
    fn add_long(&mut self, key: &Key, counter: Counter, id: &[u8]) -> io::Result<()> {
        let arena = &mut self.arena;
        let new = Bytes16 { low: key.bytes.low, high: LONG | arena.len() as u64 };
        let mut is_new = false;
        let is_same = |slot: Bytes16| slot.low == new.low && slot.high >= LONG && arena_id(arena, slot) == id;
        self.others.add((key.group, key.hash), (counter, self.step), is_same, || {
            is_new = true;
            new
        })?;
        if is_new {
            arena.push(u8::try_from(id.len()).expect("an id has at most 255 bytes"));
            arena.extend_from_slice(id);
        }
        Ok(())
    }

    /// How many products a group has.
    pub(crate) fn products(&self, group: usize) -> usize {
        self.short.products(group) + self.others.products(group)
    }

    /// What the table holds of a group's products, in no order.
    pub(crate) fn entries(&self, group: usize) -> impl Iterator<Item = Entry<'_>> {
        let short = self.short.entries(group).map(|(key, counters)| (key.bytes(), counters));
        short.chain(self.others.entries(group)).map(|(key, counters)| {
            let long = if key.high < LONG { &[][..] } else { arena_id(&self.arena, key) };
            let sort_key = if long.is_empty() { key.sort_key() } else { Bytes16::of(long).sort_key() };
            Entry { product: Product { sort_key, long }, counters }
        })
    }
}

fn arena_id(arena: &[u8], key: Bytes16) -> &[u8] {
    let at = usize::try_from(key.high & !LONG).expect("the arena is in memory");
    &arena[at + 1..][..usize::from(arena[at])]
}

impl Product<'_> {
    /// The id's bytes, put into `inline` when they do not lie elsewhere.
    pub(crate) fn bytes<'a>(&'a self, inline: &'a mut [u8; INLINE_BYTES_MAX]) -> &'a [u8] {
        if !self.long.is_empty() {
            return self.long;
        }
        *inline = self.sort_key.to_be_bytes();
        &inline[..INLINE_BYTES_MAX - self.sort_key.trailing_zeros() as usize / 8]
    }

    /// Byte order of ids: the first 16 bytes, padded with zeros, then the rest.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let is_whole = self.long.is_empty() && other.long.is_empty();
        let rest = || if is_whole { Ordering::Equal } else { self.long.cmp(other.long) };
        self.sort_key.cmp(&other.sort_key).then_with(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::padded::PaddedCopy;
    use Counter::{Clicks, Impressions, Views};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const GROUPS: usize = 9;

    fn add(table: &mut Table, group: u32, id: &str, counter: Counter) {
        let id = PaddedCopy::of(id.as_bytes());
        let key = table.key(group, id.text());
        table.add(&key, counter, id.text()).unwrap();
    }

    fn contents(table: &Table) -> BTreeMap<(usize, Vec<u8>), [i64; COUNTERS]> {
        let entries = (0..GROUPS).flat_map(|group| table.entries(group).map(move |entry| (group, entry)));
        entries
            .filter(|(_, entry)| entry.counters != [0; COUNTERS])
            .map(|(group, entry)| ((group, entry.product.bytes(&mut [0; 16]).to_vec()), entry.counters))
            .collect()
    }

    #[test]
    fn a_counter_carries_past_16_bits_and_back() {
        let mut table = Table::new(GROUPS).unwrap();
        for _ in 0..(1 << 17) - 1 {
            add(&mut table, 7, "p", Clicks);
            add(&mut table, 7, "a long id, which lies elsewhere", Views);
        }
        assert_eq!(contents(&table)[&(7, b"p".to_vec())], [0, (1 << 17) - 1, 0]);
        table.take_back(true);
        for _ in 0..1 << 16 {
            add(&mut table, 7, "p", Clicks);
        }
        assert_eq!(contents(&table)[&(7, b"p".to_vec())], [0, (1 << 16) - 1, 0]);
        assert_eq!(
            contents(&table)[&(7, b"a long id, which lies elsewhere".to_vec())],
            [0, 0, (1 << 17) - 1]
        );
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
                    "[a-c]{1,2}|[a-bé]{1,3}|x{7,9}|x{15,17}|[ab]{16,18}|y{200}[ab]{30,55}",
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
        fn products_order_as_bytes(ids in proptest::collection::vec("[a-bé]{1,20}", 2)) {
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
