//! What is there already, among rows on their way.

use super::CountsThere;
use domain::CountsBlock;
use std::{collections::VecDeque, vec};

/// Consecutive counts of a day, on their way into the lake.
#[derive(Debug)]
pub(super) enum CountsPiece<B> {
    /// Rows.
    Rows(B),
    /// What was put before.
    There(CountsThere),
}

/// Blocks in order, and what is there of the same day in any order, as pieces in order. No row of a block is among those
/// that are there.
pub(super) fn in_order_of_rows<E>(
    mut there: Vec<CountsThere>,
    blocks: impl Iterator<Item = Result<CountsBlock, E>>,
) -> impl Iterator<Item = CountsPiece<Result<CountsBlock, E>>> {
    there.sort_unstable_by(|one, other| one.first.cmp(&other.first));
    let mut there: VecDeque<_> = there.into();
    let mut blocks = blocks.map(Some).chain([None]);
    std::iter::from_fn(move || {
        let pieces = match blocks.next()? {
            Some(Ok(block)) => split(block, &mut there),
            Some(Err(error)) => vec![CountsPiece::Rows(Err(error))],
            None => there.drain(..).map(CountsPiece::There).collect(),
        };
        Some(pieces)
    })
    .flat_map(vec::Vec::into_iter)
}

/// The block, with all in between that stands before its last row.
fn split<E>(
    block: CountsBlock,
    there: &mut VecDeque<CountsThere>,
) -> Vec<CountsPiece<Result<CountsBlock, E>>> {
    let is_within = |next: &CountsThere| {
        block
            .last()
            .is_some_and(|(advertiser, product)| (next.first.0, &*next.first.1) < (advertiser, product))
    };
    let (mut pieces, mut start) = (Vec::new(), 0);
    while let Some(next) = there.pop_front_if(|next| is_within(next)) {
        let end = rows_before(&block, &next);
        if end > start {
            pieces.push(CountsPiece::Rows(Ok(block.slice(start..end).to_block())));
        }
        start = end;
        pieces.push(CountsPiece::There(next));
    }
    match start {
        0 => pieces.push(CountsPiece::Rows(Ok(block))),
        start => pieces.push(CountsPiece::Rows(Ok(block.slice(start..block.len()).to_block()))),
    }
    pieces
}

/// How many of the rows stand before what is there.
fn rows_before(block: &CountsBlock, there: &CountsThere) -> usize {
    let first = (there.first.0, &*there.first.1);
    let (mut from, mut to) = (0, block.len());
    while from < to {
        let middle = from.midpoint(to);
        let (advertiser, product, _) = block.row(middle);
        if (advertiser, product) < first { from = middle + 1 } else { to = middle }
    }
    from
}
