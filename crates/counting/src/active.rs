//! The active advertisers as a table that a field of a log is looked up in.

use crate::bytes16::{Bytes16, PADDING_BYTES, fold};
use domain::AdvertiserId;

/// One advertiser. The first and the last 16 bytes with the length are the whole id when it has at
/// most 32 bytes; of a longer one the text is compared too.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Entry {
    head: Bytes16,
    tail: Bytes16,
    length: u32,
    index: u32,
}

/// Advertisers, each with its index in the list the table was made of.
#[derive(Debug)]
pub(crate) struct ActiveTable {
    entries: Vec<Entry>,
    shift: u32,
    ids: Vec<AdvertiserId>,
}

impl ActiveTable {
    /// The table of `ids`, which are distinct.
    pub(crate) fn new(ids: Vec<AdvertiserId>) -> Self {
        let capacity = (ids.len() * 2).next_power_of_two().max(16);
        let shift = u64::BITS - capacity.trailing_zeros();
        let mut table = Self { entries: vec![Entry::default(); capacity], shift, ids: Vec::new() };
        for (index, id) in ids.iter().enumerate() {
            table.insert(id.as_str().as_bytes(), u32::try_from(index).expect("advertisers fit in 32 bits"));
        }
        table.ids = ids;
        table
    }

    fn insert(&mut self, id: &[u8], index: u32) {
        let mut padded = [0; 255 + PADDING_BYTES];
        padded[..id.len()].copy_from_slice(id);
        let (head, tail) = ends(&padded, 0, id.len());
        let length = u32::try_from(id.len()).expect("an id has at most 255 bytes");
        let mut at = self.start(head, tail, id.len());
        while self.entries[at].length != 0 {
            at = (at + 1) & (self.entries.len() - 1);
        }
        self.entries[at] = Entry { head, tail, length, index };
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the shift leaves an index into the table")]
    fn start(&self, head: Bytes16, tail: Bytes16, length: usize) -> usize {
        const ODD: [u64; 3] = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9];
        let first = fold(head.low ^ ODD[0], head.high ^ ODD[1]);
        let second = fold(tail.low ^ ODD[1], tail.high ^ ODD[2] ^ length as u64);
        ((first ^ second).wrapping_mul(ODD[0]) >> self.shift) as usize
    }

    /// The index of the advertiser whose id stands in `buffer` from `at`, `length` (1–255) bytes
    /// long; none when it is not in the list. [`PADDING_BYTES`] must be readable behind the id.
    #[inline(always)]
    pub(crate) fn find(&self, buffer: &[u8], at: usize, length: usize) -> Option<u32> {
        let (head, tail) = ends(buffer, at, length);
        let mut place = self.start(head, tail, length);
        loop {
            let entry = &self.entries[place];
            if entry.length == 0 {
                return None;
            }
            let is_same = entry.head == head && entry.tail == tail && entry.length as usize == length;
            if is_same && (length <= 32 || self.is_text(entry.index, &buffer[at..at + length])) {
                return Some(entry.index);
            }
            place = (place + 1) & (self.entries.len() - 1);
        }
    }

    #[cold]
    fn is_text(&self, index: u32, text: &[u8]) -> bool {
        self.ids[index as usize].as_str().as_bytes() == text
    }

    /// The advertisers, by index.
    pub(crate) fn ids(&self) -> &[AdvertiserId] {
        &self.ids
    }
}

/// The first and the last 16 bytes of an id; of a shorter one the tail is empty.
#[inline(always)]
fn ends(buffer: &[u8], at: usize, length: usize) -> (Bytes16, Bytes16) {
    if length <= 16 {
        (Bytes16::load(buffer, at, length), Bytes16::default())
    } else {
        (Bytes16::load(buffer, at, 16), Bytes16::load(buffer, at + length - 16, 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn find(table: &ActiveTable, text: &str) -> Option<u32> {
        let mut buffer = format!("<{text}>").into_bytes();
        buffer.resize(buffer.len() + PADDING_BYTES, b'x');
        table.find(&buffer, 1, text.len())
    }

    proptest! {
        #[test]
        fn a_table_finds_what_a_list_finds(
            ids in proptest::collection::btree_set("[ab]{1,3}|[abü]{14,40}|x{30,34}[ab]y{30,34}", 0..60),
            others in proptest::collection::vec("[ab]{1,3}|[abü]{14,40}|x{30,34}[ab]y{30,34}", 0..60),
        ) {
            let list: Vec<_> = ids.iter().map(|id| AdvertiserId::new(id.as_str()).unwrap()).collect();
            let table = ActiveTable::new(list.clone());
            for id in ids.iter().chain(&others).collect::<BTreeSet<_>>() {
                let expected = list.iter().position(|listed| listed.as_str() == id);
                prop_assert_eq!(find(&table, id).map(|index| index as usize), expected);
            }
        }
    }
}
