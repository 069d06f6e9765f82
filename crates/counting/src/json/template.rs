//! What nearly every line is: one with the same bytes as a line before it, but for its values.
//!
//! A template is what the exact reader found in a good line: the bytes between the values, and what each value
//! is. A line that agrees with it in those bytes, and whose values are valid, is good JSON with the same
//! members in the same order. Nothing is said of a line that agrees with no template, or that has an escape in
//! a needed value, or breaks a rule: it is left to the exact reader.

use super::{
    field::{Guess, ignored_end, text_field, whole_number},
    lines::Lines,
    object::{Needed, for_each_member, needed_member},
    scan::{Look, WINDOW},
    text::text,
    value::{value_end, whole_number_end},
};
use crate::{
    event::{Event, Rules},
    header::Columns,
    padded::Padded,
    record::RECORD_BYTES_MAX,
    rows::Row,
    table::Counter,
    wanted::NOT_WANTED,
};
use domain::ID_BYTES_MAX;
use std::ops::Range;

/// What lines of one shape have in common.
#[derive(Debug)]
pub(super) struct Template {
    /// In their order in the line.
    values: Vec<Value>,
    /// Behind the last value, with the line ending.
    end: Literal,
    has_date: bool,
}

/// A value, and what stands before it.
#[derive(Debug)]
struct Value {
    before: Literal,
    what: What,
    guess: Guess,
}

#[derive(Debug)]
enum What {
    Advertiser(Form),
    Product(Form),
    /// Each of the two kinds, behind what stands before it.
    Kind {
        impression: Literal,
        click: Literal,
    },
    Date(Form, Option<KnownDate>),
    Ignored,
}

/// How a needed value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As text, of which the opening quote stands before the value.
    Text,
    /// As a whole number.
    Whole,
}

/// A date that came twice in a row, behind what stands before it.
#[derive(Debug)]
struct KnownDate {
    literal: Literal,
    day_slot: u32,
}

/// Bytes that are the same in many lines.
#[derive(Debug)]
struct Literal {
    bytes: Vec<u8>,
    /// The first of them, and all their bits.
    head: [u8; WINDOW],
    mask: [u8; WINDOW],
}

impl Template {
    /// The template of a good line.
    pub(super) fn of(line: &[u8], members: &Columns) -> Self {
        let (mut values, mut from, mut has_date) = (Vec::new(), 0, false);
        let read = for_each_member(line, |member| {
            let place = needed_member(&line[member.name], members);
            let needed = place.map(|place| (place, Needed::of(line, member.value.clone())));
            let (place, form, Range { start, end }) = match needed {
                Some((place, Needed::Text(text))) => (Some(place), Form::Text, text),
                Some((place, Needed::Whole(digits))) => (Some(place), Form::Whole, digits),
                None => (None, Form::Text, member.value),
                // An optional member that is null stays so in all lines of the shape.
                Some((_, Needed::Null | Needed::Other)) => return,
            };
            has_date |= place == Some(3);
            let before = Literal::of(&line[from..start]);
            values.push(Value { what: What::of(place, form, &before), before, guess: Guess::default() });
            from = end;
        });
        read.expect("the line is a good one");
        Self { values, end: Literal::of(&line[from..]), has_date }
    }

    /// Whether a good line has this shape, with values that need not be usual.
    pub(super) fn is_of(&self, line: &[u8]) -> bool {
        let end = self.values.iter().try_fold(0, |at, value| {
            let start =
                at + line[at..].starts_with(&value.before.bytes).then_some(value.before.bytes.len())?;
            match value.what.form() {
                Some(Form::Text) => text(line, start).map(|text| text.end),
                Some(Form::Whole) => whole_number_end(line, start),
                None => value_end(line, start),
            }
        });
        end.is_some_and(|end| line[end..] == self.end.bytes)
    }

    /// Reads the line at the place into `row`; one past its end, or none when it is not usual. An unknown date is
    /// read last, as it is noted then: when it decides alone whether the line is good.
    #[inline(always)]
    pub(super) fn row<'b>(
        &mut self,
        look: impl Look,
        lines: &Lines<'b>,
        rules: &mut Rules<'_, '_>,
        row: &mut Row<'b>,
    ) -> Option<usize> {
        let Lines { buffer, filled, at: start } = *lines;
        let mut at = start;
        let mut counter = Counter::Views;
        let mut day_slot = if self.has_date { NOT_WANTED } else { rules.day_of_object() };
        let mut unknown = None;
        for Value { before, what, guess } in &mut self.values {
            let place = (buffer, at);
            at = match what {
                What::Advertiser(form) => id(before.field(look, place, *form, guess)?, &mut row.advertiser)?,
                What::Product(form) => id(before.field(look, place, *form, guess)?, &mut row.product)?,
                What::Kind { impression, click } => {
                    let (kind, end) = match impression.end(look, buffer, at) {
                        Some(end) => (Counter::Impressions, end),
                        None => (Counter::Clicks, click.end(look, buffer, at)?),
                    };
                    counter = kind;
                    end
                }
                What::Date(form, known) => match known.as_ref().and_then(|known| known.end(look, buffer, at))
                {
                    Some((slot, end)) => {
                        day_slot = slot;
                        end
                    }
                    None => {
                        let (date, end) = before.field(look, place, *form, guess)?;
                        unknown = Some((known, &*before, date));
                        end
                    }
                },
                What::Ignored => ignored_end(look, buffer, before.end(look, buffer, at)?, guess)?,
            };
        }
        let end = self.end.end(look, buffer, at)?;
        if end > filled || end - start > RECORD_BYTES_MAX {
            return None;
        }
        if let Some((known, before, date)) = unknown {
            day_slot = other_day_slot(known, before, date, rules)?;
        }
        let day_slot = rules.among_wanted(day_slot);
        row.event = Event { counter, day_slot };
        Some(end)
    }
}

impl What {
    fn of(place: Option<usize>, form: Form, before: &Literal) -> Self {
        match place {
            None => Self::Ignored,
            Some(0) => Self::Advertiser(form),
            Some(1) => Self::Product(form),
            Some(2) => Self::Kind { impression: before.with(b"impression"), click: before.with(b"click") },
            Some(_) => Self::Date(form, None),
        }
    }

    /// How the value is written, if it is a needed one.
    fn form(&self) -> Option<Form> {
        match self {
            Self::Advertiser(form) | Self::Product(form) | Self::Date(form, _) => Some(*form),
            Self::Kind { .. } => Some(Form::Text),
            Self::Ignored => None,
        }
    }
}

/// Takes the id of a usual length; where it ends.
#[inline(always)]
fn id<'b>((id, end): (Padded<'b>, usize), place: &mut Padded<'b>) -> Option<usize> {
    *place = id;
    (id.len().wrapping_sub(1) < ID_BYTES_MAX).then_some(end)
}

impl KnownDate {
    /// The day slot, and one past the date, when it stands at `at`.
    #[inline(always)]
    fn end(&self, look: impl Look, buffer: &[u8], at: usize) -> Option<(u32, usize)> {
        Some((self.day_slot, self.literal.end(look, buffer, at)?))
    }
}

/// The day slot of a date that is not the known one. It is known from now on when it was the last one too.
#[inline(never)]
fn other_day_slot(
    known: &mut Option<KnownDate>,
    before: &Literal,
    date: Padded<'_>,
    rules: &mut Rules<'_, '_>,
) -> Option<u32> {
    let is_last = rules.days.is_last(date);
    let day_slot = rules.days.slot_of(date)?;
    if is_last {
        *known = Some(KnownDate { literal: before.with(date.bytes()), day_slot });
    }
    Some(day_slot)
}

impl Literal {
    fn of(bytes: &[u8]) -> Self {
        let (mut head, mut mask) = ([0; WINDOW], [0; WINDOW]);
        for (index, byte) in bytes.iter().take(WINDOW).enumerate() {
            (head[index], mask[index]) = (*byte, u8::MAX);
        }
        Self { bytes: bytes.to_vec(), head, mask }
    }

    /// These bytes and others behind them.
    fn with(&self, others: &[u8]) -> Self {
        Self::of(&[&self.bytes, others].concat())
    }

    /// One past these bytes, when they stand at `at`.
    #[inline(always)]
    fn end(&self, look: impl Look, buffer: &[u8], at: usize) -> Option<usize> {
        let rest = buffer.get(at..)?;
        let is_rest = self.bytes.len() <= WINDOW || rest.starts_with(&self.bytes);
        (look.is(rest.first_chunk()?, &self.head, &self.mask) && is_rest).then(|| at + self.bytes.len())
    }

    /// The needed value behind these bytes, and where it ends.
    #[inline(always)]
    fn field<'b>(
        &self,
        look: impl Look,
        (buffer, at): (&'b [u8], usize),
        form: Form,
        guess: &mut Guess,
    ) -> Option<(Padded<'b>, usize)> {
        let start = self.end(look, buffer, at)?;
        let field = match form {
            Form::Text => text_field(look, buffer, start, guess)?,
            Form::Whole => whole_number(buffer, start)?,
        };
        Some((field, start + field.len()))
    }
}
