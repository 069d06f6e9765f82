//! The rules of an event: what it adds to, on which day, or why its line is rejected.

use crate::{
    bytes16::Bytes16,
    columns::NO_DATE,
    date::{DayReader, Moment, TimeOfDay, Unit},
    layout::Delimited,
    padded::Padded,
    record::{Field, Shape},
    table::Counter,
    wanted::{NOT_WANTED, ObjectDays, Wanted, id_problem},
};
use domain::RejectReason;
use std::borrow::Cow;

/// A line that breaks no rule.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Event {
    pub(crate) counter: Counter,
    /// [`NOT_WANTED`] when the event is of another day.
    pub(crate) day_slot: u32,
}

/// The needed fields of one record.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    pub(crate) advertiser: Option<Field>,
    pub(crate) product: Option<Field>,
    pub(crate) kind: Option<Field>,
    pub(crate) date: Option<Field>,
}

impl Needed {
    /// Notes a field of the record when it is a needed one.
    pub(crate) fn note(&mut self, layout: &Delimited, number: usize, field: Field) {
        let places = [
            (Some(layout.advertiser), &mut self.advertiser),
            (layout.product, &mut self.product),
            (layout.kind, &mut self.kind),
            (layout.date, &mut self.date),
        ];
        for (_, place) in places.into_iter().filter(|(of, _)| *of == Some(number)) {
            *place = Some(field);
        }
    }
}

/// The fields of a record, as text of which the rules were not yet asked.
#[derive(Debug)]
pub(crate) struct Fields<'t> {
    pub(crate) advertiser: Cow<'t, [u8]>,
    pub(crate) product: Cow<'t, [u8]>,
    pub(crate) kind: Option<Cow<'t, [u8]>>,
    pub(crate) date: Option<Cow<'t, [u8]>>,
}

impl<'t> Fields<'t> {
    /// The needed fields in the text of a record of as many fields as the header.
    pub(crate) fn of(
        text: &'t [u8],
        shape: Shape,
        layout: &Delimited,
        needed: &Needed,
    ) -> Result<Self, RejectReason> {
        if shape.fields != layout.fields {
            return Err(RejectReason::FieldCount);
        }
        let value = |field: Option<Field>| field.map(|field| field.value(text));
        Ok(Self {
            advertiser: value(needed.advertiser).unwrap_or_default(),
            product: value(needed.product).unwrap_or_default(),
            kind: value(needed.kind),
            date: value(needed.date),
        })
    }

    /// What an event of these fields adds to: all the rules but those of the date, in the order in which
    /// a reason is given.
    pub(crate) fn counter(&self) -> Result<Counter, RejectReason> {
        let Self { advertiser, product, kind, date } = self;
        let needed = [Some(advertiser), Some(product), kind.as_ref(), date.as_ref()];
        if needed.into_iter().flatten().any(|field| std::str::from_utf8(field).is_err()) {
            return Err(RejectReason::NotUtf8);
        }
        if let Some(reason) = id_problem(advertiser).or_else(|| id_problem(product)) {
            return Err(reason);
        }
        match kind.as_deref() {
            None => Ok(Counter::Views),
            Some(b"impression") => Ok(Counter::Impressions),
            Some(b"click") => Ok(Counter::Clicks),
            Some(_) => Err(RejectReason::UnknownType),
        }
    }
}

/// What decides about the lines of one object.
pub(crate) struct Rules<'r, 'a> {
    pub(crate) days: &'r mut DaySlots<'a>,
    /// The only day slot that counts, when the object holds one day.
    only: Option<u32>,
}

impl<'r, 'a> Rules<'r, 'a> {
    pub(crate) fn new(days: &'r mut DaySlots<'a>, object_days: ObjectDays) -> Self {
        let only = match object_days {
            ObjectDays::Any => None,
            ObjectDays::Only(day) => Some(days.wanted.slot(day.epoch_days())),
        };
        Self { days, only }
    }

    /// The rules of a record, in the order in which a reason is given.
    pub(crate) fn event(&mut self, fields: &Fields<'_>) -> Result<Event, RejectReason> {
        let counter = fields.counter()?;
        let day_slot = match &fields.date {
            None => self.day_of_object(),
            Some(date) => {
                let dated = self.days.read_and_note(date).ok_or(RejectReason::BadDate)?;
                self.among_wanted(dated.slot())
            }
        };
        Ok(Event { counter, day_slot })
    }

    /// The day slot of all events of an object without dates.
    pub(crate) fn day_of_object(&self) -> u32 {
        self.only.expect("an object without dates holds one day")
    }

    /// The slot, when events of its day count in this object.
    #[inline(always)]
    pub(crate) fn among_wanted(&self, slot: u32) -> u32 {
        if self.only.is_none_or(|only| only == slot) { slot } else { NOT_WANTED }
    }
}

/// What an event of this kind adds to; none when it is no kind.
#[inline(always)]
pub(crate) fn kind_counter(kind: Padded<'_>) -> Option<Counter> {
    if kind.is(b"impression") {
        Some(Counter::Impressions)
    } else if kind.is(b"click") {
        Some(Counter::Clicks)
    } else {
        None
    }
}

/// What a date tells: the slot of its day, or [`NOT_WANTED`], and of a date-time the time of day. Both lie in one
/// number, to be compared at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dated(u64);

impl Dated {
    pub(crate) const fn new(slot: u32, time: TimeOfDay) -> Self {
        Self((time.0 as u64) << 32 | slot as u64)
    }

    /// A day without a time.
    pub(crate) const fn of_slot(slot: u32) -> Self {
        Self::new(slot, TimeOfDay::NONE)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(crate) const fn slot(self) -> u32 {
        self.0 as u32
    }

    #[inline(always)]
    pub(crate) const fn time(self) -> TimeOfDay {
        TimeOfDay((self.0 >> 32) as u32)
    }
}

/// Days read lately, since the same few texts come again and again; and how far into each day the lines go.
///
/// A time is noted where its text is read, and one that is remembered was noted before: lines with plain dates
/// pay nothing for times.
pub(crate) struct DaySlots<'a> {
    wanted: &'a Wanted,
    reader: DayReader,
    last: RecentDay,
    recent: [RecentDay; RECENT_DAYS],
    /// By day slot.
    last_times: Vec<TimeOfDay>,
}

const RECENT_DAYS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct RecentDay {
    /// At most 16 bytes, and the mask of so many.
    text: Bytes16,
    mask: Bytes16,
    length: usize,
    dated: Dated,
}

impl RecentDay {
    /// Nothing is remembered: no text is as long.
    const NONE: Self = Self {
        text: Bytes16::MIN,
        mask: Bytes16::MIN,
        length: usize::MAX,
        dated: Dated::of_slot(NOT_WANTED),
    };
}

impl<'a> DaySlots<'a> {
    pub(crate) fn new(wanted: &'a Wanted, reader: DayReader) -> Self {
        let (last, recent) = (RecentDay::NONE, [RecentDay::NONE; RECENT_DAYS]);
        let last_times = vec![TimeOfDay::NONE; wanted.days().len()];
        Self { wanted, reader, last, recent, last_times }
    }

    /// Forgets all, so that each slice notes its own.
    pub(crate) fn forget(&mut self) {
        (self.last, self.recent) = (RecentDay::NONE, [RecentDay::NONE; RECENT_DAYS]);
        self.last_times.fill(TimeOfDay::NONE);
    }

    /// The last time that was noted of the day, also by lines of a day that does not count in their object.
    pub(crate) fn last_time(&self, slot: u32) -> TimeOfDay {
        self.last_times[slot as usize]
    }

    /// Notes the date of a good line.
    #[inline]
    pub(crate) fn note(&mut self, dated: Dated) {
        if let Some(last) = self.last_times.get_mut(dated.slot() as usize) {
            *last = dated.time().max(*last);
        }
    }

    /// Whether a field of at most 16 bytes is the one that [`DaySlots::slot_of`] was asked for last.
    #[inline(always)]
    pub(crate) fn is_last(&self, date: Padded<'_>) -> bool {
        self.last.length == date.len() && date.begins_with(self.last.text, self.last.mask)
    }

    /// The slot of the day written in a field of a line that is good if this is a date, which is noted then; none
    /// when it is no date.
    #[inline(always)]
    pub(crate) fn slot_of(&mut self, date: Padded<'_>) -> Option<u32> {
        if self.is_last(date) { Some(self.last.dated.slot()) } else { self.other_slot_of(date) }
    }

    #[inline(never)]
    fn other_slot_of(&mut self, date: Padded<'_>) -> Option<u32> {
        self.other_than_last(date, Self::read_and_note).map(Dated::slot)
    }

    /// What is written in a field, of which nothing is noted; none when it is no date.
    #[inline(always)]
    pub(crate) fn dated(&mut self, date: Padded<'_>) -> Option<Dated> {
        if self.is_last(date) { Some(self.last.dated) } else { self.other_than_last(date, Self::read) }
    }

    fn other_than_last(
        &mut self,
        date: Padded<'_>,
        read: impl Fn(&mut Self, &[u8]) -> Option<Dated>,
    ) -> Option<Dated> {
        if date.len() > 16 {
            return read(self, date.bytes());
        }
        let text = date.head();
        let mixed = (text.low ^ text.high.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let place = (mixed >> 58) as usize % RECENT_DAYS;
        let recent = self.recent[place];
        if recent.length != date.len() || recent.text != text {
            let dated = read(self, date.bytes())?;
            self.recent[place] =
                RecentDay { text, mask: Bytes16::mask(date.len()), length: date.len(), dated };
        }
        self.last = self.recent[place];
        Some(self.last.dated)
    }

    /// What a number of days since 1970-01-01 tells.
    pub(crate) fn of_days(&self, days: i64) -> Option<Dated> {
        Moment::of_days(days).map(|moment| self.of(moment))
    }

    /// What a time on a clock of no zone tells, unless it is [`NO_DATE`].
    pub(crate) fn of_civil(&self, count: i64, unit: Unit) -> Option<Dated> {
        let seconds = Some(count).filter(|count| *count != NO_DATE).map(|count| unit.seconds(count))?;
        Moment::of_civil(seconds).map(|moment| self.of(moment))
    }

    /// What an instant tells, unless it is [`NO_DATE`].
    pub(crate) fn of_instant(&mut self, count: i64, unit: Unit) -> Option<Dated> {
        let seconds = Some(count).filter(|count| *count != NO_DATE).map(|count| unit.seconds(count))?;
        self.reader.moment_of(seconds).map(|moment| self.of(moment))
    }

    fn read_and_note(&mut self, field: &[u8]) -> Option<Dated> {
        let dated = self.read(field)?;
        self.note(dated);
        Some(dated)
    }

    fn read(&mut self, field: &[u8]) -> Option<Dated> {
        self.reader.moment(field).map(|moment| self.of(moment))
    }

    fn of(&self, moment: Moment) -> Dated {
        Dated::new(self.wanted.slot(moment.epoch_day), moment.time)
    }
}
