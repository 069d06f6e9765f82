//! Rankings of one (day, model) in one piece of memory.
//!
//! A row is the length of the product's id in one byte, the id, the score in eight bytes and three
//! counts as variable-length integers (seven bits a byte, lowest first): about 20 bytes where a struct
//! with a `String` takes 80. Rankings are read from their start, never in the middle.

use domain::{Counts, RankedProduct};

/// The rankings of many advertisers, found by the advertiser's place.
#[derive(Debug, Default)]
pub(crate) struct PackedRankings {
    /// `ends[i]` is one past the last byte of the ranking at place `i`.
    ends: Vec<usize>,
    rows: Vec<u8>,
}

/// One product of a ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) product_id: &'a str,
    pub(crate) score: f64,
    pub(crate) counts: Counts,
}

impl PackedRankings {
    /// Puts `products` at `place`; the places between hold no products.
    ///
    /// # Panics
    /// When `place` is not after the one before.
    pub(crate) fn push(&mut self, place: usize, products: &[RankedProduct]) {
        assert!(place >= self.ends.len(), "rankings come once an advertiser, in order");
        self.fill(place);
        for product in products {
            self.push_row(product);
        }
        self.ends.push(self.rows.len());
    }

    /// Ends with `places` places, and gives back memory that is not needed.
    pub(crate) fn finish(&mut self, places: usize) {
        self.fill(places);
        self.ends.shrink_to_fit();
        self.rows.shrink_to_fit();
    }

    /// The ranking at `place`, best first.
    pub(crate) fn rows(&self, place: usize) -> Rows<'_> {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        Rows { rest: &self.rows[start..self.ends[place]] }
    }

    fn fill(&mut self, places: usize) {
        self.ends.resize(places, self.rows.len());
    }

    fn push_row(&mut self, product: &RankedProduct) {
        let id = product.product_id.as_str().as_bytes();
        self.rows.push(u8::try_from(id.len()).expect("an id has at most 255 bytes"));
        self.rows.extend_from_slice(id);
        self.rows.extend_from_slice(&product.score.to_le_bytes());
        let Counts { impressions, clicks, views } = product.counts;
        for count in [impressions, clicks, views] {
            push_count(&mut self.rows, count);
        }
    }
}

/// The rows of one ranking, best first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    rest: &'a [u8],
}

impl Rows<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        let (length, rest) = self.rest.split_first()?;
        let (id, rest) = rest.split_at(usize::from(*length));
        let (score, rest) = rest.split_first_chunk().expect("a row holds a score");
        self.rest = rest;
        Some(Row {
            product_id: std::str::from_utf8(id).expect("the id was packed from a str"),
            score: f64::from_le_bytes(*score),
            counts: Counts {
                impressions: take_count(&mut self.rest),
                clicks: take_count(&mut self.rest),
                views: take_count(&mut self.rest),
            },
        })
    }
}

fn push_count(bytes: &mut Vec<u8>, mut count: u64) {
    while count >= 0x80 {
        bytes.push((count & 0x7f) as u8 | 0x80);
        count >>= 7;
    }
    bytes.push(count as u8);
}

fn take_count(bytes: &mut &[u8]) -> u64 {
    let (mut count, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().expect("a row holds three counts");
        *bytes = rest;
        count |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return count;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ProductId;

    fn product(id: &str, score: f64, counts: [u64; 3]) -> RankedProduct {
        let [impressions, clicks, views] = counts;
        let product_id = ProductId::new(id).unwrap();
        RankedProduct { product_id, score, counts: Counts { impressions, clicks, views } }
    }

    #[test]
    fn rows_come_back_as_they_went_in() {
        let longest = "é".repeat(127) + "x";
        let rankings = [
            (1, vec![product("a/b \"ü\"\n", 0.125, [8, 1, 0]), product(&longest, 0.0, [127, 128, 129])]),
            (4, vec![product("x", f64::MAX, [u64::MAX, 0, 1 << 63])]),
        ];
        let mut packed = PackedRankings::default();
        for (place, products) in &rankings {
            packed.push(*place, products);
        }
        packed.finish(6);
        for place in 0..6 {
            let expected = rankings.iter().find(|(at, _)| *at == place);
            let expected = expected.map_or(&[][..], |(_, products)| products);
            let rows: Vec<_> = packed.rows(place).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|p| Row { product_id: p.product_id.as_str(), score: p.score, counts: p.counts })
                .collect();
            assert_eq!(rows, expected, "place {place}");
        }
    }
}
