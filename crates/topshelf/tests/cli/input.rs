//! `input`: whether a day's input is there, before anything is made of it.

use crate::scene::{DAY, Scene};
use serde_json::json;
use std::{
    fs::File,
    time::{Duration, SystemTime},
};

const INPUT: [&str; 5] = ["input", "--day", DAY, "--input", "logs"];

/// What `input` tells programs.
fn told(scene: &Scene) -> serde_json::Value {
    scene.end_well(&[&INPUT[..], &["--json"]].concat()).json()
}

/// What lacks, and what to do about it.
fn lacks(scene: &Scene, expected: &[&str]) {
    let ended = scene.call(&[&INPUT[..], &["--json"]].concat());
    assert_eq!((ended.exit, ended.stdout.as_str()), (1, ""), "{ended:?}");
    for expected in expected {
        assert!(ended.stderr.contains(expected), "{expected} is not in {}", ended.stderr);
    }
}

/// As if the file had been written last when the day was not over.
fn age(scene: &Scene, name: &str) {
    let during_the_day: SystemTime = SystemTime::UNIX_EPOCH + Duration::from_secs(1_732_114_800);
    File::options().write(true).open(scene.path(name)).unwrap().set_modified(during_the_day).unwrap();
}

#[test]
fn what_is_there_is_told_small() {
    let scene = Scene::new();
    let bytes = |name: &str| scene.path(name).metadata().unwrap().len();
    let mut ads = bytes("logs/ads_views.csv");
    for object in 0..300 {
        let name = format!("logs/ads_views.{object}.csv");
        scene.write(&name, "advertiser_id,product_id,type,date\n");
        ads += bytes(&name);
    }
    let expected = json!({
        "day": DAY,
        "logs": {
            "advertiser_ids": { "objects": 1, "size_bytes": bytes("logs/advertiser_ids.csv") },
            "ads_views": { "objects": 301, "size_bytes": ads },
            "product_views": { "objects": 1, "size_bytes": bytes("logs/product_views.csv") },
        },
        "models": ["TopCTR", "TopProduct"],
    });
    assert_eq!(told(&scene), expected);
    let text = scene.end_well(&INPUT).stdout;
    for line in [
        " ads_views            301 ",
        "the input of 2024-11-20 is there; it can be ranked by TopCTR, TopProduct",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!scene.path("topshelf-data").exists(), "nothing was made, and no database asked");
}

#[test]
fn models_whose_log_there_is_not_are_left_out() {
    let mut scene = Scene::new();
    scene.remove("logs/product_views.csv");
    lacks(&scene, &["no object of product_views", "TOPSHELF_INPUT__PRODUCT_VIEWS="]);
    scene.environment("TOPSHELF_INPUT__PRODUCT_VIEWS", "");
    let told = told(&scene);
    assert_eq!(told["models"], json!(["TopCTR"]));
    assert_eq!(told["logs"].as_object().unwrap().keys().collect::<Vec<_>>(), ["ads_views", "advertiser_ids"]);
    let text = scene.end_well(&INPUT).stdout;
    assert!(text.contains("TopProduct cannot be computed: it needs product_views"), "{text}");
    scene.environment("TOPSHELF_RANKING__MODELS", "[\"topproduct\"]");
    assert_eq!(scene.end_well(&[&INPUT[..], &["--json"]].concat()).json()["models"], json!([]));
}

#[test]
fn a_log_of_many_days_is_there_once_it_was_written_after_the_day_and_from_then_on() {
    let scene = Scene::new();
    age(&scene, "logs/advertiser_ids.csv");
    age(&scene, "logs/ads_views.csv");
    lacks(&scene, &["no object of ads_views was written since 2024-11-20 ended", "schedule.input_marker"]);
    scene.ads("");
    let before = told(&scene);
    // A day that was run is asked for again as it was before.
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    assert_eq!(told(&scene), before);
    scene.ads("");
    assert_eq!(told(&scene), before);
}

/// Whether the scheduler waits is another question.
#[test]
fn the_marker_is_looked_for_where_one_is_named_and_the_logs_beside_it() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_SCHEDULE__INPUT_MARKER", "{day}/_SUCCESS");
    lacks(&scene, &["logs/2024-11-20/_SUCCESS is not there", "schedule.input_marker names an object"]);
    scene.write("logs/2024-11-20/_SUCCESS", "");
    // It says that the logs are whole, whenever they were written.
    age(&scene, "logs/ads_views.csv");
    assert_eq!(told(&scene)["logs"]["ads_views"]["objects"], 1);
    scene.remove("logs/ads_views.csv");
    lacks(&scene, &["no object of ads_views"]);
}

#[test]
fn a_place_that_is_not_there_and_a_wrong_setting_fail_as_everywhere() {
    let mut scene = Scene::new();
    let ended = scene.call(&["input", "--day", DAY, "--input", "nowhere"]);
    assert_eq!(ended.exit, 1, "{ended:?}");
    scene.environment("TOPSHELF_RANKING__MODELS", "[\"TopCRT\"]");
    assert_eq!(scene.call(&INPUT).exit, 2);
}
