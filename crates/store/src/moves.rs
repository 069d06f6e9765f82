//! Taking readers back, and keeping an advertiser where it is.
//!
//! What was asked enters with the events of the day; where it leads, and what is held back by it, leaves.
//! Nothing here asks a database.

use crate::{
    columns::from_columns,
    error::{Failure, StoreError},
    holds::Hold,
    ledger,
    timeline::{ACCEPT, EventRow, ROLLBACK, Timeline, UNDO, Way, undoable},
};
use domain::{AdvertiserId, Day, RunId};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// The name of the check that holds back what was taken back by hand.
pub const TAKEN_BACK: &str = "rollback";

/// The check that holds back what a pin keeps from being seen.
pub(crate) const PIN: &str = "pin";

/// Where readers shall be taken back to.
#[derive(Debug, Clone, Copy)]
pub enum Back<'a> {
    /// To what they saw of the day before the run they see now.
    Before(Day),
    /// To what they saw when they saw this run last, of its day.
    To(&'a RunId),
}

/// Someone's decision about what readers see.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// The one advertiser that it is about; none for all of the day.
    pub advertiser: Option<&'a AdvertiserId>,
    /// Why.
    pub reason: &'a str,
    /// When. Kept to the millisecond.
    pub at: Timestamp,
}

/// What readers were taken back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedBack {
    /// The day.
    pub day: Day,
    /// The one advertiser that moved; none when it was the day.
    pub advertiser_id: Option<AdvertiserId>,
    /// The run that they saw; none when they saw nothing.
    pub from_run: Option<RunId>,
    /// The run that they see; none when they see nothing of the day, and what came before it is the newest.
    pub to_run: Option<RunId>,
    /// Of how many advertisers they see something else now.
    pub advertisers: u64,
    /// Whether the last thing that had happened to the day was a rollback already: this one led further back.
    pub is_further: bool,
}

/// Something that changed what readers see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Grows from move to move.
    pub seq: i64,
    /// `publish`, `accept`, `rollback`, `undo`, `pin`, `unpin` or `trim`.
    pub kind: String,
    /// The day.
    pub day: Day,
    /// The run that readers see of the day after it, or saw last when they see nothing; of a pin, the run it is to.
    pub run_id: RunId,
    /// When.
    pub at: Timestamp,
    /// The one advertiser that it was about.
    pub advertiser_id: Option<AdvertiserId>,
    /// Why, when someone decided it.
    pub reason: Option<String>,
    /// Of how many advertisers readers came to see which run; none of pins.
    pub came: BTreeMap<RunId, u64>,
    /// Of how many they saw which run until then; none of pins.
    pub went: BTreeMap<RunId, u64>,
}

impl Move {
    /// Whether it is about a pin, which moves nothing of a day.
    #[must_use]
    pub fn is_of_pin(&self) -> bool {
        matches!(self.kind.as_str(), "pin" | "unpin")
    }
}

/// A move as it is read.
#[derive(Debug)]
pub(crate) struct MoveRow {
    pub(crate) seq: i64,
    pub(crate) kind: String,
    pub(crate) day: String,
    pub(crate) run_id: String,
    pub(crate) published_at: String,
    pub(crate) advertiser_id: Option<String>,
    pub(crate) reason: Option<String>,
    /// A run, whether it came or went, and of how many advertisers.
    pub(crate) runs: Vec<(String, i64, i64)>,
}

impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for MoveRow
where
    &'static str: sqlx::ColumnIndex<R>,
    String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            seq: row.try_get("seq")?,
            kind: row.try_get("kind")?,
            day: row.try_get("day")?,
            run_id: row.try_get("run_id")?,
            published_at: row.try_get("published_at")?,
            advertiser_id: row.try_get("advertiser_id")?,
            reason: row.try_get("reason")?,
            runs: Vec::new(),
        })
    }
}

impl TryFrom<MoveRow> for Move {
    type Error = Failure;

    fn try_from(row: MoveRow) -> Result<Self, Failure> {
        let (mut came, mut went) = (BTreeMap::new(), BTreeMap::new());
        for (run, is_came, advertisers) in row.runs {
            let runs = if is_came == 1 { &mut came } else { &mut went };
            *runs.entry(ledger::run_id(&run)?).or_default() += u64::try_from(advertisers).unwrap_or_default();
        }
        Ok(Self {
            seq: row.seq,
            kind: row.kind,
            day: ledger::day(&row.day)?,
            run_id: ledger::run_id(&row.run_id)?,
            at: crate::time::from_text(&row.published_at)?,
            advertiser_id: row.advertiser_id.as_deref().map(crate::published::advertiser).transpose()?,
            reason: row.reason.filter(|reason| !reason.is_empty()),
            came,
            went,
        })
    }
}

/// What the database knows of the day that shall move.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) day: Day,
    /// The day's events, oldest first, without pins.
    pub(crate) events: Vec<EventRow>,
    /// The events that touched the one advertiser that is asked about, and whether readers see something of it after
    /// each.
    pub(crate) touched_by: BTreeMap<i64, bool>,
    /// The holds of the day.
    pub(crate) holds: Vec<HoldSeen>,
}

/// A hold of the day, as it is read.
#[derive(Debug)]
pub(crate) struct HoldSeen {
    pub(crate) advertiser_id: String,
    pub(crate) run_id: String,
    pub(crate) check_name: String,
    pub(crate) seq: i64,
}

from_columns!(HoldSeen { advertiser_id, run_id, check_name, seq });

/// A move that is decided.
#[derive(Debug)]
pub(crate) struct Return {
    pub(crate) kind: &'static str,
    pub(crate) day: Day,
    /// Empty for all of the day.
    pub(crate) advertiser: String,
    pub(crate) way: Way,
    /// What the event says readers see of the day after it.
    pub(crate) event_run: String,
    /// Whether readers see the day because of what came back, whoever is in it.
    pub(crate) is_seen: bool,
    pub(crate) hold: Option<(String, Hold)>,
    /// Whether a later run waits to be accepted, whose hold stays in the place of that.
    pub(crate) keeps_waiting: bool,
    is_further: bool,
}

impl Known {
    /// Decides a rollback; `run` is whose rankings `back` asks for.
    pub(crate) fn roll_back(
        &self,
        back: Back<'_>,
        run: &str,
        decision: Decision<'_>,
    ) -> Result<Return, Failure> {
        let timeline = self.timeline(decision.advertiser);
        let way = match back {
            Back::Before(_) => timeline.before_last_run().ok_or_else(|| StoreError::NothingSeen {
                day: self.day,
                advertiser: decision.advertiser.cloned(),
            })?,
            Back::To(run_id) => {
                let never_seen = || StoreError::NeverSeen {
                    run_id: run_id.clone(),
                    advertiser: decision.advertiser.cloned(),
                };
                timeline.to_run(run, &self.events).ok_or_else(never_seen)?
            }
        };
        let hold = way.taken_back().map(|from| {
            let because = if decision.reason.is_empty() { "" } else { ": " };
            let message = format!(
                "taken back by hand at {}{because}{}",
                decision.at.strftime("%Y-%m-%d %H:%MZ"),
                decision.reason
            );
            (from.to_owned(), Hold { check: TAKEN_BACK.to_owned(), message })
        });
        Ok(self.decided(ROLLBACK, decision.advertiser.map_or("", AdvertiserId::as_str), way, hold))
    }

    /// Decides to accept a run that was taken back, as readers saw it; none when it is held for another reason.
    pub(crate) fn accept_taken_back(&self, run_id: &RunId, decision: Decision<'_>) -> Option<Return> {
        let whom = decision.advertiser.map_or("", AdvertiserId::as_str);
        let of_run = |whom: &str| {
            self.holds.iter().find(|hold| hold.advertiser_id == whom && hold.run_id == run_id.as_str())
        };
        of_run(whom).or_else(|| of_run("")).filter(|hold| hold.check_name == TAKEN_BACK)?;
        let decided = self.roll_back(Back::To(run_id), run_id.as_str(), decision).ok()?;
        Some(Return { kind: ACCEPT, ..decided })
    }

    /// Decides the undo of the day's last rollback, unless something has come after it.
    pub(crate) fn undo(&self) -> Option<Return> {
        let undone = undoable(&self.events)?;
        let last_hold = self.holds.iter().map(|hold| hold.seq).max();
        if self.events.last().map(|last| last.seq) < last_hold {
            return None;
        }
        let advertiser = undone.advertiser_id.clone().unwrap_or_default();
        let way = self.timeline_of(&advertiser).way(undone.seq - 1);
        Some(self.decided(UNDO, &advertiser, way, None))
    }

    /// The one advertiser that the undo would be about.
    pub(crate) fn undo_advertiser(&self) -> Option<&str> {
        undoable(&self.events)?.advertiser_id.as_deref()
    }

    fn timeline(&self, advertiser: Option<&AdvertiserId>) -> Timeline {
        self.timeline_of(advertiser.map_or("", AdvertiserId::as_str))
    }

    fn timeline_of(&self, advertiser: &str) -> Timeline {
        if advertiser.is_empty() {
            Timeline::of_day(&self.events)
        } else {
            Timeline::of_advertiser(&self.events, &self.touched_by)
        }
    }

    fn decided(
        &self,
        kind: &'static str,
        advertiser: &str,
        way: Way,
        hold: Option<(String, Hold)>,
    ) -> Return {
        // What one advertiser's move leaves of the day is what was seen of it before.
        let of_day = Timeline::of_day(&self.events);
        let day_run = if advertiser.is_empty() { way.to_run.clone() } else { of_day.way(0).from_run };
        let waits = |(run, _): &(String, Hold)| {
            let of_whom = self.holds.iter().filter(|hold| hold.advertiser_id == advertiser);
            of_whom.into_iter().any(|hold| hold.run_id != *run && hold.check_name != TAKEN_BACK)
        };
        let is_again = |last: &EventRow| {
            last.kind == ROLLBACK && last.advertiser_id.as_deref().unwrap_or_default() == advertiser
        };
        let any_run = || self.events.last().map(|event| event.run_id.clone()).unwrap_or_default();
        Return {
            kind,
            day: self.day,
            advertiser: advertiser.to_owned(),
            is_seen: day_run.is_some(),
            event_run: day_run.or_else(|| way.from_run.clone()).unwrap_or_else(any_run),
            is_further: kind == ROLLBACK && way.is_back && self.events.last().is_some_and(is_again),
            way,
            keeps_waiting: hold.as_ref().is_some_and(waits),
            hold,
        }
    }
}

impl Return {
    /// Tells what was done, when it moved so many advertisers and readers see so many of those it was about.
    pub(crate) fn done(&self, advertisers: i64, seen: i64) -> Result<MovedBack, Failure> {
        let (day, advertiser_id) = (self.day, self.advertiser_id()?);
        let to_run = self.way.to_run.as_deref().map(ledger::run_id).transpose()?;
        if let Some(run_id) = to_run.clone().filter(|_| seen == 0) {
            return Err(StoreError::NotKept { run_id }.into());
        }
        // Whoever accepts what readers see already says at least that nothing is held of it.
        if advertisers == 0 && self.kind != ACCEPT {
            return Err(StoreError::SeenAlready { day, run_id: to_run }.into());
        }
        let from_run = self.way.from_run.as_deref().map(ledger::run_id).transpose()?;
        let advertisers = u64::try_from(advertisers).unwrap_or_default();
        let is_further = self.is_further;
        Ok(MovedBack { day, advertiser_id, from_run, to_run, advertisers, is_further })
    }

    fn advertiser_id(&self) -> Result<Option<AdvertiserId>, Failure> {
        match self.advertiser.as_str() {
            "" => Ok(None),
            id => crate::published::advertiser(id).map(Some),
        }
    }
}
