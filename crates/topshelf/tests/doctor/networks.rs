//! Between here and the servers: names that are none, ports at which nobody listens, packets that are dropped.

use crate::{
    authority::Authority,
    call::doctor,
    scene::Scene,
    servers::{Before, dropping_port, mute, refused_port, tls},
};

const URL: &str = "postgres://night:hunter2@127.0.0.1";

#[test]
fn a_wrong_port_is_refused() {
    let mut scene = Scene::new();
    let port = refused_port(&mut scene);
    let said = doctor(&scene, &["--store", &format!("{URL}:{port}/top")]);
    said.fails_only(
        "database connect",
        &["refused", "nothing listens at its port", "check the port in store.url"],
    );
    let later = ["tls", "login", "database", "version", "writes", "migrations", "privileges", "clock"];
    let later = later.map(|step| format!("database {step}"));
    assert_eq!(said.ended("skipped").iter().filter(|step| step.starts_with("database")).count(), later.len());
    said.holds("database clock", &["not tried: connect failed"]);
    // Other sections go on.
    assert_eq!(said.step("lake directory")["outcome"], "ok");
}

#[test]
fn a_webhook_that_cannot_be_reached_is_a_warning_and_its_path_is_not_shown() {
    let at = |scene: &mut Scene, scheme: &str, port: u16| {
        let url = format!("{scheme}://127.0.0.1:{port}/services/T0/hunter2");
        scene.environment("TOPSHELF_SCHEDULE__WEBHOOK", &url);
    };
    let mut scene = Scene::new();
    let port = refused_port(&mut scene);
    at(&mut scene, "https", port);
    let said = doctor(&scene, &[]);
    said.warns("webhook connect", &["refused", "check the port in schedule.webhook"]);
    said.holds("webhook tls", &["not tried: connect failed"]);
    assert_eq!(said.json["sections"][5]["about"], format!("https://127.0.0.1:{port}/…"));

    let mut scene = Scene::new();
    let port = mute(&mut scene);
    at(&mut scene, "https", port);
    doctor(&scene, &[]).warns("webhook tls", &["no answer within 7 s"]);

    let mut scene = Scene::new();
    let port = tls(&mut scene, &Authority::new().sign("127.0.0.1", 2099), Before::Https);
    at(&mut scene, "https", port);
    doctor(&scene, &[]).warns("webhook tls", &["issued by", "SSL_CERT_FILE"]);

    let mut scene = Scene::new();
    let port = mute(&mut scene);
    at(&mut scene, "http", port);
    doctor(&scene, &[]).is_well();
}

#[test]
fn dropped_packets_are_told_from_refused_ones() {
    let mut scene = Scene::new();
    let port = dropping_port(&mut scene);
    let said = doctor(&scene, &["--store", &format!("{URL}:{port}/top")]);
    let allow = format!("allow TCP {port} from 127.0.0.1 (this machine) to 127.0.0.1");
    let words = ["did not answer within 4 s", "dropped in silence", "security group", &allow];
    said.fails_only("database connect", &words);
    let took = said.step("database connect")["elapsed_ms"].as_f64().unwrap();
    assert!((4000. ..8000.).contains(&took), "{took}");
}

#[test]
fn a_name_that_is_none_is_told() {
    let scene = Scene::new();
    // No name server is asked for it: no part of a name is longer than 63 letters.
    let host = format!("{}.rds.amazonaws.com", "d".repeat(64));
    let said = doctor(&scene, &["--store", &format!("postgres://night:hunter2@{host}/top")]);
    said.fails_only("database resolve", &["the name is misspelt", "store.url", "enableDnsHostnames"]);
}

#[test]
fn a_server_that_does_not_answer_costs_one_step_its_time() {
    let mut scene = Scene::new();
    let port = mute(&mut scene);
    let said = doctor(&scene, &["--store", &format!("{URL}:{port}/top")]);
    said.fails_only("database tls", &["no answer within 8 s"]);
    assert!(said.json["elapsed_ms"].as_u64().unwrap() < 20_000);
}

#[test]
fn an_endpoint_at_which_nobody_listens_is_told_once_for_input_and_lake() {
    let mut scene = Scene::new();
    let port = refused_port(&mut scene);
    scene.environment("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"));
    scene.environment("AWS_ACCESS_KEY_ID", "AKID");
    scene.environment("AWS_SECRET_ACCESS_KEY", "hunter2");
    let said = doctor(&scene, &["--input", "s3://logs/night"]);
    said.fails_only("input connect", &["refused", "S3 is down", "AWS_ENDPOINT_URL"]);
    said.holds("input ads_views", &["not tried: connect failed"]);
}

#[test]
fn requests_through_a_proxy_are_tried_through_it() {
    let mut scene = Scene::new();
    let (port, server) = (refused_port(&mut scene), mute(&mut scene));
    scene.environment("AWS_ENDPOINT_URL", &format!("http://s3.example:{server}"));
    scene.environment("AWS_ACCESS_KEY_ID", "AKID");
    scene.environment("AWS_SECRET_ACCESS_KEY", "hunter2");
    scene.environment("HTTP_PROXY", &format!("http://127.0.0.1:{port}"));
    let said = doctor(&scene, &["--input", "s3://logs/night"]);
    said.fails_only("input connect", &["the proxy is down", "HTTP_PROXY"]);
    said.holds("input resolve", &["the proxy of HTTP_PROXY"]);
}
