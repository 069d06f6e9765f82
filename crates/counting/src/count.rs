//! Objects cut into slices, slices counted by threads, partial counts merged.

use crate::{
    date::{DateFormat, DayReader},
    header::Layout,
    merge::merge,
    slice::{Begin, SliceCounter, SliceReport},
    wanted::{EXAMPLES_PER_REASON, ObjectDays, Wanted},
};
use domain::{DayCounts, RejectExample, Rejects, Tally};
use jiff::tz::TimeZone;
use std::{
    collections::BTreeMap,
    io::{self, Read},
    ops::Range,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// An object of `ads_views` or `product_views`, with its header already read: the layout tells which.
#[derive(Debug, Clone)]
pub struct CountedObject {
    /// The object's name, for messages.
    pub name: String,
    /// Its size in bytes; none when it can only be read from its start to its end, as what was
    /// compressed: then one thread counts it.
    pub size: Option<u64>,
    /// Where its fields are.
    pub layout: Layout,
    /// The days that it may hold.
    pub days: ObjectDays,
}

/// The bytes of the objects, by their index in the list given to [`count`].
pub trait Objects: Sync {
    /// The object's bytes from `range.start` to its end. `range.end` says about how far they will
    /// be read; the reader may go on behind it, to finish a record.
    ///
    /// # Errors
    /// When the object cannot be opened.
    fn open(&self, object: usize, range: Range<u64>) -> io::Result<Box<dyn Read + '_>>;
}

/// How the work is cut.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Threads that count; at least 1.
    pub threads: usize,
    /// Bytes of a slice; at least 1.
    pub slice_bytes: u64,
}

/// What was counted.
#[derive(Debug)]
pub struct Counted {
    /// The wanted days, oldest first.
    pub days: Vec<CountedDay>,
    /// For each object, its first rejected lines of each reason, in line order.
    pub examples: Vec<Vec<RejectExample>>,
}

/// One day's counts, and the objects they are made of.
#[derive(Debug)]
pub struct CountedDay {
    /// The counts.
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
    let job = Job { wanted, objects, bytes, slices: cut(objects, limits.slice_bytes.max(1)) };
    let threads = limits.threads.clamp(1, job.slices.len().max(1));
    let reader = DayReader::new(date.0.clone(), date.1.clone());
    let (mut counters, reports) = job.count_slices(threads, &reader)?;
    let by_object = job.in_chain(reports, &mut counters[0])?;
    let tables: Vec<_> = counters.iter().map(|counter| &counter.table).collect();
    let counts = merge(wanted, &tables, limits.threads.max(1)).map_err(|_| CountError::Changed)?;
    let (examples, totals): (Vec<_>, Vec<_>) = objects
        .iter()
        .zip(&by_object)
        .map(|(object, reports)| (examples(object, reports), Total::of(reports)))
        .unzip();
    let days = counts.into_iter().enumerate().map(|(slot, counts)| {
        let holds = |object: &CountedObject| match object.days {
            ObjectDays::Any => true,
            ObjectDays::Only(day) => day == counts.day(),
        };
        let holding = objects.iter().enumerate().filter(|(_, object)| holds(object));
        let objects =
            holding.map(|(object, _)| ObjectDay { object, tally: totals[object].tally(slot) }).collect();
        CountedDay { counts, objects }
    });
    Ok(Counted { days: days.collect(), examples })
}

/// An object's byte range, to be counted by one thread.
#[derive(Debug, Clone)]
struct Slice {
    object: usize,
    range: Range<u64>,
    is_first: bool,
}

/// What only one thread can count comes first, since it takes longest.
fn cut(objects: &[CountedObject], slice_bytes: u64) -> Vec<Slice> {
    let mut slices = Vec::new();
    for (object, counted) in objects.iter().enumerate().filter(|(_, counted)| counted.size.is_none()) {
        slices.push(Slice { object, range: counted.layout.data_start..u64::MAX, is_first: true });
    }
    for (object, counted) in objects.iter().enumerate() {
        let (first, size) = (counted.layout.data_start, counted.size.unwrap_or_default());
        let mut start = first;
        while start < size {
            let end = start.saturating_add(slice_bytes).min(size);
            slices.push(Slice { object, range: start..end, is_first: start == first });
            start = end;
        }
    }
    slices
}

struct Job<'a> {
    wanted: &'a Wanted,
    objects: &'a [CountedObject],
    bytes: &'a dyn Objects,
    slices: Vec<Slice>,
}

impl<'a> Job<'a> {
    /// Counts every slice on `threads` threads; the reports are in the order of the slices.
    fn count_slices(
        &self,
        threads: usize,
        reader: &DayReader,
    ) -> Result<(Vec<SliceCounter<'a>>, Vec<SliceReport>), CountError> {
        let next = AtomicUsize::new(0);
        let has_failed = AtomicBool::new(false);
        let work = || {
            let mut counter = SliceCounter::new(self.wanted, reader.clone()).map_err(CountError::Memory)?;
            let mut reports = Vec::new();
            while !has_failed.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(slice) = self.slices.get(index) else { break };
                let begin = if slice.is_first { Begin::At(slice.range.start) } else { Begin::Guess };
                let report = self.count_slice(&mut counter, slice, begin, false);
                let report = report.inspect_err(|_| has_failed.store(true, Ordering::Relaxed))?;
                reports.push((index, report));
            }
            Ok((counter, reports))
        };
        let results: Vec<Result<_, CountError>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("a counting thread does not panic"))
                .collect()
        });
        let mut counters = Vec::new();
        let mut all = Vec::new();
        for result in results {
            let (counter, reports) = result?;
            counters.push(counter);
            all.extend(reports);
        }
        all.sort_by_key(|(index, _)| *index);
        Ok((counters, all.into_iter().map(|(_, report)| report).collect()))
    }

    fn count_slice(
        &self,
        counter: &mut SliceCounter<'_>,
        slice: &Slice,
        begin: Begin,
        is_undo: bool,
    ) -> Result<SliceReport, CountError> {
        let object = &self.objects[slice.object];
        let start = match begin {
            Begin::At(start) => start,
            Begin::Guess => slice.range.start - 1,
        };
        let counted = self
            .bytes
            .open(slice.object, start..slice.range.end)
            .and_then(|mut input| counter.count(object, slice.range.clone(), begin, is_undo, &mut *input));
        counted.map_err(|source| CountError::Read { object: slice.object, name: object.name.clone(), source })
    }

    /// Makes each slice begin where the one before it stopped: takes back those that guessed wrong
    /// and counts them again from there. Returns the reports of each object, in order.
    fn in_chain(
        &self,
        reports: Vec<SliceReport>,
        counter: &mut SliceCounter<'_>,
    ) -> Result<Vec<Vec<SliceReport>>, CountError> {
        let mut by_object: Vec<Vec<SliceReport>> = vec![Vec::new(); self.objects.len()];
        let mut expected = 0;
        for (slice, report) in self.slices.iter().zip(reports) {
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
        Ok(by_object)
    }
}

fn examples(object: &CountedObject, reports: &[SliceReport]) -> Vec<RejectExample> {
    let mut examples = Vec::new();
    let mut shown = Rejects::default();
    let mut line = object.layout.header_lines + 1;
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
    /// Kept and inactive by day slot.
    days: BTreeMap<u32, (u64, u64)>,
}

impl Total {
    fn of(reports: &[SliceReport]) -> Self {
        let mut total = Self::default();
        for report in reports {
            total.records += report.records;
            total.blank += report.blank;
            total.rejects += report.rejects;
            for (slot, events) in &report.days {
                let day = total.days.entry(*slot).or_default();
                day.0 += events.kept;
                day.1 += events.inactive;
            }
        }
        total
    }

    fn tally(&self, slot: usize) -> Tally {
        let slot = u32::try_from(slot).expect("days fit in 32 bits");
        let (kept, inactive) = self.days.get(&slot).copied().unwrap_or_default();
        Tally {
            read: self.records,
            kept,
            inactive,
            other_days: self.records - self.rejects.total() - kept - inactive,
            rejected: self.rejects,
            blank: self.blank,
        }
    }
}
