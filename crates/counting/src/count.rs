//! Objects cut into slices or row groups, these counted by threads, partial counts merged.

use crate::{
    columns::RowBatches,
    date::{DateFormat, DayReader, TimeOfDay},
    instructions::Instructions,
    layout::Layout,
    memory::{Memory, Share, SpillError},
    merge::{DayCounts, Partials},
    rows::DayEvents,
    slice::{Begin, SliceCounter, SliceReport},
    spread::{Part, Piece},
    stream::{Stream, Turn},
    wanted::{EXAMPLES_PER_REASON, ObjectDays, Wanted},
};
use domain::{RejectExample, Rejects, Tally};
use jiff::{civil::Time, tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{self, Read},
    ops::Range,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// An object of `ads_views` or `product_views`, whose header or footer was already read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CountedObject {
    /// The object's name, for messages.
    pub name: String,
    /// The days that it may hold.
    pub days: ObjectDays,
    /// How it is read.
    pub content: Content,
}

/// What an object consists of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Content {
    /// Lines of text; the layout tells of which log.
    Text {
        /// Its size in bytes; none when it can only be read from its start to its end, as what was
        /// compressed.
        size: Option<u64>,
        /// Where its fields are.
        layout: Layout,
    },
    /// Rows that come column by column.
    Columns(Vec<RowGroup>),
}

/// Rows that are read by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowGroup {
    /// How many there are.
    pub rows: u64,
    /// Whether any of them may be of a wanted day. If not, all count as of other days, unread.
    pub is_read: bool,
}

impl CountedObject {
    /// Where the fields are in an object of text.
    ///
    /// # Panics
    /// When it is none.
    pub(crate) fn layout(&self) -> &Layout {
        match &self.content {
            Content::Text { layout, .. } => layout,
            Content::Columns(_) => panic!("row groups have no slices"),
        }
    }

    /// Whether it can only be read from its start to its end.
    fn is_stream(&self) -> bool {
        matches!(self.content, Content::Text { size: None, .. })
    }
}

/// The bytes of the objects, by their index in the list given to [`count`].
pub trait Objects: Sync {
    /// The object's bytes from `range.start` to its end. `range.end` says about how far they will
    /// be read; the reader may go on behind it, to finish a record.
    ///
    /// # Errors
    /// When the object cannot be opened.
    fn open(&self, object: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>>;

    /// The rows of one of the object's row groups.
    ///
    /// # Errors
    /// When the object cannot be opened, or has no row groups.
    fn rows(&self, object: usize, row_group: usize) -> io::Result<Box<dyn RowBatches + '_>> {
        let _ = (object, row_group);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How the work is cut, and what it may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Threads that count; at least 1.
    pub threads: usize,
    /// Bytes of a slice; at least 1.
    pub slice_bytes: u64,
    /// With which of the processor's instructions.
    pub instructions: Instructions,
    /// How much memory, and what when it is full; none when there is no limit.
    pub memory: Option<Memory>,
}

impl Limits {
    /// What each of so many threads may take.
    pub(crate) fn share(&self, threads: usize) -> Share {
        self.memory.as_ref().map_or_else(Share::unlimited, |memory| memory.share(threads))
    }
}

/// What was counted.
#[derive(Debug)]
pub struct Counted {
    /// The wanted days, oldest first.
    pub days: Vec<CountedDay>,
    /// For each object, its first rejected lines of each reason, in line order.
    pub examples: Vec<Vec<RejectExample>>,
    /// Bytes of partial counts that went to disk, as there was no memory for them.
    pub spilled_bytes: u64,
}

/// One day's counts, and the objects they are made of.
#[derive(Debug)]
pub struct CountedDay {
    /// The counts, to be merged part by part.
    pub counts: DayCounts,
    /// The objects that may hold events of the day, with what became of their lines for this day.
    pub objects: Vec<ObjectDay>,
}

/// What one object gave to one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectDay {
    /// The object's index.
    pub object: usize,
    /// What became of its lines.
    pub tally: Tally,
    /// The latest time of day, in whole seconds, of its lines that are of the day, also by advertisers that are not
    /// active; none when all have plain dates.
    pub last_time: Option<Time>,
}

/// Why counting stopped.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// An object could not be read to its end.
    #[error("could not count {name}")]
    Read {
        /// The object's index.
        object: usize,
        /// The object's name.
        name: String,
        /// What went wrong.
        source: io::Error,
    },
    /// Part of an object was read twice, and the second time it said something else.
    #[error("an object of ads_views or product_views changed while it was being counted")]
    Changed,
    /// The system gave no memory for the tables.
    #[error("could not get memory for the counts")]
    Memory(#[source] io::Error),
    /// Partial counts for which there was no memory could not be written to disk, or be read back.
    #[error("could not keep partial counts on disk")]
    Spill(#[source] io::Error),
    /// What was counted elsewhere cannot be made one count.
    #[error("what came back from where parts were counted cannot be right: {0}")]
    Unfounded(&'static str),
}

impl CountError {
    /// A failure of the disk, which comes as it is or in a [`SpillError`].
    pub(crate) fn spill(error: io::Error) -> Self {
        Self::Spill(error.downcast::<SpillError>().map_or_else(|error| error, |SpillError(error)| error))
    }
}

/// Counts the wanted days in one pass over the objects.
///
/// # Errors
/// [`CountError`]; nothing is left behind then.
pub fn count(
    wanted: &Wanted,
    objects: &[CountedObject],
    bytes: &dyn Objects,
    date: (&DateFormat, &TimeZone),
    limits: Limits,
) -> Result<Counted, CountError> {
    let parts = Job::parts(objects, limits.slice_bytes.max(1));
    let job = Job::of(wanted, (objects, bytes), &parts, &limits);
    let reader = DayReader::new(date.0.clone(), date.1.clone());
    let threads = job.threads(&limits);
    let share = limits.share(threads);
    let (mut counters, counted) = job.count_all(threads, &reader, &share)?;
    let by_object = job.in_chain(counted, &mut counters[0])?;
    let partials = Partials::of(counters.into_iter().map(|counter| counter.table).collect(), &share)?;
    Ok(made_of(wanted, objects, &by_object, partials))
}

/// What was counted, of what became of each object's lines and of the partial counts.
pub(crate) fn made_of(
    wanted: &Wanted,
    objects: &[CountedObject],
    by_object: &[Vec<SliceReport>],
    partials: Partials,
) -> Counted {
    let spilled_bytes = partials.spilled_bytes();
    let counts = partials.days(wanted);
    let (examples, totals): (Vec<_>, Vec<_>) = objects
        .iter()
        .zip(by_object)
        .map(|(object, reports)| (examples(object, reports), Total::of(reports)))
        .unzip();
    let days = counts.into_iter().enumerate().map(|(slot, counts)| {
        let holds = |object: &CountedObject| object.days.may_hold(counts.day());
        let holding = objects.iter().enumerate().filter(|(_, object)| holds(object));
        let objects = holding.map(|(object, _)| totals[object].of_day(object, slot)).collect();
        CountedDay { counts, objects }
    });
    Counted { days: days.collect(), examples, spilled_bytes }
}

/// The ranges of objects of text that [`count`] will open, in about the order in which it will: as they are
/// given to [`Objects::open`], but for what must be counted again.
pub fn ranges(objects: &[CountedObject], limits: &Limits) -> impl Iterator<Item = (usize, Range<u64>)> {
    let streams = objects.iter().enumerate().filter(|(_, object)| object.is_stream());
    let streams = streams.map(|(object, counted)| (object, counted.layout().data_start()..u64::MAX));
    let slices = cut(objects, limits.slice_bytes.max(1)).into_iter();
    streams.chain(slices.map(|slice| {
        let begin = if slice.is_first { Begin::At(slice.range.start) } else { Begin::Guess };
        (slice.object, begin.offset(&slice.range)..slice.range.end)
    }))
}

/// An object's byte range, to be counted by one thread.
#[derive(Debug, Clone)]
struct Slice {
    object: usize,
    range: Range<u64>,
    is_first: bool,
}

fn cut(objects: &[CountedObject], slice_bytes: u64) -> Vec<Slice> {
    let mut slices = Vec::new();
    for (object, counted) in objects.iter().enumerate() {
        let Content::Text { size: Some(size), layout } = &counted.content else { continue };
        let (first, size) = (layout.data_start(), *size);
        let mut start = first;
        while start < size {
            let end = start.saturating_add(slice_bytes).min(size);
            slices.push(Slice { object, range: start..end, is_first: start == first });
            start = end;
        }
    }
    slices
}

/// Each row group that is read, by the indices of its object and of itself.
fn row_groups(objects: &[CountedObject]) -> Vec<(usize, usize)> {
    let mut read = Vec::new();
    for (object, counted) in objects.iter().enumerate() {
        if let Content::Columns(row_groups) = &counted.content {
            let indices = (0..row_groups.len()).filter(|index| row_groups[*index].is_read);
            read.extend(indices.map(|index| (object, index)));
        }
    }
    read
}

pub(crate) struct Job<'a> {
    wanted: &'a Wanted,
    objects: &'a [CountedObject],
    bytes: &'a dyn Objects,
    instructions: Instructions,
    slices: Vec<Slice>,
    row_groups: Vec<(usize, usize)>,
    /// The objects that cannot be cut.
    streams: Vec<Stream<'a>>,
}

/// What threads counted, each in the order of its objects.
#[derive(Default)]
pub(crate) struct Parts {
    /// By the slice's index.
    pub(crate) slices: Vec<(usize, SliceReport)>,
    /// By the object's index, and where in the object the chunk began.
    pub(crate) chunks: Vec<(usize, u64, SliceReport)>,
    /// By the indices of object and row group.
    pub(crate) row_groups: BTreeMap<(usize, usize), SliceReport>,
}

impl<'a> Job<'a> {
    /// Every part of the objects, a text cut into ranges of `slice_bytes`.
    pub(crate) fn parts(objects: &[CountedObject], slice_bytes: u64) -> Vec<Part> {
        let streams = objects.iter().enumerate().filter(|(_, object)| object.is_stream());
        let streams = streams.map(|(object, _)| Part { object, piece: Piece::All });
        let slices = cut(objects, slice_bytes).into_iter().map(|slice| {
            let Slice { object, range: Range { start, end }, is_first } = slice;
            Part { object, piece: Piece::Bytes { start, end, is_first } }
        });
        let row_groups = row_groups(objects).into_iter();
        let row_groups = row_groups.map(|(object, index)| Part { object, piece: Piece::RowGroup(index) });
        streams.chain(slices).chain(row_groups).collect()
    }

    /// To count these parts of the objects.
    pub(crate) fn of(
        wanted: &'a Wanted,
        (objects, bytes): (&'a [CountedObject], &'a dyn Objects),
        parts: &[Part],
        limits: &Limits,
    ) -> Self {
        let instructions = limits.instructions;
        let (slices, row_groups, streams) = (Vec::new(), Vec::new(), Vec::new());
        let mut job = Self { wanted, objects, bytes, instructions, slices, row_groups, streams };
        for &Part { object, ref piece } in parts {
            match *piece {
                Piece::Bytes { start, end, is_first } => {
                    job.slices.push(Slice { object, range: start..end, is_first });
                }
                Piece::RowGroup(index) => job.row_groups.push((object, index)),
                Piece::All => {
                    let stream = Stream::new((object, &objects[object]), bytes, limits.slice_bytes.max(1));
                    job.streams.push(stream);
                }
            }
        }
        job
    }

    /// How many threads there is work for.
    pub(crate) fn threads(&self, limits: &Limits) -> usize {
        let units = self.slices.len() + self.row_groups.len();
        let of_use = if self.streams.is_empty() { units.max(1) } else { usize::MAX };
        limits.threads.clamp(1, of_use)
    }

    /// Counts everything on `threads` threads.
    pub(crate) fn count_all(
        &self,
        threads: usize,
        reader: &DayReader,
        share: &Share,
    ) -> Result<(Vec<SliceCounter<'a>>, Parts), CountError> {
        let next = AtomicUsize::new(0);
        let has_failed = AtomicBool::new(false);
        let work = |worker| {
            let counter = SliceCounter::new(self.wanted, reader.clone(), self.instructions, share.clone());
            let mut counter = counter.map_err(CountError::Memory)?;
            let mut parts = Parts::default();
            let counted = self.work(worker, (&next, &has_failed), &mut counter, &mut parts);
            counted.inspect_err(|_| has_failed.store(true, Ordering::Relaxed))?;
            Ok((counter, parts))
        };
        let work = &work;
        let results: Vec<Result<_, CountError>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|worker| scope.spawn(move || work(worker))).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("a counting thread does not panic"))
                .collect()
        });
        let (mut counters, mut all) = (Vec::new(), Parts::default());
        for result in results {
            let (counter, parts) = result?;
            counters.push(counter);
            all.slices.extend(parts.slices);
            all.chunks.extend(parts.chunks);
            all.row_groups.extend(parts.row_groups);
        }
        all.slices.sort_by_key(|(index, _)| *index);
        all.chunks.sort_by_key(|(object, start, _)| (*object, *start));
        Ok((counters, all))
    }

    /// What one of the threads does: takes turns at the streams, each worker first at another one;
    /// counts slices while all streams are busy; and waits when nothing else is left.
    fn work(
        &self,
        worker: usize,
        (next, has_failed): (&AtomicUsize, &AtomicBool),
        counter: &mut SliceCounter<'_>,
        parts: &mut Parts,
    ) -> Result<(), CountError> {
        let (before, from) = self.streams.split_at(worker % self.streams.len().max(1));
        let mut open: Vec<_> = from.iter().chain(before).collect();
        while !has_failed.load(Ordering::Relaxed) {
            if self.take_turn(&mut open, false, counter, parts)? {
                continue;
            }
            let index = next.fetch_add(1, Ordering::Relaxed);
            if let Some(slice) = self.slices.get(index) {
                let begin = if slice.is_first { Begin::At(slice.range.start) } else { Begin::Guess };
                parts.slices.push((index, self.count_slice(counter, slice, begin, false)?));
            } else if let Some(row_group) = self.row_groups.get(index - self.slices.len()) {
                parts.row_groups.insert(*row_group, self.count_row_group(counter, *row_group)?);
            } else if !self.take_turn(&mut open, true, counter, parts)? {
                break;
            }
        }
        Ok(())
    }

    /// Counts a chunk of the first of the streams that is not busy, or, with `may_wait`, of the first;
    /// whether there was one. Streams that are done leave the list.
    fn take_turn(
        &self,
        open: &mut Vec<&Stream<'a>>,
        may_wait: bool,
        counter: &mut SliceCounter<'_>,
        parts: &mut Parts,
    ) -> Result<bool, CountError> {
        let mut at = 0;
        while let Some(stream) = open.get(at) {
            let turn = stream.take_turn(counter, may_wait);
            match turn.map_err(|source| self.unread(stream.object, source))? {
                Turn::Busy => at += 1,
                Turn::Done => drop(open.remove(at)),
                Turn::Counted(start, report) => {
                    parts.chunks.push((stream.object, start, *report));
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn unread(&self, object: usize, source: io::Error) -> CountError {
        match source.downcast::<SpillError>() {
            Ok(SpillError(source)) => CountError::Spill(source),
            Err(source) => CountError::Read { object, name: self.objects[object].name.clone(), source },
        }
    }

    fn count_slice(
        &self,
        counter: &mut SliceCounter<'_>,
        slice: &Slice,
        begin: Begin,
        is_undo: bool,
    ) -> Result<SliceReport, CountError> {
        let object = &self.objects[slice.object];
        let start = begin.offset(&slice.range);
        let counted = self
            .bytes
            .open(slice.object, start..slice.range.end)
            .and_then(|mut input| counter.count(object, slice.range.clone(), begin, is_undo, &mut *input));
        counted.map_err(|source| self.unread(slice.object, source))
    }

    fn count_row_group(
        &self,
        counter: &mut SliceCounter<'_>,
        (object, row_group): (usize, usize),
    ) -> Result<SliceReport, CountError> {
        let days = self.objects[object].days;
        let rows = self.bytes.rows(object, row_group);
        let counted = rows.and_then(|mut rows| counter.count_row_group(days, &mut *rows));
        counted.map_err(|source| self.unread(object, source))
    }

    /// Makes each slice begin where the one before it stopped: takes back those that guessed wrong
    /// and counts them again from there. Returns the reports of each object, in order.
    pub(crate) fn in_chain(
        &self,
        mut parts: Parts,
        counter: &mut SliceCounter<'_>,
    ) -> Result<Vec<Vec<SliceReport>>, CountError> {
        let mut by_object: Vec<Vec<SliceReport>> = vec![Vec::new(); self.objects.len()];
        let mut expected = 0;
        for (slice, (_, report)) in self.slices.iter().zip(parts.slices) {
            if slice.is_first {
                expected = slice.range.start;
            }
            let is_right = report.first == Some(expected);
            let took_records = report.first.is_some_and(|first| first < slice.range.end);
            let has_records = expected < slice.range.end;
            if took_records && !is_right {
                self.count_slice(counter, slice, Begin::Guess, true)?;
            }
            let report = match (has_records, is_right) {
                (false, _) => continue,
                (true, true) => report,
                (true, false) => self.count_slice(counter, slice, Begin::At(expected), false)?,
            };
            expected = report.next;
            by_object[slice.object].push(report);
        }
        // Chunks begin where a record does.
        for (object, _, report) in parts.chunks {
            by_object[object].push(report);
        }
        for (object, counted) in self.objects.iter().enumerate() {
            if let Content::Columns(row_groups) = &counted.content {
                let report = |(index, row_group): (usize, &RowGroup)| {
                    parts.row_groups.remove(&(object, index)).unwrap_or_else(|| unread(row_group))
                };
                by_object[object] = row_groups.iter().enumerate().map(report).collect();
            }
        }
        Ok(by_object)
    }
}

/// What is known of a row group that holds no wanted day.
fn unread(row_group: &RowGroup) -> SliceReport {
    SliceReport { records: row_group.rows, lines: row_group.rows, ..SliceReport::default() }
}

fn examples(object: &CountedObject, reports: &[SliceReport]) -> Vec<RejectExample> {
    let mut examples = Vec::new();
    let mut shown = Rejects::default();
    let header_lines = match &object.content {
        Content::Text { layout, .. } => layout.header_lines(),
        Content::Columns(_) => 0,
    };
    let mut line = header_lines + 1;
    for report in reports {
        for example in &report.examples {
            if shown.of(example.reason) < EXAMPLES_PER_REASON as u64 {
                shown.add(example.reason, 1);
                let (object, text) = (object.name.clone(), example.text.clone());
                examples.push(RejectExample {
                    object,
                    line: line + example.line,
                    reason: example.reason,
                    text,
                });
            }
        }
        line += report.lines;
    }
    examples
}

/// What became of an object's lines, all slices together.
#[derive(Default)]
struct Total {
    records: u64,
    blank: u64,
    rejects: Rejects,
    /// By day slot.
    days: BTreeMap<u32, (DayEvents, TimeOfDay)>,
}

impl Total {
    fn of(reports: &[SliceReport]) -> Self {
        let mut total = Self::default();
        for report in reports {
            total.records += report.records;
            total.blank += report.blank;
            total.rejects += report.rejects;
            for day in &report.days {
                let (events, last_time) = total.days.entry(day.slot).or_default();
                events.kept += day.events.kept;
                events.inactive += day.events.inactive;
                *last_time = day.last_time.max(*last_time);
            }
        }
        total
    }

    fn of_day(&self, object: usize, slot: usize) -> ObjectDay {
        let slot = u32::try_from(slot).expect("days fit in 32 bits");
        let (DayEvents { kept, inactive }, last_time) = self.days.get(&slot).copied().unwrap_or_default();
        let tally = Tally {
            read: self.records,
            kept,
            inactive,
            other_days: self.records - self.rejects.total() - kept - inactive,
            rejected: self.rejects,
            blank: self.blank,
        };
        ObjectDay { object, tally, last_time: last_time.time() }
    }
}
