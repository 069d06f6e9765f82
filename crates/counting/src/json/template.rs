//! The path of nearly every line: one that has the same bytes as a line before it, but for its values.
//!
//! A template is what the exact reader found in a good line: the bytes between the values, and what each value
//! is. A line that agrees with it in those bytes, and whose values are valid, is good JSON with the same
//! members in the same order. What agrees with no template, or has an escape in a needed value, is left to the
//! exact reader.

use super::{
    object::{Needed, for_each_member, needed_member},
    scan::{WINDOW, plain_bytes},
    text::text,
    value::{value_end, whole_number_end},
};
use crate::{
    bytes16::Bytes16,
    event::{Event, Rules, kind_counter},
    header::Columns,
    padded::Padded,
    record::RECORD_BYTES_MAX,
    rows::{BATCH, Batch, Row, Target, count_batch},
    table::Counter,
    wanted::NOT_WANTED,
};
use domain::ID_BYTES_MAX;
use std::{io, ops::Range};

/// Shapes of lines that are remembered at a time.
const TEMPLATES_MAX: usize = 4;

/// The shapes of the lines seen lately.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    all: Vec<Template>,
    /// The one that the last line had.
    last: usize,
}

/// What lines of one shape have in common.
#[derive(Debug)]
struct Template {
    /// In their order in the line.
    values: Vec<Value>,
    /// Behind the last value, with the line ending.
    end: Literal,
    has_kind: bool,
    has_date: bool,
}

/// A value, and what stands before it.
#[derive(Debug)]
struct Value {
    before: Literal,
    what: What,
}

/// What a value is. Needed ones come with their place in [`Columns::names`].
#[derive(Debug, Clone, Copy)]
enum What {
    /// Text behind its opening quote.
    Text(usize),
    Whole(usize),
    Ignored,
}

/// Bytes that are the same in every line.
#[derive(Debug)]
struct Literal {
    /// The first of them, 16 at a time, and their masks.
    head: [Bytes16; 2],
    masks: [Bytes16; 2],
    bytes: Vec<u8>,
}

/// Lines in a buffer, and a place between two of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines<'b> {
    pub(crate) buffer: &'b [u8],
    /// What lies behind is no text.
    pub(crate) filled: usize,
    pub(crate) at: usize,
}

/// Counts the usual lines at the place that begin before `limit`; returns how many.
///
/// # Errors
/// When the system gives no memory.
pub(crate) fn count_lines<'b>(
    (lines, limit): (&mut Lines<'b>, usize),
    templates: &mut Templates,
    rules: &mut Rules<'_, '_>,
    batch: &mut Batch<'b>,
    target: &mut Target<'_>,
) -> io::Result<u64> {
    let mut rows = 0;
    loop {
        let mut waiting = 0;
        while waiting < BATCH && lines.at < limit {
            let Some(row) = templates.usual_row(lines, rules) else { break };
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

impl Templates {
    /// What the line at the place says, and the place behind it; none when it is anything else than usual.
    #[inline(always)]
    fn usual_row<'b>(&mut self, lines: &mut Lines<'b>, rules: &mut Rules<'_, '_>) -> Option<Row<'b>> {
        let last = self.all.get(self.last)?;
        last.row(lines, rules).or_else(|| self.row_of_another(lines, rules))
    }

    #[inline(never)]
    fn row_of_another<'b>(&mut self, lines: &mut Lines<'b>, rules: &mut Rules<'_, '_>) -> Option<Row<'b>> {
        (0..self.all.len()).filter(|other| *other != self.last).find_map(|other| {
            let row = self.all[other].row(lines, rules)?;
            Some((other, row))
        }).map(|(other, row)| {
            self.last = other;
            row
        })
    }

    /// Remembers the shape of a good line, and forgets the one learnt longest ago when there are too many.
    pub(crate) fn learn(&mut self, line: &[u8], members: &Columns) {
        if !line.ends_with(b"\n") {
            return;
        }
        if self.all.len() == TEMPLATES_MAX {
            self.all.remove(0);
        }
        self.all.push(Template::of(line, members));
        self.last = self.all.len() - 1;
    }
}

impl Template {
    fn of(line: &[u8], members: &Columns) -> Self {
        let (mut values, mut from, mut has) = (Vec::new(), 0, [false; 4]);
        let read = for_each_member(line, |member| {
            let needed = needed_member(&line[member.name], members);
            let value = match needed.map(|place| (place, Needed::of(line, member.value.clone()))) {
                Some((place, Needed::Text(text))) => Some((What::Text(place), text)),
                Some((place, Needed::Whole(digits))) => Some((What::Whole(place), digits)),
                // A needed member that is null stays so in all lines of the shape.
                Some(_) => None,
                None => Some((What::Ignored, member.value)),
            };
            if let Some((what, Range { start, end })) = value {
                if let What::Text(place) | What::Whole(place) = what {
                    has[place] = true;
                }
                values.push(Value { before: Literal::of(&line[from..start]), what });
                from = end;
            }
        });
        read.expect("the line was just read");
        let [_, _, has_kind, has_date] = has;
        Self { values, end: Literal::of(&line[from..]), has_kind, has_date }
    }

    #[inline(always)]
    fn row<'b>(&self, lines: &mut Lines<'b>, rules: &mut Rules<'_, '_>) -> Option<Row<'b>> {
        let (buffer, start) = (lines.buffer, lines.at);
        let mut found = [Padded::default(); 4];
        let mut at = start;
        for value in &self.values {
            let from = value.before.end(buffer, at)?;
            match value.what {
                What::Text(place) => {
                    at = needed_text_end(buffer, from)?;
                    found[place] = Padded::new(buffer, from, at - from);
                }
                What::Whole(place) => {
                    at = whole_number_end(buffer, from)?;
                    found[place] = Padded::new(buffer, from, at - from);
                }
                What::Ignored => at = ignored_end(buffer, from)?,
            }
        }
        let end = self.end.end(buffer, at)?;
        if end > lines.filled || end - start > RECORD_BYTES_MAX {
            return None;
        }
        let row = self.judged(found, rules)?;
        lines.at = end;
        Some(row)
    }

    /// What the needed values say; none when they break a rule.
    #[inline(always)]
    fn judged<'b>(&self, [advertiser, product, kind, date]: [Padded<'b>; 4], rules: &mut Rules<'_, '_>) -> Option<Row<'b>> {
        let is_id_length = |id: Padded<'_>| id.len().wrapping_sub(1) < ID_BYTES_MAX;
        if !is_id_length(advertiser) || !is_id_length(product) {
            return None;
        }
        let counter = if self.has_kind { kind_counter(kind)? } else { Counter::Views };
        let day_slot = if self.has_date {
            let slot = rules.days.slot_of(date)?;
            rules.among_wanted(slot)
        } else {
            rules.day_of_object()
        };
        Some(Row { event: Event { counter, day_slot }, advertiser, product })
    }
}

impl Literal {
    fn of(bytes: &[u8]) -> Self {
        let (first, second) = bytes.split_at(bytes.len().min(16));
        let mask = |part: &[u8]| Bytes16::mask(part.len().min(16));
        let (head, masks) = ([first, second].map(Bytes16::of), [first, second].map(mask));
        Self { head, masks, bytes: bytes.to_vec() }
    }

    /// One past these bytes, when they stand at `at`.
    #[inline(always)]
    fn end(&self, buffer: &[u8], at: usize) -> Option<usize> {
        let window = buffer.get(at..)?.first_chunk::<32>()?;
        let (halves, _) = window.as_chunks::<16>();
        let is = |half: usize| Bytes16::of_array(halves[half]).masked(self.masks[half]) == self.head[half];
        if !is(0) {
            return None;
        }
        let length = self.bytes.len();
        if length > 16 && !is(1) {
            return None;
        }
        if length > 32 && !buffer[at..].starts_with(&self.bytes) {
            return None;
        }
        Some(at + length)
    }
}

/// The closing quote of a text without escapes that begins at `start`.
#[inline(always)]
fn needed_text_end(buffer: &[u8], start: usize) -> Option<usize> {
    let plain = plain_bytes(buffer.get(start..)?.first_chunk::<WINDOW>()?);
    let end = start + plain;
    if plain < WINDOW && buffer[end] == b'"' { Some(end) } else { unusual_text_end(buffer, start) }
}

/// The same for a text that is long or not ASCII.
#[inline(never)]
fn unusual_text_end(buffer: &[u8], start: usize) -> Option<usize> {
    let text = text(buffer, start)?;
    let is_utf8 = || std::str::from_utf8(&buffer[start..text.end]).is_ok();
    (!text.has_escapes && is_utf8()).then_some(text.end)
}

/// The end of a value of any kind that begins at `start`.
#[inline(always)]
fn ignored_end(buffer: &[u8], start: usize) -> Option<usize> {
    let plain = plain_bytes(buffer.get(start + 1..)?.first_chunk::<WINDOW>()?);
    let end = start + 1 + plain;
    let is_short_text = buffer[start] == b'"' && plain < WINDOW && buffer[end] == b'"';
    if is_short_text { Some(end + 1) } else { any_value_end(buffer, start) }
}

#[inline(never)]
fn any_value_end(buffer: &[u8], start: usize) -> Option<usize> {
    let end = value_end(buffer, start)?;
    std::str::from_utf8(&buffer[start..end]).is_ok().then_some(end)
}
