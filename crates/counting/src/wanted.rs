//! Which days are wanted, and which advertisers are active on them.

use crate::{
    active::{ActiveTable, Number},
    columns::RowBatches,
    json,
    layout::Layout,
    record::{Field, NextRecord, next_record},
};
use domain::{AdvertiserId, Day, ID_BYTES_MAX, RejectExample, RejectReason, Tally};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet, io, sync::Arc};

/// The days that an object may hold events of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectDays {
    /// Each line says its day.
    Any,
    /// Only lines of this day count; without a date column every line is of this day.
    Only(Day),
}

impl ObjectDays {
    /// Whether an object's events of `day` count.
    pub(crate) fn may_hold(self, day: Day) -> bool {
        match self {
            Self::Any => true,
            Self::Only(only) => only == day,
        }
    }
}

/// The wanted days with their active advertisers.
#[derive(Debug)]
pub struct Wanted {
    days: Vec<Day>,
    lists: Vec<Arc<[AdvertiserId]>>,
    pub(crate) table: ActiveTable,
    /// For each (day slot, advertiser index) whether it is active; none when all days agree.
    active_on: Option<Vec<bool>>,
    first_epoch_day: i32,
    /// Day slot by days since `first_epoch_day`.
    slots: Vec<u32>,
}

/// No slot: the day is not wanted.
pub(crate) const NOT_WANTED: u32 = u32::MAX;

impl Wanted {
    /// Wants each day with its active advertisers, which are in byte order and distinct.
    ///
    /// # Panics
    /// When `days` is empty, a day comes twice, or (days × advertisers) do not fit in 32 bits.
    #[must_use]
    pub fn new(mut days: Vec<(Day, Arc<[AdvertiserId]>)>) -> Self {
        days.sort_by_key(|(day, _)| *day);
        let lists: Vec<_> = days.iter().map(|(_, list)| Arc::clone(list)).collect();
        let days: Vec<_> = days.into_iter().map(|(day, _)| day).collect();
        assert!(days.is_sorted_by(|a, b| a < b), "each day is wanted once");
        let first_list = lists.first().expect("a day is wanted");
        let all_agree = lists.iter().all(|list| Arc::ptr_eq(list, first_list) || list == first_list);
        let ids: Vec<AdvertiserId> = if all_agree {
            first_list.to_vec()
        } else {
            lists.iter().flat_map(|list| list.iter().cloned()).collect::<BTreeSet<_>>().into_iter().collect()
        };
        assert!(u32::try_from(days.len() * ids.len().max(1)).is_ok(), "days × advertisers fit in 32 bits");
        let active_on = (!all_agree).then(|| {
            let is_active = |list: &[AdvertiserId], id| list.binary_search(id).is_ok();
            lists.iter().flat_map(|list| ids.iter().map(move |id| is_active(list, id))).collect()
        });
        let first_epoch_day = days[0].epoch_days();
        let span = days[days.len() - 1].epoch_days() - first_epoch_day + 1;
        let mut slots = vec![NOT_WANTED; usize::try_from(span).expect("days are in order")];
        for (slot, day) in days.iter().enumerate() {
            let offset = usize::try_from(day.epoch_days() - first_epoch_day).expect("days are in order");
            slots[offset] = u32::try_from(slot).expect("days fit in 32 bits");
        }
        Self { days, lists, table: ActiveTable::new(ids), active_on, first_epoch_day, slots }
    }

    /// The wanted days, oldest first.
    #[must_use]
    pub fn days(&self) -> &[Day] {
        &self.days
    }

    /// For each advertiser that the table knows its index among the active ones of the day at `slot`; none
    /// when it is the same. An advertiser that is not active has any.
    pub(crate) fn active_indices(&self, slot: usize) -> Option<Vec<u32>> {
        self.active_on.as_ref()?;
        let active = &self.lists[slot];
        let index = |id: &AdvertiserId| active.partition_point(|active| active < id);
        let index = |id| u32::try_from(index(id)).expect("advertisers fit in 32 bits");
        Some(self.table.ids().iter().map(index).collect())
    }

    /// How many advertisers the table knows.
    pub(crate) fn advertisers(&self) -> usize {
        self.table.ids().len()
    }

    /// The place of a day among the wanted ones, or [`NOT_WANTED`].
    pub(crate) fn slot(&self, epoch_day: i32) -> u32 {
        let offset =
            epoch_day.checked_sub(self.first_epoch_day).and_then(|offset| usize::try_from(offset).ok());
        offset.and_then(|offset| self.slots.get(offset)).copied().unwrap_or(NOT_WANTED)
    }

    /// The group of the events of the advertiser with this number on a day, and whether they count: if
    /// not, it is any group.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "checked by `Wanted::new`")]
    pub(crate) fn group(&self, slot: u32, number: Number) -> (u32, bool) {
        let group = slot * self.advertisers() as u32 + number.saturating_sub(1);
        let is_active = self.active_on.as_ref().is_none_or(|active| active[group as usize]);
        (group, is_active & (number != 0))
    }

    /// The active advertisers of the day at this place among the wanted ones, in byte order.
    ///
    /// # Panics
    /// When there are not so many days.
    #[must_use]
    pub fn active(&self, slot: usize) -> &Arc<[AdvertiserId]> {
        &self.lists[slot]
    }

    /// The place of a group's day among the wanted ones; none when there is no such group.
    pub(crate) fn slot_of(&self, group: u32) -> Option<usize> {
        let slot = group as usize / self.advertisers().max(1);
        (slot < self.days.len()).then_some(slot)
    }

    /// The group of the advertiser with this index among the active ones of the day at `slot`.
    ///
    /// # Panics
    /// When there is no such day or advertiser.
    #[must_use]
    pub fn group_of(&self, slot: usize, index: u32) -> u32 {
        let advertiser = match &self.active_on {
            None => index as usize,
            Some(_) => {
                let id = &self.lists[slot][index as usize];
                self.table.ids().binary_search(id).expect("an active advertiser is known")
            }
        };
        u32::try_from(slot * self.advertisers() + advertiser).expect("groups fit in 32 bits")
    }

    /// How many groups there are: each advertiser's of each day.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.days.len() * self.advertisers()
    }
}

/// The advertisers listed in one object.
#[derive(Debug, Default)]
pub struct ActiveList {
    /// Distinct, in byte order.
    pub advertisers: BTreeSet<AdvertiserId>,
    /// What became of the lines; a repeated id is kept each time.
    pub tally: Tally,
    /// The first rejected lines.
    pub examples: Vec<RejectExample>,
}

/// How many rejected lines of each reason an object gives as examples.
pub(crate) const EXAMPLES_PER_REASON: usize = 3;

/// The most bytes of a rejected line that an example shows.
pub(crate) const EXAMPLE_BYTES_MAX: usize = 120;

/// The start of a rejected line, for people to read.
pub(crate) fn example_text(line: &[u8]) -> String {
    let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
    let shown = &line[..end.min(EXAMPLE_BYTES_MAX)];
    String::from_utf8_lossy(shown.strip_suffix(b"\r").unwrap_or(shown)).into_owned()
}

/// Why the bytes of an id are not an id.
pub(crate) fn id_problem(id: &[u8]) -> Option<RejectReason> {
    match id.len() {
        0 => Some(RejectReason::EmptyId),
        1..=ID_BYTES_MAX => id.contains(&0).then_some(RejectReason::NulInId),
        _ => Some(RejectReason::IdTooLong),
    }
}

/// Reads the whole of one object of the log of active advertisers.
#[must_use]
pub fn read_active_list(object: &str, bytes: &[u8], layout: &Layout) -> ActiveList {
    let mut list = ActiveList::default();
    let mut line = layout.header_lines() + 1;
    let mut rest = &bytes[usize::try_from(layout.data_start()).expect("the header is in memory")..];
    while !rest.is_empty() {
        let (next, id) = next_listed(rest, layout);
        let (end, outcome) = match next {
            NextRecord::Record(shape) if shape.is_blank => (shape.end, None),
            NextRecord::Record(shape) => (shape.end, Some(id.and_then(|id| listed(&id)))),
            NextRecord::Rejected { reason, line_end } => (line_end.unwrap_or(rest.len()), Some(Err(reason))),
            NextRecord::More => unreachable!("the whole object is in memory"),
        };
        list.add(object, line, &rest[..end], outcome);
        line += memchr::memchr_iter(b'\n', &rest[..end]).count() as u64;
        rest = &rest[end..];
    }
    list
}

/// Reads on: rows of a row group of the log of active advertisers, the first of them `line`.
///
/// # Errors
/// When they cannot be read.
pub fn read_active_rows(
    list: &mut ActiveList,
    object: &str,
    mut line: u64,
    rows: &mut dyn RowBatches,
) -> io::Result<()> {
    while let Some(batch) = rows.next_batch()? {
        for row in 0..batch.rows {
            let id = batch.advertiser.of(row);
            list.add(object, line, id, Some(listed(id)));
            line += 1;
        }
    }
    Ok(())
}

/// The record at the start of `rest`, and the id in it when it is a good one.
fn next_listed<'r>(rest: &'r [u8], layout: &Layout) -> (NextRecord, Result<Cow<'r, [u8]>, RejectReason>) {
    match layout {
        Layout::Delimited(layout) => {
            let mut id = Field::default();
            let next = next_record(rest, true, layout.delimiter, &mut |number, field| {
                if number == layout.advertiser {
                    id = field;
                }
            });
            let has_all = matches!(next, NextRecord::Record(shape) if shape.fields == layout.fields);
            (next, if has_all { Ok(id.value(rest)) } else { Err(RejectReason::FieldCount) })
        }
        Layout::JsonLines(layout) => {
            let next = json::next_line(rest, true);
            let line = if let NextRecord::Record(shape) = next { &rest[..shape.end] } else { rest };
            (next, json::read(line, &layout.members).map(|fields| fields.advertiser))
        }
    }
}

fn listed(id: &[u8]) -> Result<AdvertiserId, RejectReason> {
    let text = std::str::from_utf8(id).map_err(|_| RejectReason::NotUtf8)?;
    match id_problem(id) {
        Some(reason) => Err(reason),
        None => Ok(AdvertiserId::new(text).expect("an id of 1 to 255 bytes")),
    }
}

impl ActiveList {
    fn add(
        &mut self,
        object: &str,
        line: u64,
        text: &[u8],
        outcome: Option<Result<AdvertiserId, RejectReason>>,
    ) {
        let Some(outcome) = outcome else {
            self.tally.blank += 1;
            return;
        };
        self.tally.read += 1;
        match outcome {
            Ok(id) => {
                self.tally.kept += 1;
                self.advertisers.insert(id);
            }
            Err(reason) => {
                self.tally.rejected.add(reason, 1);
                if self.tally.rejected.of(reason) <= EXAMPLES_PER_REASON as u64 {
                    let (object, text) = (object.to_owned(), example_text(text));
                    self.examples.push(RejectExample { object, line, reason, text });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Columns, Header};

    #[test]
    fn an_active_list_is_a_set_and_counts_its_bad_lines() {
        let long = "x".repeat(256);
        let text = format!("advertiser_id,note\na,1\r\n\nb\n\"a\",2\n,3\n{long},4\n\"c\nd\",5\n\"e,6\nf,7");
        let columns = Columns {
            advertiser_id: "advertiser_id".into(),
            product_id: None,
            kind: None,
            date: None,
            date_is_optional: false,
        };
        let layout = Header::read(text.as_bytes(), true, None).unwrap().unwrap().layout(&columns).unwrap();
        let list = read_active_list("advertiser_ids.csv", text.as_bytes(), &layout);
        let ids: Vec<_> = list.advertisers.iter().map(AdvertiserId::as_str).collect();
        assert_eq!(ids, ["a", "c\nd", "f"]);
        let rejected: Vec<_> = list.examples.iter().map(|e| format!("{} {}", e.line, e.reason)).collect();
        assert_eq!(rejected, ["4 field count", "6 empty id", "7 id too long", "10 bad quoting"]);
        assert_eq!((list.tally.read, list.tally.kept, list.tally.blank), (8, 4, 1));
    }
}
