//! Nights whose data are wrong: the right check holds the right advertisers, says what happened, and readers
//! keep what they saw.

use crate::{
    data_sets::days,
    place::{Place, TWO_WAYS, WAYS},
};
use domain::Day;
use jiff::{SignedDuration, civil};
use std::{fmt::Write, fs};
use topshelf::{
    checks::{Checks, Finding, Severity},
    pipeline::{self, RunOutcome, RunReport, Verdict},
};

const ADVERTISERS: usize = 20;
const PRODUCTS: usize = 15;
const SECONDS_OF_DAY: usize = 86_400;

fn usual_days() -> Vec<Day> {
    days("2024-11-01", "2024-11-08")
}

fn last_day() -> Day {
    "2024-11-09".parse().unwrap()
}

/// A day's logs, as they are about to be written.
struct Logs {
    advertisers: Vec<String>,
    ads: Vec<[String; 3]>,
    views: Vec<[String; 2]>,
    ads_header: &'static str,
    /// The last second of the day of which there are ads.
    ads_until: usize,
}

impl Logs {
    /// A day like any other: somewhat more of everything on some days.
    fn usual(day: Day) -> Self {
        let id = |advertiser: usize| format!("a{advertiser:02}");
        let (mut ads, mut views) = (Vec::new(), Vec::new());
        let times = 40 + usize::try_from(day.epoch_days()).unwrap() % 5;
        for time in 0..times {
            for (advertiser, product) in (0..ADVERTISERS).flat_map(|a| (0..PRODUCTS).map(move |p| (a, p))) {
                let ids = [id(advertiser), format!("p{product}")];
                let [of, what] = ids.clone();
                ads.push([of.clone(), what.clone(), "impression".to_owned()]);
                if (time + product) % 4 == 0 {
                    ads.push([of, what, "click".to_owned()]);
                }
                views.push(ids);
            }
        }
        let ads_header = "advertiser_id,product_id,type,date";
        let advertisers = (0..ADVERTISERS).map(id).collect();
        Self { advertisers, ads, views, ads_header, ads_until: SECONDS_OF_DAY }
    }

    /// Ads come evenly through the day, and say when; views say only the day.
    fn write(&self, place: &Place, day: Day) {
        let mut text = "advertiser_id\n".to_owned();
        self.advertisers.iter().for_each(|id| writeln!(text, "{id}").unwrap());
        fs::write(place.input().join(format!("advertiser_ids-{day}.csv")), text).unwrap();
        let mut text = format!("{}\n", self.ads_header);
        for (number, fields) in self.ads.iter().enumerate() {
            let second = number * SECONDS_OF_DAY / self.ads.len();
            let time = civil::Time::midnight() + SignedDuration::from_secs(second.try_into().unwrap());
            if second <= self.ads_until {
                writeln!(text, "{},{day} {time}", fields.join(",")).unwrap();
            }
        }
        fs::write(place.input().join(format!("ads_views-{day}.csv")), text).unwrap();
        let mut text = "advertiser_id,product_id,date\n".to_owned();
        self.views.iter().for_each(|fields| writeln!(text, "{},{day}", fields.join(",")).unwrap());
        fs::write(place.input().join(format!("product_views-{day}.csv")), text).unwrap();
    }
}

/// Eight usual days, published; and the ninth, as `poison` leaves it, run.
async fn poisoned(
    way: (crate::place::Objects, crate::place::Database),
    poison: impl FnOnce(&mut Logs),
) -> (Place, RunReport) {
    let place = Place::new(way).await.configured(|config| {
        config.input.advertiser_ids = "advertiser_ids-{day}.csv".into();
        config.input.ads_views = "ads_views-{day}.csv".into();
        config.input.product_views = "product_views-{day}.csv".into();
        config.checks = Checks::default();
    });
    for day in usual_days() {
        Logs::usual(day).write(&place, day);
    }
    // One after the other, as nights come: each is compared with those before it.
    for day in usual_days() {
        let report = place.run_to(Verdict::Published, &[day]).await.pop().unwrap().ended.unwrap();
        assert_eq!(report.findings(), [], "{day} is like any other");
    }
    let mut logs = Logs::usual(last_day());
    poison(&mut logs);
    logs.write(&place, last_day());
    let RunOutcome { ended, .. } = place.run(&[last_day()]).await.pop().unwrap();
    (place, ended.unwrap())
}

/// Each hold: the check, and whom it holds.
fn holds(report: &RunReport) -> Vec<(&'static str, String)> {
    let holds = report.findings().iter().filter(|finding| finding.severity == Severity::Hold);
    let whom =
        |finding: &Finding| finding.advertiser_id.as_ref().map_or("all".to_owned(), ToString::to_string);
    let mut holds: Vec<_> = holds.map(|finding| (finding.check, whom(finding))).collect();
    holds.dedup();
    holds
}

fn message(report: &RunReport) -> &str {
    &report.findings()[0].message
}

/// The day of an answer, and by which check something newer is held.
async fn answered(place: &Place, advertiser: &str, model: &str) -> (String, String) {
    let told = place.command(&format!("show {advertiser} {model} --json")).await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let check = told["held"]["check"].as_str().unwrap_or_default().to_owned();
    (told["day"].as_str().unwrap().to_owned(), check)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_log_holds_all() {
    for way in TWO_WAYS {
        let half = |logs: &mut Logs| {
            let mut keep = [true, false].into_iter().cycle();
            logs.ads.retain(|_| keep.next().unwrap());
        };
        let (place, report) = poisoned(way, half).await;
        assert_eq!((report.verdict(), holds(&report)), (Verdict::Held, vec![("volume", "all".to_owned())]));
        let told = message(&report);
        assert!(
            told.starts_with("impressions of all advertisers: ") && told.contains(" % of the typical "),
            "{told}"
        );
        assert!(told.ends_with("(the median of the last 7 published days)"), "{told}");
        let (day, check) = answered(&place, "a03", "TopCTR").await;
        assert_eq!((day.as_str(), check.as_str()), ("2024-11-08", "volume"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_its_evening_holds_all() {
    for way in TWO_WAYS {
        let (place, report) = poisoned(way, |logs| logs.ads_until = 16 * 3600 + 30 * 60).await;
        assert_eq!(
            (report.verdict(), holds(&report)),
            (Verdict::Held, vec![("ends_early", "all".to_owned())])
        );
        assert_eq!(
            message(&report),
            "ads_views ends at 16:29:55, usually not before 23:59:54 (the last 7 published days): part of the log may be missing"
        );
        let (day, check) = answered(&place, "a03", "TopCTR").await;
        assert_eq!((day.as_str(), check.as_str()), ("2024-11-08", "ends_early"));
        // The rest of it comes, in the object that was cut short.
        Logs::usual(last_day()).write(&place, last_day());
        place.run_to(Verdict::Published, &[last_day()]).await;
        assert_eq!(answered(&place, "a03", "TopCTR").await, ("2024-11-09".to_owned(), String::new()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_advertiser_with_fifty_times_the_clicks_is_held_and_the_others_are_published() {
    let fifty = |logs: &mut Logs| {
        let clicks: Vec<_> =
            logs.ads.iter().filter(|[id, _, kind]| id == "a07" && kind == "click").cloned().collect();
        (1..50).for_each(|_| logs.ads.extend(clicks.iter().cloned()));
    };
    let (place, report) = poisoned(WAYS[0], fifty).await;
    assert_eq!(report.verdict(), Verdict::PartlyHeld);
    let held = holds(&report);
    assert_eq!(held, [("advertiser_volume", "a07".to_owned()), ("clicks", "a07".to_owned())]);
    assert!(message(&report).contains("times the typical"), "{}", message(&report));
    assert_eq!(
        answered(&place, "a07", "TopCTR").await,
        ("2024-11-08".to_owned(), "advertiser_volume".to_owned())
    );
    let (day, check) = answered(&place, "a08", "TopCTR").await;
    assert_eq!((day.as_str(), check.as_str()), ("2024-11-09", ""));
    // The same again is held again, and moves nothing.
    let again = place.run(&[last_day()]).await.pop().unwrap();
    assert_eq!(again.ended.unwrap().verdict(), Verdict::PartlyHeld);
    // Someone decides that it is right.
    let run = place.run(&[last_day()]).await.pop().unwrap();
    let held_run = run.to_json()["report"]["published_run"].as_str().unwrap().parse().unwrap();
    assert_eq!(pipeline::accept(&place.night(), &held_run, None, "a campaign").await.unwrap(), 1);
    let (day, check) = answered(&place, "a07", "TopCTR").await;
    assert_eq!((day.as_str(), check.as_str()), ("2024-11-09", ""));
    place.run_to(Verdict::Unchanged, &[last_day()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_advertiser_is_held_for_as_many_nights_as_its_volume_is_odd() {
    let fifty = |logs: &mut Logs| {
        let of_one = logs.ads.iter().filter(|[id, _, kind]| id == "a07" && kind == "click");
        let clicks: Vec<_> = of_one.cloned().collect();
        (1..50).for_each(|_| logs.ads.extend(clicks.iter().cloned()));
    };
    let (place, _) = poisoned(WAYS[0], fifty).await;
    // By then it is seen on none of the last days.
    for day in days("2024-11-10", "2024-11-16") {
        let mut logs = Logs::usual(day);
        fifty(&mut logs);
        logs.write(&place, day);
        let report = place.run(&[day]).await.pop().unwrap().ended.unwrap();
        assert!(
            holds(&report).contains(&("advertiser_volume", "a07".to_owned())),
            "{day}: {:?}",
            report.findings()
        );
        assert_eq!(report.verdict(), Verdict::PartlyHeld);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_cut_to_a_tenth_holds_all() {
    let (place, report) = poisoned(WAYS[0], |logs| logs.advertisers.truncate(ADVERTISERS / 10)).await;
    assert_eq!(report.verdict(), Verdict::Held);
    let told = message(&report);
    assert!(told.starts_with("2 advertisers are listed as active, 20 are typical"), "{told}");
    assert_eq!(answered(&place, "a15", "TopProduct").await.0, "2024-11-08");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swapped_columns_hold_all_and_are_suspected() {
    let swap = |logs: &mut Logs| logs.ads_header = "product_id,advertiser_id,type,date";
    let (place, report) = poisoned(WAYS[0], swap).await;
    assert_eq!(report.verdict(), Verdict::Held);
    let told = message(&report);
    assert!(told.starts_with("impressions of all advertisers: 0, which is 0 % of the typical"), "{told}");
    assert!(
        told.contains(
            "lines of ads_views name an advertiser that is not listed as active: its columns may be swapped"
        ),
        "{told}"
    );
    assert_eq!(answered(&place, "a00", "TopCTR").await.0, "2024-11-08");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_advertiser_without_events_keeps_its_rankings_night_after_night() {
    let gone = |logs: &mut Logs| {
        logs.ads.retain(|[id, ..]| id != "a05");
        logs.views.retain(|[id, _]| id != "a05");
    };
    let (place, report) = poisoned(WAYS[0], gone).await;
    let held = holds(&report);
    assert!(
        held.contains(&("lost_rankings", "a05".to_owned())) && held.iter().all(|(_, whom)| whom == "a05"),
        "{held:?}"
    );
    assert!(message(&report).contains("had rankings by TopCTR and TopProduct"), "{}", message(&report));
    let next = last_day().tomorrow();
    let mut logs = Logs::usual(next);
    gone(&mut logs);
    logs.write(&place, next);
    let report = place.run(&[next]).await.pop().unwrap().ended.unwrap();
    assert_eq!(report.verdict(), Verdict::PartlyHeld);
    assert_eq!(
        answered(&place, "a05", "TopCTR").await,
        ("2024-11-08".to_owned(), "lost_rankings".to_owned())
    );
}
