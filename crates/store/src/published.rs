//! What readers see, put together from rows.
//!
//! Rows of pins, of holds and of what is seen go in; what each keeps from being seen, or lets be seen, comes out.
//! Nothing here asks a database.

use crate::{
    columns::from_columns,
    error::Failure,
    holds::{Hold, HoldRow},
    moves::PIN,
    packed::{DayStamp, PackedDay},
};
use domain::{AdvertiserId, Day, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is published at one moment: never a part of one publication and a part of another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Published {
    /// Grows with every publication that moved; 0 before any.
    pub version: i64,
    /// The newest days, newest first.
    pub days: Vec<PublishedDay>,
    /// Other days, newest first, with nothing but what is seen last of advertisers that are held back on the
    /// newest days and not seen on any of them, or that are pinned to another day.
    pub older: Vec<PackedDay>,
    /// Who is pinned, in byte order; of each, what it is pinned to is in `days` or `older`.
    pub pins: Vec<Pin>,
    /// What is held back of these days and of later ones, in order of day and advertiser; also what a pin keeps
    /// from being seen.
    pub holds: Vec<PublishedHold>,
}

/// One of the newest days.
#[derive(Debug, Clone, PartialEq)]
pub enum PublishedDay {
    /// It is what the caller knows; nothing of it was read.
    Known(DayStamp),
    /// What is published of it.
    Read(PackedDay),
    /// What is published of it could not be served as it is.
    Refused {
        /// What it was made of.
        stamp: DayStamp,
        /// What is wrong with it, with names, and what to do about it.
        what: String,
    },
}

impl PublishedDay {
    /// What it was made of.
    #[must_use]
    pub fn stamp(&self) -> &DayStamp {
        match self {
            Self::Known(stamp) | Self::Refused { stamp, .. } => stamp,
            Self::Read(day) => &day.stamp,
        }
    }

    /// What was read of a day that is not known.
    pub(crate) fn of(stamp: DayStamp, read: Result<PackedDay, Failure>) -> Result<Self, Failure> {
        match read {
            Ok(day) => Ok(Self::Read(day)),
            Err(Failure::Invalid { what, .. }) => Ok(Self::Refused { stamp, what }),
            Err(failure) => Err(failure),
        }
    }

    /// What is published of it, unless it was known or is refused.
    #[must_use]
    pub fn read(&self) -> Option<&PackedDay> {
        match self {
            Self::Known(_) | Self::Refused { .. } => None,
            Self::Read(day) => Some(day),
        }
    }

    /// The day.
    #[must_use]
    pub fn day(&self) -> Day {
        self.stamp().day
    }
}

/// The last event of a day that moved readers, as it is read; the time in milliseconds since 1970.
#[derive(Debug)]
pub(crate) struct EventRow {
    pub(crate) day: String,
    pub(crate) seq: i64,
    pub(crate) run_id: String,
    pub(crate) published_at: i64,
}

from_columns!(EventRow { day, seq, run_id, published_at });

impl EventRow {
    /// The stamp of the day, in which no pins are named yet.
    pub(crate) fn stamp(&self) -> Result<DayStamp, Failure> {
        Ok(DayStamp {
            day: crate::ledger::day(&self.day)?,
            seq: self.seq,
            run_id: crate::ledger::run_id(&self.run_id)?,
            published_at: crate::time::from_millisecond(self.published_at)?,
            pins_digest: [0; 32],
        })
    }
}

/// An advertiser of whom readers see what a run made of its day, and nothing of later days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The advertiser.
    pub advertiser_id: AdvertiserId,
    /// The day of the run.
    pub day: Day,
    /// The run.
    pub run_id: RunId,
    /// Why.
    pub reason: String,
    /// Since when.
    pub pinned_at: Timestamp,
}

/// A pin as it is read.
#[derive(Debug)]
pub(crate) struct PinRow {
    advertiser_id: String,
    day: String,
    run_id: String,
    reason: String,
    pinned_at: String,
}

from_columns!(PinRow { advertiser_id, day, run_id, reason, pinned_at });

impl TryFrom<PinRow> for Pin {
    type Error = Failure;

    fn try_from(row: PinRow) -> Result<Self, Failure> {
        Ok(Self {
            advertiser_id: advertiser(&row.advertiser_id)?,
            day: crate::ledger::day(&row.day)?,
            run_id: crate::ledger::run_id(&row.run_id)?,
            reason: row.reason,
            pinned_at: crate::time::from_text(&row.pinned_at)?,
        })
    }
}

impl Pin {
    /// What readers see by it.
    fn seen(&self) -> PublishedAdvertiser {
        let Self { advertiser_id, run_id, pinned_at, .. } = self.clone();
        PublishedAdvertiser { advertiser_id, run_id, published_at: pinned_at }
    }

    /// What it keeps from being seen of a later day, or of another run of its own.
    pub(crate) fn hides(&self, day: Day, run_id: &RunId) -> PublishedHold {
        let because = if self.reason.is_empty() { "" } else { ": " };
        let message = format!("pinned to run {} of {}{because}{}", self.run_id, self.day, self.reason);
        let hold = Hold { check: PIN.to_owned(), message };
        PublishedHold { day, advertiser_id: Some(self.advertiser_id.clone()), run_id: run_id.clone(), hold }
    }
}

/// What is held back, in order of day and advertiser. What is held of a pinned advertiser is kept from being seen by
/// the pin, whatever a check says of it besides.
pub(crate) fn holds(
    pins: &[Pin],
    hidden: Vec<PublishedHold>,
    held: Vec<PublishedHold>,
) -> Vec<PublishedHold> {
    let key = |hold: &PublishedHold| (hold.day, hold.advertiser_id.clone());
    let by_pin = |hold: PublishedHold| {
        let pin = pins.iter().find(|pin| Some(&pin.advertiser_id) == hold.advertiser_id.as_ref());
        match pin.filter(|pin| pin.day <= hold.day) {
            Some(pin) => pin.hides(hold.day, &hold.run_id),
            None => hold,
        }
    };
    let all = held.into_iter().map(by_pin).chain(hidden);
    let holds: BTreeMap<_, _> = all.map(|hold| (key(&hold), hold)).collect();
    holds.into_values().collect()
}

/// Something of a day that readers do not see, because a check held it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedHold {
    /// The day.
    pub day: Day,
    /// Whose rankings; none for all advertisers.
    pub advertiser_id: Option<AdvertiserId>,
    /// The run that made them.
    pub run_id: RunId,
    /// Why.
    pub hold: Hold,
}

impl TryFrom<HoldRow> for PublishedHold {
    type Error = Failure;

    fn try_from(row: HoldRow) -> Result<Self, Failure> {
        let id = &row.advertiser_id;
        Ok(Self {
            day: crate::ledger::day(&row.day)?,
            advertiser_id: if id.is_empty() { None } else { Some(advertiser(id)?) },
            run_id: crate::ledger::run_id(&row.run_id)?,
            hold: Hold { check: row.check_name, message: row.message },
        })
    }
}

/// An active advertiser, and whose rankings readers see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedAdvertiser {
    /// The advertiser.
    pub advertiser_id: AdvertiserId,
    /// The run whose rankings are seen.
    pub run_id: RunId,
    /// Since when.
    pub published_at: Timestamp,
}

/// What a pin keeps from being seen of a day, as it is read.
#[derive(Debug)]
pub(crate) struct HiddenRow {
    pub(crate) advertiser_id: String,
    pub(crate) run_id: String,
}

from_columns!(HiddenRow { advertiser_id, run_id });

/// The rows as holds of `day`.
pub(crate) fn hidden(pins: &[Pin], day: Day, rows: &[HiddenRow]) -> Result<Vec<PublishedHold>, Failure> {
    let hold = |row: &HiddenRow| {
        let run_id = crate::ledger::run_id(&row.run_id)?;
        let pin = pins.iter().find(|pin| pin.advertiser_id.as_str() == row.advertiser_id);
        Ok(pin.map(|pin| pin.hides(day, &run_id)))
    };
    rows.iter().filter_map(|row| hold(row).transpose()).collect()
}

/// What is seen of an advertiser, as it is read; the time in milliseconds since 1970.
#[derive(Debug)]
pub(crate) struct SeenRow {
    pub(crate) day: String,
    pub(crate) advertiser_id: String,
    pub(crate) run_id: String,
    pub(crate) published_at: i64,
}

from_columns!(SeenRow { day, advertiser_id, run_id, published_at });

/// What is seen last of advertisers that are on none of the newest days, by day, newest first, in byte order: of
/// those that are pinned elsewhere, and of those that `rows` tell.
pub(crate) fn older(
    days: &[Day],
    pins: &[Pin],
    rows: Vec<SeenRow>,
) -> Result<impl Iterator<Item = (Day, Vec<PublishedAdvertiser>)>, Failure> {
    let mut older: BTreeMap<Day, BTreeMap<AdvertiserId, PublishedAdvertiser>> = BTreeMap::new();
    for row in rows {
        let of = PublishedAdvertiser {
            advertiser_id: advertiser(&row.advertiser_id)?,
            run_id: crate::ledger::run_id(&row.run_id)?,
            published_at: crate::time::from_millisecond(row.published_at)?,
        };
        let day = crate::ledger::day(&row.day)?;
        older.entry(day).or_default().insert(of.advertiser_id.clone(), of);
    }
    for pin in pins.iter().filter(|pin| !days.contains(&pin.day)) {
        older.entry(pin.day).or_default().insert(pin.advertiser_id.clone(), pin.seen());
    }
    Ok(older.into_iter().rev().map(|(day, of)| (day, of.into_values().collect())))
}

pub(crate) fn advertiser(text: &str) -> Result<AdvertiserId, Failure> {
    AdvertiserId::new(text).map_err(|_| Failure::corrupt("an advertiser id", text))
}
