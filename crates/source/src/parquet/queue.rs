//! Row groups in the order in which they will be read, those of a bucket fetched ahead.

use super::{
    chunk::{ChunkBytes, Fetch, Fetcher},
    footer::{ParquetObject, RowGroup},
    rows::{RowGroupReader, Tools},
};
use crate::{Location, SourceError};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex},
};
use tokio::runtime::Handle;

/// A row group whose columns have at most so many bytes is fetched whole; of a larger one each column is
/// read in windows.
const WHOLE_BYTES_MAX: u64 = 8 << 20;
/// Columns with so few bytes between them are fetched in one go.
const GAP_BYTES_MAX: u64 = 64 << 10;
/// Bytes that are fetched ahead at most, and in how many row groups.
const AHEAD_BYTES_MAX: u64 = 32 << 20;
const AHEAD_MAX: usize = 32;

/// Parquet objects whose row groups are read by several threads.
pub struct RowGroupQueue {
    location: Location,
    runtime: Handle,
    objects: Vec<Arc<ParquetObject>>,
    /// Indices of object and row group, in the order in which they will be asked for.
    order: Vec<(usize, usize)>,
    ahead: Mutex<Ahead>,
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

/// What is being fetched.
#[derive(Default)]
struct Ahead {
    /// In the order, the first that nothing was done for yet.
    next: usize,
    bytes: u64,
    fetches: BTreeMap<(usize, usize), Vec<(Range<u64>, Fetch)>>,
}

impl RowGroupQueue {
    /// A queue of the row groups in `order`, each the indices of its object and of itself.
    #[must_use]
    pub fn new(
        location: &Location,
        objects: Vec<Arc<ParquetObject>>,
        order: Vec<(usize, usize)>,
        runtime: &Handle,
    ) -> Self {
        let (location, runtime) = (location.clone(), runtime.clone());
        Self { location, runtime, objects, order, ahead: Mutex::default(), workshop: Arc::default() }
    }

    /// A reader of a row group. It blocks, and so is for plain threads.
    ///
    /// # Errors
    /// [`SourceError`] when it cannot be fetched, or the object is not the planned one any more.
    pub fn open(&self, object: usize, row_group: usize) -> Result<RowGroupReader, SourceError> {
        let fetches = self.fetches(object, row_group);
        let (object, fetcher) = (&self.objects[object], self.fetcher(object));
        let row_group = &object.row_groups[row_group];
        let chunks = match fetches {
            None => {
                let window = |range| ChunkBytes::in_windows(fetcher.clone(), range);
                row_group.ranges().map(window).collect()
            }
            Some(fetches) => {
                let mut fetched = Vec::new();
                for (range, fetch) in fetches {
                    fetched.push((range, fetcher.wait(fetch)?));
                }
                let chunk = |range| ChunkBytes::whole(fetcher.clone(), part_of(&fetched, &range));
                row_group.ranges().map(chunk).collect()
            }
        };
        Ok(RowGroupReader::new(fetcher, &object.columns, row_group, chunks, &self.workshop))
    }

    /// Bytes of a row group's chosen columns, as they are stored.
    #[must_use]
    pub fn stored_bytes(&self, object: usize, row_group: usize) -> u64 {
        self.objects[object].stored_bytes(row_group)
    }

    fn fetcher(&self, object: usize) -> Fetcher {
        let (location, runtime) = (self.location.clone(), self.runtime.clone());
        Fetcher { location, object: self.objects[object].object.clone(), runtime }
    }

    /// What was begun for the row group, or is now, and for those behind it; none when it is too large to
    /// be fetched whole.
    fn fetches(&self, object: usize, row_group: usize) -> Option<Vec<(Range<u64>, Fetch)>> {
        let wanted = (object, row_group);
        let mut ahead = self.ahead.lock().expect("nobody panics with the queue");
        let found = ahead.fetches.remove(&wanted);
        if found.is_some() {
            ahead.bytes -= self.whole_bytes(wanted).unwrap_or_default();
        }
        let found = found.or_else(|| self.begin(wanted));
        if self.location.is_bucket() {
            self.fetch_ahead(&mut ahead, wanted);
        }
        found
    }

    fn fetch_ahead(&self, ahead: &mut Ahead, wanted: (usize, usize)) {
        while ahead.fetches.len() < AHEAD_MAX && ahead.bytes < AHEAD_BYTES_MAX {
            let Some(next) = self.order.get(ahead.next).copied() else { return };
            ahead.next += 1;
            if next != wanted
                && let Some(fetches) = self.begin(next)
            {
                ahead.bytes += self.whole_bytes(next).unwrap_or_default();
                ahead.fetches.insert(next, fetches);
            }
        }
    }

    /// Bytes that are fetched for the row group, if that is done in one go.
    fn whole_bytes(&self, (object, row_group): (usize, usize)) -> Option<u64> {
        let bytes = spans(&self.objects[object].row_groups[row_group]);
        let bytes = bytes.iter().map(|range| range.end - range.start).sum();
        (bytes <= WHOLE_BYTES_MAX).then_some(bytes)
    }

    fn begin(&self, (object, row_group): (usize, usize)) -> Option<Vec<(Range<u64>, Fetch)>> {
        self.whole_bytes((object, row_group))?;
        let fetcher = self.fetcher(object);
        let spans = spans(&self.objects[object].row_groups[row_group]);
        Some(spans.into_iter().map(|range| (range.clone(), fetcher.begin(range))).collect())
    }
}

/// Ranges that hold the row group's column chunks, those that lie close together as one.
fn spans(row_group: &RowGroup) -> Vec<Range<u64>> {
    let mut ranges: Vec<_> = row_group.ranges().collect();
    ranges.sort_by_key(|range| range.start);
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match spans.last_mut().filter(|last| range.start <= last.end.saturating_add(GAP_BYTES_MAX)) {
            Some(last) => last.end = last.end.max(range.end),
            None => spans.push(range),
        }
    }
    spans
}

/// The bytes of a range that one of the fetched ones holds.
fn part_of(fetched: &[(Range<u64>, Bytes)], range: &Range<u64>) -> Bytes {
    let holds = |(span, _): &&(Range<u64>, Bytes)| span.start <= range.start && range.end <= span.end;
    let (span, bytes) = fetched.iter().find(holds).expect("each chunk lies in a span");
    let within = |at: u64| usize::try_from(at - span.start).expect("it is in memory");
    bytes.slice(within(range.start)..within(range.end))
}
