//! What readers saw of a day, event after event, and the way back.
//!
//! Events of a day enter; which run's publication stands after any of them leaves, and to which event a
//! rollback or its undo returns. A pure decision: nothing here asks a database.

use crate::columns::from_columns;
use std::collections::BTreeMap;

/// The kinds of events by which someone takes readers back, and undoes that; and by which someone publishes what was
/// held back.
pub(crate) const ROLLBACK: &str = "rollback";
pub(crate) const UNDO: &str = "undo";
pub(crate) const ACCEPT: &str = "accept";

/// An event that changed what readers see of a day, as it is read.
#[derive(Debug, Clone)]
pub(crate) struct EventRow {
    pub(crate) seq: i64,
    pub(crate) kind: String,
    pub(crate) run_id: String,
    /// The one advertiser it was about; none when it was about the day.
    pub(crate) advertiser_id: Option<String>,
    /// Readers see again what they saw after this event.
    pub(crate) to_seq: Option<i64>,
}

from_columns!(EventRow { seq, kind, run_id, advertiser_id, to_seq });

/// The events of a day, oldest first, as far as they are about whom we ask.
#[derive(Debug)]
pub(crate) struct Timeline(Vec<EventRow>);

/// The way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// The run that readers see before it is taken.
    pub(crate) from_run: Option<String>,
    /// What they saw after this event they shall see again; 0 for what they saw before any.
    pub(crate) to_seq: i64,
    /// The run that they see then; none when they see nothing of the day.
    pub(crate) to_run: Option<String>,
    /// Whether that is what they saw earlier, not what came later.
    pub(crate) is_back: bool,
}

impl Way {
    /// The run that is taken back by going this way.
    pub(crate) fn taken_back(&self) -> Option<&str> {
        let from = self.from_run.as_deref().filter(|_| self.is_back);
        from.filter(|from| self.to_run.as_deref() != Some(from))
    }
}

impl Timeline {
    /// The events that were about the whole day.
    pub(crate) fn of_day(events: &[EventRow]) -> Self {
        Self(events.iter().filter(|event| event.advertiser_id.is_none()).cloned().collect())
    }

    /// The events that changed what readers see of one advertiser: by number, whether they see something of it after
    /// each.
    pub(crate) fn of_advertiser(events: &[EventRow], touched_by: &BTreeMap<i64, bool>) -> Self {
        let touching = events.iter().filter_map(|event| {
            let is_seen = touched_by.get(&event.seq)?;
            // Nothing is what they saw before any event.
            let to_seq = if *is_seen { event.to_seq } else { Some(0) };
            Some(EventRow { to_seq, ..event.clone() })
        });
        Self(touching.collect())
    }

    /// Back to before the run that readers see now.
    pub(crate) fn before_last_run(&self) -> Option<Way> {
        let last = self.standing(i64::MAX)?;
        let mut first = last;
        while let Some(earlier) = self.standing(first.seq - 1).filter(|event| event.run_id == last.run_id) {
            first = earlier;
        }
        Some(self.way(first.seq - 1))
    }

    /// To what readers saw when they saw the run last; none when they never did.
    pub(crate) fn to_run(&self, run_id: &str, events: &[EventRow]) -> Option<Way> {
        let stands =
            |event: &&EventRow| self.standing(event.seq).is_some_and(|standing| standing.run_id == run_id);
        Some(self.way(events.iter().rfind(stands)?.seq))
    }

    /// To what readers saw after the event.
    pub(crate) fn way(&self, to_seq: i64) -> Way {
        let (from, to) = (self.standing(i64::MAX), self.standing(to_seq));
        let is_back = to.map(|event| event.seq) < from.map(|event| event.seq);
        let run = |event: Option<&EventRow>| event.map(|event| event.run_id.clone());
        Way { from_run: run(from), to_seq, to_run: run(to), is_back }
    }

    /// The publication that stood after the event `seq`: what came back counts as what it was.
    fn standing(&self, seq: i64) -> Option<&EventRow> {
        let last = self.0.iter().rfind(|event| event.seq <= seq)?;
        match last.to_seq {
            Some(to_seq) => self.standing(to_seq),
            None => Some(last),
        }
    }
}

/// The last rollback of the day that is in force, and whether it can be undone: nothing but rollbacks and undos
/// has come after it.
pub(crate) fn last_rollback(events: &[EventRow]) -> Option<(&EventRow, bool)> {
    let mut is_last = true;
    let mut until = i64::MAX;
    while let Some(last) = events.iter().rfind(|event| event.seq <= until) {
        match (last.kind.as_str(), last.to_seq) {
            (ROLLBACK, _) => return Some((last, is_last)),
            (UNDO, Some(to_seq)) => until = to_seq,
            _ => {
                is_last = false;
                until = last.seq - 1;
            }
        }
    }
    None
}

/// An event with its day, in text, as it is read.
pub(crate) type DatedEvent = (String, i64, String, String, Option<String>, Option<i64>);

/// The day of the newest rollback in force, of events that come by day, oldest first.
pub(crate) fn day_of_last_rollback(events: Vec<DatedEvent>) -> Option<String> {
    let mut days: BTreeMap<String, Vec<EventRow>> = BTreeMap::new();
    for (day, seq, kind, run_id, advertiser_id, to_seq) in events {
        days.entry(day).or_default().push(EventRow { seq, kind, run_id, advertiser_id, to_seq });
    }
    let last = days.into_iter().filter_map(|(day, events)| Some((last_rollback(&events)?.0.seq, day)));
    last.max().map(|(_, day)| day)
}

/// The rollback that can be undone.
pub(crate) fn undoable(events: &[EventRow]) -> Option<&EventRow> {
    last_rollback(events).and_then(|(rollback, is_last)| is_last.then_some(rollback))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as text: `publish R1`, `accept R2 a`, `rollback R1 >1`, `undo R2 >2`, numbered from 1.
    fn events(text: &str) -> Vec<EventRow> {
        let event = |(seq, line): (i64, &str)| {
            let mut words = line.split_whitespace();
            let (kind, run_id) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
            let rest: Vec<_> = words.collect();
            let to_seq = rest.iter().find_map(|word| word.strip_prefix('>')).map(|seq| seq.parse().unwrap());
            let advertiser_id = rest.iter().find(|word| !word.starts_with('>')).map(ToString::to_string);
            EventRow { seq, kind, run_id, advertiser_id, to_seq }
        };
        (1..).zip(text.split(',').map(str::trim)).map(event).collect()
    }

    fn check_back(text: &str, expected: &str) {
        let told = Timeline::of_day(&events(text)).before_last_run().map(|way| {
            format!("{} to {} {}", way.from_run.unwrap(), way.to_seq, way.to_run.unwrap_or("nothing".into()))
        });
        assert_eq!(told.as_deref().unwrap_or("nothing to take back"), expected, "{text}");
    }

    #[test]
    fn a_rollback_goes_before_the_run_that_is_seen() {
        check_back("publish R1", "R1 to 0 nothing");
        check_back("publish R1, publish R2", "R2 to 1 R1");
        check_back("publish R1, publish R2, accept R2", "R2 to 1 R1");
        check_back("publish R1, accept R1 a, publish R2, accept R2 a", "R2 to 2 R1");
        check_back("publish R1, publish R2, rollback R1 >1", "R1 to 0 nothing");
        check_back("publish R1, publish R2, rollback R1 >1, rollback R1 >0", "nothing to take back");
        check_back("publish R1, publish R2, rollback R1 >1, undo R2 >2", "R2 to 1 R1");
        check_back("publish R1, publish R2, rollback R1 >1, publish R3", "R3 to 3 R1");
        check_back("publish R1, publish R2, rollback R1 >1, publish R3, rollback R1 >3", "R1 to 0 nothing");
    }

    #[test]
    fn what_came_later_is_not_taken_back_by_going_forth() {
        let events = events("publish R1, publish R2, rollback R1 >1");
        let timeline = Timeline::of_day(&events);
        assert_eq!(timeline.way(2).taken_back(), None, "R2 came after R1, which is seen");
        assert_eq!(timeline.way(0).taken_back(), Some("R1"));
        assert_eq!(timeline.way(1).taken_back(), None);
    }

    #[test]
    fn the_way_to_a_run_leads_to_what_was_seen_with_it_last() {
        let check = |text: &str, run: &str, expected: Option<i64>| {
            let events = events(text);
            let way = Timeline::of_day(&events).to_run(run, &events);
            assert_eq!(way.map(|way| way.to_seq), expected, "{text}: {run}");
        };
        let text = "publish R1, publish R2, rollback R2 >1 a, rollback R1 >1, accept R2 a";
        check(text, "R2", Some(3));
        check(text, "R1", Some(5));
        check(text, "R3", None);
        check("publish R1, accept R2 a", "R2", None);
    }

    #[test]
    fn who_was_not_in_a_run_was_not_seen_then() {
        let events = events("publish R1, publish R2, publish R3");
        let touched_by = [(1, true), (2, false), (3, true)].into();
        let way = Timeline::of_advertiser(&events, &touched_by).before_last_run().unwrap();
        assert_eq!((way.from_run.as_deref(), way.to_run, way.to_seq), (Some("R3"), None, 2));
    }

    #[test]
    fn a_rollback_is_in_force_until_it_is_undone() {
        let check = |text: &str, expected: Option<(i64, bool)>| {
            let events = self::events(text);
            assert_eq!(
                last_rollback(&events).map(|(event, is_last)| (event.seq, is_last)),
                expected,
                "{text}"
            );
        };
        check("publish R1, rollback R1 >0, publish R2", Some((2, false)));
        check("publish R1, rollback R1 >0, undo R1 >1", None);
        check(
            "publish R1, publish R2, rollback R1 >1, publish R3, rollback R1 >3, undo R3 >4",
            Some((3, false)),
        );
    }

    fn check_undo(text: &str, expected: Option<i64>) {
        assert_eq!(undoable(&events(text)).map(|event| event.seq), expected, "{text}");
    }

    #[test]
    fn an_undo_takes_back_rollbacks_one_by_one_until_something_else_came() {
        check_undo("publish R1", None);
        check_undo("publish R1, rollback R1 >0", Some(2));
        check_undo("publish R1, publish R2, rollback R1 >1, rollback R1 >0", Some(4));
        check_undo("publish R1, publish R2, rollback R1 >1, rollback R1 >0, undo R1 >3", Some(3));
        check_undo("publish R1, publish R2, rollback R1 >1, rollback R1 >0, undo R1 >3, undo R2 >2", None);
        check_undo("publish R1, publish R2, rollback R1 >1, publish R3", None);
        check_undo("publish R1, rollback R1 >0, undo R1 >1, rollback R1 >0", Some(4));
        check_undo("publish R1, rollback R1 >0 a, rollback R1 >0 b, undo R1 >2", Some(2));
    }
}
