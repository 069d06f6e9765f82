//! One slice — an object's byte range — counted into a thread's table.
//!
//! A slice owns the records that *begin* in its range; it reads past its end to finish the last
//! one. Where its first record begins is a guess (behind the first line ending), since the slice
//! cannot know whether it starts inside a quoted field. The guess and the place where the slice
//! stopped are part of what it reports: `count` checks that each slice began where the one before
//! it stopped, and has a slice that guessed wrong taken back and counted again.

use crate::{
    count::CountedObject,
    date::{DayReader, TimeOfDay},
    event::{DaySlots, Event, Fields, Needed, Rules},
    instructions::Instructions,
    json::{self, Lines, Templates, count_lines},
    layout::{Delimited, Layout},
    memory::Share,
    padded::{PADDING_BYTES, PaddedCopy},
    record::{NextRecord, RECORD_BYTES_MAX, Shape, next_record},
    row_group::ColumnCodes,
    rows::{Batch, DayEvents, Places, Row, Target, count_rows},
    structure::{Quirks, Structure},
    table::Table,
    wanted::{EXAMPLE_BYTES_MAX, EXAMPLES_PER_REASON, NOT_WANTED, Wanted, example_text},
};
use domain::{RejectReason, Rejects};
use serde::{Deserialize, Serialize};
use std::{
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

impl Begin {
    /// Where the bytes begin that must be read to count the slice `range`.
    pub(crate) fn offset(self, range: &Range<u64>) -> u64 {
        match self {
            Self::At(start) => start,
            Self::Guess => range.start - 1,
        }
    }
}

/// An example of a rejected line; its line is counted from the slice's first, which is 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SliceExample {
    pub(crate) line: u64,
    pub(crate) reason: RejectReason,
    pub(crate) text: String,
}

/// What became of a slice's lines.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    /// In the order of their slots.
    pub(crate) days: Vec<SliceDay>,
}

/// A day with events in a slice.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SliceDay {
    pub(crate) slot: u32,
    pub(crate) events: DayEvents,
    pub(crate) last_time: TimeOfDay,
}

/// Bytes read at once; a few where a fuzzer is to reach their ends.
pub const BLOCK_BYTES: usize = if cfg!(fuzzing) { 257 } else { 128 << 10 };

/// A thread's counter: its table and the buffers it reuses from slice to slice.
pub(crate) struct SliceCounter<'a> {
    pub(crate) wanted: &'a Wanted,
    pub(crate) table: Table,
    pub(crate) days: DaySlots<'a>,
    pub(crate) day_events: Vec<DayEvents>,
    pub(crate) codes: ColumnCodes,
    instructions: Instructions,
    structure: Structure,
    buffer: Vec<u8>,
    /// What was read into the buffer and not taken.
    rest: Range<usize>,
}

impl<'a> SliceCounter<'a> {
    /// A counter with empty tables, which take a share of the memory.
    ///
    /// # Errors
    /// When the system gives no memory, or the share is too small.
    pub(crate) fn new(
        wanted: &'a Wanted,
        reader: DayReader,
        instructions: Instructions,
        share: Share,
    ) -> io::Result<Self> {
        Ok(Self {
            wanted,
            table: Table::new(wanted.groups(), share)?,
            days: DaySlots::new(wanted, reader),
            day_events: vec![DayEvents::default(); wanted.days().len()],
            codes: ColumnCodes::default(),
            instructions,
            structure: Structure::new(instructions),
            buffer: Vec::new(),
            rest: 0..0,
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
    ) -> io::Result<SliceReport> {
        self.table.take_back(is_undo);
        self.day_events.fill(DayEvents::default());
        self.days.forget();
        let mut pass = Pass {
            layout: object.layout(),
            templates: Templates::default(),
            instructions: self.instructions,
            rules: Rules::new(&mut self.days, object.days),
            target: Target { wanted: self.wanted, table: &mut self.table, day_events: &mut self.day_events },
            report: SliceReport::default(),
            is_skipping: false,
        };
        self.rest = pass.run(&mut self.buffer, &mut self.structure, range, begin, input)?;
        let mut report = pass.report;
        report.days = self.days_with_events();
        Ok(report)
    }

    /// The days that events were just counted for.
    pub(crate) fn days_with_events(&self) -> Vec<SliceDay> {
        let days = self.day_events.iter().enumerate().filter(|(_, events)| **events != DayEvents::default());
        let of_slot = |(slot, events): (usize, &DayEvents)| {
            let slot = u32::try_from(slot).expect("days fit");
            SliceDay { slot, events: *events, last_time: self.days.last_time(slot) }
        };
        days.map(of_slot).collect()
    }

    /// The bytes that the last call of [`SliceCounter::count`] read behind the last record it took.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.buffer[self.rest.clone()]
    }
}

/// The way of one slice through the buffer.
struct Pass<'p, 'a> {
    layout: &'p Layout,
    templates: Templates,
    instructions: Instructions,
    rules: Rules<'p, 'a>,
    target: Target<'p>,
    report: SliceReport,
    /// Inside a rejected line whose end is not yet read.
    is_skipping: bool,
}

impl Pass<'_, '_> {
    /// Takes the slice's records; where in the buffer what was read and not taken is.
    fn run(
        &mut self,
        buffer: &mut Vec<u8>,
        structure: &mut Structure,
        range: Range<u64>,
        begin: Begin,
        input: &mut dyn Read,
    ) -> io::Result<Range<usize>> {
        // The offset in the object of the buffer's first byte.
        let mut offset = begin.offset(&range);
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
                return Ok(at..filled);
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
        let limit = limit.min(filled);
        match self.layout {
            Layout::Delimited(layout) => {
                self.delimited(buffer, filled, at..limit, is_end, (layout, structure))
            }
            Layout::JsonLines(_) => self.json_lines(buffer, filled, at..limit, is_end),
        }
    }

    fn delimited(
        &mut self,
        buffer: &[u8],
        filled: usize,
        Range { start: mut at, end: limit }: Range<usize>,
        is_end: bool,
        (layout, structure): (&Delimited, &mut Structure),
    ) -> io::Result<usize> {
        let mut records = structure.index(buffer, filled, layout.delimiter);
        let is_plain = records.quirks() == Quirks::default() && filled <= RECORD_BYTES_MAX;
        let places = Places::of(layout);
        let mut batch = Batch::new();
        while at < limit {
            records.advance(at);
            let Self { instructions, rules, target, .. } = &mut *self;
            let place = (&mut records, limit, is_plain);
            let rows = count_rows(place, (&places, *instructions), rules, &mut batch, target)?;
            self.report.records += rows;
            self.report.lines += rows;
            if rows > 0 {
                at = records.at();
                continue;
            }
            match self.any_record(&buffer[at..filled], is_end)? {
                Some(taken) => at += taken,
                None => break,
            }
        }
        Ok(at)
    }

    fn json_lines(
        &mut self,
        buffer: &[u8],
        filled: usize,
        Range { start, end: limit }: Range<usize>,
        is_end: bool,
    ) -> io::Result<usize> {
        let mut lines = Lines { buffer, filled, at: start };
        let mut batch = Batch::new();
        while lines.at < limit {
            let Self { templates, instructions, rules, target, .. } = &mut *self;
            let shapes = (templates, *instructions);
            let rows = count_lines((&mut lines, limit), shapes, rules, &mut batch, target)?;
            self.report.records += rows;
            self.report.lines += rows;
            if rows > 0 {
                continue;
            }
            match self.any_record(&buffer[lines.at..filled], is_end)? {
                Some(taken) => lines.at += taken,
                None => break,
            }
        }
        Ok(lines.at)
    }

    /// Any record at the start of `rest`, by the exact reader: how many bytes it takes, or, if its line goes on
    /// behind them, all; none when the record does not end within `rest`.
    #[cold]
    #[inline(never)]
    fn any_record(&mut self, rest: &[u8], is_end: bool) -> io::Result<Option<usize>> {
        let mut fields = Needed::default();
        let next = match self.layout {
            Layout::Delimited(layout) => next_record(rest, is_end, layout.delimiter, &mut |number, field| {
                fields.note(layout, number, field)
            }),
            Layout::JsonLines(_) => json::next_line(rest, is_end),
        };
        match next {
            NextRecord::More => Ok(None),
            NextRecord::Record(shape) => {
                let text = &rest[..shape.end];
                self.tally_record(text, shape, &fields)?;
                self.report.lines += memchr::memchr_iter(b'\n', text).count() as u64;
                Ok(Some(shape.end))
            }
            // The example shows the start of the line, wherever the block ends.
            NextRecord::Rejected { line_end: None, .. } if !is_end && rest.len() < EXAMPLE_BYTES_MAX => {
                Ok(None)
            }
            NextRecord::Rejected { reason, line_end } => {
                self.report.records += 1;
                self.reject(reason, rest);
                self.report.lines += u64::from(line_end.is_some());
                self.is_skipping = line_end.is_none();
                Ok(Some(line_end.unwrap_or(rest.len())))
            }
        }
    }

    fn tally_record(&mut self, text: &[u8], shape: Shape, needed: &Needed) -> io::Result<()> {
        if shape.is_blank {
            self.report.blank += 1;
            return Ok(());
        }
        self.report.records += 1;
        let fields = match self.layout {
            Layout::Delimited(layout) => Fields::of(text, shape, layout, needed),
            Layout::JsonLines(layout) => json::read(text, &layout.members),
        };
        match fields.and_then(|fields| Ok((self.rules.event(&fields)?, fields))) {
            Ok((event, fields)) => {
                if let Layout::JsonLines(layout) = self.layout {
                    self.templates.learn(text, &layout.members);
                }
                self.count(event, &fields)
            }
            Err(reason) => {
                self.reject(reason, text);
                Ok(())
            }
        }
    }

    fn count(&mut self, event: Event, fields: &Fields<'_>) -> io::Result<()> {
        if event.day_slot == NOT_WANTED {
            return Ok(());
        }
        let [advertiser, product] = [&fields.advertiser, &fields.product].map(|id| PaddedCopy::of(id));
        self.target.count(&Row { event, advertiser: advertiser.text(), product: product.text() })
    }

    fn reject(&mut self, reason: RejectReason, text: &[u8]) {
        let report = &mut self.report;
        report.rejects.add(reason, 1);
        if report.rejects.of(reason) <= EXAMPLES_PER_REASON as u64 {
            report.examples.push(SliceExample { line: report.lines, reason, text: example_text(text) });
        }
    }
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
