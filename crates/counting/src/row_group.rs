//! One row group, counted column by column into a thread's table.
//!
//! A text that stands in a dictionary is judged once: an advertiser becomes its number, a type its
//! counter, a date the slot of its day, a product its key. What is left to do for each row is to look
//! these up and to add. A row in which anything is unusual is left to the exact rules, which are those
//! of lines of text; its line number is its number among the object's rows.

use crate::{
    bytes16::Bytes16,
    columns::{Dates, NO_DATE, NO_TEXT, RowBatch, RowBatches, Span, Texts, Values, text_at},
    event::{Event, Fields, Rules, kind_counter},
    padded::{PADDING_BYTES, Padded, PaddedCopy},
    rows::{DayEvents, Row, Target},
    slice::{SliceCounter, SliceExample, SliceReport},
    table::{Counter, Key, Table},
    wanted::{EXAMPLES_PER_REASON, NOT_WANTED, ObjectDays, example_text},
};
use domain::{ID_BYTES_MAX, RejectReason};
use std::{borrow::Cow, io};

/// How many events before it is counted the cache line of an event is asked for.
const AHEAD: usize = 16;
/// The same of events of products with longer ids, which are counted when there are so many.
const WAITING: usize = 32;

/// In a number's or a slot's place: the exact rules decide.
const UNUSUAL: u32 = u32::MAX - 1;

/// What the values of the columns stand for; kept from row group to row group for their memory.
#[derive(Debug, Default)]
pub(crate) struct ColumnCodes {
    /// Numbers of advertisers.
    numbers: Codes<u32>,
    kinds: Codes<Option<Counter>>,
    /// Day slots.
    slots: Codes<u32>,
    products: Products,
    events: Vec<ShortEvent>,
}

/// A product's id, which is one.
#[derive(Debug, Clone, Copy)]
enum ProductId<'b> {
    /// Of at most 8 bytes, zero-padded.
    Short(u64),
    /// Of more, with its key in no group.
    Other(Key, Padded<'b>),
}

impl<'b> ProductId<'b> {
    /// The product with the id at `span`; none when it is unusual.
    #[inline(always)]
    fn of(table: &Table, bytes: &'b [u8], span: Span) -> Option<Self> {
        let id = padded(bytes, span)?;
        let Bytes16 { low, .. } = id.head();
        if id.len().wrapping_sub(1) < 8 && is_plain(low, id.len()) {
            return Some(Self::Short(low));
        }
        is_id(id).then(|| match table.key(0, id) {
            key if key.is_short() => Self::Short(low),
            key => Self::Other(key, id),
        })
    }
}

/// An event of a product with a short id, of a group that counts.
#[derive(Debug, Clone, Copy, Default)]
struct ShortEvent {
    id: u64,
    group: u32,
    counter: Counter,
}

impl ShortEvent {
    #[inline(always)]
    fn key(self, table: &Table) -> Key {
        table.key_of(self.group, Bytes16 { low: self.id, high: 0 })
    }
}

impl SliceCounter<'_> {
    /// Counts the rows of a row group of an object that may hold `object_days`.
    ///
    /// # Errors
    /// When they cannot be read or the system gives no memory.
    pub(crate) fn count_row_group(
        &mut self,
        object_days: ObjectDays,
        rows: &mut dyn RowBatches,
    ) -> io::Result<SliceReport> {
        self.table.take_back(false);
        self.day_events.fill(DayEvents::default());
        self.codes.forget_dictionaries();
        let mut pass = Pass {
            rules: Rules::new(&mut self.days, object_days),
            target: Target { wanted: self.wanted, table: &mut self.table, day_events: &mut self.day_events },
            report: SliceReport::default(),
        };
        while let Some(batch) = rows.next_batch()? {
            pass.batch(&batch, &mut self.codes)?;
        }
        let mut report = pass.report;
        report.days = self.days_with_events();
        Ok(report)
    }
}

/// The way through a row group.
struct Pass<'p, 'a> {
    rules: Rules<'p, 'a>,
    target: Target<'p>,
    report: SliceReport,
}

impl Pass<'_, '_> {
    fn batch(&mut self, batch: &RowBatch<'_>, codes: &mut ColumnCodes) -> io::Result<()> {
        assert!(batch.is_whole(), "each column has a value for each row");
        let ColumnCodes { numbers, kinds, slots, products, events } = codes;
        let active = &self.target.wanted.table;
        numbers.of_texts(&batch.advertiser, UNUSUAL, |id| if is_id(id) { active.find(id) } else { UNUSUAL });
        match &batch.kind {
            Some(kind) => kinds.of_texts(kind, None, kind_counter),
            None => kinds.fill(batch.rows, Some(Counter::Views)),
        }
        self.slots(batch, slots);
        let codes = (&numbers.of_rows[..], &kinds.of_rows[..], &slots.of_rows[..]);
        let Texts { bytes, values } = batch.product.expect("events have a product");
        match values {
            Values::Each(spans) => {
                self.rows(batch, codes, events, |table, row| ProductId::of(table, bytes, spans[row]))?;
            }
            Values::Keys { keys, entries, dictionary } => {
                products.resolve(bytes, entries, dictionary, self.target.table);
                self.rows(batch, codes, events, |_, row| products.of(keys[row]))?;
            }
        }
        self.report.lines += batch.rows as u64;
        self.report.records += batch.rows as u64;
        Ok(())
    }

    /// The day slot of each row.
    fn slots(&mut self, batch: &RowBatch<'_>, slots: &mut Codes<u32>) {
        let rules = &mut self.rules;
        let usual =
            |rules: &Rules<'_, '_>, slot: Option<u32>| slot.map_or(UNUSUAL, |slot| rules.among_wanted(slot));
        match &batch.date {
            None => slots.fill(batch.rows, rules.day_of_object()),
            Some(Dates::Text(texts)) => slots.of_texts(texts, UNUSUAL, |date| {
                let slot = rules.days.slot_of(date);
                usual(rules, slot)
            }),
            Some(Dates::Days(values)) => slots.of_values(values, UNUSUAL, |days| {
                let slot = rules.days.slot_of_days(days);
                usual(rules, slot)
            }),
            Some(Dates::Civil(values, unit)) => slots.of_values(values, UNUSUAL, |count| {
                let slot = rules.days.slot_of_civil(unit.seconds(count));
                usual(rules, slot)
            }),
            Some(Dates::Instants(values, unit)) => slots.of_values(values, UNUSUAL, |count| {
                let slot = rules.days.slot_of_instant(unit.seconds(count));
                usual(rules, slot)
            }),
        }
    }

    /// Counts the batch's rows by what their values stand for; `product` tells a row's, or nothing when it
    /// is unusual.
    #[inline(always)]
    fn rows<'b>(
        &mut self,
        batch: &RowBatch<'_>,
        (numbers, kinds, slots): (&[u32], &[Option<Counter>], &[u32]),
        events: &mut Vec<ShortEvent>,
        product: impl Fn(&Table, usize) -> Option<ProductId<'b>>,
    ) -> io::Result<()> {
        let mut tally = DayTally::default();
        events.clear();
        events.resize(batch.rows, ShortEvent::default());
        let mut kept = 0;
        let mut others = [(Key::default(), Counter::Views, Padded::default()); WAITING];
        let mut others_kept = 0;
        let codes = numbers.iter().zip(kinds).zip(slots);
        for (row, ((&number, &kind), &slot)) in codes.enumerate() {
            let usual = kind.filter(|_| number != UNUSUAL && slot != UNUSUAL);
            let Some((counter, id)) = usual.zip(product(self.target.table, row)) else {
                self.exact_row(batch, row)?;
                continue;
            };
            if slot == NOT_WANTED {
                continue;
            }
            let (group, is_kept) = self.target.wanted.group(slot, number);
            tally.add(slot, is_kept, self.target.day_events);
            match id {
                ProductId::Short(id) => {
                    events[kept] = ShortEvent { id, group, counter };
                    kept += usize::from(is_kept);
                }
                ProductId::Other(key, id) => {
                    let key = key.in_group(group);
                    self.target.table.prefetch(&key);
                    others[others_kept] = (key, counter, id);
                    others_kept += usize::from(is_kept);
                    if others_kept == others.len() {
                        self.add(&others)?;
                        others_kept = 0;
                    }
                }
            }
        }
        tally.flush(self.target.day_events);
        self.add(&others[..others_kept])?;
        self.add_short(&events[..kept])
    }

    /// Counts events whose cache lines were asked for.
    fn add(&mut self, events: &[(Key, Counter, Padded<'_>)]) -> io::Result<()> {
        events.iter().try_for_each(|(key, counter, id)| self.target.table.add(key, *counter, *id))
    }

    /// Counts events, asking for the cache lines of those that come some events later.
    fn add_short(&mut self, events: &[ShortEvent]) -> io::Result<()> {
        let table = &mut *self.target.table;
        for event in &events[..events.len().min(AHEAD)] {
            table.prefetch(&event.key(table));
        }
        for (at, event) in events.iter().enumerate() {
            if let Some(ahead) = events.get(at + AHEAD) {
                table.prefetch(&ahead.key(table));
            }
            table.add_short(&event.key(table), event.counter)?;
        }
        Ok(())
    }

    /// Any row, by the rules of a line of text.
    #[cold]
    #[inline(never)]
    fn exact_row(&mut self, batch: &RowBatch<'_>, row: usize) -> io::Result<()> {
        let text = |texts: &Texts<'_>| texts.of(row).to_vec();
        let product = batch.product.as_ref().map(text).unwrap_or_default();
        let date = match &batch.date {
            Some(Dates::Text(texts)) => Some(Cow::from(text(texts))),
            _ => None,
        };
        let fields = Fields {
            advertiser: text(&batch.advertiser).into(),
            product: product.into(),
            kind: batch.kind.as_ref().map(|texts| text(texts).into()),
            date,
        };
        match self.event(batch, row, &fields) {
            Ok(Event { day_slot: NOT_WANTED, .. }) => Ok(()),
            Ok(event) => {
                let [advertiser, product] =
                    [&fields.advertiser, &fields.product].map(|id| PaddedCopy::of(id));
                self.target.count(&Row { event, advertiser: advertiser.text(), product: product.text() })
            }
            Err(reason) => {
                self.reject(reason, batch, row);
                Ok(())
            }
        }
    }

    fn event(
        &mut self,
        batch: &RowBatch<'_>,
        row: usize,
        fields: &Fields<'_>,
    ) -> Result<Event, RejectReason> {
        let days = &mut self.rules.days;
        let slot = match &batch.date {
            None | Some(Dates::Text(_)) => return self.rules.event(fields),
            Some(Dates::Days(values)) => days.slot_of_days(values.of(row, NO_DATE)),
            Some(Dates::Civil(values, unit)) => days.slot_of_civil(unit.seconds(values.of(row, NO_DATE))),
            Some(Dates::Instants(values, unit)) => {
                days.slot_of_instant(unit.seconds(values.of(row, NO_DATE)))
            }
        };
        let counter = fields.counter()?;
        let day_slot = self.rules.among_wanted(slot.ok_or(RejectReason::BadDate)?);
        Ok(Event { counter, day_slot })
    }

    fn reject(&mut self, reason: RejectReason, batch: &RowBatch<'_>, row: usize) {
        let report = &mut self.report;
        report.rejects.add(reason, 1);
        if report.rejects.of(reason) <= EXAMPLES_PER_REASON as u64 {
            let (line, text) = (report.lines + row as u64, example_text(&batch.line(row)));
            report.examples.push(SliceExample { line, reason, text });
        }
    }
}

/// Events of the day that came last, before they are added to all of the day's.
struct DayTally {
    slot: u32,
    events: DayEvents,
}

impl Default for DayTally {
    fn default() -> Self {
        Self { slot: NOT_WANTED, events: DayEvents::default() }
    }
}

impl DayTally {
    #[inline(always)]
    fn add(&mut self, slot: u32, is_kept: bool, day_events: &mut [DayEvents]) {
        if slot != self.slot {
            self.flush(day_events);
            self.slot = slot;
        }
        self.events.kept += u64::from(is_kept);
        self.events.inactive += u64::from(!is_kept);
    }

    fn flush(&mut self, day_events: &mut [DayEvents]) {
        if let Some(events) = day_events.get_mut(self.slot as usize) {
            events.kept += self.events.kept;
            events.inactive += self.events.inactive;
        }
        self.events = DayEvents::default();
    }
}

/// What the values of a column stand for.
#[derive(Debug, Default)]
struct Codes<C> {
    /// Of the dictionary with this number; the last is of a null.
    of_entries: (Option<u64>, Vec<C>),
    /// Of the rows at hand.
    of_rows: Vec<C>,
}

impl<C: Copy> Codes<C> {
    /// The same for so many rows.
    fn fill(&mut self, rows: usize, code: C) {
        self.of_rows.clear();
        self.of_rows.resize(rows, code);
    }

    /// By a judgement of each text; a null has none.
    fn of_texts(&mut self, texts: &Texts<'_>, of_null: C, mut judge: impl FnMut(Padded<'_>) -> C) {
        let bytes = texts.bytes;
        self.of_values(&texts.values, of_null, |span: Span| match padded(bytes, span) {
            Some(text) => judge(text),
            None if span == NO_TEXT => of_null,
            None => judge(PaddedCopy::of(text_at(bytes, span)).text()),
        });
    }

    /// By a judgement of each value, of those of a dictionary only once.
    fn of_values<T: Copy>(&mut self, values: &Values<'_, T>, of_null: C, mut judge: impl FnMut(T) -> C) {
        self.of_rows.clear();
        match values {
            Values::Each(values) => self.of_rows.extend(values.iter().map(|value| judge(*value))),
            Values::Keys { keys, entries, dictionary } => {
                let (number, codes) = &mut self.of_entries;
                if *number != Some(*dictionary) {
                    *number = Some(*dictionary);
                    codes.clear();
                    codes.extend(entries.iter().map(|entry| judge(*entry)).chain([of_null]));
                }
                self.of_rows.extend(keys.iter().map(|key| codes[*key as usize]));
            }
        }
    }
}

impl ColumnCodes {
    /// Another row group has other dictionaries of the same numbers.
    fn forget_dictionaries(&mut self) {
        self.numbers.of_entries.0 = None;
        self.kinds.of_entries.0 = None;
        self.slots.of_entries.0 = None;
        self.products.dictionary = None;
    }
}

/// The products of a dictionary.
#[derive(Debug, Default)]
struct Products {
    /// Which.
    dictionary: Option<u64>,
    /// The ids, with padding.
    bytes: Vec<u8>,
    /// By key: the product's key in a table, in no group, and where its id lies; none of what is no id.
    entries: Vec<Option<(Key, Span)>>,
}

impl Products {
    fn resolve(&mut self, bytes: &[u8], entries: &[Span], dictionary: u64, table: &Table) {
        if self.dictionary == Some(dictionary) {
            return;
        }
        self.dictionary = Some(dictionary);
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(&[0; PADDING_BYTES]);
        let bytes = &self.bytes;
        let entry = |span: &Span| {
            let id = padded(bytes, *span).filter(|id| is_id(*id))?;
            Some((table.key(0, id), *span))
        };
        self.entries.clear();
        self.entries.extend(entries.iter().map(entry).chain([None]));
    }

    #[inline(always)]
    fn of(&self, key: u32) -> Option<ProductId<'_>> {
        let (key, span) = self.entries[key as usize]?;
        if key.is_short() {
            return Some(ProductId::Short(key.bytes.low));
        }
        Some(ProductId::Other(key, padded(&self.bytes, span)?))
    }
}

/// The text at `span`; none of a null, and where no padding is behind it.
#[inline(always)]
fn padded(bytes: &[u8], (start, length): Span) -> Option<Padded<'_>> {
    let (at, length) = (start as usize, length as usize);
    let has_padding = at + length + PADDING_BYTES <= bytes.len();
    // SAFETY: just checked; numbers of 32 bits cannot overflow a sum of 64.
    has_padding.then(|| unsafe { Padded::new_unchecked(bytes, at, length) })
}

const _: () = assert!(usize::BITS >= 64, "three numbers of 32 bits can be added");

/// Whether the text is an id: 1–255 bytes of UTF-8 without NUL.
#[inline(always)]
fn is_id(text: Padded<'_>) -> bool {
    let Bytes16 { low, high } = text.head();
    let length = text.len();
    let is_short = length.wrapping_sub(1) < 16;
    if is_short && is_plain(low, length.min(8)) && (length <= 8 || is_plain(high, length - 8)) {
        return true;
    }
    length.wrapping_sub(1) < ID_BYTES_MAX && is_unusual_id(text.bytes())
}

/// Whether the first `length` (1–8) bytes, behind which there are zeros, are ASCII without NUL.
#[inline(always)]
fn is_plain(bytes: u64, length: usize) -> bool {
    const ONES: u64 = u64::MAX / 0xFF;
    // Behind the text stand ones; then a byte that is zero, or not ASCII, shows in its highest bit.
    let bytes = bytes | (ONES & !Bytes16::mask(length).low);
    (bytes | bytes.wrapping_sub(ONES)) & (ONES << 7) == 0
}

#[inline(never)]
fn is_unusual_id(id: &[u8]) -> bool {
    memchr::memchr(0, id).is_none() && (id.is_ascii() || std::str::from_utf8(id).is_ok())
}
