//! Blocks of counts become the bytes of objects.

use super::{
    AdvertiserTotals, CountsThere, counts_schema,
    cut::{RowGroup, RowGroups, SEGMENT_ROWS, Segments},
    piece::CountsPiece,
};
use crate::{
    DataObject, LakeError, WriteCountsError,
    commit::NewObject,
    in_order::in_order,
    parquet_file::{FileForm, RowGroupChunks, to_integer},
};
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, StringArray, types::Int32Type};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::DataType;
use domain::{AdvertiserId, Counts, CountsBlock, CountsSlice, Day};
use std::{iter, sync::Arc};
use tokio::sync::mpsc::Sender;

/// The most row groups of an object.
const OBJECT_ROW_GROUPS: usize = 8;

/// What makes objects of row groups.
pub(super) struct Encoder {
    day: Day,
    active: Arc<[AdvertiserId]>,
    form: FileForm,
    segment_rows: u32,
}

/// A row group on its way into an object.
struct EncodedGroup {
    begins_segment: bool,
    rows: usize,
    totals: Vec<(u32, AdvertiserTotals)>,
    chunks: RowGroupChunks,
}

/// What leaves for the lake.
pub(super) enum Outgoing {
    /// An object to be put.
    New(NewObject),
    /// Objects that were put already.
    There(Vec<DataObject>),
}

impl Encoder {
    pub(super) fn of(day: Day, active: &Arc<[AdvertiserId]>) -> Self {
        let form = FileForm::new(counts_schema(DataType::Utf8));
        Self { day, active: Arc::clone(active), form, segment_rows: SEGMENT_ROWS }
    }

    /// The row groups of blocks.
    fn row_groups<I>(&self, blocks: I) -> RowGroups<I> {
        RowGroups::of(blocks, Segments::of(&self.active, self.segment_rows))
    }

    fn unwritable(&self, reason: String) -> LakeError {
        LakeError::Unwritable { what: "counts", day: self.day, reason }
    }

    fn encode(&self, group: &RowGroup) -> Result<EncodedGroup, LakeError> {
        let columns = columns(&self.active, group).map_err(|reason| self.unwritable(reason))?;
        let chunks = self.form.encode(&columns).map_err(|reason| self.unwritable(reason))?;
        let (begins_segment, rows, totals) = (group.begins_segment(), group.rows(), totals(group));
        Ok(EncodedGroup { begins_segment, rows, totals, chunks })
    }

    fn object(&self, groups: Vec<RowGroupChunks>) -> Result<NewObject, LakeError> {
        let file = self.form.file(groups).map_err(|reason| self.unwritable(reason))?;
        Ok(NewObject::new("counts", file))
    }
}

/// Encodes the blocks of a day on `threads` threads and sends the objects, in order, until nobody takes them
/// any more; returns how many rows there are, and what those of each active advertiser come to. Objects that were put
/// already stand between rows as they come: behind each a segment begins.
pub(super) fn objects<E: Send + 'static>(
    encoder: &Arc<Encoder>,
    pieces: impl Iterator<Item = CountsPiece<Result<CountsBlock, WriteCountsError<E>>>>,
    threads: usize,
    to: &Sender<Outgoing>,
) -> Result<(u64, Vec<AdvertiserTotals>), WriteCountsError<E>> {
    let (mut rows, mut all_totals) = (0, vec![AdvertiserTotals::default(); encoder.active.len()]);
    let mut add = |group_rows: u64, totals: Vec<(u32, AdvertiserTotals)>| {
        rows += group_rows;
        totals.into_iter().for_each(|(advertiser, totals)| all_totals[advertiser as usize].add(totals));
    };
    let mut pieces = pieces.peekable();
    'day: while let Some(piece) = pieces.peek() {
        if matches!(piece, CountsPiece::There(_)) {
            let Some(CountsPiece::There(there)) = pieces.next() else { continue };
            add(there.rows, there.totals);
            if to.blocking_send(Outgoing::There(there.objects)).is_err() {
                break;
            }
            continue;
        }
        let blocks = iter::from_fn(|| match pieces.next_if(|piece| matches!(piece, CountsPiece::Rows(_))) {
            Some(CountsPiece::Rows(block)) => Some(block),
            _ => None,
        });
        let of_groups = Arc::clone(encoder);
        let encode = move |group: Result<RowGroup, WriteCountsError<E>>| -> Result<_, WriteCountsError<E>> {
            Ok(of_groups.encode(&group?)?)
        };
        let mut groups = in_order(threads, encoder.row_groups(blocks), encode).peekable();
        while groups.peek().is_some() {
            let mut object = Vec::new();
            let goes_on =
                |group: &Result<EncodedGroup, _>| !group.as_ref().is_ok_and(|group| group.begins_segment);
            while let Some(group) = groups
                .next_if(|group| object.is_empty() || object.len() < OBJECT_ROW_GROUPS && goes_on(group))
            {
                let EncodedGroup { rows, totals, chunks, .. } = group?;
                add(rows as u64, totals);
                object.push(chunks);
            }
            if to.blocking_send(Outgoing::New(encoder.object(object)?)).is_err() {
                break 'day;
            }
        }
    }
    Ok((rows, all_totals))
}

/// Makes objects of consecutive rows, wherever in a day they begin and end: of those that are the same whatever stands
/// before and behind. All other rows, those before the first and those behind the last, go `back`.
pub(super) fn whole_objects<E>(
    encoder: &Encoder,
    blocks: impl Iterator<Item = Result<CountsBlock, WriteCountsError<E>>>,
    mut put: impl FnMut(NewObject) -> Result<DataObject, WriteCountsError<E>>,
    mut back: impl FnMut(CountsSlice<'_>) -> Result<(), WriteCountsError<E>>,
) -> Result<Option<CountsThere>, WriteCountsError<E>> {
    let mut there: Option<CountsThere> = None;
    let mut object: Vec<RowGroup> = Vec::new();
    for group in encoder.row_groups(blocks) {
        let group = group?;
        if object.is_empty() && !group.begins_segment() {
            group.pieces().try_for_each(&mut back)?;
            continue;
        }
        if group.begins_segment() || object.len() == OBJECT_ROW_GROUPS {
            finish(encoder, &mut object, &mut there, &mut put)?;
        }
        object.push(group);
    }
    for group in &object {
        group.pieces().try_for_each(&mut back)?;
    }
    Ok(there)
}

/// Puts the object of these row groups, if there are any.
fn finish<E>(
    encoder: &Encoder,
    object: &mut Vec<RowGroup>,
    there: &mut Option<CountsThere>,
    put: &mut impl FnMut(NewObject) -> Result<DataObject, WriteCountsError<E>>,
) -> Result<(), WriteCountsError<E>> {
    let groups = std::mem::take(object);
    let Some(first) = groups.first().and_then(RowGroup::first) else { return Ok(()) };
    let there = there.get_or_insert_with(|| CountsThere {
        first: (first.0, first.1.to_owned()),
        objects: Vec::new(),
        rows: 0,
        totals: Vec::new(),
    });
    let mut chunks = Vec::new();
    for group in &groups {
        let group = encoder.encode(group)?;
        there.rows += group.rows as u64;
        for (advertiser, totals) in group.totals {
            match there.totals.last_mut().filter(|(last, _)| *last == advertiser) {
                Some((_, sum)) => sum.add(totals),
                None => there.totals.push((advertiser, totals)),
            }
        }
        chunks.push(group.chunks);
    }
    there.objects.push(put(encoder.object(chunks)?)?);
    Ok(())
}

/// What the rows of each of the group's advertisers come to.
fn totals(group: &RowGroup) -> Vec<(u32, AdvertiserTotals)> {
    let pieces = group.pieces().flat_map(|piece| piece.into_advertisers());
    pieces.map(|(advertiser, products)| (advertiser, AdvertiserTotals::of(&products))).collect()
}

/// The columns of [`counts_schema`].
fn columns(active: &[AdvertiserId], group: &RowGroup) -> Result<Vec<ArrayRef>, String> {
    let [impressions, clicks, views] = [
        |counts: &Counts| counts.impressions,
        |counts: &Counts| counts.clicks,
        |counts: &Counts| counts.views,
    ]
    .map(|of| integers(group, of));
    Ok(vec![
        Arc::new(advertisers(active, group)),
        Arc::new(products(group)),
        Arc::new(impressions?),
        Arc::new(clicks?),
        Arc::new(views?),
    ])
}

fn advertisers(active: &[AdvertiserId], group: &RowGroup) -> DictionaryArray<Int32Type> {
    let mut indices: Vec<u32> = Vec::new();
    let mut numbers = Vec::with_capacity(group.rows());
    for (advertiser, products) in group.pieces().flat_map(|piece| piece.into_advertisers()) {
        if indices.last() != Some(&advertiser) {
            indices.push(advertiser);
        }
        let number = i32::try_from(indices.len() - 1).expect("a row group has few rows");
        numbers.resize(numbers.len() + products.len(), number);
    }
    let texts = indices.iter().map(|index| active[*index as usize].as_str());
    let texts = StringArray::from_iter_values(texts);
    DictionaryArray::new(Int32Array::from(numbers), Arc::new(texts))
}

fn products(group: &RowGroup) -> StringArray {
    let mut text = String::with_capacity(group.text_bytes());
    let mut offsets = Vec::with_capacity(group.rows() + 1);
    offsets.push(0);
    for piece in group.pieces() {
        let start = text.len();
        text.push_str(piece.text());
        offsets.extend(piece.ends().map(|end| i32::try_from(start + end).expect("a row group is small")));
    }
    StringArray::new(OffsetBuffer::new(offsets.into()), Buffer::from_vec(text.into_bytes()), None)
}

fn integers(group: &RowGroup, of: impl Fn(&Counts) -> u64) -> Result<Int64Array, String> {
    let mut counts = Vec::with_capacity(group.rows());
    for piece in group.pieces() {
        counts.extend(piece.counts().iter().map(|counts| of(counts).cast_signed()));
    }
    if let Some(too_large) = counts.iter().find(|count| **count < 0) {
        to_integer(too_large.cast_unsigned())?;
    }
    Ok(Int64Array::from(counts))
}

#[cfg(test)]
mod tests {
    use super::{super::piece::in_order_of_rows, *};
    use proptest::{
        collection::{btree_set, vec},
        prelude::*,
    };
    use tokio::sync::mpsc;

    type Rows = Vec<(u32, String)>;

    fn encoder() -> Encoder {
        let active: Arc<[_]> = ["a", "b", "c"].map(|id| AdvertiserId::new(id).unwrap()).into();
        Encoder { segment_rows: 20, ..Encoder::of("2024-11-20".parse().unwrap(), &active) }
    }

    fn block(rows: &[(u32, String)]) -> CountsBlock {
        let mut block = CountsBlock::default();
        for (number, (advertiser, product)) in rows.iter().enumerate() {
            let counts =
                Counts { impressions: number as u64 % 7, clicks: product.len() as u64 % 3, views: 1 };
            block.push(*advertiser, product, counts);
        }
        block
    }

    /// The objects of a day of which this is there already and the blocks are not, and what all of it comes to.
    fn objects_of(
        there: Vec<CountsThere>,
        blocks: Vec<CountsBlock>,
    ) -> (Vec<DataObject>, u64, Vec<AdvertiserTotals>) {
        let (sender, mut receiver) = mpsc::channel(10_000);
        let pieces = in_order_of_rows(there, blocks.into_iter().map(Ok::<_, WriteCountsError<String>>));
        let (rows, totals) = objects(&Arc::new(encoder()), pieces, 2, &sender).unwrap();
        drop(sender);
        let mut objects = Vec::new();
        while let Some(outgoing) = receiver.blocking_recv() {
            match outgoing {
                Outgoing::New(object) => objects.push(object.described),
                Outgoing::There(there) => objects.extend(there),
            }
        }
        (objects, rows, totals)
    }

    /// What a machine puts of these rows, which it has in blocks; what it gives back goes to `back`.
    fn put(rows: &CountsBlock, block_rows: usize, back: &mut Vec<CountsBlock>) -> Option<CountsThere> {
        let blocks = (0..rows.len()).step_by(block_rows).map(|start| {
            let end = rows.len().min(start + block_rows);
            Ok::<_, WriteCountsError<String>>(rows.slice(start..end).to_block())
        });
        let take_back = |rows: CountsSlice<'_>| {
            back.push(rows.to_block());
            Ok(())
        };
        whole_objects(&encoder(), blocks, |object| Ok(object.described), take_back).unwrap()
    }

    proptest! {
        #[test]
        fn a_day_that_machines_share_is_the_day_of_one(
            rows in btree_set((0..3u32, "[a-d]{1,5}"), 0..300),
            cuts in vec(any::<prop::sample::Index>(), 0..5),
            block_rows in 1usize..50,
        ) {
            let rows: Rows = rows.into_iter().collect();
            let whole = block(&rows);
            let one = objects_of(Vec::new(), vec![whole.clone()]);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.index(rows.len() + 1)).collect();
            cuts.extend([0, rows.len()]);
            cuts.sort_unstable();
            let (mut there, mut back) = (Vec::new(), Vec::new());
            for cut in cuts.windows(2) {
                there.extend(put(&whole.slice(cut[0]..cut[1]).to_block(), block_rows, &mut back));
            }
            there.reverse();
            // As whoever gathers them has them: in blocks that know nothing of what is there.
            let mut gathered = CountsBlock::default();
            for block in &back {
                block.rows().for_each(|(advertiser, product, counts)| gathered.push(advertiser, product, counts));
            }
            let blocks = (0..gathered.len()).step_by(block_rows).map(|start| {
                gathered.slice(start..gathered.len().min(start + block_rows)).to_block()
            });
            prop_assert_eq!(objects_of(there, blocks.collect()), one);
        }
    }
}
