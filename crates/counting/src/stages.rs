//! The steps of counting one at a time, for benchmarks alone.
//!
//! Text enters, numbers leave that a benchmark can throw away. Each step calls what counting calls and
//! decides nothing itself. It is no part of the API, and nothing but benchmarks may use it.

use crate::{
    active::ActiveTable,
    instructions::Instructions,
    memory::Share,
    merge::{DayCounts, Partials},
    padded::{PADDING_BYTES, Padded},
    structure::Structure,
    table::{Counter, Table},
    wanted::Wanted,
};
use domain::AdvertiserId;
use std::ops::Range;

pub use crate::slice::BLOCK_BYTES;

/// Text with the room behind it that counting's buffers have.
#[derive(Debug)]
pub struct Text(Vec<u8>);

impl Text {
    /// A copy of the text.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        Self([text, &[0; PADDING_BYTES]].concat())
    }

    fn len(&self) -> usize {
        self.0.len() - PADDING_BYTES
    }

    fn part(&self, range: &Range<usize>) -> Padded<'_> {
        Padded::new(&self.0, range.start, range.end - range.start)
    }
}

/// Splits text at delimiters and line endings.
#[derive(Debug)]
pub struct Split(Structure);

impl Split {
    /// With these instructions of the processor.
    #[must_use]
    pub fn new(instructions: Instructions) -> Self {
        Self(Structure::new(instructions))
    }

    /// Indexes the whole text; where its first record begins.
    pub fn index(&mut self, text: &Text, delimiter: u8) -> usize {
        self.0.index(&text.0, text.len(), delimiter).at()
    }
}

/// Finds advertisers among the active ones.
#[derive(Debug)]
pub struct Intern(ActiveTable);

impl Intern {
    /// The table of distinct ids.
    #[must_use]
    pub fn new(ids: Vec<AdvertiserId>) -> Self {
        Self(ActiveTable::new(ids))
    }

    /// Looks up each of the ids that lie in the text; how many are active.
    #[must_use]
    pub fn find(&self, text: &Text, ids: &[Range<usize>]) -> usize {
        ids.iter().filter(|id| self.0.find(text.part(id)) != 0).count()
    }
}

/// The counts of one thread.
#[derive(Debug)]
pub struct Probe(Table);

/// So many events are asked for before the first of them is added.
const BATCH: usize = 64;

impl Probe {
    /// Empty tables for so many groups.
    ///
    /// # Panics
    /// When the system gives no memory.
    #[must_use]
    pub fn new(groups: usize) -> Self {
        Self(Table::new(groups, Share::unlimited()).expect("there is memory"))
    }

    /// Adds an impression of each (group, product that lies in the text), in batches as counting does.
    ///
    /// # Panics
    /// When the system gives no memory.
    pub fn add(&mut self, text: &Text, events: &[(u32, Range<usize>)]) {
        for batch in events.chunks(BATCH) {
            let mut keys = [Default::default(); BATCH];
            for (key, (group, product)) in keys.iter_mut().zip(batch) {
                *key = self.0.key(*group, text.part(product));
                self.0.prefetch(key);
            }
            for (key, (_, product)) in keys.iter().zip(batch) {
                let added = self.0.add(key, Counter::Impressions, text.part(product));
                added.expect("there is memory");
            }
        }
    }
}

/// Merges the counts of several threads, one part after the other; how many rows there are.
///
/// # Panics
/// When they were made for other groups than the wanted ones.
#[must_use]
pub fn merged(wanted: &Wanted, threads: Vec<Probe>) -> usize {
    let tables = threads.into_iter().map(|probe| probe.0).collect();
    let partials = Partials::of(tables, &Share::unlimited()).expect("nothing was spilled");
    let days = partials.days(wanted);
    let parts = days.iter().flat_map(DayCounts::parts);
    parts.map(|part| part.merge().expect("nothing was taken back").len()).sum()
}
