//! Blocks of counts become the bytes of objects.

use super::{
    AdvertiserTotals, counts_schema,
    cut::{RowGroup, RowGroups, Segments},
};
use crate::{
    LakeError, WriteCountsError,
    commit::NewObject,
    in_order::in_order,
    parquet_file::{FileForm, to_integer},
};
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, StringArray, types::Int32Type};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::DataType;
use domain::{AdvertiserId, Counts, CountsBlock, Day};
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// The most row groups of an object.
const OBJECT_ROW_GROUPS: usize = 8;

/// Encodes the blocks of a day on `threads` threads and sends the objects, in order, until nobody takes them
/// any more; returns how many rows there are, and what those of each active advertiser come to.
pub(super) fn objects<E: Send + 'static>(
    day: Day,
    active: &Arc<[AdvertiserId]>,
    blocks: impl Iterator<Item = Result<CountsBlock, WriteCountsError<E>>>,
    threads: usize,
    to: &Sender<NewObject>,
) -> Result<(u64, Vec<AdvertiserTotals>), WriteCountsError<E>> {
    let unwritable = move |reason: String| LakeError::Unwritable { what: "counts", day, reason };
    let form = Arc::new(FileForm::new(counts_schema(DataType::Utf8)));
    let (advertisers, of_groups) = (Arc::clone(active), Arc::clone(&form));
    let encode = move |group: Result<RowGroup, WriteCountsError<E>>| -> Result<_, WriteCountsError<E>> {
        let group = group?;
        let columns = columns(&advertisers, &group).map_err(unwritable)?;
        let chunks = of_groups.encode(&columns).map_err(unwritable)?;
        Ok((group.begins_segment(), group.rows(), totals(&group), chunks))
    };
    let segments = Segments::of(active);
    let mut groups = in_order(threads, RowGroups::of(blocks, segments), encode).peekable();
    let (mut rows, mut all_totals) = (0, vec![AdvertiserTotals::default(); active.len()]);
    while groups.peek().is_some() {
        let mut object = Vec::new();
        let goes_on = |group: &Result<_, _>| !matches!(group, Ok((true, ..)));
        while let Some(group) =
            groups.next_if(|group| object.is_empty() || object.len() < OBJECT_ROW_GROUPS && goes_on(group))
        {
            let (_, group_rows, totals, chunks) = group?;
            rows += group_rows as u64;
            totals.into_iter().for_each(|(advertiser, totals)| all_totals[advertiser as usize].add(totals));
            object.push(chunks);
        }
        let object = NewObject::new("counts", form.file(object).map_err(unwritable)?);
        if to.blocking_send(object).is_err() {
            break;
        }
    }
    Ok((rows, all_totals))
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
