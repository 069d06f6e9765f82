//! When nights begin, and which day is promised to readers by when.

use crate::{
    config,
    failure::{Exit, Failure},
};
use croner::{Cron, errors::CronError};
use domain::Day;
use jiff::{
    SignedDuration, Timestamp, Zoned,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, Offset, TimeZone},
};
use std::{str::FromStr, time::SystemTime};

/// A night of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueNight {
    /// The day that it is about.
    pub day: Day,
    /// When it was to begin.
    pub due_at: Timestamp,
}

/// A cron line in a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
    stale_after: SignedDuration,
}

impl Schedule {
    /// The schedule of the configuration.
    ///
    /// # Errors
    /// When the cron line or the time zone cannot be understood, or the line never comes true.
    pub fn new(schedule: &config::Schedule) -> Result<Self, Failure> {
        let zone = zone(&schedule.timezone)?;
        let help = "a cron line has five fields: minute hour day-of-month month day-of-week, e.g. \"30 2 * * *\" for 02:30 each night";
        let bad = |why: String| {
            Failure::new(
                Exit::Usage,
                format!("schedule.cron is {:?}, which is no cron line: {why}", schedule.cron),
            )
            .help(help)
        };
        // A sixth field would be seconds, and "30 2 * * * *" a run every hour.
        let fields = schedule.cron.split_whitespace().count();
        if !schedule.cron.starts_with('@') && fields != 5 {
            return Err(bad(format!("it has {fields} fields")));
        }
        let cron = Cron::from_str(&schedule.cron).map_err(|error| bad(error.to_string()))?;
        let now = Timestamp::UNIX_EPOCH.to_zoned(zone.clone());
        cron.find_next_occurrence(&now, false).map_err(|_| bad("it never comes true".to_owned()))?;
        let stale_after = SignedDuration::from_mins(i64::from(schedule.stale_after_minutes));
        Ok(Self { cron, zone, stale_after })
    }

    /// The time zone whose days are the data's days.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The day that a run which begins at `now` is about: the one just ended.
    #[must_use]
    pub fn ended_day(&self, now: Timestamp) -> Day {
        Day::from_date(now.to_zoned(self.zone.clone()).date()).yesterday()
    }

    /// When the day ended.
    #[must_use]
    pub fn end_of(&self, day: Day) -> Timestamp {
        let midnight = day.tomorrow().date().to_zoned(self.zone.clone());
        midnight.map_or(Timestamp::MAX, |midnight| midnight.timestamp())
    }

    /// Whether something was written when the day had ended.
    pub(crate) fn is_after(&self, day: Day, written: SystemTime) -> bool {
        Timestamp::try_from(written).is_ok_and(|written| written >= self.end_of(day))
    }

    /// When the next night after `now` begins.
    #[must_use]
    pub fn next_run_at(&self, now: Timestamp) -> Timestamp {
        let mut shown = now.to_zoned(self.zone.clone()).datetime();
        while let Some(next) = self.cron_line(shown, |cron, shown| cron.find_next_occurrence(shown, false)) {
            let at = self.moment(next);
            if at > now {
                return at;
            }
            shown = next;
        }
        Timestamp::MAX
    }

    /// The nights that were due at `now` of the last `days` ended days, newest first, of each day the last; and the newest
    /// of all in any case.
    #[must_use]
    pub fn nights(&self, now: Timestamp, days: u32) -> Vec<DueNight> {
        let oldest = (1..days.max(1)).fold(self.ended_day(now), |day, _| day.yesterday());
        let mut nights = Vec::new();
        let mut before = self.last_run_at(now, true);
        while let Some(due_at) = before {
            let day = self.ended_day(due_at);
            if day < oldest && !nights.is_empty() {
                break;
            }
            nights.push(DueNight { day, due_at });
            // Of the same day there may be many more.
            let midnight = due_at.to_zoned(self.zone.clone()).start_of_day();
            before = midnight.ok().and_then(|midnight| self.last_run_at(midnight.timestamp(), false));
        }
        nights
    }

    /// When the last night before `now` began, or at `now` if that counts.
    fn last_run_at(&self, now: Timestamp, is_now_too: bool) -> Option<Timestamp> {
        let zoned = now.to_zoned(self.zone.clone());
        // Where clocks show an hour once more, all of it has been.
        let mut shown = match self.zone.to_ambiguous_timestamp(zoned.datetime()).offset() {
            AmbiguousOffset::Fold { before, .. } => before.to_datetime(now),
            _ => zoned.datetime(),
        };
        let mut is_shown_too = true;
        loop {
            let last =
                self.cron_line(shown, |cron, shown| cron.find_previous_occurrence(shown, is_shown_too))?;
            let at = self.moment(last);
            if at < now || (is_now_too && at == now) {
                return Some(at);
            }
            (shown, is_shown_too) = (last, false);
        }
    }

    /// Asks the cron line as if clocks were never changed.
    fn cron_line(
        &self,
        shown: DateTime,
        ask: impl FnOnce(&Cron, &Zoned) -> Result<Zoned, CronError>,
    ) -> Option<DateTime> {
        let unchanged = shown.to_zoned(TimeZone::UTC).ok()?;
        ask(&self.cron, &unchanged).ok().map(|found| found.datetime())
    }

    /// When clocks show that: the first time, if they do twice; when they were put forward over it, if they never do.
    fn moment(&self, shown: DateTime) -> Timestamp {
        let moment = |offset: Offset| offset.to_timestamp(shown).unwrap_or(Timestamp::MAX);
        match self.zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => moment(offset),
            AmbiguousOffset::Fold { before, .. } => moment(before),
            AmbiguousOffset::Gap { before, .. } => {
                let behind = moment(before);
                let change = self.zone.preceding(behind + SignedDuration::from_nanos(1)).next();
                change.map_or(behind, |change| change.timestamp())
            }
        }
    }

    /// What readers are promised at `now`: the day of the last night that began long enough ago.
    #[must_use]
    pub fn promise(&self, now: Timestamp) -> api::Promise {
        let due = now.checked_sub(self.stale_after).unwrap_or(now);
        let newest_day =
            self.last_run_at(due, true).map_or(Day::from_date(Date::MIN), |last| self.ended_day(last));
        // A night that has begun may publish at any moment: caches must not wait for the one after it.
        let next_run_at = self.next_run_at(due).max(now);
        api::Promise { newest_day, next_run_at, next_night_at: self.next_run_at(now) }
    }
}

/// The time zone of an IANA name.
fn zone(name: &str) -> Result<TimeZone, Failure> {
    TimeZone::get(name).map_err(|_| {
        Failure::new(Exit::Usage, format!("schedule.timezone is {name:?}, which is no known time zone"))
            .help("use an IANA name such as UTC, Europe/Madrid or America/Argentina/Buenos_Aires")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, timezone: &str) -> Result<Schedule, Failure> {
        Schedule::new(&config::Schedule {
            cron: cron.into(),
            timezone: timezone.into(),
            ..config::Schedule::default()
        })
    }

    /// Each night from one moment to another, as it begins and the day it is about.
    fn nights_between(cron: &str, timezone: &str, from: &str, to: &str) -> Vec<String> {
        let schedule = schedule(cron, timezone).unwrap();
        let (mut now, to): (Timestamp, Timestamp) = (from.parse().unwrap(), to.parse().unwrap());
        let mut nights = Vec::new();
        loop {
            now = schedule.next_run_at(now);
            if now >= to {
                return nights;
            }
            nights.push(format!("{} {}", now, schedule.ended_day(now)));
            // Looking back from any moment up to the next gives the same.
            let mut later = now;
            while later < schedule.next_run_at(now).min(now + SignedDuration::from_hours(3)) {
                assert_eq!(schedule.last_run_at(later, true), Some(now), "from {later}");
                later += SignedDuration::from_mins(7);
            }
        }
    }

    #[test]
    fn where_clocks_are_put_forward_the_night_begins_once() {
        // 02:00 to 03:00 is not there on 2025-03-09.
        assert_eq!(
            nights_between("30 2 * * *", "America/New_York", "2025-03-08T12:00:00Z", "2025-03-11T00:00:00Z"),
            ["2025-03-09T07:00:00Z 2025-03-08", "2025-03-10T06:30:00Z 2025-03-09"]
        );
        // 00:00 to 01:00 is not there on 2025-04-25.
        assert_eq!(
            nights_between("15 0 * * *", "Africa/Cairo", "2025-04-24T12:00:00Z", "2025-04-27T00:00:00Z"),
            [
                "2025-04-24T22:00:00Z 2025-04-24",
                "2025-04-25T21:15:00Z 2025-04-25",
                "2025-04-26T21:15:00Z 2025-04-26"
            ]
        );
    }

    #[test]
    fn what_comes_twice_or_never_comes_once() {
        let day = |cron: &str, from: &str, to: &str| {
            let nights = nights_between(cron, "America/New_York", from, to);
            nights.into_iter().map(|night| night[11..16].to_owned()).collect::<Vec<_>>().join(" ")
        };
        // All of the hour that is left out comes as one moment.
        assert_eq!(day("0,30 2 * * *", "2025-03-09T05:00:00Z", "2025-03-09T12:00:00Z"), "07:00");
        assert_eq!(
            day("*/30 1-3 * * *", "2025-03-09T05:00:00Z", "2025-03-09T12:00:00Z"),
            "06:00 06:30 07:00 07:30"
        );
        // The hour that comes twice counts when it comes first.
        assert_eq!(day("0,30 1 * * *", "2025-11-02T04:00:00Z", "2025-11-02T12:00:00Z"), "05:00 05:30");
        assert_eq!(
            day("*/30 0-2 * * *", "2025-11-02T04:00:00Z", "2025-11-02T12:00:00Z"),
            "04:30 05:00 05:30 07:00 07:30"
        );
    }

    #[test]
    fn where_clocks_are_put_back_the_night_begins_once() {
        // 01:00 to 02:00 comes twice on 2025-11-02.
        assert_eq!(
            nights_between("30 1 * * *", "America/New_York", "2025-11-01T12:00:00Z", "2025-11-04T00:00:00Z"),
            ["2025-11-02T05:30:00Z 2025-11-01", "2025-11-03T06:30:00Z 2025-11-02"]
        );
        // 23:00 to 24:00 comes twice on 2025-10-30.
        assert_eq!(
            nights_between("30 23 * * *", "Africa/Cairo", "2025-10-30T12:00:00Z", "2025-11-01T00:00:00Z"),
            ["2025-10-30T20:30:00Z 2025-10-29", "2025-10-31T21:30:00Z 2025-10-30"]
        );
    }

    #[test]
    fn nights_that_were_due_come_newest_first_the_last_of_each_day() {
        let nights = |cron: &str, now: &str, days: u32| {
            let nights = schedule(cron, "UTC").unwrap().nights(now.parse().unwrap(), days);
            nights.iter().map(|night| format!("{} {}", night.day, night.due_at)).collect::<Vec<_>>()
        };
        assert_eq!(
            nights("30 2 * * *", "2024-11-21T02:30:00Z", 2),
            ["2024-11-20 2024-11-21T02:30:00Z", "2024-11-19 2024-11-20T02:30:00Z"]
        );
        // The night of the 20th is still to come.
        assert_eq!(nights("30 2 * * *", "2024-11-21T02:29:59Z", 2), ["2024-11-19 2024-11-20T02:30:00Z"]);
        assert_eq!(
            nights("*/10 2-4 * * *", "2024-11-21T03:15:00Z", 2),
            ["2024-11-20 2024-11-21T03:10:00Z", "2024-11-19 2024-11-20T04:50:00Z"]
        );
        assert_eq!(nights("30 2 * * 1", "2024-11-21T12:00:00Z", 7), ["2024-11-17 2024-11-18T02:30:00Z"]);
        assert_eq!(nights("30 2 * * 1", "2024-11-21T12:00:00Z", 3), ["2024-11-17 2024-11-18T02:30:00Z"]);
        // It is due beyond midnight too.
        assert_eq!(nights("55 23 * * *", "2024-11-21T00:10:00Z", 1), ["2024-11-19 2024-11-20T23:55:00Z"]);
    }

    #[test]
    fn the_ended_day_is_yesterday_in_the_zone() {
        let schedule = schedule("30 2 * * *", "America/Sao_Paulo").unwrap();
        let at = |text: &str| schedule.ended_day(text.parse().unwrap()).to_string();
        assert_eq!(at("2024-11-21T02:59:59Z"), "2024-11-19");
        assert_eq!(at("2024-11-21T03:00:00Z"), "2024-11-20");
    }

    #[test]
    fn a_day_is_promised_two_hours_after_its_night_began() {
        let schedule = schedule("30 2 * * *", "UTC").unwrap();
        let promised = |text: &str| {
            let promise = schedule.promise(text.parse().unwrap());
            format!("{} next {}", promise.newest_day, promise.next_run_at)
        };
        assert_eq!(promised("2024-11-21T04:29:59Z"), "2024-11-19 next 2024-11-21T04:29:59Z");
        assert_eq!(promised("2024-11-21T04:30:00Z"), "2024-11-20 next 2024-11-22T02:30:00Z");
        assert_eq!(promised("2024-11-21T02:30:00Z"), "2024-11-19 next 2024-11-21T02:30:00Z");
        assert_eq!(promised("2024-11-21T02:29:59Z"), "2024-11-19 next 2024-11-21T02:30:00Z");
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let message = |cron, timezone| schedule(cron, timezone).unwrap_err().to_string();
        assert!(message("nightly", "UTC").starts_with("schedule.cron is \"nightly\""));
        assert!(message("30 2 * * * *", "UTC").ends_with("which is no cron line: it has 6 fields"));
        assert!(message("0 0 30 2 *", "UTC").starts_with("schedule.cron is \"0 0 30 2 *\""));
        assert_eq!(
            message("30 2 * * *", "Mars"),
            "schedule.timezone is \"Mars\", which is no known time zone"
        );
    }
}
