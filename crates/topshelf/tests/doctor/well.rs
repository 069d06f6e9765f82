//! When all is well the doctor says so, and has changed nothing.

use crate::{
    buckets::in_buckets,
    call::doctor,
    roles::Database,
    scene::{DAY, Scene},
    unchanged::{assert_unchanged, listing},
};

#[test]
fn all_is_well_in_an_empty_place_and_nothing_is_made() {
    let scene = Scene::new();
    let before = listing(scene.folder());
    let said = doctor(&scene, &[]);
    said.is_well();
    assert_eq!(said.ended("skipped"), ["database database", "lake write"], "there is nothing yet");
    said.holds("lake directory", &["not there yet", "the first run makes it"]);
    assert_unchanged(scene.folder(), &before);
}

#[test]
fn all_is_well_after_a_night_on_sqlite_and_nothing_is_changed() {
    let scene = Scene::new();
    assert_eq!(scene.end().exit, 0);
    let before = listing(scene.folder());
    let said = doctor(&scene, &[]);
    said.is_well();
    assert_eq!(said.ended("skipped"), [""; 0]);
    said.holds("lake write", &["written, the second put refused, deleted"]);
    assert_unchanged(scene.folder(), &before);
}

#[test]
fn all_is_well_on_postgres_and_s3_and_nothing_is_changed() {
    let (scene, database) = (in_buckets(), Database::new());
    let (role, url) = database.role("night");
    database.execute(&format!("GRANT CREATE ON SCHEMA public TO {role}"));
    let places = ["--input", "s3://logs/night", "--lake", "s3://lake/top", "--store", &url];
    scene.end_well(&[&["run", "--day", DAY], &places[..]].concat());
    // Beside its buckets the server keeps notes of its own.
    let (logs_before, lake_before) =
        (listing(&scene.path("buckets/logs")), listing(&scene.path("buckets/lake")));
    let before = database.content();
    let said = doctor(&scene, &places);
    said.is_well();
    assert_eq!(said.ended("skipped"), [""; 0]);
    let steps = |section: usize| {
        let steps = said.json["sections"][section]["steps"].as_array().unwrap().iter();
        steps.map(|step| step["step"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let logs = ["advertiser_ids", "ads_views", "product_views", "read", "columns"];
    assert_eq!(steps(1), [&["resolve", "connect", "clock", "credentials", "bucket"][..], &logs].concat());
    let database_steps = [
        "resolve",
        "connect",
        "tls",
        "login",
        "database",
        "version",
        "writes",
        "migrations",
        "privileges",
        "clock",
    ];
    assert_eq!(steps(2), database_steps);
    // The endpoint has answered for the input.
    assert_eq!(steps(3), ["credentials", "bucket", "write"]);
    assert_eq!(steps(4), ["spill disk", "memory"]);
    assert_unchanged(&scene.path("buckets/logs"), &logs_before);
    assert_unchanged(&scene.path("buckets/lake"), &lake_before);
    assert_eq!(database.content(), before);
}

/// Programs rely on it.
#[test]
fn the_json_says_of_each_step_what_was_tried_and_came_back() {
    let scene = Scene::new();
    scene.remove("logs/product_views.csv");
    let said = doctor(&scene, &[]);
    let json = &said.json;
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(json), ["day", "elapsed_ms", "ok", "sections", "steps"]);
    assert_eq!((&json["ok"], &json["day"]), (&false.into(), &DAY.into()));
    assert_eq!(keys(&json["steps"]), ["failed", "ok", "skipped", "warning"]);
    assert_eq!(json["steps"]["failed"], 1);
    let names: Vec<_> = json["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|section| section["section"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["configuration", "input", "database", "lake", "machine"]);
    assert_eq!(json["sections"][1]["about"], "logs");
    let step = said.step("input product_views");
    assert_eq!(keys(step), ["answer", "cause", "elapsed_ms", "outcome", "remedy", "step", "tried"]);
    assert_eq!(step["tried"], format!("look for the objects of {DAY}"));
    assert!(step["elapsed_ms"].is_f64());
    let step = said.step("lake write");
    assert_eq!((step["outcome"].as_str(), step["elapsed_ms"].is_null()), (Some("skipped"), true));
}

#[test]
fn the_text_marks_each_step_and_sums_up() {
    let scene = Scene::new();
    scene.remove("logs/product_views.csv");
    let ended = scene.call(&[
        "doctor",
        "--day",
        DAY,
        "--input",
        "logs",
        "--store",
        "postgres://night:hunter2@[::1/top",
    ]);
    assert_eq!(ended.exit, 1, "{ended:#?}");
    for line in [
        "\ninput  logs\n",
        "\n  ✓ ads_views      look for the objects of 2024-11-20 → 1 object, ",
        "\n  ✗ product_views  look for the objects of 2024-11-20 → no object of product_views matches",
        "\n                   cause: nobody has written the log",
        "\n                   remedy: set input.product_views to a name",
        "\n  – write          not tried: the directory is not there yet\n",
        " ok, 0 warnings, 2 failed, 1 not tried, in ",
    ] {
        assert!(ended.stdout.contains(line), "{line:?} in {}", ended.stdout);
    }
    assert!(
        ended.stderr.contains("a night would fail: product_views of input, url of database"),
        "{ended:#?}"
    );
    assert!(!ended.stdout.contains("hunter2") && !ended.stderr.contains("hunter2"));
}
