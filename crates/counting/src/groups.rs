//! A small hash table per group, whose probe nearly always touches one cache line.
//!
//! Events are skewed: a few advertisers have most of them. As a group's slots lie side by side, the
//! busy ones share few pages, and the processor's address cache holds them. Counters are 16 bits wide
//! and carry into a map when they overflow, so that a slot is small and more of them stay in cache.

use crate::{
    bytes16::Bytes16,
    room::Room,
    slots::{Slot, SlotKey, Slots},
    table::{COUNTERS, Counter, Hasher},
    zeroed::{Plain, Zeroed},
};
use std::{cmp::Ordering, collections::BTreeMap, io};

/// Where a group's slots lie. A group without any points at the first cache line, which stays empty.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    /// Its first slot.
    start: u32,
    /// Its slots less one; they are a power of two and fill cache lines.
    mask: u32,
    occupied: u32,
    /// It grows before more than so many are occupied.
    limit: u32,
}

// SAFETY: integers.
unsafe impl Plain for Group {}

/// Slots of a group's first table, a power of two.
const SLOTS_MIN: u32 = 8;

/// What one addition is, in each counter's 16 bits and when these overflow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    step: u16,
    /// A counter that holds this after the step has overflowed.
    wrapped: u16,
    carry: i64,
}

impl Step {
    /// An event is added.
    pub(crate) const ADD: Self = Self { step: 1, wrapped: 0, carry: 1 << 16 };
    /// An event is taken back.
    pub(crate) const TAKE_BACK: Self = Self { step: u16::MAX, wrapped: u16::MAX, carry: -(1 << 16) };
}

/// By (group, key): what the counters could not hold. As each stands for 65,536 events, they are few.
type Carries = BTreeMap<(u32, Bytes16), [i64; COUNTERS]>;

/// The tables of all groups, of products whose keys are `K`s.
#[derive(Debug)]
pub(crate) struct Groups<K> {
    groups: Zeroed<Group>,
    slots: Slots<K>,
    carries: Carries,
    hasher: Hasher,
}

impl<K: SlotKey> Groups<K> {
    /// Empty tables for groups `0..groups`.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn new(groups: usize, hasher: Hasher, room: Room) -> io::Result<Self> {
        room.take(Self::directory_bytes(groups))?;
        // One at least: what is in no group is prefetched as if it were in the first.
        let groups = Zeroed::new(groups.max(1))?;
        Ok(Self { groups, slots: Slots::new(room)?, carries: BTreeMap::new(), hasher })
    }

    /// What so many groups take before they have any product.
    pub(crate) const fn directory_bytes(groups: usize) -> usize {
        groups * size_of::<Group>()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.groups.fill(Group::default());
        self.slots.clear();
        self.carries.clear();
    }

    /// Asks for the cache line that [`Groups::add`] will touch first.
    #[inline(always)]
    pub(crate) fn prefetch(&self, group: u32, hash: u64) {
        let group = self.groups[group as usize];
        self.slots.prefetch(group.line::<K>(hash));
    }

    /// Adds to the counter of the product that `is_same` recognises; to a new one, with the key that
    /// `new_key` gives, when there is none.
    ///
    /// # Errors
    /// When the system gives no memory.
    #[inline(always)]
    pub(crate) fn add(
        &mut self,
        (number, hash): (u32, u64),
        (counter, step): (Counter, Step),
        is_same: impl Fn(K) -> bool,
        new_key: impl FnOnce() -> K,
    ) -> io::Result<()> {
        let group = self.groups[number as usize];
        let mut line = group.line::<K>(hash);
        loop {
            let slots = self.slots.line(line);
            // All of a line are compared, without a branch between: which it is cannot be foreseen.
            let bit = |(at, slot): (u32, &Slot<K>)| u32::from(is_same(slot.key)) << at;
            let same = (0..).zip(slots).map(bit).fold(0, |all, bit| all | bit);
            if same != 0 {
                self.step(number, line + same.trailing_zeros(), counter, step);
                return Ok(());
            }
            if slots.iter().any(|slot| slot.key.is_empty()) {
                return self.insert((number, hash), (counter, step), new_key());
            }
            line = group.line_after::<K>(line);
        }
    }

    #[inline(always)]
    fn step(&mut self, group: u32, at: u32, counter: Counter, step: Step) {
        let slot = self.slots.get_mut(at);
        let count = slot.counters[counter as usize].wrapping_add(step.step);
        slot.counters[counter as usize] = count;
        if count == step.wrapped {
            let key = slot.key;
            self.carry(group, key, counter, step);
        }
    }

    #[cold]
    fn carry(&mut self, group: u32, key: K, counter: Counter, step: Step) {
        self.carries.entry((group, key.bytes())).or_default()[counter as usize] += step.carry;
    }

    /// Gives a product that the group does not have a slot of its own.
    #[cold]
    fn insert(
        &mut self,
        (number, hash): (u32, u64),
        (counter, step): (Counter, Step),
        key: K,
    ) -> io::Result<()> {
        if self.groups[number as usize].occupied == self.groups[number as usize].limit {
            self.grow(number)?;
        }
        let group = &mut self.groups[number as usize];
        group.occupied += 1;
        let at = free_slot(&self.slots, *group, hash);
        *self.slots.get_mut(at) = Slot::of(key);
        self.step(number, at, counter, step);
        Ok(())
    }

    /// Gives a group twice the slots.
    fn grow(&mut self, number: u32) -> io::Result<()> {
        let old = self.groups[number as usize];
        let slots = if old.limit == 0 { SLOTS_MIN } else { (old.mask + 1) * 2 };
        let start = self.slots.take(slots)?;
        let new = Group { start, mask: slots - 1, occupied: old.occupied, limit: slots / 4 * 3 };
        if old.limit != 0 {
            for at in old.start..=old.start + old.mask {
                let slot = *self.slots.get_mut(at);
                if !slot.key.is_empty() {
                    let free = free_slot(&self.slots, new, self.hasher.hash(slot.key.bytes()));
                    *self.slots.get_mut(free) = slot;
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

    /// Puts each group's products in order, in place: side by side from its first slot on. From then on
    /// nothing can be added before [`Groups::clear`].
    pub(crate) fn put_in_order(&mut self, order: impl Fn(K, K) -> Ordering) {
        for group in self.groups.iter().filter(|group| group.occupied > 0) {
            let slots = self.slots.slice_mut(group.start, group.mask + 1);
            let mut occupied = 0;
            for at in 0..slots.len() {
                if !slots[at].key.is_empty() {
                    slots.swap(occupied, at);
                    occupied += 1;
                }
            }
            slots[..occupied].sort_unstable_by(|left, right| order(left.key, right.key));
        }
    }

    /// A group's products, once they were put in order.
    pub(crate) fn in_order(&self, number: usize) -> InOrder<'_, K> {
        let group = self.groups[number];
        let number = u32::try_from(number).expect("groups fit in 32 bits");
        let has_carries =
            self.carries.range((number, Bytes16::MIN)..=(number, Bytes16::MAX)).next().is_some();
        let slots = self.slots.slice(group.start, group.occupied);
        InOrder { number, slots, carries: has_carries.then_some(&self.carries) }
    }
}

/// Products of a group, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InOrder<'a, K> {
    number: u32,
    slots: &'a [Slot<K>],
    carries: Option<&'a Carries>,
}

impl<'a, K: SlotKey> InOrder<'a, K> {
    /// Those products whose keys are not before, which is true of the first ones and no others.
    pub(crate) fn from(self, is_before: impl Fn(K) -> bool) -> Self {
        let start = self.slots.partition_point(|slot| is_before(slot.key));
        Self { slots: &self.slots[start..], ..self }
    }

    /// Those products whose keys are before, which is true of the first ones and no others.
    pub(crate) fn until(self, is_before: impl Fn(K) -> bool) -> Self {
        let end = self.slots.partition_point(|slot| is_before(slot.key));
        Self { slots: &self.slots[..end], ..self }
    }

    /// The keys.
    pub(crate) fn keys(self) -> impl Iterator<Item = K> + 'a {
        self.slots.iter().map(|slot| slot.key)
    }

    /// The first product's key.
    #[inline(always)]
    pub(crate) fn first(&self) -> Option<K> {
        self.slots.first().map(|slot| slot.key)
    }

    /// Takes the first product's counters.
    #[inline(always)]
    pub(crate) fn take_first(&mut self) -> [i64; COUNTERS] {
        let (slot, rest) = self.slots.split_first().expect("there is a first product");
        self.slots = rest;
        let mut counters = slot.counts();
        if let Some(carries) = self.carries.and_then(|carries| carries.get(&(self.number, slot.key.bytes())))
        {
            counters.iter_mut().zip(carries).for_each(|(counter, carry)| *counter += carry);
        }
        counters
    }
}

impl Group {
    /// The first slot of the cache line where a product with this hash is looked for first.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves a slot of the group")]
    fn line<K: SlotKey>(self, hash: u64) -> u32 {
        self.start + (hash as u32 & self.mask & !(Slot::<K>::PER_LINE - 1))
    }

    /// The line that is looked at next.
    #[inline(always)]
    fn line_after<K: SlotKey>(self, line: u32) -> u32 {
        self.start + ((line - self.start + Slot::<K>::PER_LINE) & self.mask)
    }
}

fn free_slot<K: SlotKey>(slots: &Slots<K>, group: Group, hash: u64) -> u32 {
    let mut line = group.line::<K>(hash);
    loop {
        let free = (line..).zip(slots.line(line)).find(|(_, slot)| slot.key.is_empty());
        if let Some((at, _)) = free {
            return at;
        }
        line = group.line_after::<K>(line);
    }
}
