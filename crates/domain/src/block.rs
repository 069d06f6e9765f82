//! The counts of a day in blocks: what counting yields, the lake keeps and ranking takes.

use crate::Counts;
use std::ops::Range;

/// Consecutive counts of one day, a row for each (advertiser, product) that had an event.
///
/// Rows are in order of the advertiser, then of the product id (bytes). An advertiser is told by its
/// index among the day's active ones, which are in byte order. A block may begin or end amid an
/// advertiser's products. Kept in columns: a row takes no allocation of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountsBlock {
    /// The advertisers of the rows, each with one past its last row.
    advertisers: Vec<(u32, usize)>,
    text: String,
    /// `ends[row]` is one past the last byte of the row's product id in `text`.
    ends: Vec<usize>,
    counts: Vec<Counts>,
}

impl CountsBlock {
    /// No rows yet, and room for so many rows and bytes of ids.
    #[must_use]
    pub fn with_capacity(rows: usize, text_bytes: usize) -> Self {
        Self {
            advertisers: Vec::new(),
            text: String::with_capacity(text_bytes),
            ends: Vec::with_capacity(rows),
            counts: Vec::with_capacity(rows),
        }
    }

    /// Adds the next row. Products of an advertiser must come in byte order, which readers rely on.
    ///
    /// # Panics
    /// When the advertiser comes before that of the row before.
    pub fn push(&mut self, advertiser: u32, product_id: &str, counts: Counts) {
        self.text.push_str(product_id);
        self.ends.push(self.text.len());
        self.counts.push(counts);
        let rows = self.counts.len();
        match self.advertisers.last_mut() {
            Some((last, end)) if *last == advertiser => *end = rows,
            last => {
                assert!(last.is_none_or(|(last, _)| *last < advertiser), "advertisers come in order");
                self.advertisers.push((advertiser, rows));
            }
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> CountsSlice<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.len(), "the rows are in the block");
        CountsSlice { block: self, rows }
    }

    /// All rows.
    #[must_use]
    pub fn all(&self) -> CountsSlice<'_> {
        self.slice(0..self.len())
    }

    /// Each advertiser of the rows, with its products, which may go on in the next block.
    pub fn advertisers(&self) -> impl Iterator<Item = (u32, CountsSlice<'_>)> {
        self.all().into_advertisers()
    }

    /// Every row: the advertiser's index, the product id, the counts.
    pub fn rows(&self) -> impl Iterator<Item = (u32, &str, Counts)> {
        self.advertisers().flat_map(|(advertiser, products)| {
            let rows = products.len();
            let row = move |at| (advertiser, products.product_id(at), products.counts()[at]);
            (0..rows).map(row)
        })
    }

    /// The row at `row`: the advertiser's index, the product id, the counts.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn row(&self, row: usize) -> (u32, &str, Counts) {
        let (advertiser, _) = self.advertisers[self.advertisers.partition_point(|(_, end)| *end <= row)];
        (advertiser, self.product_id(row), self.counts[row])
    }

    /// The advertiser's index and the product id of the last row.
    #[must_use]
    pub fn last(&self) -> Option<(u32, &str)> {
        let (advertiser, end) = self.advertisers.last()?;
        Some((*advertiser, self.product_id(end - 1)))
    }

    fn product_id(&self, row: usize) -> &str {
        &self.text[self.text_start(row)..self.ends[row]]
    }

    fn text_start(&self, row: usize) -> usize {
        if row == 0 { 0 } else { self.ends[row - 1] }
    }
}

/// Consecutive rows of a block.
#[derive(Debug, Clone)]
pub struct CountsSlice<'a> {
    block: &'a CountsBlock,
    rows: Range<usize>,
}

impl<'a> CountsSlice<'a> {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows' counts.
    #[must_use]
    pub fn counts(&self) -> &'a [Counts] {
        &self.block.counts[self.rows.clone()]
    }

    /// The product id of the row at `index` of [`CountsSlice::counts`].
    #[must_use]
    pub fn product_id(&self, index: usize) -> &'a str {
        self.block.product_id(self.rows.start + index)
    }

    /// All product ids, one behind the other.
    #[must_use]
    pub fn text(&self) -> &'a str {
        if self.is_empty() {
            ""
        } else {
            &self.block.text[self.text_start()..self.block.ends[self.rows.end - 1]]
        }
    }

    /// One past the last byte of each row's product id in [`CountsSlice::text`].
    pub fn ends(&self) -> impl ExactSizeIterator<Item = usize> + 'a {
        let start = self.text_start();
        self.block.ends[self.rows.clone()].iter().map(move |end| end - start)
    }

    /// How many rows from the first on have ids of at most `text_bytes` together.
    #[must_use]
    pub fn rows_within(&self, text_bytes: usize) -> usize {
        let end = self.text_start() + text_bytes;
        self.block.ends[self.rows.clone()].partition_point(|row_end| *row_end <= end)
    }

    /// The rows as a block of their own.
    #[must_use]
    pub fn to_block(&self) -> CountsBlock {
        let mut block = CountsBlock::with_capacity(self.len(), self.text().len());
        for (advertiser, products) in self.clone().into_advertisers() {
            for (at, counts) in products.counts().iter().enumerate() {
                block.push(advertiser, products.product_id(at), *counts);
            }
        }
        block
    }

    /// Each advertiser of the rows, with those of its products that are among them.
    pub fn into_advertisers(self) -> impl Iterator<Item = (u32, CountsSlice<'a>)> {
        let Self { block, rows } = self;
        let first = block.advertisers.partition_point(|(_, end)| *end <= rows.start);
        let mut start = rows.start;
        block.advertisers[first..].iter().map_while(move |(advertiser, end)| {
            let rows = start..(*end).min(rows.end);
            start = rows.end;
            (!rows.is_empty()).then_some((*advertiser, CountsSlice { block, rows }))
        })
    }

    fn text_start(&self) -> usize {
        if self.is_empty() { 0 } else { self.block.text_start(self.rows.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> CountsBlock {
        let mut block = CountsBlock::default();
        for (advertiser, product, views) in [(0, "x", 1), (0, "yy", 2), (2, "x", 3), (5, "zé", 4)] {
            block.push(advertiser, product, Counts { views, ..Counts::default() });
        }
        block
    }

    fn told(slice: CountsSlice<'_>) -> Vec<(u32, Vec<(&str, u64)>)> {
        let advertisers = slice.into_advertisers().map(|(advertiser, products)| {
            let products =
                (0..products.len()).map(|at| (products.product_id(at), products.counts()[at].views));
            (advertiser, products.collect())
        });
        advertisers.collect()
    }

    #[test]
    fn a_block_gives_back_what_was_pushed() {
        let block = block();
        let all = [(0, vec![("x", 1), ("yy", 2)]), (2, vec![("x", 3)]), (5, vec![("zé", 4)])];
        assert_eq!(told(block.all()), all);
        let rows: Vec<_> =
            block.rows().map(|(advertiser, id, counts)| (advertiser, id, counts.views)).collect();
        assert_eq!(rows, [(0, "x", 1), (0, "yy", 2), (2, "x", 3), (5, "zé", 4)]);
        assert_eq!(block.last(), Some((5, "zé")));
    }

    #[test]
    fn slices_begin_and_end_anywhere() {
        let block = block();
        assert_eq!(told(block.slice(1..3)), [(0, vec![("yy", 2)]), (2, vec![("x", 3)])]);
        assert_eq!(told(block.slice(3..4)), [(5, vec![("zé", 4)])]);
        assert_eq!(told(block.slice(2..2)), []);
        assert_eq!(told(block.slice(1..3).to_block().all()), told(block.slice(1..3)));
        assert_eq!(block.all().to_block(), block);
        let slice = block.slice(1..4);
        assert_eq!((slice.text(), slice.ends().collect::<Vec<_>>()), ("yyxzé", vec![2, 3, 6]));
        assert_eq!([0, 1, 2, 3, 5, 6].map(|bytes| slice.rows_within(bytes)), [0, 0, 1, 2, 2, 3]);
        let none = CountsBlock::default();
        assert_eq!((none.all().text(), none.all().len(), none.rows().count()), ("", 0, 0));
    }

    #[test]
    #[should_panic(expected = "advertisers come in order")]
    fn advertisers_out_of_order_are_refused() {
        let mut block = block();
        block.push(4, "x", Counts::default());
    }
}
