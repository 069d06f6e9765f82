//! The path of nearly every record: a line without quotes, with as many fields as the header.
//!
//! Its fields are judged where they lie; what breaks a rule, or looks in any way unusual, is left to
//! the exact reader. Events wait in a batch until their cache lines have come.

use crate::{
    event::{Event, Rules, kind_counter},
    instructions::Instructions,
    layout::Delimited,
    lines::{Bounds, Line, Needed, Records},
    padded::Padded,
    record::RECORD_BYTES_MAX,
    structure::Quirks,
    table::{Counter, Key, Table},
    wanted::{NOT_WANTED, Wanted},
};
use domain::ID_BYTES_MAX;
use std::io;

/// Rows that are judged one after the other, before the first of them is looked up, before the first
/// is counted: so that no step waits for what the one before it had to load. A few for a fuzzer.
pub(crate) const BATCH: usize = if cfg!(fuzzing) { 4 } else { 64 };

/// Events of one day in one slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct DayEvents {
    pub(crate) kept: u64,
    pub(crate) inactive: u64,
}

/// What events are added to.
pub(crate) struct Target<'t> {
    pub(crate) wanted: &'t Wanted,
    pub(crate) table: &'t mut Table,
    pub(crate) day_events: &'t mut [DayEvents],
}

/// What a line says, before it is known whether its advertiser is active.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Row<'b> {
    pub(crate) event: Event,
    pub(crate) advertiser: Padded<'b>,
    pub(crate) product: Padded<'b>,
}

impl Target<'_> {
    /// Tallies an event of a wanted day; its group, and whether it counts there.
    #[inline(always)]
    pub(crate) fn tally(&mut self, row: &Row<'_>) -> (u32, bool) {
        let Event { day_slot, .. } = row.event;
        let (group, is_kept) = self.wanted.group(day_slot, self.wanted.table.find(row.advertiser));
        let events = &mut self.day_events[day_slot as usize];
        events.kept += u64::from(is_kept);
        events.inactive += u64::from(!is_kept);
        (group, is_kept)
    }

    /// Counts one event of a wanted day.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn count(&mut self, row: &Row<'_>) -> io::Result<()> {
        let (group, is_kept) = self.tally(row);
        if is_kept {
            let key = self.table.key(group, row.product);
            self.table.add(&key, row.event.counter, row.product)?;
        }
        Ok(())
    }
}

/// Room for the rows of a batch, of one buffer.
pub(crate) struct Batch<'b> {
    pub(crate) rows: [Row<'b>; BATCH],
    keys: [(Key, Counter, Padded<'b>); BATCH],
}

impl Batch<'_> {
    pub(crate) fn new() -> Self {
        let key = (Key::default(), Counter::Views, Padded::default());
        Self { rows: [Row::default(); BATCH], keys: [key; BATCH] }
    }

    /// Counts the first `waiting` rows, which are of wanted days.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn count(&mut self, waiting: usize, target: &mut Target<'_>) -> io::Result<()> {
        let kept = self.look_up(waiting, target);
        for (key, counter, product) in &self.keys[..kept] {
            target.table.add(key, *counter, *product)?;
        }
        Ok(())
    }

    /// Finds the groups of the rows and asks for the cache lines of their products; how many count.
    #[inline(never)]
    fn look_up(&mut self, waiting: usize, target: &mut Target<'_>) -> usize {
        let mut kept = 0;
        for row in &self.rows[..waiting] {
            let (group, is_kept) = target.tally(row);
            let key = target.table.key(group, row.product);
            target.table.prefetch(&key);
            self.keys[kept] = (key, row.event.counter, row.product);
            kept += usize::from(is_kept);
        }
        kept
    }
}

/// Where the needed fields of a usual line are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    bounds: Bounds,
    advertiser: Needed,
    product: Needed,
    kind: Option<Needed>,
    date: Option<Needed>,
}

impl Places {
    pub(crate) fn of(layout: &Delimited) -> Self {
        let product = layout.product.expect("events have a product");
        // A field that is not there has the bounds of one that is.
        let (kind, date) = (layout.kind.unwrap_or(product), layout.date.unwrap_or(product));
        let needed = [layout.advertiser, product, kind, date];
        let (bounds, [advertiser, product, kind, date]) = Bounds::of(layout.fields, needed);
        let (kind, date) = (layout.kind.map(|_| kind), layout.date.map(|_| date));
        Self { bounds, advertiser, product, kind, date }
    }
}

/// What is known of the places of the fields when this is compiled.
trait Arrangement {
    /// How many first fields are all those that are needed, or 0.
    const FIRST: usize;

    /// The places, with what is known put in.
    fn places(found: &Places) -> Places;

    /// Whether it is the arrangement of these.
    fn is_of(found: &Places) -> bool {
        Self::places(found) == *found
    }
}

/// The fields are anywhere.
struct Anywhere;

impl Arrangement for Anywhere {
    const FIRST: usize = 0;

    #[inline(always)]
    fn places(found: &Places) -> Places {
        *found
    }
}

/// The fields come first, in the order of the contract: advertiser, product, type if there is one, date.
struct InOrder<const HAS_KIND: bool>;

impl<const HAS_KIND: bool> Arrangement for InOrder<HAS_KIND> {
    const FIRST: usize = if HAS_KIND { 4 } else { 3 };

    #[inline(always)]
    fn places(found: &Places) -> Places {
        Places {
            bounds: found.bounds,
            advertiser: Needed::first(0),
            product: Needed::first(1),
            kind: HAS_KIND.then(|| Needed::first(2)),
            date: Some(Needed::first(Self::FIRST - 1)),
        }
    }
}

/// Counts the usual rows at the records' place that begin before `limit`; returns how many. With
/// `is_plain` the buffer has no [`Quirks`] and no more bytes than a record may have.
///
/// # Errors
/// When the system gives no memory.
pub(crate) fn count_rows<'b>(
    (records, limit, is_plain): (&mut Records<'b>, usize, bool),
    (places, instructions): (&Places, Instructions),
    rules: &mut Rules<'_, '_>,
    batch: &mut Batch<'b>,
    target: &mut Target<'_>,
) -> io::Result<u64> {
    let judge = match is_plain {
        true if InOrder::<true>::is_of(places) => judge::<InOrder<true>, true>,
        true if InOrder::<false>::is_of(places) => judge::<InOrder<false>, true>,
        true => judge::<Anywhere, true>,
        false => judge::<Anywhere, false>,
    };
    let mut rows = 0;
    loop {
        let judged = judge((records, limit), (places, instructions), rules, &mut batch.rows);
        rows += judged.rows as u64;
        batch.count(judged.waiting, target)?;
        if judged.rows < BATCH {
            return Ok(rows);
        }
    }
}

/// How many rows were judged, and how many of these are of wanted days.
#[derive(Debug, Clone, Copy)]
struct Judged {
    rows: usize,
    waiting: usize,
}

/// Judges up to a batch of usual rows; those of wanted days are put into `waiting`.
fn judge<'b, A: Arrangement, const IS_PLAIN: bool>(
    records: (&mut Records<'b>, usize),
    (places, instructions): (&Places, Instructions),
    rules: &mut Rules<'_, '_>,
    waiting: &mut [Row<'b>; BATCH],
) -> Judged {
    #[cfg(target_arch = "x86_64")]
    if instructions.use_avx2() {
        // SAFETY: the processor was just found to have the instructions.
        return unsafe { judge_with_avx2::<A, IS_PLAIN>(records, places, rules, waiting) };
    }
    let _ = instructions;
    judge_with_any::<A, IS_PLAIN>(records, places, rules, waiting)
}

/// [`judge_with_any`], compiled for the instructions on bits that come with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
fn judge_with_avx2<'b, A: Arrangement, const IS_PLAIN: bool>(
    records: (&mut Records<'b>, usize),
    places: &Places,
    rules: &mut Rules<'_, '_>,
    waiting: &mut [Row<'b>; BATCH],
) -> Judged {
    judge_with_any::<A, IS_PLAIN>(records, places, rules, waiting)
}

#[inline(always)]
fn judge_with_any<'b, A: Arrangement, const IS_PLAIN: bool>(
    (records, limit): (&mut Records<'b>, usize),
    places: &Places,
    rules: &mut Rules<'_, '_>,
    waiting: &mut [Row<'b>; BATCH],
) -> Judged {
    let places = A::places(places);
    let mut judged = Judged { rows: 0, waiting: 0 };
    let mut line = Line::default();
    while judged.rows < BATCH
        && records.at() < limit
        && records.find_line(&places.bounds, A::FIRST, &mut line)
    {
        let quirks = records.quirks();
        let Some(row) = usual_row::<IS_PLAIN>(&line, quirks, &places, rules) else { break };
        records.pass(&line);
        judged.rows += 1;
        waiting[judged.waiting] = row;
        judged.waiting += usize::from(row.event.day_slot != NOT_WANTED);
    }
    judged
}

/// What a line says; none when it is anything else than places. Of a plain buffer, one without
/// [`Quirks`], only the lengths of the ids need to be looked at.
#[inline(always)]
fn usual_row<'b, const IS_PLAIN: bool>(
    line: &Line<'b>,
    quirks: Quirks,
    places: &Places,
    rules: &mut Rules<'_, '_>,
) -> Option<Row<'b>> {
    let field = |needed| if IS_PLAIN { line.field(needed) } else { line.field_without_cr(needed) };
    let advertiser = field(places.advertiser);
    let product = field(places.product);
    let is_id_length = |id: Padded<'_>| id.len().wrapping_sub(1) < ID_BYTES_MAX;
    if !is_id_length(advertiser) || !is_id_length(product) {
        return None;
    }
    if !IS_PLAIN {
        let has_text = !quirks.has_unusual_bytes || is_text(advertiser) && is_text(product);
        let has_commas = !quirks.has_quotes || line.is_without_quotes();
        if !has_text || !has_commas || line.len() > RECORD_BYTES_MAX {
            return None;
        }
    }
    let counter = match places.kind {
        None => Counter::Views,
        Some(kind) => kind_counter(field(kind))?,
    };
    let day_slot = match places.date {
        None => rules.day_of_object(),
        Some(date) => {
            let slot = rules.days.slot_of(field(date))?;
            rules.among_wanted(slot)
        }
    };
    Some(Row { event: Event { counter, day_slot }, advertiser, product })
}

fn is_text(field: Padded<'_>) -> bool {
    std::str::from_utf8(field.bytes()).is_ok() && !field.bytes().contains(&0)
}
