//! The program as process number 1, told to stop.

use crate::{
    engine::{Engine, PATIENCE},
    network,
    place::{DAY, Place},
};
use futures::FutureExt;
use std::{
    future::{pending, ready},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Duration,
};

/// What container engines give by default.
const GRACE: Duration = Duration::from_secs(10);

/// What the runbook promises of a night under way.
const NIGHT_ENDS_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn everything_that_serves_ends_within_the_grace_of_container_engines() {
    network::enter();
    let engine = Engine::new();
    for command in ["serve", "up"] {
        let served = engine.start(command, &[], &[command]);
        served.until_ready();
        // A connection that rests does not keep it.
        let mut resting = TcpStream::connect("127.0.0.1:8080").unwrap();
        resting.write_all(b"GET /health/live HTTP/1.1\r\nHost: shelf\r\n\r\n").unwrap();
        assert!(resting.read(&mut [0; 16]).unwrap() > 0);
        let (elapsed, code) = served.stop(GRACE.as_secs().try_into().unwrap());
        assert_eq!(code, 0, "{}", served.log());
        assert!(elapsed < GRACE, "{command}: {elapsed:?}");
    }
}

#[test]
fn a_server_that_waits_for_its_database_ends_at_once() {
    network::enter();
    let engine = Engine::new();
    for command in ["serve", "schedule", "up"] {
        // Whoever connects is never answered; what the one before has left is not taken for the next.
        let silent = TcpListener::bind("127.0.0.1:5432").unwrap();
        let store = "--env=TOPSHELF_STORE__URL=postgres://shelf:shelf@127.0.0.1/shelf";
        let starting = engine.start(command, &[store], &[command]);
        let _asked = silent.accept().unwrap();
        let (elapsed, code) = starting.stop(GRACE.as_secs().try_into().unwrap());
        assert_eq!(code, 0, "{command}: {}", starting.log());
        assert!(elapsed < GRACE / 2, "{command}: {elapsed:?}");
    }
}

#[test]
fn a_night_under_way_is_noted_as_stopped_within_its_time() {
    let (stuck, read) = mpsc::channel();
    // The log of ads is asked for, and never comes.
    let place = Place::behind(move |_, path| {
        let is_stuck = path.starts_with("/logs/ads_views");
        if is_stuck {
            stuck.send(()).unwrap();
        }
        let answered = async move {
            if is_stuck {
                pending().await
            }
        };
        (answered.boxed(), ready(()).boxed())
    });
    let settings = place.settings();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let night = place.engine.start("night", &settings, &["run", "--day", DAY]);
    read.recv_timeout(PATIENCE).unwrap();
    let (elapsed, code) = night.stop(NIGHT_ENDS_WITHIN.as_secs().try_into().unwrap());
    assert_eq!(code, 1, "{}", night.log());
    assert!(elapsed < NIGHT_ENDS_WITHIN, "{elapsed:?}");
    let runs = place.engine.end_well(&settings, &["runs", "--json"]);
    let runs: serde_json::Value = serde_json::from_str(&runs).unwrap();
    let run = &runs["runs"][0];
    assert_eq!((&run["status"], &run["error"]), (&"stopped".into(), &"stopped: SIGTERM".into()));
}
