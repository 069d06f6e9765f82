//! When nights begin, and which day is promised to readers by when.

use crate::{
    config,
    failure::{Exit, Failure},
};
use croner::Cron;
use domain::Day;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use std::str::FromStr;

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

    /// When the next night after `now` begins.
    #[must_use]
    pub fn next_run_at(&self, now: Timestamp) -> Timestamp {
        let zoned = now.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&zoned, false);
        next.map_or(Timestamp::MAX, |next| next.timestamp())
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
        api::Promise { newest_day, next_run_at }
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
            stale_after_minutes: 120,
        })
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
