//! Partial counts: events per (group, product), of whatever slices were added.
//!
//! An id of at most 8 bytes is its own key in slots of 16 bytes, one of at most 16 bytes in slots of
//! 32. Longer ids lie in an arena; their key is a hash and the place there, and the text is compared
//! whole. Ids hold no NUL, so that a key padded with zeros is of one id only, and no byte 255, which
//! UTF-8 has not, so that it marks the key of a long id.

use crate::{
    bytes16::{Bytes16, fold},
    groups::{Groups, InOrder, Step},
    memory::{Share, SpillError},
    padded::Padded,
    room::Room,
    run::{Run, RunFile},
    slots::SlotKey,
    zeroed::{Plain, Zeroed},
};
use std::{
    cmp::Ordering::{self, Equal},
    hash::{BuildHasher, RandomState},
    io,
};

/// Ids of at most so many bytes are whole in their key.
pub(crate) const INLINE_BYTES_MAX: usize = 16;

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
    arena: Arena,
    groups: usize,
    hasher: Hasher,
    step: Step,
    spilled: Spilled,
}

/// Long ids, each behind a byte that says its length.
#[derive(Debug)]
struct Arena {
    bytes: Zeroed<u8>,
    used: usize,
    room: Room,
}

// SAFETY: an integer.
unsafe impl Plain for u8 {}

/// What went to disk because there was no room.
#[derive(Debug)]
struct Spilled {
    share: Share,
    file: Option<RunFile>,
    runs: Vec<Run>,
}

/// A product's id, which orders as its bytes do: the first 16 bytes, padded with zeros, as a number, then the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Product<'a> {
    pub(crate) sort_key: u128,
    /// The whole id when it is longer than 16 bytes.
    pub(crate) long: &'a [u8],
}

impl Table {
    /// An empty table for groups `0..groups`, which takes a thread's share of the memory.
    ///
    /// # Errors
    /// When the system gives no memory, or the share is less than [`Table::bytes_min`].
    pub(crate) fn new(groups: usize, share: Share) -> io::Result<Self> {
        let (hasher, room) = (Hasher::new(), Room::of(share.bytes));
        Ok(Self {
            short: Groups::new(groups, hasher, room.clone())?,
            others: Groups::new(groups, hasher, room.clone())?,
            arena: Arena { bytes: Zeroed::up_to(room.bytes().max(1))?, used: 0, room },
            groups,
            hasher,
            step: Step::ADD,
            spilled: Spilled { share, file: None, runs: Vec::new() },
        })
    }

    /// The least memory in which so many groups can be counted without a disk's pace all the time.
    pub(crate) const fn bytes_min(groups: usize) -> usize {
        Groups::<u64>::directory_bytes(groups) + Groups::<Bytes16>::directory_bytes(groups) + (1 << 20)
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

    /// Adds one event, or takes one back; `id` is what the key was made of. What is there goes to disk
    /// first when there is no room for more.
    ///
    /// # Errors
    /// When the disk takes nothing.
    #[inline(always)]
    pub(crate) fn add(&mut self, key: &Key, counter: Counter, id: Padded<'_>) -> io::Result<()> {
        match self.add_in_memory(key, counter, id) {
            Ok(()) => Ok(()),
            Err(_) => self.add_to_emptied(key, counter, id),
        }
    }

    #[cold]
    #[inline(never)]
    fn add_to_emptied(&mut self, key: &Key, counter: Counter, id: Padded<'_>) -> io::Result<()> {
        self.spill()?;
        self.add_in_memory(key, counter, id)
    }

    /// # Errors
    /// When there is no room.
    #[inline(always)]
    fn add_in_memory(&mut self, key: &Key, counter: Counter, id: Padded<'_>) -> io::Result<()> {
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

    /// As [`Table::add`], of a product whose id has at most 8 bytes.
    ///
    /// # Errors
    /// When the disk takes nothing.
    #[inline(always)]
    pub(crate) fn add_short(&mut self, key: &Key, counter: Counter) -> io::Result<()> {
        match self.add_short_in_memory(key, counter) {
            Ok(()) => Ok(()),
            Err(_) => self.add_short_to_emptied(key, counter),
        }
    }

    #[cold]
    #[inline(never)]
    fn add_short_to_emptied(&mut self, key: &Key, counter: Counter) -> io::Result<()> {
        self.spill()?;
        self.add_short_in_memory(key, counter)
    }

    #[inline(always)]
    fn add_short_in_memory(&mut self, key: &Key, counter: Counter) -> io::Result<()> {
        let id = key.bytes.low;
        self.short.add((key.group, key.hash), (counter, self.step), |slot| slot == id, || id)
    }

    #[inline(never)]
    fn add_long(&mut self, key: &Key, counter: Counter, id: &[u8]) -> io::Result<()> {
        let arena = &self.arena;
        let new = Bytes16 { low: key.bytes.low, high: LONG | arena.take(id)? as u64 };
        let mut is_new = false;
        let is_same = |slot: Bytes16| slot.low == new.low && slot.high >= LONG && arena.id(slot) == id;
        let added = self.others.add((key.group, key.hash), (counter, self.step), is_same, || {
            is_new = true;
            new
        });
        if is_new && added.is_ok() {
            self.arena.push(id);
        } else {
            self.arena.give_back(id);
        }
        added
    }

    /// Whether anything went to disk.
    pub(crate) fn has_spilled(&self) -> bool {
        !self.spilled.runs.is_empty()
    }

    /// What went to disk.
    pub(crate) fn into_runs(self) -> Vec<Run> {
        self.spilled.runs
    }

    /// Writes what is there to disk, in order, and forgets it.
    ///
    /// # Errors
    /// [`SpillError`], in an `io::Error`, when the disk takes no more.
    #[cold]
    pub(crate) fn spill(&mut self) -> io::Result<()> {
        self.put_in_order();
        let run = self.write_run().map_err(SpillError)?;
        self.spilled.runs.push(run);
        self.short.clear();
        self.others.clear();
        self.arena.clear();
        Ok(())
    }

    fn write_run(&mut self) -> io::Result<Run> {
        let mut file = match self.spilled.file.take() {
            Some(file) => file,
            None => self.spilled.share.create()?,
        };
        let mut writer = file.begin();
        for group in (0..self.groups).filter(|group| self.products(*group) > 0) {
            let number = u32::try_from(group).expect("groups fit in 32 bits");
            for (product, counters) in self.in_order(group, Product::default(), None) {
                writer.push(number, product, counters)?;
            }
        }
        let run = writer.end()?;
        self.spilled.file = Some(file);
        Ok(run)
    }

    /// How many products a group has.
    pub(crate) fn products(&self, group: usize) -> usize {
        self.short.products(group) + self.others.products(group)
    }

    /// Puts each group's products in order, in place. From then on nothing can be added before
    /// [`Table::spill`].
    pub(crate) fn put_in_order(&mut self) {
        self.short.put_in_order(|left, right| left.swap_bytes().cmp(&right.swap_bytes()));
        let arena = &self.arena;
        self.others.put_in_order(|left, right| product(arena, left).cmp(&product(arena, right)));
    }

    /// A group's products from `from` on and before `to`, once they were put in order.
    pub(crate) fn in_order(&self, group: usize, from: Product<'_>, to: Option<Product<'_>>) -> Entries<'_> {
        let (mut short, mut others) = (self.short.in_order(group), self.others.in_order(group));
        let arena = &self.arena;
        if from != Product::default() {
            short = short.from(|key| product(arena, key.bytes()) < from);
            others = others.from(|key| product(arena, key) < from);
        }
        if let Some(to) = to {
            short = short.until(|key| product(arena, key.bytes()) < to);
            others = others.until(|key| product(arena, key) < to);
        }
        Entries { arena, short, others }
    }

    /// Every `step`th product of a group, roughly, once they were put in order.
    pub(crate) fn samples(&self, group: usize, step: usize) -> impl Iterator<Item = Product<'_>> {
        let short = self.short.in_order(group).keys().map(SlotKey::bytes).step_by(step);
        let others = self.others.in_order(group).keys().step_by(step);
        short.chain(others).map(|key| product(&self.arena, key))
    }
}

/// Products of a group with their counters, in order.
pub(crate) struct Entries<'a> {
    arena: &'a Arena,
    short: InOrder<'a, u64>,
    others: InOrder<'a, Bytes16>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Product<'a>, [i64; COUNTERS]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let short = self.short.first().map(|key| product(self.arena, key.bytes()));
        let Some(key) = self.others.first() else {
            return short.map(|product| (product, self.short.take_first()));
        };
        let other = product(self.arena, key);
        match short {
            Some(short) if short < other => Some((short, self.short.take_first())),
            _ => Some((other, self.others.take_first())),
        }
    }
}

/// The product whose key this is.
#[inline(always)]
fn product(arena: &Arena, key: Bytes16) -> Product<'_> {
    if key.high < LONG {
        return Product { sort_key: key.sort_key(), long: &[] };
    }
    Product::of(arena.id(key))
}

impl Arena {
    /// The id of a long key.
    fn id(&self, key: Bytes16) -> &[u8] {
        let at = usize::try_from(key.high & !LONG).expect("the arena is in memory");
        &self.bytes[at + 1..][..usize::from(self.bytes[at])]
    }

    /// Takes room for an id; where it will lie.
    fn take(&self, id: &[u8]) -> io::Result<usize> {
        if self.used + 1 + id.len() > self.bytes.len() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.room.take(1 + id.len()).map(|()| self.used)
    }

    fn give_back(&self, id: &[u8]) {
        self.room.give_back(1 + id.len());
    }

    /// Puts an id where there is room for it.
    fn push(&mut self, id: &[u8]) {
        let place = &mut self.bytes[self.used..][..1 + id.len()];
        place[0] = u8::try_from(id.len()).expect("an id has at most 255 bytes");
        place[1..].copy_from_slice(id);
        self.used += 1 + id.len();
    }

    fn clear(&mut self) {
        self.room.give_back(self.used);
        self.used = 0;
    }
}

impl<'a> Product<'a> {
    /// The product of that id; of no bytes the one that is before all.
    pub(crate) fn of(id: &'a [u8]) -> Self {
        let long = if id.len() > INLINE_BYTES_MAX { id } else { &[] };
        Self { sort_key: Bytes16::of(id).sort_key(), long }
    }

    /// The id's bytes, put into `inline` when they do not lie elsewhere.
    pub(crate) fn bytes<'b>(&'b self, inline: &'b mut [u8; INLINE_BYTES_MAX]) -> &'b [u8] {
        if !self.long.is_empty() {
            return self.long;
        }
        *inline = self.sort_key.to_be_bytes();
        &inline[..INLINE_BYTES_MAX - self.sort_key.trailing_zeros() as usize / 8]
    }
}

impl Ord for Product<'_> {
    #[inline(always)]
    fn cmp(&self, other: &Self) -> Ordering {
        // Comparing even no bytes is a call.
        let rest =
            || if self.long.is_empty() & other.long.is_empty() { Equal } else { self.long.cmp(other.long) };
        self.sort_key.cmp(&other.sort_key).then_with(rest)
    }
}

impl PartialOrd for Product<'_> {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{padded::PaddedCopy, run::tests::InMemory};
    use Counter::{Clicks, Impressions, Views};
    use proptest::prelude::*;
    use std::{collections::BTreeMap, sync::Arc};

    const GROUPS: usize = 9;

    fn new_table() -> Table {
        Table::new(GROUPS, Share { bytes: 64 << 20, place: Some(Arc::new(InMemory)) }).unwrap()
    }

    fn add(table: &mut Table, group: u32, id: &str, counter: Counter) {
        let id = PaddedCopy::of(id.as_bytes());
        let key = table.key(group, id.text());
        table.add(&key, counter, id.text()).unwrap();
    }

    /// What a table holds, and that it is in order.
    fn contents(mut table: Table) -> BTreeMap<(usize, Vec<u8>), [i64; COUNTERS]> {
        table.put_in_order();
        let mut contents = BTreeMap::new();
        for group in 0..GROUPS {
            let entries = table.in_order(group, Product::default(), None);
            let entries = entries.map(|(product, counters)| (product.bytes(&mut [0; 16]).to_vec(), counters));
            let entries: Vec<_> = entries.collect();
            assert!(entries.is_sorted_by(|(left, _), (right, _)| left < right), "{entries:?}");
            assert_eq!(entries.len(), table.products(group));
            contents.extend(entries.into_iter().map(|(id, counters)| ((group, id), counters)));
        }
        contents.retain(|_, counters| *counters != [0; COUNTERS]);
        contents
    }

    #[test]
    fn a_counter_carries_past_16_bits_and_back() {
        const LONG_ID: &str = "a long id, which lies elsewhere";
        let table = |taken_back: u32| {
            let mut table = new_table();
            for _ in 0..(1 << 17) - 1 {
                add(&mut table, 7, "p", Clicks);
                add(&mut table, 7, LONG_ID, Views);
            }
            table.take_back(true);
            (0..taken_back).for_each(|_| add(&mut table, 7, "p", Clicks));
            add(&mut table, 8, "new", Impressions);
            contents(table)
        };
        let (p, long, new) = ((7, b"p".to_vec()), (7, LONG_ID.as_bytes().to_vec()), (8, b"new".to_vec()));
        assert_eq!(table(0)[&p], [0, (1 << 17) - 1, 0]);
        let contents = table(1 << 16);
        assert_eq!(contents[&p], [0, (1 << 16) - 1, 0]);
        assert_eq!((contents[&long], contents[&new]), ([0, 0, (1 << 17) - 1], [-1, 0, 0]));
    }

    #[test]
    fn groups_grow_in_what_others_gave_back() {
        let mut table = new_table();
        for round in 0..3 {
            for group in 0..u32::try_from(GROUPS).unwrap() {
                for product in 0..1000 * (group + 1) {
                    add(&mut table, group, &format!("p{}", product * (round + 1)), Views);
                }
            }
        }
        let products = table.products(0);
        let contents = contents(table);
        assert_eq!(contents.values().map(|counters| counters[Views as usize]).sum::<i64>(), 3 * 1000 * 45);
        assert_eq!(contents[&(0, b"p0".to_vec())], [0, 0, 3]);
        assert_eq!(contents[&(8, b"p8998".to_vec())], [0, 0, 2]);
        assert_eq!(products, contents.keys().filter(|(group, _)| *group == 0).count());
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
            let mut table = new_table();
            let mut map = BTreeMap::<_, [i64; COUNTERS]>::new();
            for (group, id, counter, is_undo) in &events {
                table.take_back(*is_undo);
                add(&mut table, *group, id, *counter);
                map.entry((*group as usize, id.as_bytes().to_vec())).or_default()[*counter as usize] +=
                    if *is_undo { -1 } else { 1 };
            }
            map.retain(|_, counters| *counters != [0; COUNTERS]);
            prop_assert_eq!(contents(table), map);
        }

        #[test]
        fn part_of_a_group_begins_and_ends_where_it_is_told(
            ids in proptest::collection::btree_set("[a-bé]{1,20}", 0..30),
            bounds in proptest::collection::vec("[a-bé]{0,20}", 2),
        ) {
            let mut table = new_table();
            ids.iter().for_each(|id| add(&mut table, 0, id, Views));
            table.put_in_order();
            let [from, to] = [0, 1].map(|bound| Product::of(bounds[bound].as_bytes()));
            let told = |from, to| {
                let entries = table.in_order(0, from, to);
                let ids = entries.map(|(product, _)| String::from_utf8(product.bytes(&mut [0; 16]).to_vec()).unwrap());
                ids.collect::<Vec<_>>()
            };
            let wanted = |is_in: &dyn Fn(&str) -> bool| ids.iter().filter(|id| is_in(id)).cloned().collect::<Vec<_>>();
            prop_assert_eq!(told(Product::default(), None), wanted(&|_| true));
            prop_assert_eq!(told(from, None), wanted(&|id| id >= bounds[0].as_str()));
            let within = |id: &str| id >= bounds[0].as_str() && id < bounds[1].as_str();
            prop_assert_eq!(told(from, Some(to)), wanted(&within));
        }
    }
}
