//! Where row groups begin and end, and where objects do: it depends on the rows alone, never on how they came.
//!
//! A segment begins at a row that its key alone chooses, one of some hundred thousand. Within a segment a row group ends
//! when it is full. So whoever has the rows from where one segment begins to where another does can tell what the
//! objects are without a look at the rows before: parts of a day can be encoded on different machines.

use domain::{AdvertiserId, CountsBlock, CountsSlice};
use std::{ops::Range, sync::Arc};

/// One of so many rows begins a segment, by chance.
pub(super) const SEGMENT_ROWS: u32 = 512 << 10;

/// Chooses the rows that begin segments.
#[derive(Debug)]
pub(super) struct Segments {
    active: Arc<[AdvertiserId]>,
    /// The advertiser that was asked about last, and what its id comes to.
    last: Option<(u32, crc32fast::Hasher)>,
    /// A row begins one when what its checksum is mixed to is less.
    below: u32,
}

impl Segments {
    /// With one of so many rows, by chance.
    pub(super) fn of(active: &Arc<[AdvertiserId]>, rows: u32) -> Self {
        Self { active: Arc::clone(active), last: None, below: u32::MAX / rows }
    }

    /// Whether a segment begins with this product of the advertiser.
    pub(super) fn begins(&mut self, advertiser: u32, product_id: &str) -> bool {
        let of = match &self.last {
            Some((of, hasher)) if *of == advertiser => hasher,
            _ => {
                let mut hasher = crc32fast::Hasher::new();
                hasher.update(self.active[advertiser as usize].as_str().as_bytes());
                // No id has this byte.
                hasher.update(&[0xFF]);
                &self.last.insert((advertiser, hasher)).1
            }
        };
        let mut hasher = of.clone();
        hasher.update(product_id.as_bytes());
        mixed(hasher.finalize()) < self.below
    }
}

/// Spreads checksums, which are alike in some bits where ids are: the last step of `MurmurHash3`.
fn mixed(checksum: u32) -> u32 {
    let mixed = (checksum ^ (checksum >> 16)).wrapping_mul(0x85EB_CA6B);
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xC2B2_AE35);
    mixed ^ (mixed >> 16)
}

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
    begins_segment: bool,
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

    /// Whether a segment begins with it, and so an object.
    pub(super) fn begins_segment(&self) -> bool {
        self.begins_segment
    }

    /// The advertiser and the product of the first row.
    pub(super) fn first(&self) -> Option<(u32, &str)> {
        let (block, rows) = self.pieces.first()?;
        let (advertiser, product, _) = block.row(rows.start);
        Some((advertiser, product))
    }

    /// The rows.
    pub(super) fn pieces(&self) -> impl Iterator<Item = CountsSlice<'_>> {
        self.pieces.iter().map(|(block, rows)| block.slice(rows.clone()))
    }

    /// Adds as many of the block's rows from `start` on as there is room for, and none with which a segment begins but
    /// as the first; returns one past the last.
    fn fill(&mut self, block: &Arc<CountsBlock>, start: usize, segments: &mut Segments) -> usize {
        let rest = block.slice(start..block.len());
        let rows = rest.rows_within(ROW_GROUP_TEXT_BYTES - self.text_bytes).min(ROW_GROUP_ROWS - self.rows);
        let mut end = start;
        'rows: for (advertiser, products) in block.slice(start..start + rows).into_advertisers() {
            for product in 0..products.len() {
                if segments.begins(advertiser, products.product_id(product)) {
                    if self.rows > 0 || end > start {
                        break 'rows;
                    }
                    self.begins_segment = true;
                }
                end += 1;
            }
        }
        let rows = end - start;
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
    segments: Segments,
    /// A block, and its rows that are in row groups already.
    block: Option<(Arc<CountsBlock>, usize)>,
}

impl<I> RowGroups<I> {
    pub(super) fn of(blocks: I, segments: Segments) -> Self {
        Self { blocks, segments, block: None }
    }
}

impl<E, I: Iterator<Item = Result<CountsBlock, E>>> Iterator for RowGroups<I> {
    type Item = Result<RowGroup, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut group = RowGroup::default();
        loop {
            if let Some((block, start)) = &mut self.block {
                *start = group.fill(block, *start, &mut self.segments);
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

    /// Segments of one of so many rows; of the first product that no other begins.
    fn segments(rows: u32) -> Segments {
        Segments::of(&Arc::from([AdvertiserId::new("a").unwrap()]), rows)
    }

    /// Rows of the row groups of a day whose rows come in blocks of so many, all of them of one product.
    fn cut(block_rows: &[usize], id_bytes: usize) -> Vec<usize> {
        let blocks = block_rows.iter().map(|rows| {
            let mut block = CountsBlock::default();
            (0..*rows).for_each(|_| block.push(0, &"x".repeat(id_bytes), Counts::default()));
            Ok::<_, String>(block)
        });
        let groups = RowGroups::of(blocks, segments(u32::MAX)).map(|group| group.unwrap());
        let check = |group: RowGroup| {
            assert_eq!(group.pieces().map(|piece| piece.len()).sum::<usize>(), group.rows());
            assert_eq!(group.pieces().map(|piece| piece.text().len()).sum::<usize>(), group.text_bytes());
            group.rows()
        };
        groups.map(check).collect()
    }

    /// Whether a segment begins, and the rows, of the row groups of these products in blocks of so many.
    fn cut_by_segments(products: &[String], block_rows: usize) -> Vec<(bool, usize)> {
        let blocks = products.chunks(block_rows).map(|products| {
            let mut block = CountsBlock::default();
            products.iter().for_each(|product| block.push(0, product, Counts::default()));
            Ok::<_, String>(block)
        });
        let groups = RowGroups::of(blocks, segments(500)).map(|group| group.unwrap());
        groups.map(|group| (group.begins_segment(), group.rows())).collect()
    }

    #[test]
    fn segments_begin_where_they_do_whatever_came_before() {
        let products: Vec<_> = (0..20_000).map(|product| format!("{product:05}")).collect();
        let whole = cut_by_segments(&products, products.len());
        assert!((20..80).contains(&whole.len()), "{whole:?}");
        assert!(whole[1..].iter().all(|(begins, _)| *begins), "{whole:?}");
        for block_rows in [1, 7, 333] {
            assert_eq!(cut_by_segments(&products, block_rows), whole);
        }
        // From the tenth on, as another machine would have it.
        let before: usize = whole[..10].iter().map(|(_, rows)| rows).sum();
        assert_eq!(cut_by_segments(&products[before..], 100), whole[10..]);
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
