//! Row groups, whose bytes a [`Reading`] hands out, and the memory that their readers leave to the next.

use super::{
    chunk::{ChunkBytes, read_whole},
    footer::{ParquetObject, RowGroup},
    rows::{RowGroupReader, Tools},
};
use crate::{Reading, SourceError};
use bytes::Bytes;
use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

/// A row group whose columns have at most so many bytes is read whole; of a larger one each column is read
/// in windows.
const WHOLE_BYTES_MAX: u64 = 8 << 20;
/// Columns with so few bytes between them are read in one go.
const GAP_BYTES_MAX: u64 = 64 << 10;

/// Readers of row groups, for several threads. Cheap to clone.
#[derive(Clone)]
pub struct RowGroups {
    reading: Reading,
    workshop: Arc<Workshop>,
}

/// Tools that no reader is using.
#[derive(Default)]
pub(super) struct Workshop(Mutex<Vec<Tools>>);

impl Workshop {
    pub(super) fn take(&self) -> Tools {
        self.0.lock().expect("nobody panics with the tools").pop().unwrap_or_default()
    }

    pub(super) fn give_back(&self, tools: Tools) {
        self.0.lock().expect("nobody panics with the tools").push(tools);
    }
}

impl RowGroups {
    /// Of objects that lie where `reading` reads.
    #[must_use]
    pub fn new(reading: &Reading) -> Self {
        Self { reading: reading.clone(), workshop: Arc::default() }
    }

    /// A reader of a row group. It blocks, and so is for plain threads.
    ///
    /// # Errors
    /// [`SourceError`] when it cannot be read, or the object is not the planned one any more.
    pub fn open(&self, object: &ParquetObject, row_group: usize) -> Result<RowGroupReader, SourceError> {
        let (reading, info, row_group) = (&self.reading, &object.info, &object.row_groups[row_group]);
        let chunks: Result<_, _> = match whole_spans(row_group) {
            None => row_group.ranges().map(|range| ChunkBytes::in_windows(reading, info, range)).collect(),
            Some(spans) => {
                let read = |span: Range<u64>| Ok((span.clone(), read_whole(reading, info, span)?));
                let spans: Vec<_> = spans.into_iter().map(read).collect::<Result<_, SourceError>>()?;
                Ok(row_group.ranges().map(|range| ChunkBytes::whole(part_of(&spans, &range))).collect())
            }
        };
        Ok(RowGroupReader::new(reading.location(), object, row_group, chunks?, &self.workshop))
    }
}

impl ParquetObject {
    /// The ranges that the reader of a row group will open, as [`Reading::expect`] wants them.
    pub fn expected(&self, row_group: usize) -> impl Iterator<Item = Range<u64>> {
        let row_group = &self.row_groups[row_group];
        whole_spans(row_group).unwrap_or_else(|| row_group.ranges().collect()).into_iter()
    }
}

/// Ranges that hold the row group's column chunks, those that lie close together as one; none when they are
/// too large to be read whole.
fn whole_spans(row_group: &RowGroup) -> Option<Vec<Range<u64>>> {
    let mut ranges: Vec<_> = row_group.ranges().filter(|range| !range.is_empty()).collect();
    ranges.sort_by_key(|range| range.start);
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match spans.last_mut().filter(|last| range.start <= last.end.saturating_add(GAP_BYTES_MAX)) {
            Some(last) => last.end = last.end.max(range.end),
            None => spans.push(range),
        }
    }
    let bytes: u64 = spans.iter().map(|span| span.end - span.start).sum();
    (bytes <= WHOLE_BYTES_MAX).then_some(spans)
}

/// The bytes of a range that one of the spans holds.
fn part_of(spans: &[(Range<u64>, Bytes)], range: &Range<u64>) -> Bytes {
    if range.is_empty() {
        return Bytes::new();
    }
    let holds = |(span, _): &&(Range<u64>, Bytes)| span.start <= range.start && range.end <= span.end;
    let (span, bytes) = spans.iter().find(holds).expect("each chunk lies in a span");
    let within = |at: u64| usize::try_from(at - span.start).expect("it is in memory");
    bytes.slice(within(range.start)..within(range.end))
}
