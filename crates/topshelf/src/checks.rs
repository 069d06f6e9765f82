//! Checks before publishing: a night's figures beside those of the days that were published before.
//!
//! Figures enter, findings leave: which check found what, about whom, and whether it holds publication back.
//! A finding about one advertiser concerns nobody else. Nothing here reads, waits, publishes or looks at a
//! clock; what a finding leads to is decided by who asked.
#![expect(
    clippy::cast_precision_loss,
    reason = "what is typical and what is far from it need no exact numbers"
)]

mod figures;
mod settings;
mod typical;
mod verdicts;

pub use figures::{AdvertiserFigures, DayFigures, History, PublishedDay};
pub use settings::{Checks, Severity};
pub use verdicts::{CheckVerdict, verdicts};

use domain::{AdvertiserId, Counts, Log, ModelName};
use figures::Metric;
use jiff::SignedDuration;
use serde::Serialize;
use std::collections::BTreeSet;
use typical::{Usual, median};

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check, by its name in the configuration.
    pub check: &'static str,
    /// Whether it holds publication back.
    pub severity: Severity,
    /// Whom it is about; none when it is about all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertiser_id: Option<AdvertiserId>,
    /// What was found beside what was expected, for someone who sees it for the first time.
    pub message: String,
}

/// Looks at the figures of a day in every way that is configured. Findings about all come first, then those
/// about advertisers, in byte order.
#[must_use]
pub fn check(checks: &Checks, day: &DayFigures, history: &History) -> Vec<Finding> {
    let mut found = Found { day, history, checks, findings: Vec::new() };
    found.advertisers();
    let of_advertisers = std::mem::take(&mut found.findings);
    let odd = odd(&of_advertisers, day);
    let left_out = left_out(odd, day, history);
    found.active_list();
    found.ends_early();
    found.volumes(&left_out);
    found.ctr(&left_out);
    found.rejected();
    found.change();
    found.findings.extend(of_advertisers);
    found.findings
}

/// The most advertisers, one in so many, that are held by themselves and left out where all are looked at.
const ODD_SHARE: usize = 10;

/// Those who are held by themselves, when they are few: they say nothing about the others.
fn odd<'a>(findings: &'a [Finding], day: &DayFigures) -> BTreeSet<&'a AdvertiserId> {
    let held = findings.iter().filter(|finding| finding.severity == Severity::Hold);
    let held: BTreeSet<_> = held.filter_map(|finding| finding.advertiser_id.as_ref()).collect();
    let advertisers = day.advertisers.len();
    let are_few = held.len() * ODD_SHARE <= advertisers || (held.len() == 1 && advertisers > 1);
    if are_few { held } else { BTreeSet::new() }
}

/// Those that say nothing about the others where all are looked at: the odd ones, and who is not seen on each of
/// the days to compare with, because it is new or was held; unless that leaves hardly anybody.
fn left_out<'a>(
    mut odd: BTreeSet<&'a AdvertiserId>,
    day: &'a DayFigures,
    history: &History,
) -> BTreeSet<&'a AdvertiserId> {
    let is_regular = |advertiser| history.days.iter().all(|day| day.advertisers.contains_key(advertiser));
    let irregular: Vec<_> = day.advertisers.keys().filter(|advertiser| !is_regular(*advertiser)).collect();
    if (odd.len() + irregular.len()) * 2 <= day.advertisers.len() {
        odd.extend(irregular);
    }
    odd
}

/// A check at work.
struct Found<'a> {
    day: &'a DayFigures,
    history: &'a History,
    checks: &'a Checks,
    findings: Vec<Finding>,
}

impl Found<'_> {
    fn add(
        &mut self,
        check: &'static str,
        severity: Severity,
        advertiser: Option<&AdvertiserId>,
        message: String,
    ) {
        if severity != Severity::Off {
            let advertiser_id = advertiser.cloned();
            self.findings.push(Finding { check, severity, advertiser_id, message });
        }
    }

    /// The days to compare with, if there are enough to say what is typical.
    fn typical_days(&self) -> &[PublishedDay] {
        let days = &self.history.days;
        if days.len() >= self.checks.min_days { days } else { &[] }
    }

    /// What the days to compare with are, in words.
    fn baseline(&self) -> String {
        let days = self.history.days.len();
        let of = if self.history.is_same_weekday {
            "published days of the same weekday"
        } else {
            "published days"
        };
        format!("the last {days} {of}")
    }

    fn active_list(&mut self) {
        let typical = median(self.typical_days().iter().map(|day| day.active as u64));
        let (Some(typical), settings) = (typical, &self.checks.active) else { return };
        let active = self.day.advertisers.len();
        if (active as f64) < (1.0 - settings.max_drop) * typical {
            let message = format!(
                "{active} advertisers are listed as active, {typical} are typical (the median of {}): a list that was cut short would take the rankings of the others away",
                self.baseline()
            );
            self.add("active", settings.severity, None, message);
        }
    }

    /// Whether a log ends earlier than on any of the days to compare with. By itself an early end says nothing:
    /// shops close, and budgets are used up.
    fn ends_early(&mut self) {
        let settings = &self.checks.ends_early;
        let max_gap = SignedDuration::from_mins(settings.max_gap_minutes.into());
        for (log, last) in &self.day.last_times {
            let before: Vec<_> =
                self.typical_days().iter().filter_map(|day| day.last_times.get(log)).collect();
            let Some(earliest) = before.iter().min().filter(|_| before.len() >= self.checks.min_days) else {
                continue;
            };
            if earliest.duration_since(*last) > max_gap && self.has_many_events(*log, settings.min) {
                let message = format!(
                    "{log} ends at {last}, usually not before {earliest} ({}): part of the log may be missing",
                    self.baseline()
                );
                self.add("ends_early", settings.severity, None, message);
            }
        }
    }

    /// Whether so many events come from the log, now or usually: where there are few, hours pass without any.
    fn has_many_events(&self, log: Log, min: u64) -> bool {
        let all = BTreeSet::new();
        let events = |counts| Metric::of_log(log).iter().map(|metric| metric.of(counts)).sum::<u64>();
        let usual = median(self.typical_days().iter().map(|day| events(day.total(&all))));
        events(self.day.total(&all)) >= min || usual.is_some_and(|usual| usual >= min as f64)
    }

    fn volumes(&mut self, without: &BTreeSet<&AdvertiserId>) {
        let total = self.day.total(without);
        for metric in Metric::ALL {
            let before = self.typical_days().iter().map(|day| metric.of(day.total(without)) as f64).collect();
            let settings = &self.checks.volume;
            let deviation = Usual::of(before).and_then(|usual| usual.deviation(settings, metric.of(total)));
            if let Some(deviation) = deviation {
                let message = format!(
                    "{} of all advertisers: {deviation} (the median of {}){}",
                    metric.name(),
                    self.baseline(),
                    self.strangers()
                );
                self.add("volume", self.checks.volume.severity, None, message);
            }
        }
    }

    /// That most lines of a log are of nobody who is listed.
    fn strangers(&self) -> String {
        let logs = self.day.logs.iter().filter(|(_, tally)| tally.inactive > tally.kept);
        let told = logs.map(|(log, tally)| {
            format!(
                "; {} of {} lines of {log} name an advertiser that is not listed as active: its columns may be swapped, or the list may be of others",
                tally.inactive, tally.read
            )
        });
        told.collect()
    }

    fn ctr(&mut self, without: &BTreeSet<&AdvertiserId>) {
        let settings = &self.checks.ctr;
        let rate = |counts: Counts| counts.ctr().map(domain::Ctr::as_f64);
        let rates = self.typical_days().iter().filter_map(|day| rate(day.total(without))).collect();
        let total = self.day.total(without);
        let (Some(usual), Some(ctr)) = (Usual::of(rates), rate(total)) else { return };
        let typical = usual.median;
        if total.impressions >= settings.min && usual.is_far(settings, ctr) {
            let message = format!(
                "the click-through rate of all advertisers is {:.4} %, {:.4} % is typical (the median of {}): impressions or clicks may be missing, or counted twice",
                ctr * 100.0,
                typical * 100.0,
                self.baseline()
            );
            self.add("ctr", settings.severity, None, message);
        }
    }

    fn rejected(&mut self) {
        let settings = &self.checks.rejected;
        let day = self.day;
        for (log, tally) in &day.logs {
            let ratio = tally.rejected_ratio();
            if ratio > settings.max_ratio {
                let message = format!(
                    "{} of {} lines of {log} were rejected ({:.2} %, {:.2} % pass without a word)",
                    tally.rejected.total(),
                    tally.read,
                    ratio * 100.0,
                    settings.max_ratio * 100.0
                );
                self.add("rejected", settings.severity, None, message);
            }
        }
    }

    fn change(&mut self) {
        let settings = &self.checks.change;
        let usual = Usual::of(self.history.changes.clone()).map(|usual| usual.median);
        let (Some(usual), Some(change)) = (usual, self.day.change) else { return };
        if self.history.changes.len() >= self.checks.min_days && change > settings.max(usual) {
            let message = format!(
                "rankings changed by {:.0} % on average since they were last published, {:.0} % are usual: 0 % would be the same products, 100 % none of them",
                change * 100.0,
                usual * 100.0
            );
            self.add("change", settings.severity, None, message);
        }
    }

    fn advertisers(&mut self) {
        let day = self.day;
        for (advertiser, figures) in &day.advertisers {
            self.lost_rankings(advertiser, figures);
            self.advertiser_volume(advertiser, figures);
            self.clicks(advertiser, figures);
        }
    }

    fn lost_rankings(&mut self, advertiser: &AdvertiserId, figures: &AdvertiserFigures) {
        let lost = self.history.ranked.get(advertiser).into_iter().flatten();
        let is_lost =
            |model: &&ModelName| !figures.ranked.contains(*model) && !self.is_small(advertiser, model);
        let lost: Vec<_> = lost.filter(is_lost).map(ToString::to_string).collect();
        if !lost.is_empty() {
            let message = format!(
                "it is listed as active and had rankings by {} when they were last published, and has none now: its events may be missing from the logs",
                lost.join(" and ")
            );
            self.add("lost_rankings", self.checks.lost_rankings.severity, Some(advertiser), message);
        }
    }

    /// Whether the advertiser usually has hardly any of the events that the model ranks by: then it has none on
    /// some days.
    fn is_small(&self, advertiser: &AdvertiserId, model: &ModelName) -> bool {
        let needed = match ranking::model(model.as_str()).map(ranking::Model::needs) {
            Some(Log::ProductViews) => Metric::Views,
            _ => Metric::Impressions,
        };
        let events = median(self.before(advertiser).map(|counts| needed.of(counts)));
        events.is_some_and(|events| events < self.checks.lost_rankings.min as f64)
    }

    /// What was counted of the advertiser on the days to compare with.
    fn before(&self, advertiser: &AdvertiserId) -> impl Iterator<Item = Counts> {
        self.history.advertisers.get(advertiser).into_iter().flatten().copied()
    }

    fn advertiser_volume(&mut self, advertiser: &AdvertiserId, figures: &AdvertiserFigures) {
        for metric in Metric::ALL {
            let before: Vec<_> = self.before(advertiser).map(|counts| metric.of(counts) as f64).collect();
            let (days, settings) = (before.len(), &self.checks.advertiser_volume);
            let usual = if days < self.checks.min_days { None } else { Usual::of(before) };
            if let Some(deviation) =
                usual.and_then(|usual| usual.deviation(settings, metric.of(figures.counts)))
            {
                let message = format!("{}: {deviation} (the median of {days} published days)", metric.name());
                self.add("advertiser_volume", settings.severity, Some(advertiser), message);
            }
        }
    }

    fn clicks(&mut self, advertiser: &AdvertiserId, figures: &AdvertiserFigures) {
        let settings = &self.checks.clicks;
        let (unseen, clicks) = (figures.unseen_clicks, figures.counts.clicks);
        let has_impressions = self.day.logs.contains_key(&Log::AdsViews);
        if has_impressions
            && clicks >= settings.min
            && unseen as f64 > settings.max_unseen_ratio * clicks as f64
        {
            let message = format!(
                "{unseen} of {clicks} clicks are beyond the impressions of their product: an ad that was clicked was shown, so impressions are missing or clicks are counted twice"
            );
            self.add("clicks", settings.severity, Some(advertiser), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Tally;
    use std::collections::{BTreeMap, BTreeSet};

    fn advertiser(id: &str) -> AdvertiserId {
        AdvertiserId::new(id).unwrap()
    }

    fn counts(impressions: u64) -> Counts {
        Counts { impressions, clicks: impressions / 10, views: impressions * 2 }
    }

    fn models() -> BTreeSet<ModelName> {
        ["TopCTR", "TopProduct"].into_iter().map(ModelName::new).collect()
    }

    const IDS: [&str; 4] = ["a", "b", "c", "d"];

    /// Four advertisers as they always are.
    fn usual_day() -> DayFigures {
        let figures = AdvertiserFigures { counts: counts(10_000), unseen_clicks: 0, ranked: models() };
        DayFigures {
            logs: BTreeMap::from([(Log::AdsViews, Tally { read: 1000, kept: 1000, ..Tally::default() })]),
            last_times: BTreeMap::new(),
            advertisers: IDS.map(|id| (advertiser(id), figures.clone())).into(),
            change: Some(0.1),
        }
    }

    fn usual_history() -> History {
        history(|_| counts(10_000))
    }

    /// Seven days on which each advertiser had the same.
    fn history(counts: impl Fn(&str) -> Counts) -> History {
        let advertisers = IDS.map(|id| (advertiser(id), counts(id))).into();
        let day = PublishedDay::new(advertisers, IDS.len(), BTreeMap::new());
        History {
            days: vec![day; 7],
            is_same_weekday: true,
            advertisers: IDS.map(|id| (advertiser(id), vec![counts(id); 7])).into(),
            ranked: IDS.map(|id| (advertiser(id), models())).into(),
            changes: vec![0.1; 7],
        }
    }

    /// What is found when the day is changed: the check, whom it is about, and what is done.
    fn found(change: impl FnOnce(&mut DayFigures)) -> Vec<(&'static str, String, Severity)> {
        let mut day = usual_day();
        change(&mut day);
        let found = check(&Checks::default(), &day, &usual_history());
        let whom =
            |finding: &Finding| finding.advertiser_id.as_ref().map_or(String::new(), ToString::to_string);
        found.iter().map(|finding| (finding.check, whom(finding), finding.severity)).collect()
    }

    fn all(check: &'static str, severity: Severity) -> (&'static str, String, Severity) {
        (check, String::new(), severity)
    }

    #[test]
    fn a_usual_day_has_no_findings() {
        assert_eq!(found(|_| ()), []);
    }

    #[test]
    fn half_of_the_logs_is_held_for_all() {
        let half =
            |day: &mut DayFigures| day.advertisers.values_mut().for_each(|of| of.counts = counts(4_000));
        let volume = all("volume", Severity::Hold);
        assert_eq!(found(half), [volume.clone(), volume.clone(), volume]);
    }

    #[test]
    fn one_advertiser_with_fifty_times_the_clicks_is_held_alone() {
        let fifty = |day: &mut DayFigures| {
            day.advertisers.get_mut(&advertiser("b")).unwrap().counts.clicks = 50_000;
        };
        assert_eq!(found(fifty), [("advertiser_volume", "b".to_owned(), Severity::Hold)]);
    }

    #[test]
    fn few_events_vary_and_many_of_few_do_not() {
        let few = |clicks: u64| {
            let mut day = usual_day();
            let counts = |clicks| Counts { impressions: 10_000, clicks, views: 20_000 };
            let history = history(|_| counts(1));
            day.advertisers.values_mut().for_each(|of| of.counts = counts(1));
            day.advertisers.get_mut(&advertiser("b")).unwrap().counts.clicks = clicks;
            let found = check(&Checks::default(), &day, &history).into_iter();
            found.filter(|finding| finding.check == "advertiser_volume").count()
        };
        assert_eq!([0, 1, 20, 50].map(few), [0, 0, 0, 1]);
    }

    #[test]
    fn a_list_cut_to_a_quarter_is_held_for_all() {
        let cut = |day: &mut DayFigures| day.advertisers.retain(|id, _| id.as_str() == "a");
        assert!(found(cut).contains(&all("active", Severity::Hold)));
    }

    /// What is told of views that end at `last`, behind days that ended at `before`; and so many impressions of
    /// each advertiser, half as many as views, now and usually.
    fn told_of_end(last: &str, before: &[&str], [now, usual]: [u64; 2]) -> Vec<String> {
        let times = |time: &&str| BTreeMap::from([(Log::ProductViews, time.parse().unwrap())]);
        let (mut day, mut history) = (usual_day(), history(|_| counts(usual)));
        day.advertisers.values_mut().for_each(|of| of.counts = counts(now));
        day.last_times = times(&last);
        history.days.truncate(before.len());
        history.days.iter_mut().zip(before).for_each(|(day, last)| day.last_times = times(last));
        let found = check(&Checks::default(), &day, &history).into_iter();
        found.filter(|finding| finding.check == "ends_early").map(|finding| finding.message).collect()
    }

    const MANY: [u64; 2] = [10_000; 2];

    #[test]
    fn a_log_that_ends_earlier_than_ever_is_held_for_all() {
        let usual = ["23:59:58", "23:55:02", "23:57:00", "23:59:59", "23:59:12", "23:58:01", "23:59:40"];
        assert_eq!(
            told_of_end("14:10:33", &usual, MANY),
            [
                "product_views ends at 14:10:33, usually not before 23:55:02 (the last 7 published days of the same weekday): part of the log may be missing"
            ]
        );
        assert_eq!(told_of_end("23:25:01", &usual, MANY).len(), 1);
        assert_eq!(told_of_end("23:25:02", &usual, MANY).len(), 0);
    }

    #[test]
    fn a_shop_that_closes_is_not_held_for_it() {
        let is_quiet = |last, before: &[&str]| told_of_end(last, before, MANY).is_empty();
        assert!(is_quiet("18:00:00", &["18:00:10", "17:59:59", "18:01:00"]));
        assert!(is_quiet("12:00:00", &["23:59:59", "12:00:00", "23:59:59", "23:59:59"]));
        assert!(is_quiet("00:00:00", &["00:00:00", "00:00:00", "00:00:00"]), "dates written as midnight");
    }

    #[test]
    fn an_early_end_by_itself_says_nothing() {
        assert_eq!(told_of_end("14:10:33", &["23:59:59"; 2], MANY).len(), 0);
        let early = |day: &mut DayFigures| {
            day.last_times = BTreeMap::from([(Log::ProductViews, "14:10:33".parse().unwrap())]);
        };
        assert_eq!(found(early), [], "the days before had plain dates");
    }

    #[test]
    fn a_log_of_few_events_may_end_at_any_time() {
        let told = |events| told_of_end("14:10:33", &["23:59:59"; 7], events).len();
        assert_eq!([[600, 600], [700, 600], [600, 700]].map(told), [0, 1, 1]);
    }

    #[test]
    fn an_advertiser_that_lost_its_rankings_is_held_alone() {
        let lost = |day: &mut DayFigures| {
            let figures = day.advertisers.get_mut(&advertiser("c")).unwrap();
            figures.ranked.retain(|model| model.as_str() == "TopCTR");
        };
        assert_eq!(found(lost), [("lost_rankings", "c".to_owned(), Severity::Hold)]);
    }

    #[test]
    fn who_has_hardly_any_events_may_have_none() {
        let mut day = usual_day();
        let figures = day.advertisers.get_mut(&advertiser("c")).unwrap();
        *figures = AdvertiserFigures::default();
        let mut history = history(|id| counts(if id == "c" { 3 } else { 10_000 }));
        assert_eq!(check(&Checks::default(), &day, &history), []);
        (history.days, history.advertisers) = Default::default();
        let found = check(&Checks::default(), &day, &history);
        assert_eq!(found.iter().map(|finding| finding.check).collect::<Vec<_>>(), ["lost_rankings"]);
    }

    #[test]
    fn clicks_beyond_impressions_are_held_and_bad_lines_and_changes_only_warned_of() {
        let unseen = |day: &mut DayFigures| {
            day.advertisers.get_mut(&advertiser("d")).unwrap().unseen_clicks = 900;
        };
        assert_eq!(found(unseen), [("clicks", "d".to_owned(), Severity::Hold)]);
        let rejected = |day: &mut DayFigures| {
            day.logs.get_mut(&Log::AdsViews).unwrap().rejected.add(domain::RejectReason::BadDate, 9);
        };
        assert_eq!(found(rejected), [all("rejected", Severity::Warn)]);
        assert_eq!(found(|day| day.change = Some(0.95)), [all("change", Severity::Warn)]);
    }

    #[test]
    fn without_a_history_only_the_day_itself_can_be_wrong() {
        let mut day = usual_day();
        day.advertisers.values_mut().for_each(|of| of.counts = Counts { clicks: 200, ..Counts::default() });
        day.advertisers.values_mut().for_each(|of| of.unseen_clicks = 200);
        let found = check(&Checks::default(), &day, &History::default());
        assert_eq!(found.iter().map(|finding| finding.check).collect::<BTreeSet<_>>(), ["clicks"].into());
    }

    #[test]
    fn what_is_off_is_not_looked_for() {
        let mut checks = Checks::default();
        checks.volume.severity = Severity::Off;
        let mut day = usual_day();
        day.advertisers.values_mut().for_each(|of| of.counts = counts(4_000));
        assert_eq!(check(&checks, &day, &usual_history()), []);
    }
}
