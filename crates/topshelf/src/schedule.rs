//! When nights begin, and which day is promised to readers by when.

use crate::{
    config,
    failure::{Exit, Failure},
};
use croner::Cron;
use domain::Day;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
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
        let zoned = now.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&zoned, false);
        next.map_or(Timestamp::MAX, |next| next.timestamp())
    }

    /// The nights that were due at `now` of the last `days` ended days, newest first, of each day the last.
    #[must_use]
    pub fn nights(&self, now: Timestamp, days: u32) -> Vec<DueNight> {
        let oldest = (1..days.max(1)).fold(self.ended_day(now), |day, _| day.yesterday());
        let mut nights = Vec::new();
        let mut before = self.last_run_at(now, true);
        while let Some(due_at) = before {
            let day = self.ended_day(due_at);
            if day < oldest {
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
        self.cron.find_previous_occurrence(&zoned, is_now_too).ok().map(|last| last.timestamp())
    }

    /// What readers are promised at `now`: the day of the last night that began long enough ago.
    #[must_use]
    pub fn promise(&self, now: Timestamp) -> api::Promise {
        let due = now.checked_sub(self.stale_after).unwrap_or(now).to_zoned(self.zone.clone());
        let last = self.cron.find_previous_occurrence(&due, true);
        let newest_day = last
            .map_or(Day::from_date(jiff::civil::Date::MIN), |last| Day::from_date(last.date()).yesterday());
        // A night that has begun may publish at any moment: caches must not wait for the one after it.
        let next_run_at = self.next_run_at(due.timestamp()).max(now);
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
            // Looking back from any later moment gives the same.
            let last = schedule.nights(now + jiff::SignedDuration::from_secs(1), 1);
            assert_eq!(last, [DueNight { day: schedule.ended_day(now), due_at: now }]);
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
        assert_eq!(nights("30 2 * * 1", "2024-11-21T12:00:00Z", 3), Vec::<String>::new());
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
