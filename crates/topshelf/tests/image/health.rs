//! The image's `HEALTHCHECK`.

use crate::{engine::Engine, network};
use std::process::Command;

fn signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_server_that_stops_answering_is_unhealthy_until_it_answers() {
    network::enter();
    let engine = Engine::new();
    let served = engine.start("served", &[], &["serve"]);
    served.until_ready();
    assert_eq!(served.checked(), "healthy");
    signal(served.pid(), "STOP");
    let retries = 3;
    let checks: Vec<_> = (0..retries).map(|_| served.checked()).collect();
    assert_eq!(checks.last().unwrap(), "unhealthy", "{checks:?}");
    signal(served.pid(), "CONT");
    assert_eq!(served.checked(), "healthy");
}

#[test]
fn a_server_elsewhere_in_the_container_is_found_by_its_configuration() {
    network::enter();
    let engine = Engine::new();
    let served = engine.start("served", &["--env=TOPSHELF_SERVE__LISTEN=[::]:9999"], &["serve"]);
    served.until_ready();
    assert_eq!(served.checked(), "healthy");
}
