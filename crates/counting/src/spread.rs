//! The same counting in parts that other machines take.
//!
//! What [`count`](crate::count) does on threads is cut here into [`Part`]s, each of which [`count_parts`] counts
//! wherever the objects can be read. What comes of it — partial counts that merge by addition, and a [`Report`] for
//! each part — a [`Gathering`] makes whole: it sees that every part was reported once and that the counts are as many
//! as the events reported, has parts that guessed wrong where they begin taken back, and gives what `count` would.

use crate::{
    count::{CountError, Counted, CountedObject, Job, Limits, Objects, Parts, made_of},
    date::{DateFormat, DayReader},
    memory::Share,
    merge::{DayCounts, Gathered, Partials},
    run::Run,
    slice::{SliceCounter, SliceReport},
    table::{COUNTERS, Product},
    wanted::{EXAMPLES_PER_REASON, Wanted},
};
use domain::Rejects;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Range,
    sync::Arc,
};

/// A part of the work that one machine does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Part {
    /// The object's index.
    pub object: usize,
    /// What of it.
    pub piece: Piece,
}

/// What of an object is counted by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Piece {
    /// The records of a text that begin in these bytes.
    Bytes {
        /// The first byte.
        start: u64,
        /// One past the last.
        end: u64,
        /// Whether the object's first record begins here: else where the first one begins is a guess.
        is_first: bool,
    },
    /// Rows that are read by themselves, by their index.
    RowGroup(usize),
    /// All of an object that can only be read from its start to its end.
    All,
}

impl Piece {
    /// The bytes, when it is a range of a text.
    #[must_use]
    pub fn bytes(&self) -> Option<Range<u64>> {
        match *self {
            Self::Bytes { start, end, .. } => Some(start..end),
            Self::RowGroup(_) | Self::All => None,
        }
    }
}

/// A group that is of no wanted day.
pub(crate) const NO_GROUP: CountError = CountError::Unfounded("a group that was not asked for");

/// The id of a product that came from elsewhere.
pub(crate) fn product_id(product: &[u8]) -> Result<&str, CountError> {
    let id = std::str::from_utf8(product).ok();
    let id = id.filter(|id| !id.is_empty() && id.len() <= domain::ID_BYTES_MAX);
    id.ok_or(CountError::Unfounded("a product whose id is none"))
}

/// What became of a part's lines, to be handed to a [`Gathering`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report(SliceReport);

/// The counts of some parts, and what became of their lines.
#[derive(Debug)]
pub struct CountedParts {
    /// The wanted days, oldest first.
    pub days: Vec<DayCounts>,
    /// For each part, in their order.
    pub reports: Vec<Report>,
    /// Bytes of partial counts that went to disk, as there was no memory for them.
    pub spilled_bytes: u64,
}

/// Every part of the objects, a text cut into ranges of `slice_bytes`.
#[must_use]
pub fn parts(objects: &[CountedObject], slice_bytes: u64) -> Vec<Part> {
    Job::parts(objects, slice_bytes.max(1))
}

/// Counts these parts of the objects alone.
///
/// # Errors
/// [`CountError`]; nothing is left behind then.
///
/// # Panics
/// When a part is not one of the objects'.
pub fn count_parts(
    wanted: &Wanted,
    objects: &[CountedObject],
    parts: &[Part],
    bytes: &dyn Objects,
    date: (&DateFormat, &TimeZone),
    limits: &Limits,
) -> Result<CountedParts, CountError> {
    let job = Job::of(wanted, (objects, bytes), parts, limits);
    let threads = job.threads(limits);
    let share = limits.share(threads);
    let reader = DayReader::new(date.0.clone(), date.1.clone());
    let (counters, counted) = job.count_all(threads, &reader, &share)?;
    let partials = Partials::of(counters.into_iter().map(|counter| counter.table).collect(), &share)?;
    let spilled_bytes = partials.spilled_bytes();
    let reports = reports(parts, counted);
    Ok(CountedParts { days: partials.days(wanted), reports, spilled_bytes })
}

/// What was counted of each part, in their order.
fn reports(parts: &[Part], counted: Parts) -> Vec<Report> {
    let Parts { slices, chunks, mut row_groups } = counted;
    let mut slices = slices.into_iter().map(|(_, report)| report);
    let mut wholes: BTreeMap<usize, SliceReport> = BTreeMap::new();
    for (object, _, report) in chunks {
        match wholes.entry(object) {
            Entry::Vacant(entry) => drop(entry.insert(report)),
            Entry::Occupied(mut entry) => entry.get_mut().go_on(report),
        }
    }
    let report = |part: &Part| match part.piece {
        Piece::Bytes { .. } => slices.next(),
        Piece::RowGroup(index) => row_groups.remove(&(part.object, index)),
        Piece::All => wholes.remove(&part.object),
    };
    parts.iter().map(report).map(|report| Report(report.expect("each part was counted"))).collect()
}

impl SliceReport {
    /// Adds what became of the lines behind.
    fn go_on(&mut self, next: Self) {
        let mut shown = Rejects::default();
        self.examples.iter().for_each(|example| shown.add(example.reason, 1));
        for mut example in next.examples {
            if shown.of(example.reason) < EXAMPLES_PER_REASON as u64 {
                shown.add(example.reason, 1);
                example.line += self.lines;
                self.examples.push(example);
            }
        }
        self.next = next.next;
        self.lines += next.lines;
        self.records += next.records;
        self.blank += next.blank;
        self.rejects += next.rejects;
        for day in next.days {
            match self.days.binary_search_by_key(&day.slot, |day| day.slot) {
                Ok(at) => {
                    let mine = &mut self.days[at];
                    mine.events.kept += day.events.kept;
                    mine.events.inactive += day.events.inactive;
                    mine.last_time = mine.last_time.max(day.last_time);
                }
                Err(at) => self.days.insert(at, day),
            }
        }
    }
}

/// So much is gathered before it goes to disk, however much memory there is: its places are numbered by 32 bits.
const GATHERED_BYTES_MAX: usize = 1 << 30;

/// Makes one count of what parts were counted elsewhere.
pub struct Gathering {
    wanted: Arc<Wanted>,
    objects: Arc<[CountedObject]>,
    limits: Limits,
    parts: Vec<Part>,
    reports: Vec<Option<SliceReport>>,
    share: Share,
    gathered: Gathered,
    runs: Vec<Run>,
    /// Events that were received, by day slot.
    events: Vec<i128>,
}

impl Gathering {
    /// Awaits what becomes of the [`parts`] of the objects.
    ///
    /// # Panics
    /// When the limits leave memory and disk open.
    #[must_use]
    pub fn new(wanted: Arc<Wanted>, objects: Arc<[CountedObject]>, parts: Vec<Part>, limits: Limits) -> Self {
        assert!(limits.memory.is_some(), "what does not fit in memory must have a place");
        let (reports, events) = (vec![None; parts.len()], vec![0; wanted.days().len()]);
        let (share, gathered, runs) = (limits.share(1), Gathered::default(), Vec::new());
        Self { wanted, objects, limits, parts, reports, share, gathered, runs, events }
    }

    /// Adds to the counts of a group's product, as [`CountsPart::entries`](crate::CountsPart::entries) tells them.
    ///
    /// # Errors
    /// [`CountError::Unfounded`] when there is no such group or product, [`CountError::Spill`] when the disk takes no
    /// more.
    pub fn add(&mut self, group: u32, product: &[u8], counters: [i64; COUNTERS]) -> Result<(), CountError> {
        let slot = self.wanted.slot_of(group).ok_or(NO_GROUP)?;
        product_id(product)?;
        self.events[slot] += counters.into_iter().map(i128::from).sum::<i128>();
        self.gathered.push(group, Product::of(product), counters);
        if self.gathered.bytes() > (self.share.bytes / 2).min(GATHERED_BYTES_MAX) {
            self.spill()
        } else {
            Ok(())
        }
    }

    /// Takes that so many events are in counts that stay where they were added up, of the day at this place among the
    /// wanted ones.
    ///
    /// # Errors
    /// [`CountError::Unfounded`] when there is no such day.
    pub fn add_elsewhere(&mut self, slot: usize, events: u64) -> Result<(), CountError> {
        let sum = self.events.get_mut(slot);
        *sum.ok_or(CountError::Unfounded("a day that was not asked for"))? += i128::from(events);
        Ok(())
    }

    /// Whether all parts were reported and each began where it guessed: else [`Gathering::finish`] takes counts back.
    #[must_use]
    pub fn is_as_guessed(&self) -> bool {
        let Self { parts, reports, .. } = self;
        let mut expected = 0;
        parts.iter().zip(reports).all(|(part, report)| {
            let Some(report) = report else { return false };
            let Piece::Bytes { start, end, is_first } = part.piece else { return true };
            if is_first {
                expected = start;
            }
            let is_right = report.first == Some(expected);
            let took_records = report.first.is_some_and(|first| first < end);
            let has_records = expected < end;
            if has_records {
                expected = report.next;
            }
            is_right || !took_records && !has_records
        })
    }

    /// Takes what became of a part, by its index among all.
    ///
    /// # Errors
    /// [`CountError::Unfounded`] when there is no such part, or it was reported before.
    pub fn report(&mut self, part: usize, Report(report): Report) -> Result<(), CountError> {
        match self.reports.get_mut(part) {
            Some(none @ None) => *none = Some(report),
            Some(Some(_)) => return Err(CountError::Unfounded("a part that was reported before")),
            None => return Err(CountError::Unfounded("a part that was not asked for")),
        }
        Ok(())
    }

    /// Whether all is there: a report of each part, and as many events in the counts of each day as the reports say.
    ///
    /// # Errors
    /// [`CountError::Unfounded`] when it is not.
    pub fn check(&self) -> Result<(), CountError> {
        let reports: Option<Vec<_>> = self.reports.iter().map(Option::as_ref).collect();
        let reports = reports.ok_or(CountError::Unfounded("not all parts"))?;
        for (slot, events) in self.events.iter().enumerate() {
            let days = reports.iter().flat_map(|report| &report.days).filter(|day| day.slot as usize == slot);
            if days.map(|day| i128::from(day.events.kept)).sum::<i128>() != *events {
                return Err(CountError::Unfounded("counts of another number of events than were reported"));
            }
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), CountError> {
        let gathered = std::mem::take(&mut self.gathered);
        let run = gathered.into_run(&self.share).map_err(CountError::Spill)?;
        self.runs.push(run);
        Ok(())
    }

    /// What [`count`](crate::count) would give.
    ///
    /// # Errors
    /// [`CountError::Unfounded`] as [`Gathering::check`] says; else as [`count`](crate::count) does.
    pub fn finish(
        mut self,
        bytes: &dyn Objects,
        date: (&DateFormat, &TimeZone),
    ) -> Result<Counted, CountError> {
        self.check()?;
        self.spill()?;
        let Self { wanted, objects, limits, parts, reports, share, mut runs, .. } = self;
        let reports = reports.into_iter().flatten().collect();
        let job = Job::of(&wanted, (&objects, bytes), &parts, &limits);
        let reader = DayReader::new(date.0.clone(), date.1.clone());
        let counter = SliceCounter::new(&wanted, reader, limits.instructions, share.clone());
        let mut counter = counter.map_err(CountError::Memory)?;
        let by_object = job.in_chain(counted(&parts, reports), &mut counter)?;
        counter.table.spill().map_err(CountError::spill)?;
        runs.extend(counter.table.into_runs());
        Ok(made_of(&wanted, &objects, &by_object, Partials::of_runs(runs, limits.threads, &share)?))
    }
}

/// The reports where counting on threads would have put them.
fn counted(parts: &[Part], reports: Vec<SliceReport>) -> Parts {
    let mut counted = Parts::default();
    for (part, report) in parts.iter().zip(reports) {
        match part.piece {
            Piece::Bytes { .. } => counted.slices.push((counted.slices.len(), report)),
            Piece::RowGroup(index) => drop(counted.row_groups.insert((part.object, index), report)),
            Piece::All => counted.chunks.push((part.object, 0, report)),
        }
    }
    counted
}
