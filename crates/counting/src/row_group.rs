//! One row group, counted column by column into a thread's table.
//!
//! Values become codes first: an advertiser its number, a type its counter, a date the slot of its day; of
//! a dictionary each entry once. What is left to do for a row is to look them up and to add. A row in
//! which anything is unusual is left to the exact rules, which are those of lines of text; its line number
//! is its number among the object's rows.

use crate::{
    bytes16::Bytes16,
    codes::{Code, Codes, Products, UNUSUAL, is_id, key, short_id},
    columns::{Dates, NO_DATE, RowBatch, RowBatches, Texts, Values},
    event::{Dated, DaySlots, Event, Fields, Rules, kind_counter},
    padded::{Padded, PaddedCopy},
    rows::{DayEvents, Row, Target},
    slice::{SliceCounter, SliceExample, SliceReport},
    table::{Counter, Key, Table},
    wanted::{EXAMPLES_PER_REASON, NOT_WANTED, ObjectDays, example_text},
};
use domain::RejectReason;
use std::{borrow::Cow, io};

/// How many events before it is counted the cache line of an event is asked for.
const AHEAD: usize = 16;

/// What the values of the columns stand for; kept from row group to row group for their memory.
#[derive(Debug, Default)]
pub(crate) struct ColumnCodes {
    /// Numbers of advertisers.
    numbers: Codes<u32>,
    counters: Codes<Option<Counter>>,
    dates: Codes<Dated>,
    products: Products,
    events: Vec<ShortEvent>,
    /// Rows that are not of [`ShortEvent`]s.
    others: Vec<usize>,
}

/// An event of a product with a [`short_id`], of a group that counts.
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
        self.days.forget();
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

impl ColumnCodes {
    fn forget_dictionaries(&mut self) {
        self.numbers.forget_dictionary();
        self.counters.forget_dictionary();
        self.dates.forget_dictionary();
        self.products.forget_dictionary();
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
        let active = &self.target.wanted.table;
        codes.numbers.of_texts(&batch.advertiser, |id| if is_id(id) { active.find(id) } else { UNUSUAL });
        match &batch.kind {
            Some(kind) => codes.counters.of_texts(kind, kind_counter),
            None => codes.counters.fill(batch.rows, Some(Counter::Views)),
        }
        self.dates(batch, &mut codes.dates);
        let Texts { bytes, values } = batch.product.expect("events have a product");
        match values {
            Values::Each(spans) => {
                self.short_rows(codes, |_, row| short_id(bytes, spans[row]))?;
                self.other_rows(batch, codes, |table, row| key(table, bytes, spans[row]))?;
            }
            Values::Keys { keys, entries, dictionary } => {
                codes.products.resolve(bytes, entries, dictionary, self.target.table);
                self.short_rows(codes, |products, row| products.short_id(keys[row]))?;
                self.other_rows(batch, codes, |_, row| codes.products.key(keys[row]))?;
            }
        }
        self.report.lines += batch.rows as u64;
        self.report.records += batch.rows as u64;
        Ok(())
    }

    /// What the date of each row tells.
    fn dates(&mut self, batch: &RowBatch<'_>, dates: &mut Codes<Dated>) {
        let rules = &mut self.rules;
        let code = |rules: &Rules<'_, '_>, dated: Option<Dated>| {
            dated.map_or(Dated::UNUSUAL, |dated| Dated::new(rules.among_wanted(dated.slot()), dated.time()))
        };
        match &batch.date {
            None => dates.fill(batch.rows, Dated::of_slot(rules.day_of_object())),
            Some(Dates::Text(texts)) => dates.of_texts(texts, |date| {
                let dated = rules.days.dated(date);
                code(rules, dated)
            }),
            Some(Dates::Days(values)) => dates.of_values(values, |days| {
                let dated = rules.days.of_days(days);
                code(rules, dated)
            }),
            Some(Dates::Civil(values, unit)) => dates.of_values(values, |count| {
                let dated = rules.days.of_civil(count, *unit);
                code(rules, dated)
            }),
            Some(Dates::Instants(values, unit)) => dates.of_values(values, |count| {
                let dated = rules.days.of_instant(count, *unit);
                code(rules, dated)
            }),
        }
    }

    /// Counts the rows in which nothing is unusual and whose product has a short id, which `id` tells as
    /// [`short_id`] does; notes the others.
    #[inline(always)]
    fn short_rows(
        &mut self,
        codes: &mut ColumnCodes,
        id: impl Fn(&Products, usize) -> u64,
    ) -> io::Result<()> {
        let ColumnCodes { numbers, counters, dates, products, events, others } = codes;
        let Target { wanted, table, day_events } = &mut self.target;
        let rows = numbers.rows().len();
        let (numbers, counters, dates) = (numbers.rows(), &counters.rows()[..rows], &dates.rows()[..rows]);
        events.resize(rows, ShortEvent::default());
        others.clear();
        let mut tally = DateTally::default();
        let mut kept = 0;
        for row in 0..rows {
            let (number, dated, id) = (numbers[row], dates[row], id(products, row));
            let is_usual = (id != 0) & (number != UNUSUAL) & (dated.slot() != UNUSUAL);
            let Some(counter) = counters[row].filter(|_| is_usual) else {
                others.push(row);
                continue;
            };
            if dated.slot() == NOT_WANTED {
                continue;
            }
            let (group, is_kept) = wanted.group(dated.slot(), number);
            events[kept] = ShortEvent { id, group, counter };
            kept += usize::from(is_kept);
            tally.add(dated, is_kept, (day_events, self.rules.days));
        }
        tally.flush((day_events, self.rules.days));
        add_short(table, &events[..kept])
    }

    /// Counts the rows that were noted; `product` tells the key of a row's, in no group, with the id, or
    /// nothing when that is unusual.
    #[inline(always)]
    fn other_rows<'b>(
        &mut self,
        batch: &RowBatch<'_>,
        codes: &ColumnCodes,
        product: impl Fn(&Table, usize) -> Option<(Key, Padded<'b>)>,
    ) -> io::Result<()> {
        let (numbers, dates) = (codes.numbers.rows(), codes.dates.rows());
        let mut tally = DateTally::default();
        let mut waiting = [(Key::default(), Counter::Views, Padded::default()); AHEAD];
        let mut kept = 0;
        for row in codes.others.iter().copied() {
            let (number, dated) = (numbers[row], dates[row]);
            let usual = codes.counters.rows()[row].filter(|_| number != UNUSUAL && dated.slot() != UNUSUAL);
            let Some((counter, (key, id))) = usual.zip(product(self.target.table, row)) else {
                self.exact_row(batch, row)?;
                continue;
            };
            if dated.slot() == NOT_WANTED {
                continue;
            }
            let (group, is_kept) = self.target.wanted.group(dated.slot(), number);
            tally.add(dated, is_kept, (self.target.day_events, self.rules.days));
            let key = key.in_group(group);
            self.target.table.prefetch(&key);
            waiting[kept] = (key, counter, id);
            kept += usize::from(is_kept);
            if kept == AHEAD {
                add(self.target.table, &waiting)?;
                kept = 0;
            }
        }
        tally.flush((self.target.day_events, self.rules.days));
        add(self.target.table, &waiting[..kept])
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
        let dated = match &batch.date {
            None | Some(Dates::Text(_)) => return self.rules.event(fields),
            Some(Dates::Days(values)) => days.of_days(values.of(row, NO_DATE)),
            Some(Dates::Civil(values, unit)) => days.of_civil(values.of(row, NO_DATE), *unit),
            Some(Dates::Instants(values, unit)) => days.of_instant(values.of(row, NO_DATE), *unit),
        };
        let counter = fields.counter()?;
        let dated = dated.ok_or(RejectReason::BadDate)?;
        days.note(dated);
        Ok(Event { counter, day_slot: self.rules.among_wanted(dated.slot()) })
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

/// Counts events, asking for the cache lines of those that come some events later.
fn add_short(table: &mut Table, events: &[ShortEvent]) -> io::Result<()> {
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

/// Counts events whose cache lines were asked for.
fn add(table: &mut Table, events: &[(Key, Counter, Padded<'_>)]) -> io::Result<()> {
    events.iter().try_for_each(|(key, counter, id)| table.add(key, *counter, *id))
}

/// Events of the date that came last, before they are added to all of its day's.
struct DateTally {
    dated: Dated,
    events: DayEvents,
}

impl Default for DateTally {
    fn default() -> Self {
        Self { dated: Dated::of_slot(NOT_WANTED), events: DayEvents::default() }
    }
}

impl DateTally {
    #[inline(always)]
    fn add(&mut self, dated: Dated, is_kept: bool, all: (&mut [DayEvents], &mut DaySlots<'_>)) {
        if dated != self.dated {
            self.flush(all);
            self.dated = dated;
        }
        self.events.kept += u64::from(is_kept);
        self.events.inactive += u64::from(!is_kept);
    }

    fn flush(&mut self, (day_events, days): (&mut [DayEvents], &mut DaySlots<'_>)) {
        if let Some(events) = day_events.get_mut(self.dated.slot() as usize) {
            events.kept += self.events.kept;
            events.inactive += self.events.inactive;
            days.note(self.dated);
        }
        self.events = DayEvents::default();
    }
}
