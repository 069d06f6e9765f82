//! Where row groups begin and end: it depends on the rows alone, never on how they came.

use domain::{CountsBlock, CountsSlice};
use std::{ops::Range, sync::Arc};

/// The most rows of a row group.
pub(super) const ROW_GROUP_ROWS: usize = 128 << 10;

/// The most bytes of product ids in a row group; an id of any length fits.
const ROW_GROUP_TEXT_BYTES: usize = 8 << 20;

/// The rows of one row group: of each block some, in order.
#[derive(Debug, Default)]
pub(super) struct RowGroup {
    pieces: Vec<(Arc<CountsBlock>, Range<usize>)>,
    rows: usize,
    text_bytes: usize,
}

impl RowGroup {
    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// How many bytes the product ids have.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The rows.
    pub(super) fn pieces(&self) -> impl Iterator<Item = CountsSlice<'_>> {
        self.pieces.iter().map(|(block, rows)| block.slice(rows.clone()))
    }

    /// Adds as many of the block's rows from `start` on as there is room for; returns one past the last.
    fn fill(&mut self, block: &Arc<CountsBlock>, start: usize) -> usize {
        let rest = block.slice(start..block.len());
        let rows = rest.rows_within(ROW_GROUP_TEXT_BYTES - self.text_bytes).min(ROW_GROUP_ROWS - self.rows);
        let end = start + rows;
        if rows > 0 {
            self.rows += rows;
            self.text_bytes += block.slice(start..end).text().len();
            self.pieces.push((Arc::clone(block), start..end));
        }
        end
    }
}

/// Row groups of the blocks' rows.
pub(super) struct RowGroups<I> {
    blocks: I,
    /// A block, and its rows that are in row groups already.
    block: Option<(Arc<CountsBlock>, usize)>,
}

impl<I> RowGroups<I> {
    pub(super) fn of(blocks: I) -> Self {
        Self { blocks, block: None }
    }
}

impl<E, I: Iterator<Item = Result<CountsBlock, E>>> Iterator for RowGroups<I> {
    type Item = Result<RowGroup, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut group = RowGroup::default();
        loop {
            if let Some((block, start)) = &mut self.block {
                *start = group.fill(block, *start);
                if *start < block.len() {
                    return Some(Ok(group));
                }
            }
            self.block = match self.blocks.next() {
                Some(Ok(block)) => Some((Arc::new(block), 0)),
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    self.block = None;
                    return (group.rows > 0).then_some(Ok(group));
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Counts;

    /// Rows of the row groups of a day whose rows come in blocks of so many.
    fn cut(block_rows: &[usize], id_bytes: usize) -> Vec<usize> {
        let blocks = block_rows.iter().map(|rows| {
            let mut block = CountsBlock::default();
            (0..*rows).for_each(|_| block.push(0, &"x".repeat(id_bytes), Counts::default()));
            Ok::<_, String>(block)
        });
        let groups = RowGroups::of(blocks).map(|group| group.unwrap());
        let check = |group: RowGroup| {
            assert_eq!(group.pieces().map(|piece| piece.len()).sum::<usize>(), group.rows());
            assert_eq!(group.pieces().map(|piece| piece.text().len()).sum::<usize>(), group.text_bytes());
            group.rows()
        };
        groups.map(check).collect()
    }

    #[test]
    fn row_groups_do_not_depend_on_blocks() {
        const MOST: usize = ROW_GROUP_ROWS;
        assert!(cut(&[], 1).is_empty() && cut(&[0, 0], 1).is_empty());
        assert_eq!(cut(&[MOST], 1), [MOST]);
        for blocks in [&[2 * MOST + 1][..], &[1, MOST, MOST], &[MOST - 1, 0, 2, MOST], &[MOST, 0, MOST, 1]] {
            assert_eq!(cut(blocks, 1), [MOST, MOST, 1]);
        }
        for blocks in [&[40_000][..], &[1, 39_999], &[32_896, 7_104], &[20_000, 20_000]] {
            assert_eq!(cut(blocks, 255), [32_896, 7_104]);
        }
    }
}
