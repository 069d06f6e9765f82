//! Days whose input changed are counted again and published, others are not even read.

use crate::{
    check::check,
    data_sets::{days, texts},
    naive::Naive,
    place::{Place, TWO_WAYS, WAYS},
};
use domain::Day;
use std::{
    fs::{self, File},
    path::Path,
    time::SystemTime,
};
use topshelf::pipeline::Verdict::{self, Published, Unchanged};

fn three_days() -> Vec<Day> {
    days("2024-11-20", "2024-11-22")
}

const ADS: &str = "advertiser_id,product_id,type,date\n";
const VIEWS: &str = "advertiser_id,product_id,date\n";

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn append(folder: &Path, name: &str, lines: &str) {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    write(folder, name, &(text + lines));
}

/// What the day's logs say at first: a product for each of its last digits.
fn lines(day: Day, end: &str) -> String {
    let digit = day.to_string().split_off(9);
    format!("a,p{digit}{end},{day}\na,q{end},{day}\nb,p{digit}{end},{day}\n")
}

/// Logs in folders of days.
fn write_by_day(folder: &Path) {
    write(folder, "advertiser_ids.csv", "advertiser_id\na\nb\n");
    for day in three_days() {
        write(folder, &format!("ads/date={day}/0.csv"), &format!("{ADS}{}", lines(day, ",impression")));
        write(folder, &format!("views/date={day}/0.csv"), &format!("{VIEWS}{}", lines(day, "")));
    }
}

async fn place_by_day(way: (crate::place::Objects, crate::place::Database)) -> Place {
    let place = Place::new(way).await.configured(|config| {
        config.input.ads_views = "ads/*/*".into();
        config.input.product_views = "views/*/*".into();
    });
    write_by_day(&place.input());
    place
}

/// Runs the days; each must come to its verdict, and be read if and only if it is published.
async fn run_to(place: &Place, verdicts: [Verdict; 3]) {
    for (outcome, verdict) in place.run(&three_days()).await.into_iter().zip(verdicts) {
        let report = outcome.ended.unwrap();
        assert_eq!((report.verdict(), outcome.day), (verdict, outcome.day));
        assert_eq!(report.is_input_unchanged(), verdict == Unchanged, "{}", outcome.day);
    }
}

async fn check_against_naive(place: &Place) {
    let files: Vec<_> = three_days()
        .iter()
        .flat_map(|day| ["ads", "views"].map(|log| (log, place.input().join(format!("{log}/date={day}")))))
        .collect();
    let together = tempfile::tempdir().unwrap();
    for (log, header) in [("ads", ADS), ("views", VIEWS)] {
        let mut text = header.to_owned();
        for (_, folder) in files.iter().filter(|(of, _)| *of == log) {
            for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                text += fs::read_to_string(file.path()).unwrap().strip_prefix(header).unwrap();
            }
        }
        let name = if log == "ads" { "ads_views.csv" } else { "product_views.csv" };
        write(together.path(), name, &text);
    }
    fs::copy(place.input().join("advertiser_ids.csv"), together.path().join("advertiser_ids.csv")).unwrap();
    let naive = Naive::read(together.path(), texts(&three_days()));
    check(&place.serve().await, &naive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_file_counts_its_day_again_and_no_other() {
    for way in TWO_WAYS {
        let place = place_by_day(way).await;
        run_to(&place, [Published, Published, Published]).await;
        run_to(&place, [Unchanged, Unchanged, Unchanged]).await;
        let late = format!("{ADS}a,late,impression,2024-11-21\na,late,click,2024-11-21\n");
        write(&place.input(), "ads/date=2024-11-21/late.csv", &late);
        run_to(&place, [Unchanged, Published, Unchanged]).await;
        check_against_naive(&place).await;
        // What is gone again, or different, counts as much.
        fs::remove_file(place.input().join("ads/date=2024-11-21/late.csv")).unwrap();
        append(&place.input(), "views/date=2024-11-22/0.csv", "b,more,2024-11-22\n");
        run_to(&place, [Unchanged, Published, Published]).await;
        check_against_naive(&place).await;
    }
}

/// How many objects each day kept, of those that it was counted from before.
async fn run_and_keep(place: &Place, days: &[Day]) -> Vec<u64> {
    place.run(days).await.into_iter().map(|outcome| outcome.ended.unwrap().kept_objects()).collect()
}

/// What lies in the lake is what counting everything anew leaves there.
async fn check_against_recount(place: &Place, days: &[Day]) {
    let lake = place.lake();
    place.run_anew(days).await;
    let anew = place.lake();
    assert_eq!(lake.keys().collect::<Vec<_>>(), anew.keys().collect::<Vec<_>>());
    assert!(lake == anew, "the same names, other bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_object_is_read_alone_and_added() {
    for way in TWO_WAYS {
        let place = place_by_day(way).await.configured(|config| config.input.max_rejected_ratio = 0.5);
        run_to(&place, [Published, Published, Published]).await;
        // A bad line, before and behind those that are there; an advertiser who had nothing yet.
        for name in ["-1", "1"] {
            let late = format!("{ADS}a,late,impression,2024-11-21\nb,late,clack,2024-11-21\n");
            write(&place.input(), &format!("ads/date=2024-11-21/{name}.csv"), &late);
        }
        assert_eq!(run_and_keep(&place, &three_days()).await, [0, 2, 0]);
        write(&place.input(), "views/date=2024-11-21/1.csv", &format!("{VIEWS}a,p1,2024-11-21\n"));
        assert_eq!(run_and_keep(&place, &three_days()).await, [0, 4, 0]);
        check_against_recount(&place, &three_days()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_is_not_read_again_beside_a_late_object() {
    let place = place_by_day(WAYS[0]).await;
    run_to(&place, [Published, Published, Published]).await;
    let path = place.input().join("views/date=2024-11-21/0.csv");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let as_it_was = fs::read(&path).unwrap();
    fs::write(&path, vec![b'?'; as_it_was.len()]).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let late = format!("{ADS}a,late,impression,2024-11-21\n");
    write(&place.input(), "ads/date=2024-11-21/late.csv", &late);
    assert_eq!(run_and_keep(&place, &three_days()).await, [0, 2, 0]);
    fs::write(&path, as_it_was).unwrap();
    check_against_naive(&place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_several_days_is_added_only_where_no_day_has_it() {
    let place = Place::new(WAYS[0]).await;
    let folder = place.input();
    write(&folder, "advertiser_ids.csv", "advertiser_id\na\nb\n");
    write(&folder, "product_views.csv", VIEWS);
    let all = |end: &str| three_days().iter().map(|day| lines(*day, end)).collect::<String>();
    let days = three_days();
    write(&folder, "ads_views.1.csv", &format!("{ADS}{}", all(",impression")));
    assert_eq!(run_and_keep(&place, &days[..1]).await, [0]);
    // The second day needs what the first has counted, so that both read all.
    write(&folder, "ads_views.2.csv", &format!("{ADS}{}", all(",click")));
    assert_eq!(run_and_keep(&place, &days[..2]).await, [0, 0]);
    write(&folder, "ads_views.0.csv", &format!("{ADS}{}", all(",impression")));
    assert_eq!(run_and_keep(&place, &days[..2]).await, [3, 3]);
    // The first day is whole, and does not keep the third from reading all.
    assert_eq!(run_and_keep(&place, &[days[0], days[2]]).await, [0, 0]);
    check_against_recount(&place, &days).await;
    // What is gone cannot be taken away.
    fs::remove_file(folder.join("ads_views.1.csv")).unwrap();
    write(&folder, "ads_views.3.csv", &format!("{ADS}{}", all(",impression")));
    assert_eq!(run_and_keep(&place, &days).await, [0, 0, 0]);
    check_against_recount(&place, &days).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_object_that_grew_is_read_once_and_publishes_only_days_that_it_changed() {
    let place = Place::new(WAYS[0]).await;
    let folder = place.input();
    write(&folder, "advertiser_ids.csv", "advertiser_id\na\nb\n");
    let all = |end: &str| three_days().iter().map(|day| lines(*day, end)).collect::<String>();
    write(&folder, "ads_views.csv", &format!("{ADS}{}", all(",impression")));
    write(&folder, "product_views.csv", &format!("{VIEWS}{}", all("")));
    run_to(&place, [Published, Published, Published]).await;
    append(&folder, "product_views.csv", "a,new,2024-11-22\n");
    let verdicts = place.run(&three_days()).await.into_iter().map(|outcome| {
        let report = outcome.ended.unwrap();
        assert!(!report.is_input_unchanged());
        report.verdict()
    });
    assert_eq!(verdicts.collect::<Vec<_>>(), [Unchanged, Unchanged, Published]);
    run_to(&place, [Unchanged, Unchanged, Unchanged]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unchanged_is_not_read_and_recounting_reads_it() {
    let place = place_by_day(WAYS[0]).await;
    run_to(&place, [Published, Published, Published]).await;
    // Other bytes under the same name, size and time: only who reads them can know.
    let path = place.input().join("views/date=2024-11-20/0.csv");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let text = fs::read_to_string(&path).unwrap().replace("a,q,", "a,z,");
    fs::write(&path, text).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    run_to(&place, [Unchanged, Unchanged, Unchanged]).await;
    let verdicts =
        place.run_anew(&three_days()).await.into_iter().map(|outcome| outcome.ended.unwrap().verdict());
    assert_eq!(verdicts.collect::<Vec<_>>(), [Published, Unchanged, Unchanged]);
    // A time that goes back is a change too.
    File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let outcomes = place.run(&three_days()).await;
    let are_read: Vec<_> =
        outcomes.into_iter().map(|outcome| !outcome.ended.unwrap().is_input_unchanged()).collect();
    assert_eq!(are_read, [true, false, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_settings_another_list_and_damaged_counts_are_counted_again() {
    let place = place_by_day(WAYS[0]).await;
    run_to(&place, [Published, Published, Published]).await;
    let place = place.configured(|config| config.schedule.timezone = "Asia/Kathmandu".into());
    let are_read = async |place: &Place| {
        let outcomes = place.run(&three_days()).await.into_iter();
        outcomes.map(|outcome| !outcome.ended.unwrap().is_input_unchanged()).collect::<Vec<_>>()
    };
    assert_eq!(are_read(&place).await, [true, true, true]);
    assert_eq!(are_read(&place).await, [false, false, false]);
    let lake = place.lake();
    let counts = lake.keys().find(|name| name.starts_with("counts/day=2024-11-21/counts-")).unwrap();
    let path = place.input().parent().unwrap().join("lake").join(counts);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(are_read(&place).await, [false, true, false]);
    assert_eq!(place.lake(), lake);
    append(&place.input(), "advertiser_ids.csv", "c\n");
    assert_eq!(are_read(&place).await, [true, true, true]);
}

/// Whether each day was ranked, not only found in the lake.
async fn are_ranked(place: &Place) -> [bool; 3] {
    let outcomes = place.run(&three_days()).await.into_iter();
    let ranked = outcomes.map(|outcome| {
        let stages = outcome.ended.unwrap().stages;
        !stages.iter().find(|stage| stage.stage == "rank").unwrap().reused
    });
    ranked.collect::<Vec<_>>().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_counts_are_ranked_again_only_where_they_must_be() {
    let place = place_by_day(WAYS[0]).await;
    assert_eq!(are_ranked(&place).await, [true, true, true]);
    assert_eq!(are_ranked(&place).await, [false, false, false]);
    append(&place.input(), "views/date=2024-11-22/0.csv", "b,more,2024-11-22\n");
    assert_eq!(are_ranked(&place).await, [false, false, true]);
    let lake = place.lake();
    let is_ranking = |name: &&String| name.contains("TopCTR") && name.contains("day=2024-11-21");
    let rankings = lake.keys().find(|name| is_ranking(name) && name.ends_with(".parquet")).unwrap();
    fs::write(place.input().parent().unwrap().join("lake").join(rankings), "no Parquet").unwrap();
    assert_eq!(are_ranked(&place).await, [false, true, false]);
    assert_eq!(place.lake(), lake);
    let place = place.configured(|config| config.ranking.k = 1);
    assert_eq!(are_ranked(&place).await, [true, true, true]);
    check_first_alone(&place).await;
}

/// Of each ranking the first product is published, and nothing else.
async fn check_first_alone(place: &Place) {
    let told = place.command("show a TopProduct --json").await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["recommendations"].as_array().unwrap().len(), 1, "{told}");
}
