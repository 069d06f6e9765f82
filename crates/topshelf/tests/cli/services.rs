//! `serve`, `up` and `demo`: they answer, they follow what is published, and they stop when told.

use crate::{
    scene::{DAY, Scene},
    service::{Service, get, get_until},
};
use serde_json::Value;
use std::process::Stdio;

#[test]
fn serve_answers_before_any_run_and_follows_the_first() {
    let scene = Scene::new();
    let mut service = Service::start(&scene, &["serve", "--listen", "127.0.0.1:0"]);
    let address = service.address();
    let problem = get_until(&address, "/recommendations/acme/TopCTR", 404);
    assert_eq!(serde_json::from_str::<Value>(&problem).unwrap()["code"], "no_publication_yet");
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    let answer: Value =
        serde_json::from_str(&get_until(&address, "/recommendations/acme/TopCTR", 200)).unwrap();
    let shown = scene.end_well(&["show", "acme", "TopCTR", "--json"]).json();
    assert_eq!(answer, shown);
    assert_eq!(service.stop("TERM"), Some(0));
}

#[test]
fn serve_stops_at_ctrl_c_too() {
    let scene = Scene::new();
    let mut service = Service::start(&scene, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(get(&service.address(), "/health/live").0, 200);
    assert_eq!(service.stop("INT"), Some(0));
}

#[test]
fn up_serves_and_waits_for_the_night() {
    let scene = Scene::new();
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    let mut service = Service::start(&scene, &["up", "--input", "logs", "--listen", "127.0.0.1:0"]);
    let address = service.address();
    assert!(service.line_with("waiting for the night").contains("next_run_at="));
    get_until(&address, "/recommendations/acme/TopProduct", 200);
    assert_eq!(service.stop("TERM"), Some(0));
}

#[test]
fn the_log_of_a_service_can_be_json() {
    let scene = Scene::new();
    let mut service = Service::start(&scene, &["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    let line: Value = serde_json::from_str(&service.line_with("serving")).unwrap();
    assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"serving".into()));
    assert_eq!(get(line["address"].as_str().unwrap(), "/health/live").0, 200);
}

#[test]
fn demo_serves_what_it_made_at_the_addresses_it_prints() {
    let scene = Scene::new();
    let mut demo = Service::start(&scene, &["demo", "--days", "3", "--listen", "127.0.0.1:0"]);
    // The last address is printed when all are.
    let ready = demo.line_with("/health/ready");
    let (_, url) = ready.split_once("http://").unwrap();
    let (address, _) = url.split_once('/').unwrap();
    get_until(address, "/health/ready", 200);
    let stats: Value = serde_json::from_str(&get(address, "/stats/").1).unwrap();
    assert!(stats["advertisers"]["with_recommendations"].as_u64().unwrap() > 0, "{stats}");
    for line in demo.stdout().lines() {
        let Some((_, path)) = line.split_once(&format!("curl http://{address}")) else { continue };
        assert_eq!(get(address, path).0, 200, "{line}");
    }
    assert_eq!(demo.stop("TERM"), Some(0));
    let runs = scene.end_well(&["runs", "--store", "sqlite:topshelf-demo/topshelf.db", "--json"]).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 3);
}

#[test]
fn demo_prints_its_addresses_as_json_when_asked() {
    let scene = Scene::new();
    let args = ["demo", "--days", "1", "--listen", "127.0.0.1:0", "--json"];
    let mut demo = Service::start(&scene, &args);
    demo.line_with("]");
    let json = demo.stdout();
    let addresses: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error} in {json}"));
    assert!(addresses[0]["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{json}");
}

#[test]
fn a_demo_whose_output_nobody_reads_goes_on() {
    let scene = Scene::new();
    let mut command = scene.command(&["demo", "--days", "1", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut demo = Service::of(child);
    demo.line_with("3/3");
    assert_eq!(demo.stop("TERM"), Some(0));
}

#[test]
fn a_scheduler_whose_nights_would_not_wait_for_the_marker_does_not_start() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_SCHEDULE__INPUT_MARKER", "{day}/_SUCCESS");
    for service in ["schedule", "up"] {
        let ended = scene.call(&[service, "--input", "logs", "--listen", "127.0.0.1:0"]);
        assert_eq!(ended.exit, 2, "{ended:?}");
        for expected in ["the scheduler does not wait for it", "set schedule.wait_for_input = true"] {
            assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        }
    }
}
