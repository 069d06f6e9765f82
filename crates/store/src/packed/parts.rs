//! The rankings of a run by one model in parts, each a row of `packed_rankings`.
//!
//! A part is whole entries, in byte order of the advertiser over all parts: the length of its id in one byte, the id,
//! the length of the ranking in seven bits a byte, the ranking. There is at least one part, which may be empty.

use super::ranking::{self, Row, take_count};
use domain::{RankedProduct, Ranking};

/// The form of the parts, which changes when programs of before could not read them: those read the rows then.
pub(crate) const PARTS_FORMAT: i32 = 1;

/// A part that has so many bytes is not gone on with.
const PART_BYTES: usize = 1 << 20;

/// The parts of rankings that come in byte order of the advertiser.
pub(crate) fn parts(rankings: &[Ranking]) -> Vec<Vec<u8>> {
    let (mut parts, mut bytes) = (vec![Vec::new()], Vec::new());
    for ranking in rankings {
        bytes.clear();
        ranking::pack(ranking.products.iter().map(row), &mut bytes);
        if parts.last().is_some_and(|part: &Vec<u8>| part.len() >= PART_BYTES) {
            parts.push(Vec::new());
        }
        let part = parts.last_mut().expect("there is at least one");
        let id = ranking.advertiser_id.as_str();
        part.push(u8::try_from(id.len()).expect("an id has at most 255 bytes"));
        part.extend_from_slice(id.as_bytes());
        ranking::push_count(part, bytes.len() as u64);
        part.extend_from_slice(&bytes);
    }
    parts
}

pub(super) fn row(product: &RankedProduct) -> Row<'_> {
    Row { product_id: product.product_id.as_str(), score: product.score, counts: product.counts }
}

/// The advertisers of a part, each with its ranking; nothing of either is checked.
pub(super) struct Entries<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() { None } else { Some(take_entry(&mut self.0)) }
    }
}

fn take_entry<'a>(rest: &mut &'a [u8]) -> Result<(&'a [u8], &'a [u8]), &'static str> {
    const AMID: &str = "ends amid an advertiser";
    let mut tail = std::mem::take(rest);
    let length = tail.split_off_first().ok_or(AMID)?;
    let id = tail.split_off(..usize::from(*length)).ok_or(AMID)?;
    let length = usize::try_from(take_count(&mut tail)?).map_err(|_| AMID)?;
    let ranking = tail.split_off(..length).ok_or(AMID)?;
    *rest = tail;
    Ok((id, ranking))
}

/// What there is of parts of one model, without the parts.
#[derive(Debug)]
pub(crate) struct PartsOfModel {
    pub(crate) model: String,
    /// How many there are.
    pub(crate) count: i64,
    /// How many there shall be, as the first says and as the last says.
    pub(crate) parts_min: i64,
    pub(crate) parts_max: i64,
    /// The number of the last, from 0.
    pub(crate) last: i64,
    /// Their length together.
    pub(crate) bytes: i64,
}

crate::columns::from_columns!(PartsOfModel { model, count, parts_min, parts_max, last, bytes });

impl PartsOfModel {
    /// Whether every part is there.
    pub(super) fn is_whole(&self) -> bool {
        self.count == self.parts_min && self.count == self.parts_max && self.last == self.count - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{AdvertiserId, Counts, ProductId};

    fn ranking(advertiser: &str, products: usize) -> Ranking {
        let product = |at: usize| RankedProduct {
            product_id: ProductId::new(format!("{at:0>250}")).unwrap(),
            score: 0.5,
            counts: Counts { impressions: 2, clicks: 1, views: 0 },
        };
        let products = (0..products).map(product).collect();
        Ranking { advertiser_id: AdvertiserId::new(advertiser).unwrap(), products }
    }

    #[test]
    fn parts_hold_whole_entries_and_end_once_they_are_long() {
        assert_eq!(parts(&[]), [Vec::<u8>::new()]);
        let rankings = [ranking("a", 5000), ranking("b", 1), ranking("c", 1)];
        let parts = parts(&rankings);
        assert_eq!(parts.len(), 2);
        let ids = |part: &[u8]| {
            Entries(part)
                .map(|entry| String::from_utf8(entry.unwrap().0.to_vec()).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (ids(&parts[0]), ids(&parts[1])),
            (vec!["a".to_owned()], vec!["b".to_owned(), "c".to_owned()])
        );
    }

    #[test]
    fn what_is_no_entry_is_told_once() {
        for bytes in
            [&[1][..], &[2, b'a'], &[1, b'a'], &[1, b'a', 2, 0], &[1, b'a', 0xff, 0xff, 0xff, 0xff, 0x7f]]
        {
            let entries: Vec<_> = Entries(bytes).collect();
            assert!(matches!(entries[..], [Err(_)]), "{entries:?}");
        }
    }
}
