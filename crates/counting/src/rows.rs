//! The path of nearly every record: a line without quotes, with as many fields as the header.
//!
//! Its fields are judged where they lie; what breaks a rule, or looks in any way unusual, is left to
//! the exact reader. Events wait in a batch until their cache lines have come.

use crate::{
    event::{Event, Rules, kind_counter},
    layout::Delimited,
    padded::Padded,
    record::RECORD_BYTES_MAX,
    structure::{Line, Quirks, Records},
    table::{Counter, Key, Table},
    wanted::{NOT_WANTED, Wanted},
};
use domain::ID_BYTES_MAX;
use std::io;

/// Rows that are judged one after the other, before the first of them is looked up, before the first
/// is counted: so that no step waits for what the one before it had to load.
pub(crate) const BATCH: usize = 64;

/// Events of one day in one slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
}

/// Counts the usual rows at the records' place that begin before `limit`; returns how many.
///
/// # Errors
/// When the system gives no memory.
pub(crate) fn count_rows<'b, const IS_PLAIN: bool>(
    (records, limit): (&mut Records<'b>, usize),
    layout: &Delimited,
    rules: &mut Rules<'_, '_>,
    batch: &mut Batch<'b>,
    target: &mut Target<'_>,
) -> io::Result<u64> {
    let mut rows = 0;
    loop {
        let mut waiting = 0;
        while waiting < BATCH && records.at() < limit {
            let Some(line) = records.line(layout.fields) else { break };
            let Some(row) = usual_row::<IS_PLAIN>(line, records.quirks(), layout, rules) else { break };
            records.pass(line);
            rows += 1;
            if row.event.day_slot != NOT_WANTED {
                batch.rows[waiting] = row;
                waiting += 1;
            }
        }
        count_batch(batch, waiting, target)?;
        if waiting < BATCH {
            return Ok(rows);
        }
    }
}

/// Counts the first `waiting` rows of a batch.
///
/// # Errors
/// When the system gives no memory.
#[inline(always)]
pub(crate) fn count_batch(batch: &mut Batch<'_>, waiting: usize, target: &mut Target<'_>) -> io::Result<()> {
    let mut kept = 0;
    for row in &batch.rows[..waiting] {
        let (group, is_kept) = target.tally(row);
        let key = target.table.key(group, row.product);
        target.table.prefetch(&key);
        batch.keys[kept] = (key, row.event.counter, row.product);
        kept += usize::from(is_kept);
    }
    for (key, counter, product) in &batch.keys[..kept] {
        target.table.add(key, *counter, *product)?;
    }
    Ok(())
}

/// What a line says; none when it is anything else than usual. Of a plain buffer, one without
/// [`Quirks`], only the lengths of the ids need to be looked at.
#[inline(always)]
fn usual_row<'b, const IS_PLAIN: bool>(
    line: Line<'b>,
    quirks: Quirks,
    layout: &Delimited,
    rules: &mut Rules<'_, '_>,
) -> Option<Row<'b>> {
    let field = |number| if IS_PLAIN { line.field(number) } else { line.field_without_cr(number) };
    let advertiser = field(layout.advertiser);
    let product = field(layout.product.expect("events have a product"));
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
    let counter = match layout.kind {
        None => Counter::Views,
        Some(kind) => kind_counter(field(kind))?,
    };
    let day_slot = match layout.date {
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
