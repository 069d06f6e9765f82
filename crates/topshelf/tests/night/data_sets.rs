//! Real input: each data set, by several ways, has one answer, and it is the naive one.

use crate::{
    check::check,
    naive::Naive,
    place::{Database, Objects, Place, WAYS},
    site::Answer,
};
use domain::{Day, DayRange};
use std::{collections::BTreeMap, path::PathBuf};
use topshelf::{
    failure::Exit,
    pipeline::{RunOutcome, Verdict},
};

const DIRECTORY_SQLITE: (Objects, Database) = WAYS[0];
const BUCKET_POSTGRES: (Objects, Database) = WAYS[1];

/// The folder of a data set, which is never copied into the repository.
pub(crate) fn folder(name: &str) -> PathBuf {
    let shared = std::env::var_os("TOPSHELF_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let folder = shared.join("data").join(name);
    assert!(
        folder.is_dir(),
        "{} is not there: the data sets lie in the folder `shared` beside the repository, or in the one that \
         TOPSHELF_SHARED names",
        folder.display()
    );
    folder
}

pub(crate) fn days(first: &str, last: &str) -> Vec<Day> {
    DayRange { first: first.parse().unwrap(), last: last.parse().unwrap() }.days().collect()
}

pub(crate) fn texts(days: &[Day]) -> Vec<String> {
    days.iter().map(ToString::to_string).collect()
}

/// Backfills a data set and checks every answer; the outcomes and the answers.
async fn night(place: Place, naive: &Naive, days: &[Day]) -> (Vec<RunOutcome>, BTreeMap<String, Answer>) {
    let outcomes = place.run(days).await;
    (outcomes, check(&place.serve().await, naive).await)
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
    let mut first = None;
    for way in WAYS {
        let place = Place::with_input(way, &folder("adtech-2024")).await;
        let (outcomes, answers) = night(place, &naive, &days).await;
        assert_eq!(published(&outcomes), texts(&days), "{way:?}");
        assert!(answers.len() > 30 * 20 * 2, "{} answers", answers.len());
        let expected = first.get_or_insert_with(|| answers.clone());
        assert!(*expected == answers, "{way:?} answers otherwise than {:?}", WAYS[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_bandit_has_no_views_and_an_inactive_advertiser() {
    let days = days("2019-11-24", "2019-11-30");
    let naive = Naive::read(&folder("open-bandit"), texts(&days));
    assert_eq!(naive.models, ["TopCTR"]);
    let mut first = None;
    for way in [DIRECTORY_SQLITE, BUCKET_POSTGRES] {
        let place = Place::with_input(way, &folder("open-bandit")).await;
        let place = place.configured(|config| config.input.product_views.clear());
        let (outcomes, answers) = night(place, &naive, &days).await;
        assert_eq!(published(&outcomes), texts(&days), "{way:?}");
        assert_not_computed(
            &outcomes,
            "TopProduct",
            "it needs product_views, and input.product_views is empty",
        );
        for (path, Answer { status, body }) in &answers {
            let is_asked_for = path.contains("zozo%2Dall");
            assert_eq!(body.contains("zozo-all"), is_asked_for, "{path}: {body}");
            assert!(!is_asked_for || *status == 404, "{path}: {body}");
        }
        let expected = first.get_or_insert_with(|| answers.clone());
        assert!(*expected == answers, "{way:?} answers otherwise");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_retail_has_days_without_events_and_ids_with_spaces() {
    let days = days("2010-12-01", "2011-12-09");
    let naive = Naive::read(&folder("online-retail"), texts(&days));
    assert_eq!(naive.models, ["TopProduct"]);
    assert!(naive.advertisers().contains("United Kingdom"));
    let mut first = None;
    for way in [DIRECTORY_SQLITE, BUCKET_POSTGRES] {
        // Our S3 server walks its whole bucket for every listing: a year's lake is too much for it.
        let place = Place::with_input(way, &folder("online-retail")).await.with_lake_in_directory();
        let place = place.configured(|config| config.input.ads_views.clear());
        let (outcomes, answers) = night(place, &naive, &days).await;
        let expected: Vec<_> = naive.published().into_iter().rev().map(str::to_owned).collect();
        assert_eq!(expected.len(), 305, "days with an event of an active advertiser");
        assert_eq!(published(&outcomes), expected, "{way:?}");
        assert_not_computed(&outcomes, "TopCTR", "it needs ads_views, and input.ads_views is empty");
        let expected = first.get_or_insert_with(|| answers.clone());
        assert!(*expected == answers, "{way:?} answers otherwise");
    }
}
