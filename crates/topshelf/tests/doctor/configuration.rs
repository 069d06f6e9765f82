//! A configuration that cannot be loaded is told as a step too.

use crate::{call::doctor, scene::Scene};

#[test]
fn a_broken_configuration_is_a_step_that_failed() {
    let scene = Scene::new();
    scene.write("topshelf.toml", "[input]\nadds_views = \"x\"\n");
    let said = doctor(&scene, &[]);
    assert_eq!((said.exit, said.ended("failed")), (2, vec!["configuration load".to_owned()]));
    said.holds(
        "configuration load",
        &["unknown configuration key `input.adds_views`", "did you mean `input.ads_views`"],
    );
    said.holds("configuration schedule", &["not tried: load failed"]);
    assert_eq!(said.json["sections"].as_array().unwrap().len(), 1);
    assert!(said.json["day"].is_null());
    let ended = scene.call(&["doctor"]);
    assert_eq!(ended.exit, 2);
    assert!(ended.stdout.contains("✗ load") && ended.stderr.contains("adds_views"), "{ended:#?}");
}

#[test]
fn a_broken_schedule_is_told_by_the_next_step() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_SCHEDULE__TIMEZONE", "Mars");
    let said = doctor(&scene, &[]);
    assert_eq!((said.exit, said.ended("failed")), (2, vec!["configuration schedule".to_owned()]));
    said.holds("configuration schedule", &["no known time zone", "IANA"]);
}

#[cfg(not(feature = "cluster"))]
#[test]
fn a_program_that_cannot_ask_a_cluster_says_so() {
    let said = doctor(&Scene::new(), &["--cluster", "df://127.0.0.1:50050"]);
    said.fails_only("cluster program", &["without the feature `cluster`", "FEATURES=cluster"]);
    said.holds("cluster executors", &["not tried: program failed"]);
}
