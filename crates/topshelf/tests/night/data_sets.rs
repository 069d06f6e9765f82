//! Real input: each data set, by several ways, has one answer, and it is the naive one.

pub(crate) use crate::data_set::folder;
use crate::{
    check::check,
    naive::Naive,
    place::{Database, Objects, Place, TWO_WAYS, WAYS},
    site::Answer,
};
use domain::{Day, DayRange};
use futures::future::join_all;
use std::collections::BTreeMap;
use topshelf::{
    checks::Checks,
    failure::Exit,
    pipeline::{RunOutcome, Verdict},
};

pub(crate) fn days(first: &str, last: &str) -> Vec<Day> {
    DayRange { first: first.parse().unwrap(), last: last.parse().unwrap() }.days().collect()
}

pub(crate) fn texts(days: &[Day]) -> Vec<String> {
    days.iter().map(ToString::to_string).collect()
}

/// Backfills a data set by each way, all at the same time, and checks every answer, which must be the
/// same byte for byte; the outcomes of each way, and the answers.
async fn nights(
    ways: &[(Objects, Database)],
    (name, days, naive): (&str, &[Day], &Naive),
    change: impl Fn(Place) -> Place,
) -> (Vec<Vec<RunOutcome>>, BTreeMap<String, Answer>) {
    let night = async |way: &(Objects, Database)| {
        let place = Place::with_input(*way, &folder(name)).await;
        // Nights as real as these are held by none of the checks that are on by default; but a shop's days
        // before Christmas are.
        let is_steady = name != "online-retail";
        let place = place.configured(|config| {
            if is_steady {
                config.checks = Checks::default();
            }
        });
        let place = change(place);
        let outcomes = place.run(days).await;
        (outcomes, check(&place.serve().await, naive).await)
    };
    let (outcomes, answers): (Vec<_>, Vec<_>) = join_all(ways.iter().map(night)).await.into_iter().unzip();
    for (way, others) in ways.iter().zip(&answers) {
        assert!(*others == answers[0], "{way:?} answers otherwise than {:?}", ways[0]);
    }
    (outcomes, answers.into_iter().next().unwrap())
}

/// Which days were published; the others must have been refused for want of events.
fn published(outcomes: &[RunOutcome]) -> Vec<String> {
    let is_published = |outcome: &&RunOutcome| match &outcome.ended {
        Ok(report) => report.verdict() == Verdict::Published,
        Err(failure) => {
            assert_eq!(failure.exit, Exit::Refused);
            assert!(failure.chain().starts_with(&format!("no event of {}", outcome.day)), "{failure}");
            false
        }
    };
    outcomes.iter().filter(is_published).map(|outcome| outcome.day.to_string()).collect()
}

/// Every published day's report names the one model that was not computed, with this reason.
fn assert_not_computed(outcomes: &[RunOutcome], model: &str, reason: &str) {
    for report in outcomes.iter().filter_map(|outcome| outcome.ended.as_ref().ok()) {
        let told: Vec<_> = report.not_computed().map(|(model, reason)| (model.as_str(), reason)).collect();
        assert_eq!(told, [(model, reason)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adtech_has_one_answer_four_ways() {
    let days = days("2024-11-20", "2024-12-19");
    let naive = Naive::read(&folder("adtech-2024"), texts(&days));
    let (nights, answers) = nights(&WAYS, ("adtech-2024", &days, &naive), |place| place).await;
    assert!(nights.iter().all(|outcomes| published(outcomes) == texts(&days)));
    assert!(answers.len() > 30 * 20 * 2, "{} answers", answers.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_bandit_has_no_views_and_an_inactive_advertiser() {
    let days = days("2019-11-24", "2019-11-30");
    let naive = Naive::read(&folder("open-bandit"), texts(&days));
    assert_eq!(naive.models, ["TopCTR"]);
    let without_views = |place: Place| place.configured(|config| config.input.product_views.clear());
    let (nights, answers) = nights(&TWO_WAYS, ("open-bandit", &days, &naive), without_views).await;
    for outcomes in nights {
        assert_eq!(published(&outcomes), texts(&days));
        let reason = "it needs product_views, and input.product_views is empty";
        assert_not_computed(&outcomes, "TopProduct", reason);
    }
    assert!(naive.advertisers().contains("zozo-all"));
    for (path, Answer { status, body }) in &answers {
        let is_asked_for = path.contains("zozo%2Dall");
        assert_eq!(body.contains("zozo-all"), is_asked_for, "{path}: {body}");
        assert!(!is_asked_for || *status == 404, "{path}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_retail_has_days_without_events_and_ids_with_spaces() {
    let days = days("2010-12-01", "2011-12-09");
    let naive = Naive::read(&folder("online-retail"), texts(&days));
    assert_eq!(naive.models, ["TopProduct"]);
    assert!(naive.advertisers().contains("United Kingdom"));
    // Our S3 server walks its whole bucket for every listing: a year's lake is too much for it.
    let without_ads =
        |place: Place| place.with_lake_in_directory().configured(|config| config.input.ads_views.clear());
    let (nights, _) = nights(&TWO_WAYS, ("online-retail", &days, &naive), without_ads).await;
    let with_events: Vec<_> = naive.published().into_iter().rev().map(str::to_owned).collect();
    assert_eq!(with_events.len(), 305, "days with an event of an active advertiser, of {}", days.len());
    for outcomes in nights {
        assert_eq!(published(&outcomes), with_events);
        assert_not_computed(&outcomes, "TopCTR", "it needs ads_views, and input.ads_views is empty");
    }
}
