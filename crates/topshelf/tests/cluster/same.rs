//! What the cluster leaves is what one machine leaves.

use crate::{data_set::folder, files::files, group::Group, parquet_file::written, s3, scene::DAY};
use arrow_array::{ArrayRef, StringArray};
use std::{fmt::Write as _, fs, sync::Arc};
use tokio::runtime::Runtime;

/// Runs the day here and on the cluster: lakes and answers are the same, byte for byte. The cluster's part of the ledger.
pub(crate) fn is_the_same(group: &Group) -> serde_json::Value {
    is_the_same_in(group, "", "")
}

/// The same with logs and lakes in a place, whose objects are files of the folder.
fn is_the_same_in(group: &Group, place: &str, folder: &str) -> serde_json::Value {
    let url = group.url();
    let mut answers = Vec::new();
    for (name, cluster) in [("here", None), ("there", Some(url.as_str()))] {
        let [input, lake] = [format!("{place}logs"), format!("{place}lake-{name}")];
        let store = format!("sqlite:{name}.db");
        let places = ["--input", &input, "--lake", &lake, "--store", &store];
        let flags: Vec<&str> = cluster.iter().flat_map(|url| ["--cluster", url]).collect();
        group.scene.end_well(&[&["run", "--day", DAY][..], &places, &flags].concat());
        let runs = group.scene.call(&["runs", "--json", "--store", &store]).json();
        answers.push((runs["runs"][0].clone(), files(&group.scene.path(&format!("{folder}lake-{name}")))));
    }
    let (there, here) = (answers.pop().unwrap(), answers.pop().unwrap());
    assert!(!here.1.is_empty());
    assert!(here.1 == there.1, "the lakes differ");
    assert!(here.0["rankings_digest"].is_string(), "{}", here.0);
    assert_eq!(here.0["rankings_digest"], there.0["rankings_digest"]);
    let stage = |run: &serde_json::Value| run["report"]["stages"][0].clone();
    assert!(stage(&here.0)["cluster"].is_null(), "{}", here.0);
    stage(&there.0)["cluster"].clone()
}

/// Away with what was counted here and there.
fn forget(group: &Group) {
    ["lake-here", "lake-there", "here.db", "there.db"].iter().for_each(|name| group.scene.remove(name));
}

#[test]
fn sums_of_many_tasks_on_three_executors_are_exact() {
    let group = Group::of(3);
    group.generate(&[]);
    let cluster = is_the_same(&group);
    assert!(cluster["tasks"].as_u64().unwrap() > 3, "{cluster}");
    assert_eq!(cluster["jobs"], 1, "{cluster}");
}

#[test]
fn any_format_is_counted_and_several_days_of_it() {
    let group = Group::of(2);
    for format in
        [&["--format", "tsv"][..], &["--format", "jsonl", "--compress", "gzip"], &["--layout", "hive"]]
    {
        group.generate(format);
        is_the_same(&group);
        forget(&group);
    }
}

#[test]
fn ids_of_any_kind_and_bad_lines_come_through() {
    let group = Group::of(2);
    let long = "y".repeat(255);
    let mut ads = String::from("advertiser_id,product_id,type,date\n");
    let ids = [
        "a",
        "a,b",
        "\"quoted\"",
        "new\nline",
        "é",
        "\u{1F45F}",
        " ",
        "a/b?c#d",
        &long,
        "%41",
        "\\",
        "'; DROP TABLE runs; --",
    ];
    let quoted = |id: &str| format!("\"{}\"", id.replace('"', "\"\""));
    for row in 0..60_000 {
        let (advertiser, product) = (ids[row % 5], ids[row * 7 % ids.len()]);
        let kind = if row / 60 % 3 == 0 { "click" } else { "impression" };
        // A line ending in a field now and then, so that where a task begins must be guessed, and is guessed wrong.
        writeln!(ads, "{},{},{kind},2024-11-20", quoted(advertiser), quoted(product)).unwrap();
        if row % 1000 == 0 {
            ads.push_str("a,b,shown,2024-11-20\na,b,click,2024-02-30\n");
        }
    }
    group.scene.write("logs/ads_views.csv", ads);
    let list: String = ids[..5].iter().map(|id| quoted(id) + "\n").collect();
    group.scene.write("logs/advertiser_ids.csv", format!("advertiser_id\n{list}"));
    is_the_same(&group);
}

#[test]
fn one_advertiser_with_nearly_all_rows_is_counted() {
    let group = Group::of(2);
    let mut ads = String::from("advertiser_id,product_id,type,date\n");
    for row in 0..150_000u32 {
        let advertiser = if row % 10 == 0 { "b" } else { "acme" };
        let product = if row % 2 == 0 { 0 } else { row };
        writeln!(ads, "{advertiser},p{product},impression,2024-11-20").unwrap();
    }
    group.scene.write("logs/ads_views.csv", ads);
    group.scene.write("logs/product_views.csv", "advertiser_id,product_id,date\n");
    group.scene.write("logs/advertiser_ids.csv", "advertiser_id\nacme\nb\n");
    let cluster = is_the_same(&group);
    let [tasks, partial_rows] = ["tasks", "partial_rows"].map(|name| cluster[name].as_u64().unwrap());
    assert!(tasks >= 4, "{cluster}");
    // Of half of the lines, which are of two products, there is no more than two counts from each task.
    assert!(partial_rows <= 75_000 + 2 * tasks, "{cluster}");
}

/// Of a file that is both logs, each line is an event of both.
#[test]
fn one_file_may_be_of_both_logs() {
    let mut group = Group::of(1);
    for log in ["ADS_VIEWS", "PRODUCT_VIEWS"] {
        group.scene.environment(&format!("TOPSHELF_INPUT__{log}"), "events*");
    }
    let mut events = String::from("advertiser_id,product_id,type,date\n");
    for row in 0..2_000u32 {
        let kind = if row % 7 == 0 { "click" } else { "impression" };
        writeln!(events, "acme,p{},{kind},2024-11-20", row % 13).unwrap();
    }
    group.scene.write("logs/events.csv", events);
    group.scene.write("logs/advertiser_ids.csv", "advertiser_id\nacme\n");
    is_the_same(&group);
}

#[test]
fn executors_of_several_slots_do_several_tasks_at_a_time() {
    let mut group = Group::new();
    group.generate(&[]);
    group.start_scheduler();
    group.start_executor_of_slots("3", "768MiB");
    let cluster = is_the_same(&group);
    assert!(cluster["tasks"].as_u64().unwrap() > 3 && cluster["task_retries"] == 0, "{cluster}");
}

/// An executor that has counted a day keeps nothing of what was there.
#[test]
fn objects_that_came_or_changed_after_a_night_are_counted() {
    let group = Group::of(2);
    group.generate(&[]);
    is_the_same(&group);
    let first = files(&group.scene.path("lake-there"));
    forget(&group);
    group.generate(&["--seed", "8"]);
    group.scene.write("logs/product_views_late.csv", "advertiser_id,product_id,date\nnew,p,2024-11-20\n");
    group.scene.write("logs/advertiser_ids_late.csv", "advertiser_id\nnew\n");
    is_the_same(&group);
    assert!(files(&group.scene.path("lake-there")) != first, "nothing of it was counted");
}

#[test]
fn executors_read_and_write_buckets() {
    let mut group = Group::new();
    group.scene.environment("TOPSHELF_CLUSTER__ADDERS", "2");
    many_views(&group);
    fs::create_dir_all(group.scene.path("s3/bucket")).unwrap();
    fs::rename(group.scene.path("logs"), group.scene.path("s3/bucket/logs")).unwrap();
    let runtime = Runtime::new().unwrap();
    for (name, value) in runtime.block_on(s3::start(&group.scene.path("s3"))) {
        group.scene.environment(&name, &value);
    }
    group.start_scheduler();
    (0..2).for_each(|_| group.start_executor());
    let cluster = is_the_same_in(&group, "s3://bucket/", "s3/bucket/");
    assert!(cluster["rows_kept"].as_u64().unwrap() > 50_000, "{cluster}");
}

#[test]
fn row_groups_of_parquet_are_parts() {
    let group = Group::of(2);
    let rows = 60_000u32;
    let texts = |of: &dyn Fn(u32) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..rows).map(of)))
    };
    let columns = [
        ("advertiser_id", texts(&|row| if row % 3 == 0 { "b".into() } else { "acme".into() })),
        ("product_id", texts(&|row| format!("product-{:08x}-{row:08x}", row.wrapping_mul(2_654_435_761)))),
        ("type", texts(&|_| "impression".into())),
        ("date", texts(&|row| if row % 50 == 0 { "2024-11-21".into() } else { DAY.into() })),
    ];
    group.scene.remove("logs/ads_views.csv");
    group.scene.write("logs/ads_views.parquet", written(&columns, 7_000, false));
    group.scene.write("logs/advertiser_ids.csv", "advertiser_id\nacme\nb\n");
    let cluster = is_the_same(&group);
    assert!(cluster["tasks"].as_u64().unwrap() >= 2, "{cluster}");
}

/// Real logs, all of their days in one pass.
#[test]
fn data_sets_are_counted_alike() {
    for (name, without, first, last) in [
        ("adtech-2024", None, "2024-11-20", "2024-12-19"),
        ("open-bandit", Some("PRODUCT_VIEWS"), "2019-11-24", "2019-11-30"),
        ("online-retail", Some("ADS_VIEWS"), "2010-12-05", "2010-12-10"),
    ] {
        let mut group = Group::of(3);
        if let Some(log) = without {
            group.scene.environment(&format!("TOPSHELF_INPUT__{log}"), "");
        }
        let (url, input) = (group.url(), folder(name).display().to_string());
        let [here, there] = [("here", ""), ("there", &url)].map(|(place, url)| {
            let (lake, store) = (format!("lake-{place}"), format!("sqlite:{place}.db"));
            let days = ["backfill", "--from", first, "--to", last, "--input", &input];
            let places = ["--lake", &lake, "--store", &store, "--cluster", url];
            let ended = group.scene.call(&[&days[..], &places].concat());
            assert!([0, 4].contains(&ended.exit), "some advertisers may be held: {ended:#?}");
            let runs = group.scene.call(&["runs", "--json", "--limit", "100", "--store", &store]).json();
            let digests = runs["runs"].as_array().unwrap().iter();
            let mut digests: Vec<_> =
                digests.map(|run| [&run["day"], &run["rankings_digest"]].map(ToString::to_string)).collect();
            digests.sort();
            ((ended.exit, digests), files(&group.scene.path(&lake)))
        });
        assert!(here.0.1.len() > 5 && here.0 == there.0, "{name}: {:#?} {:#?}", here.0, there.0);
        assert!(here.1 == there.1, "{name}: the lakes differ");
    }
}

/// So many products that some ranges have where an object begins.
pub(crate) fn many_views(group: &Group) {
    let mut views = String::from("advertiser_id,product_id,date\n");
    for row in 0..400_000u32 {
        let advertiser = if row % 10 == 0 { "b" } else { "acme" };
        writeln!(views, "{advertiser},p{:07},2024-11-20", row * 7919 % 1_600_000).unwrap();
    }
    group.scene.write("logs/product_views.csv", views);
    group.scene.write("logs/advertiser_ids.csv", "advertiser_id\nacme\nb\n");
}

#[test]
fn executors_write_what_they_add_up() {
    let mut group = Group::of(2);
    group.scene.environment("TOPSHELF_CLUSTER__ADDERS", "2");
    many_views(&group);
    let cluster = is_the_same(&group);
    let [rows, kept] = ["rows", "rows_kept"].map(|name| cluster[name].as_u64().unwrap());
    assert!(kept > 50_000 && rows + kept >= 400_000, "{cluster}");
    group.scene.environment("TOPSHELF_CLUSTER__EXECUTORS_WRITE", "false");
    forget(&group);
    assert_eq!(is_the_same(&group)["rows_kept"], 0);
}

#[test]
fn what_was_written_of_a_wrong_guess_is_counted_again() {
    let group = Group::of(2);
    let mut views = String::from("advertiser_id,product_id,date\n");
    for row in 0..200_000u32 {
        // In quotes lines end that look like rows: where a task begins is guessed wrong.
        writeln!(views, "acme,\"p{:07}\nacme,b,2024-11-20\n\",2024-11-20", row * 7919 % 1_600_000).unwrap();
    }
    group.scene.write("logs/product_views.csv", views);
    group.scene.write("logs/advertiser_ids.csv", "advertiser_id\nacme\n");
    let cluster = is_the_same(&group);
    assert!(cluster["jobs"] == 2 && cluster["rows_kept"] == 0, "{cluster}");
}
