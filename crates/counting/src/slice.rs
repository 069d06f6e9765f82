//! One slice — an object's byte range — counted into a thread's table.
//!
//! A slice owns the records that *begin* in its range; it reads past its end to finish the last
//! one. Where its first record begins is a guess (behind the first line ending), since the slice
//! cannot know whether it starts inside a quoted field. The guess and the place where the slice
//! stopped are part of what it reports: `count` checks that each slice began where the one before
//! it stopped, and has a slice that guessed wrong taken back and counted again.

use crate::{
    bytes16::{Bytes16, PADDING_BYTES},
    count::CountedObject,
    date::DayReader,
    header::Layout,
    record::{Field, NextRecord, RECORD_BYTES_MAX, Shape, next_record},
    structure::Structure,
    table::{Counter, Key, Table},
    wanted::{
        EXAMPLE_BYTES_MAX, EXAMPLES_PER_REASON, NOT_WANTED, ObjectDays, Wanted, example_text, id_problem,
    },
};
use domain::{RejectReason, Rejects};
use std::{
    borrow::Cow,
    io::{self, Read},
    ops::Range,
};

/// Where the first record of a slice begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At the offset.
    At(u64),
    /// Behind the first line ending at or behind the byte before the slice.
    Guess,
}

/// An example of a rejected line; its line is counted from the slice's first, which is 0.
#[derive(Debug, Clone)]
pub(crate) struct SliceExample {
    pub(crate) line: u64,
    pub(crate) reason: RejectReason,
    pub(crate) text: String,
}

/// What became of a slice's lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct SliceReport {
    /// Where its first record begins; none when no line ending was found in its range.
    pub(crate) first: Option<u64>,
    /// Where the record behind its last one begins.
    pub(crate) next: u64,
    /// Line endings from `first` to `next`.
    pub(crate) lines: u64,
    pub(crate) records: u64,
    pub(crate) blank: u64,
    pub(crate) rejects: Rejects,
    pub(crate) examples: Vec<SliceExample>,
    /// Per day slot with any: events kept, events of advertisers that are not active.
    pub(crate) days: Vec<(u32, DayEvents)>,
}

/// Events of one day in one slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DayEvents {
    pub(crate) kept: u64,
    pub(crate) inactive: u64,
}

/// Bytes read at once.
const BLOCK_BYTES: usize = 256 << 10;

/// Events whose cache lines are asked for before the first of them is counted.
const BATCH: usize = 64;

/// A thread's counter: its table and the buffers it reuses from slice to slice.
pub(crate) struct SliceCounter<'a> {
    wanted: &'a Wanted,
    pub(crate) table: Table,
    days: DaySlots<'a>,
    day_events: Vec<DayEvents>,
    structure: Structure,
    buffer: Vec<u8>,
}

impl<'a> SliceCounter<'a> {
    /// A counter with empty tables.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn new(wanted: &'a Wanted, reader: DayReader) -> io::Result<Self> {
        Ok(Self {
            wanted,
            table: Table::new(wanted.days().len() * wanted.advertisers())?,
            days: DaySlots { wanted, reader, recent: [RecentDay::default(); RECENT_DAYS] },
            day_events: vec![DayEvents::default(); wanted.days().len()],
            structure: Structure::default(),
            buffer: Vec::new(),
        })
    }

    /// Counts the slice `range` of `object`, whose bytes `input` gives from where the slice starts
    /// (for [`Begin::Guess`] from the byte before it). With `is_undo` its events are taken back.
    ///
    /// # Errors
    /// When `input` cannot be read or the system gives no memory.
    pub(crate) fn count(
        &mut self,
        object: &CountedObject,
        range: Range<u64>,
        begin: Begin,
        is_undo: bool,
        input: &mut dyn Read,
        progress: &dyn Fn(u64),
    ) -> io::Result<SliceReport> {
        self.table.take_back(is_undo);
        let only = match object.days {
            ObjectDays::Any => None,
            ObjectDays::Only(day) => Some(self.wanted.slot(day.epoch_days())),
        };
        self.day_events.fill(DayEvents::default());
        let mut pass = Pass {
            wanted: self.wanted,
            layout: object.layout,
            only,
            table: &mut self.table,
            days: &mut self.days,
            day_events: &mut self.day_events,
            report: SliceReport::default(),
            batch: Batch::default(),
            is_skipping: false,
        };
        pass.run(&mut self.buffer, &mut self.structure, range, begin, input, progress)?;
        let mut report = pass.report;
        let days = self.day_events.iter().enumerate().filter(|(_, events)| **events != DayEvents::default());
        report.days = days.map(|(slot, events)| (u32::try_from(slot).expect("days fit"), *events)).collect();
        Ok(report)
    }
}

/// The way of one slice through the buffer.
struct Pass<'p, 'a> {
    wanted: &'a Wanted,
    layout: Layout,
    /// The only day slot that counts, when the object holds one day.
    only: Option<u32>,
    table: &'p mut Table,
    days: &'p mut DaySlots<'a>,
    day_events: &'p mut [DayEvents],
    report: SliceReport,
    batch: Batch,
    /// Inside a rejected line whose end is not yet read.
    is_skipping: bool,
}

/// Events that wait for their cache lines.
struct Batch {
    events: [(Key, u32, Counter); BATCH],
    length: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { events: [(Key::default(), 0, Counter::default()); BATCH], length: 0 }
    }
}

/// A record's needed fields are all right.
struct Event {
    counter: Counter,
    day_slot: u32,
}

impl Pass<'_, '_> {
    fn run(
        &mut self,
        buffer: &mut Vec<u8>,
        structure: &mut Structure,
        range: Range<u64>,
        begin: Begin,
        input: &mut dyn Read,
        progress: &dyn Fn(u64),
    ) -> io::Result<()> {
        // The offset in the object of the buffer's first byte.
        let mut offset = match begin {
            Begin::At(start) => start,
            Begin::Guess => range.start - 1,
        };
        self.report.next = offset;
        if let Begin::At(start) = begin {
            self.report.first = Some(start);
        }
        let mut filled = 0;
        loop {
            if buffer.len() < filled + BLOCK_BYTES + PADDING_BYTES {
                buffer.resize(filled + BLOCK_BYTES + PADDING_BYTES, 0);
            }
            let read = read_block(input, &mut buffer[filled..filled + BLOCK_BYTES])?;
            progress(read as u64);
            filled += read;
            let is_end = read == 0;
            let limit = usize::try_from(range.end.saturating_sub(offset)).unwrap_or(usize::MAX);
            let mut at = 0;
            if self.report.first.is_none() {
                // The line ending that is looked for may be the last byte before the slice's end.
                match memchr::memchr(b'\n', &buffer[..filled.min(limit)]) {
                    Some(found) => {
                        at = found + 1;
                        self.report.first = Some(offset + at as u64);
                    }
                    None => at = filled.min(limit),
                }
            }
            if self.report.first.is_some() {
                at = self.records(buffer, filled, at, limit, is_end, structure)?;
            }
            self.report.next = offset + at as u64;
            if at >= limit && !self.is_skipping || is_end {
                return Ok(());
            }
            buffer.copy_within(at..filled, 0);
            filled -= at;
            offset += at as u64;
        }
    }

    /// Takes the records that begin in `buffer[at..limit]` and end in `buffer[..filled]`; returns
    /// where the first record that was not taken begins.
    fn records(
        &mut self,
        buffer: &[u8],
        filled: usize,
        mut at: usize,
        limit: usize,
        is_end: bool,
        structure: &mut Structure,
    ) -> io::Result<usize> {
        if self.is_skipping {
            match memchr::memchr(b'\n', &buffer[at..filled]) {
                Some(found) => {
                    self.is_skipping = false;
                    self.report.lines += 1;
                    at += found + 1;
                }
                None => return Ok(filled),
            }
        }
        structure.index(&buffer[..filled]);
        let positions = structure.positions();
        let needs_text_check = structure.has_unusual_bytes();
        // The index in `positions` of the separator that ends the record's first field.
        let mut separator = 1 + positions[1..].partition_point(|position| (*position as usize) < at);
        let limit = limit.min(filled);
        while at < limit {
            if let Some(end) = self.usual_record(buffer, positions, separator, needs_text_check)? {
                at = end;
                separator += self.layout.fields;
                continue;
            }
            match self.any_record(&buffer[at..filled], is_end)? {
                Taken::To(end) => at += end,
                Taken::Skipping => {
                    self.is_skipping = true;
                    at = filled;
                }
                Taken::Not => break,
            }
            while positions.get(separator).is_some_and(|position| (*position as usize) < at) {
                separator += 1;
            }
        }
        self.count_batch(buffer)?;
        Ok(at)
    }

    /// The path of nearly every record: no quotes, as many fields as the header, all of them good.
    /// Returns the record's end; none, having done nothing, when the record is anything else.
    #[inline(always)]
    fn usual_record(
        &mut self,
        buffer: &[u8],
        positions: &[u32],
        separator: usize,
        needs_text_check: bool,
    ) -> io::Result<Option<usize>> {
        let layout = self.layout;
        let Some(around) = positions.get(separator - 1..separator + layout.fields) else { return Ok(None) };
        let last = around[layout.fields] as usize;
        let is_usual =
            buffer[last] == b'\n' && around[1..layout.fields].iter().all(|at| buffer[*at as usize] == b',');
        let start = around[0].wrapping_add(1) as usize;
        if !is_usual || last - start >= RECORD_BYTES_MAX {
            return Ok(None);
        }
        let has_cr = last > start && buffer[last - 1] == b'\r';
        let field = |number: usize| {
            let start = around[number].wrapping_add(1) as usize;
            let end = around[number + 1] as usize - usize::from(has_cr && number + 1 == layout.fields);
            (start, end - start)
        };
        let advertiser = field(layout.advertiser);
        let product = field(layout.product.expect("events have a product"));
        let is_id = |length: usize| length.wrapping_sub(1) < domain::ID_BYTES_MAX;
        if !is_id(advertiser.1) || !is_id(product.1) {
            return Ok(None);
        }
        if needs_text_check && !(is_plain(buffer, advertiser) && is_plain(buffer, product)) {
            return Ok(None);
        }
        let counter = match layout.kind.map(field) {
            None => Counter::Views,
            Some((at, length)) => match kind_counter(buffer, at, length) {
                Some(counter) => counter,
                None => return Ok(None),
            },
        };
        let day_slot = match layout.date.map(field) {
            None => self.only.expect("an object without dates holds one day"),
            Some((at, length)) => match self.days.slot_at(buffer, at, length) {
                Some(slot) => slot,
                None => return Ok(None),
            },
        };
        self.report.records += 1;
        self.report.lines += 1;
        let event = Event { counter, day_slot };
        if let Some(group) = self.group(&event, || self.wanted.table.find(buffer, advertiser.0, advertiser.1))
        {
            let key = self.table.key(group, buffer, product.0, product.1);
            self.table.prefetch(&key);
            self.push(buffer, key, product.0, counter)?;
        }
        Ok(Some(last + 1))
    }

    /// Tallies an event; its group when it counts.
    #[inline(always)]
    fn group(&mut self, event: &Event, advertiser: impl FnOnce() -> Option<u32>) -> Option<u32> {
        let slot = event.day_slot;
        if slot == NOT_WANTED || self.only.is_some_and(|only| only != slot) {
            return None;
        }
        let events = &mut self.day_events[slot as usize];
        match advertiser().filter(|advertiser| self.wanted.is_active(slot, *advertiser)) {
            Some(advertiser) => {
                events.kept += 1;
                Some(
                    slot * u32::try_from(self.wanted.advertisers()).expect("checked by Wanted::new")
                        + advertiser,
                )
            }
            None => {
                events.inactive += 1;
                None
            }
        }
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a buffer is far smaller than 4 GiB")]
    fn push(&mut self, buffer: &[u8], key: Key, product: usize, counter: Counter) -> io::Result<()> {
        self.batch.events[self.batch.length] = (key, product as u32, counter);
        self.batch.length += 1;
        if self.batch.length == BATCH {
            self.count_batch(buffer)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn count_batch(&mut self, buffer: &[u8]) -> io::Result<()> {
        for (key, product, counter) in &self.batch.events[..self.batch.length] {
            self.table.add(key, *counter, || key.id(buffer, *product as usize))?;
        }
        self.batch.length = 0;
        Ok(())
    }

    /// Any record at the start of `rest`, by the exact reader.
    #[cold]
    #[inline(never)]
    fn any_record(&mut self, rest: &[u8], is_end: bool) -> io::Result<Taken> {
        let layout = self.layout;
        let mut fields = Needed::default();
        let next = next_record(rest, is_end, &mut |number, field| fields.note(&layout, number, field));
        match next {
            NextRecord::More => Ok(Taken::Not),
            NextRecord::Record(shape) => {
                let text = &rest[..shape.end];
                self.tally_record(text, shape, &fields)?;
                self.report.lines += memchr::memchr_iter(b'\n', text).count() as u64;
                Ok(Taken::To(shape.end))
            }
            // The example shows the start of the line, wherever the block ends.
            NextRecord::Rejected { line_end: None, .. } if !is_end && rest.len() < EXAMPLE_BYTES_MAX => {
                Ok(Taken::Not)
            }
            NextRecord::Rejected { reason, line_end } => {
                self.report.records += 1;
                self.reject(reason, rest);
                self.report.lines += u64::from(line_end.is_some());
                Ok(line_end.map_or(Taken::Skipping, Taken::To))
            }
        }
    }

    fn tally_record(&mut self, text: &[u8], shape: Shape, fields: &Needed) -> io::Result<()> {
        if shape.is_blank {
            self.report.blank += 1;
            return Ok(());
        }
        self.report.records += 1;
        if shape.fields != self.layout.fields {
            self.reject(RejectReason::FieldCount, text);
            return Ok(());
        }
        let [advertiser, product, kind, date] = [fields.advertiser, fields.product, fields.kind, fields.date]
            .map(|field| field.map_or(Cow::Borrowed(&[][..]), |field| field.value(text)));
        match self.event(&advertiser, &product, fields.kind.map(|_| &*kind), fields.date.map(|_| &*date)) {
            Err(reason) => self.reject(reason, text),
            Ok(event) => {
                let padded = padded(&advertiser);
                let find = || self.wanted.table.find(&padded, 0, advertiser.len());
                if let Some(group) = self.group(&event, find) {
                    let key = self.table.key(group, &self::padded(&product), 0, product.len());
                    self.table.add(&key, event.counter, || &product)?;
                }
            }
        }
        Ok(())
    }

    /// The rules of a record, in the order in which a reason is given.
    fn event(
        &mut self,
        advertiser: &[u8],
        product: &[u8],
        kind: Option<&[u8]>,
        date: Option<&[u8]>,
    ) -> Result<Event, RejectReason> {
        let needed = [Some(advertiser), Some(product), kind, date];
        if needed.into_iter().flatten().any(|field| std::str::from_utf8(field).is_err()) {
            return Err(RejectReason::NotUtf8);
        }
        if let Some(reason) = id_problem(advertiser).or_else(|| id_problem(product)) {
            return Err(reason);
        }
        let counter = match kind {
            None => Counter::Views,
            Some(b"impression") => Counter::Impressions,
            Some(b"click") => Counter::Clicks,
            Some(_) => return Err(RejectReason::UnknownType),
        };
        let day_slot = match date {
            None => self.only.expect("an object without dates holds one day"),
            Some(date) => self.days.slot(date).ok_or(RejectReason::BadDate)?,
        };
        Ok(Event { counter, day_slot })
    }

    fn reject(&mut self, reason: RejectReason, text: &[u8]) {
        let report = &mut self.report;
        report.rejects.add(reason, 1);
        if report.rejects.of(reason) <= EXAMPLES_PER_REASON as u64 {
            report.examples.push(SliceExample { line: report.lines, reason, text: example_text(text) });
        }
    }
}

/// What was taken of the bytes at hand.
enum Taken {
    /// A record or a rejected line, up to one past its end.
    To(usize),
    /// A rejected line that goes on behind the buffer.
    Skipping,
    /// Nothing: the record does not end within the buffer.
    Not,
}

/// The needed fields of one record.
#[derive(Default)]
struct Needed {
    advertiser: Option<Field>,
    product: Option<Field>,
    kind: Option<Field>,
    date: Option<Field>,
}

impl Needed {
    fn note(&mut self, layout: &Layout, number: usize, field: Field) {
        let place = match Some(number) {
            of if of == Some(layout.advertiser) => &mut self.advertiser,
            of if of == layout.product => &mut self.product,
            of if of == layout.kind => &mut self.kind,
            of if of == layout.date => &mut self.date,
            _ => return,
        };
        *place = Some(field);
    }
}

/// Days read lately, since the same few texts come again and again.
struct DaySlots<'a> {
    wanted: &'a Wanted,
    reader: DayReader,
    recent: [RecentDay; RECENT_DAYS],
}

const RECENT_DAYS: usize = 64;

#[derive(Debug, Clone, Copy, Default)]
struct RecentDay {
    text: Bytes16,
    /// 0 when nothing is remembered.
    length: u32,
    slot: u32,
}

impl DaySlots<'_> {
    /// The slot of the day written in `buffer` from `at`; none when it is no date.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a short field's length, and a hash cut to an index")]
    fn slot_at(&mut self, buffer: &[u8], at: usize, length: usize) -> Option<u32> {
        if length > 16 {
            return self.slot(&buffer[at..at + length]);
        }
        let text = Bytes16::load(buffer, at, length);
        let mixed = (text.low ^ text.high.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let place = (mixed >> 58) as usize % RECENT_DAYS;
        let recent = &self.recent[place];
        if recent.length == length as u32 && recent.text == text && length > 0 {
            return Some(recent.slot);
        }
        let slot = self.slot(&buffer[at..at + length])?;
        self.recent[place] = RecentDay { text, length: length as u32, slot };
        Some(slot)
    }

    fn slot(&mut self, field: &[u8]) -> Option<u32> {
        self.reader.epoch_day(field).map(|day| self.wanted.slot(day))
    }
}

const IMPRESSION_TEXT: [u8; 16] = *b"impression\0\0\0\0\0\0";
const CLICK_TEXT: [u8; 16] = *b"click\0\0\0\0\0\0\0\0\0\0\0";

#[inline(always)]
fn kind_counter(buffer: &[u8], at: usize, length: usize) -> Option<Counter> {
    if length > 16 {
        return None;
    }
    let text = Bytes16::load(buffer, at, length).to_bytes();
    match length {
        10 if text == IMPRESSION_TEXT => Some(Counter::Impressions),
        5 if text == CLICK_TEXT => Some(Counter::Clicks),
        _ => None,
    }
}

#[inline(always)]
fn is_plain(buffer: &[u8], (at, length): (usize, usize)) -> bool {
    let field = &buffer[at..at + length];
    std::str::from_utf8(field).is_ok() && !field.contains(&0)
}

fn padded(field: &[u8]) -> Vec<u8> {
    let mut padded = field.to_vec();
    padded.resize(field.len() + PADDING_BYTES, 0);
    padded
}

/// Fills `block` as far as `input` goes; 0 only at its end.
fn read_block(input: &mut dyn Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match input.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
