//! Sums that come in order become the blocks of their days.

use crate::{
    count::CountError,
    merge::{DayGroups, counts},
    spread::{NO_GROUP, product_id},
    table::COUNTERS,
    wanted::Wanted,
};
use domain::CountsBlock;

/// Rows of a block.
const BLOCK_ROWS: usize = 64 << 10;

/// Makes blocks of sums.
#[derive(Debug)]
pub struct SortedSums<'w> {
    wanted: &'w Wanted,
    /// The day of the block, by its place among the wanted ones.
    slot: usize,
    groups: Option<DayGroups>,
    block: CountsBlock,
}

impl<'w> SortedSums<'w> {
    /// Of these days.
    #[must_use]
    pub fn of(wanted: &'w Wanted) -> Self {
        Self { wanted, slot: 0, groups: None, block: CountsBlock::default() }
    }

    /// Adds the next sums, of groups and products in order; the block before, if it is complete, and its day's place
    /// among the wanted ones.
    ///
    /// # Errors
    /// [`CountError::Unfounded`] when there is no such group or product; [`CountError::Changed`] when a sum is negative.
    pub fn push(
        &mut self,
        group: u32,
        product: &[u8],
        counters: [i64; COUNTERS],
    ) -> Result<Option<(usize, CountsBlock)>, CountError> {
        let slot = self.wanted.slot_of(group).ok_or(NO_GROUP)?;
        let product = product_id(product)?;
        let before = if slot != self.slot || self.block.len() == BLOCK_ROWS { self.rest() } else { None };
        if slot != self.slot {
            (self.slot, self.groups) = (slot, None);
        }
        let groups = self.groups.get_or_insert_with(|| DayGroups::of(self.wanted, slot));
        self.block.push(groups.index(group), product, counts(counters)?);
        Ok(before)
    }

    /// The block so far, if there is one, and its day's place.
    pub fn rest(&mut self) -> Option<(usize, CountsBlock)> {
        let block = std::mem::take(&mut self.block);
        (!block.is_empty()).then_some((self.slot, block))
    }
}
