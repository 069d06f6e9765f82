//! Counts of a day from two sides become one: what both have is added up.

use domain::{Counts, CountsBlock};
use std::{cmp::Ordering, iter::Fuse};

/// Rows of a block of sums.
const BLOCK_ROWS: usize = 64 << 10;

/// The sums of the rows of two sides, block by block, in order; each side's blocks come in order too. The
/// first error is the last item.
pub(super) struct Sum<L: Iterator, R: Iterator> {
    left: Side<L>,
    right: Side<R>,
    has_failed: bool,
}

/// Blocks that come, and the next row.
struct Side<I: Iterator> {
    blocks: Fuse<I>,
    block: CountsBlock,
    row: usize,
}

impl<L, R, E> Sum<L, R>
where
    L: Iterator<Item = Result<CountsBlock, E>>,
    R: Iterator<Item = Result<CountsBlock, E>>,
{
    pub(super) fn of(left: L, right: R) -> Self {
        Self { left: Side::of(left), right: Side::of(right), has_failed: false }
    }

    fn block(&mut self) -> Result<CountsBlock, E> {
        let mut sums = CountsBlock::default();
        while sums.len() < BLOCK_ROWS {
            let (left, right) = (self.left.peek()?, self.right.peek()?);
            let order = match (left, right) {
                (Some((advertiser, product, _)), Some((other, product_of_other, _))) => {
                    (advertiser, product).cmp(&(other, product_of_other))
                }
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let mut sum = Counts::default();
            let taken = [left.filter(|_| order.is_le()), right.filter(|_| order.is_ge())];
            taken.iter().flatten().for_each(|(_, _, counts)| sum += *counts);
            let (advertiser, product, _) = taken.into_iter().flatten().next().expect("one side has a row");
            sums.push(advertiser, product, sum);
            self.left.row += usize::from(order.is_le());
            self.right.row += usize::from(order.is_ge());
        }
        Ok(sums)
    }
}

impl<I, E> Side<I>
where
    I: Iterator<Item = Result<CountsBlock, E>>,
{
    fn of(blocks: I) -> Self {
        Self { blocks: blocks.fuse(), block: CountsBlock::default(), row: 0 }
    }

    /// The next row; none behind the last.
    fn peek(&mut self) -> Result<Option<(u32, &str, Counts)>, E> {
        while self.row == self.block.len() {
            let Some(block) = self.blocks.next() else { return Ok(None) };
            (self.block, self.row) = (block?, 0);
        }
        Ok(Some(self.block.row(self.row)))
    }
}

impl<L, R, E> Iterator for Sum<L, R>
where
    L: Iterator<Item = Result<CountsBlock, E>>,
    R: Iterator<Item = Result<CountsBlock, E>>,
{
    type Item = Result<CountsBlock, E>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let block = self.block();
        self.has_failed = block.is_err();
        block.map(|block| (!block.is_empty()).then_some(block)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Rows = BTreeMap<(u32, String), u64>;

    fn rows() -> impl Strategy<Value = Rows> {
        proptest::collection::btree_map((0u32..4, "[a-c]{1,2}"), 1u64..9, 0..30)
    }

    /// The rows in blocks of so many, some of them empty.
    fn blocks(rows: &Rows, block_rows: usize) -> Vec<Result<CountsBlock, String>> {
        let rows: Vec<_> = rows.iter().collect();
        let block = |rows: &[(&(u32, String), &u64)]| {
            let mut block = CountsBlock::default();
            for ((advertiser, product), views) in rows {
                block.push(*advertiser, product, Counts { views: **views, ..Counts::default() });
            }
            Ok(block)
        };
        rows.chunks(block_rows).flat_map(|rows| [Ok(CountsBlock::default()), block(rows)]).collect()
    }

    proptest! {
        #[test]
        fn sums_are_those_of_a_map(left in rows(), right in rows(), block_rows in (1usize..9, 1usize..9)) {
            let sums = Sum::of(blocks(&left, block_rows.0).into_iter(), blocks(&right, block_rows.1).into_iter());
            let mut summed = Vec::new();
            for block in sums {
                let block = block.unwrap();
                summed.extend(block.rows().map(|(at, product, counts)| ((at, product.to_owned()), counts.views)));
            }
            let mut map = left;
            right.into_iter().for_each(|(key, views)| *map.entry(key).or_default() += views);
            prop_assert_eq!(summed, map.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_of_either_side_ends_it() {
        let some = || blocks(&Rows::from([((0, "p".to_owned()), 1)]), 1);
        let failing = || some().into_iter().chain([Err("gone".to_owned())]);
        let ends = |mut sums: Box<dyn Iterator<Item = Result<CountsBlock, String>>>| {
            assert_eq!(sums.next(), Some(Err("gone".to_owned())));
            assert_eq!(sums.next(), None);
        };
        ends(Box::new(Sum::of(some().into_iter(), failing())));
        ends(Box::new(Sum::of(failing(), some().into_iter())));
    }
}
