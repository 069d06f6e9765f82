//! `generate`: the same options, the same bytes; nothing that is there is lost.

use crate::{files::files, scene::Scene};
use std::collections::BTreeMap;

const SMALL: [&str; 10] =
    ["generate", "--rows", "1000", "--advertisers", "5", "--products", "9", "--days", "2", "--out"];

fn generated(scene: &Scene, out: &str, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
    scene.end_well(&[&SMALL[..], &[out], more].concat());
    files(&scene.path(out))
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let scene = Scene::new();
    for layout in ["single", "daily", "hive"] {
        let make = |out: &str, seed| {
            generated(&scene, &format!("{layout}/{out}"), &["--layout", layout, "--seed", seed])
        };
        let first = make("first", "1");
        assert_eq!(first, make("second", "1"), "{layout}");
        assert_ne!(first, make("third", "2"), "{layout}");
    }
}

#[test]
fn files_that_are_there_are_replaced_only_when_asked() {
    let scene = Scene::new();
    let before = files(&scene.path("logs"));
    let ended = scene.call(&[&SMALL[..], &["logs"]].concat());
    assert_eq!(ended.exit, 2, "{ended:?}");
    assert!(ended.stderr.contains("logs/advertiser_ids.csv is there already"), "{ended:?}");
    assert_eq!(files(&scene.path("logs")), before);
    assert_eq!(generated(&scene, "logs", &["--overwrite"]), generated(&scene, "new", &[]));
}

#[test]
fn every_format_is_written_in_every_layout() {
    let scene = Scene::new();
    let formats = [
        ("tsv", "none", "tsv"),
        ("jsonl", "none", "jsonl"),
        ("csv", "gzip", "csv.gz"),
        ("csv", "zstd", "csv.zst"),
    ];
    for (format, compress, ending) in formats {
        for (layout, ads) in [
            ("single", "ads_views"),
            ("daily", "ads_views-2024-11-21"),
            ("hive", "ads_views/date=2024-11-21/part-0"),
        ] {
            let out = format!("{ending}/{layout}");
            let more = ["--layout", layout, "--format", format, "--compress", compress];
            let files = generated(&scene, &out, &more);
            assert!(files.contains_key(&format!("{ads}.{ending}")), "{:?}", files.keys());
            assert!(files.contains_key(&format!("advertiser_ids.{ending}")), "{:?}", files.keys());
        }
    }
}

#[test]
fn counts_are_the_same_whatever_the_format() {
    let scene = Scene::new();
    let counted = |out: &str, more: &[&str]| {
        generated(&scene, out, more);
        let counted = ["count", "--day", "2024-11-21", "--lake", out, "--json", "--input", out];
        scene.end_well(&counted).json()["counts_digest"].clone()
    };
    let plain = counted("plain", &[]);
    assert!(plain.is_string(), "{plain}");
    assert_eq!(counted("tabs", &["--format", "tsv"]), plain);
    assert_eq!(counted("zstd", &["--compress", "zstd"]), plain);
    assert_eq!(counted("json", &["--format", "jsonl", "--extra-columns", "2"]), plain);
    assert_eq!(counted("gzip", &["--format", "tsv", "--compress", "gzip", "--extra-columns", "3"]), plain);
}

#[test]
fn every_layout_is_read_with_its_template() {
    for (layout, template) in [("single", "*"), ("daily", "-{day}.csv"), ("hive", "/date={yyyy}-{mm}-{dd}")] {
        let mut scene = Scene::new();
        generated(&scene, "new", &["--layout", layout]);
        for log in ["ads_views", "product_views"] {
            scene
                .environment(&format!("TOPSHELF_INPUT__{}", log.to_uppercase()), &format!("{log}{template}"));
        }
        let counted = scene.end_well(&["count", "--day", "2024-11-21", "--input", "new", "--json"]).json();
        let tally = &counted["logs"]["ads_views"]["tally"];
        let events = ["kept", "inactive"].map(|name| tally[name].as_u64().unwrap());
        assert_eq!(events.iter().sum::<u64>(), 1000, "{layout}: {tally}");
    }
}
