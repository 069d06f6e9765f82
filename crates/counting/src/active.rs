//! The active advertisers as a table that a field of a log is looked up in.

use crate::{
    bytes16::{Bytes16, fold},
    padded::{Padded, PaddedCopy},
};
use domain::AdvertiserId;

/// One advertiser. The first and the last 16 bytes with the length are the whole id when it has at
/// most 32 bytes; of a longer one the text is compared too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Id {
    head: Bytes16,
    tail: Bytes16,
    length: usize,
}

impl Id {
    /// An id of at most so many bytes is wholly compared by [`Id::is`].
    const WHOLE_BYTES_MAX: usize = 32;

    #[inline(always)]
    fn of(id: Padded<'_>) -> Self {
        let (head, tail) = id.ends();
        Self { head, tail, length: id.len() }
    }

    #[inline(always)]
    fn hash(&self) -> u64 {
        const ODD: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F];
        let low = self.head.low ^ self.tail.high.rotate_left(29) ^ ODD[0];
        let high = self.head.high ^ self.tail.low.rotate_left(29) ^ self.length as u64 ^ ODD[1];
        fold(low, high)
    }

    /// Zero when the ids are equal, found without a branch.
    #[inline(always)]
    fn difference(&self, other: &Self) -> u64 {
        let heads = (self.head.low ^ other.head.low) | (self.head.high ^ other.head.high);
        let tails = (self.tail.low ^ other.tail.low) | (self.tail.high ^ other.tail.high);
        heads | tails | (self.length ^ other.length) as u64
    }
}

/// The number of an advertiser: its index in the list plus one, or 0 for one that is not listed.
pub(crate) type Number = u32;

/// Places per advertiser: so many that nearly all lie at the first place that is looked at.
const SPARSENESS: usize = 8;

/// Advertisers, each with its number.
///
/// Whether a line is of a listed advertiser cannot be foreseen, and a branch that waits for what is
/// still to be loaded costs more than the lookup. So there is none on the usual way.
#[derive(Debug)]
pub(crate) struct ActiveTable {
    /// The number of the advertiser that lies at each place, or 0.
    places: Vec<Number>,
    /// By number; the first is of nobody.
    numbered: Vec<Id>,
    ids: Vec<AdvertiserId>,
}

impl ActiveTable {
    /// The table of `ids`, which are distinct.
    pub(crate) fn new(ids: Vec<AdvertiserId>) -> Self {
        let places = vec![0; (ids.len() * SPARSENESS).next_power_of_two()];
        let mut table = Self { places, numbered: vec![Id::default()], ids: Vec::new() };
        for id in &ids {
            let id = Id::of(PaddedCopy::of(id.as_str().as_bytes()).text());
            let mut place = table.place(id.hash());
            while table.places[place] != 0 {
                place = table.after(place);
            }
            table.places[place] = Number::try_from(table.numbered.len()).expect("advertisers fit in 32 bits");
            table.numbered.push(id);
        }
        table.ids = ids;
        table
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves a place")]
    fn place(&self, hash: u64) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    /// The number of the advertiser with this id (1–255 bytes), or 0.
    #[inline(always)]
    pub(crate) fn find(&self, text: Padded<'_>) -> Number {
        let id = Id::of(text);
        let place = self.place(id.hash());
        let number = self.places[place];
        let difference = self.numbered[number as usize].difference(&id);
        // Whether it is nobody cannot be foreseen, that it is this one nearly always can.
        let doubt = std::hint::select_unpredictable(number == 0, 0, difference);
        let is_whole = id.length <= Id::WHOLE_BYTES_MAX;
        if is_whole && doubt == 0 { number } else { self.find_from(place, &id, text) }
    }

    #[inline(never)]
    fn find_from(&self, mut place: usize, id: &Id, text: Padded<'_>) -> Number {
        loop {
            let number = self.places[place];
            let is = |number| {
                self.numbered[number as usize].difference(id) == 0
                    && self.id(number).as_str().as_bytes() == text.bytes()
            };
            if number == 0 || is(number) {
                return number;
            }
            place = self.after(place);
        }
    }

    /// The advertiser with this number, which is not 0.
    fn id(&self, number: Number) -> &AdvertiserId {
        &self.ids[number as usize - 1]
    }

    /// The advertisers, by index.
    pub(crate) fn ids(&self) -> &[AdvertiserId] {
        &self.ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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
                let number = table.find(PaddedCopy::of(id.as_bytes()).text());
                prop_assert_eq!((number as usize).checked_sub(1), expected);
            }
        }
    }
}
