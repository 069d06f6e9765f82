//! What the configuration says of the way in to the API, seen at the server that it starts.

use crate::{
    scene::Scene,
    service::{Service, get, get_until},
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

/// A scene whose configuration says that of `serve`.
fn serving(says: &str) -> Scene {
    let scene = Scene::new();
    scene.write("topshelf.toml", format!("[serve]\nlisten = \"127.0.0.1:0\"\n{says}"));
    scene
}

/// Everything that comes back, as text as far as it is text; nothing when the server hangs up.
fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told); // a reset ends a connection too
    String::from_utf8_lossy(&told).into_owned()
}

#[test]
fn operators_have_a_listener_of_their_own() {
    let scene = serving("operator_listen = \"127.0.0.1:0\"");
    let mut service = Service::start(&scene, &["serve"]);
    let (operators, public) = (service.address(), service.address());
    for path in ["/metrics", "/health"] {
        assert_eq!((get(&operators, path).0, get(&public, path).0), (200, 404), "{path}");
    }
}

#[test]
fn each_client_of_a_trusted_proxy_has_the_rate_to_itself() {
    let of_one = |says: &str| {
        let scene = serving(&format!("requests_per_second = 1\nrequests_burst = 1\n{says}"));
        let mut service = Service::start(&scene, &["serve"]);
        let address = service.address();
        let ask = |number| {
            let client = format!("X-Forwarded-For: 198.51.100.{number}\r\nConnection: close");
            exchange(&address, &format!("GET /nothing HTTP/1.1\r\nHost: a\r\n{client}\r\n\r\n"))
        };
        (1..=20).filter(|number| ask(*number).starts_with("HTTP/1.1 404 ")).count()
    };
    assert_eq!(of_one("trusted_proxies = [\"127.0.0.0/8\"]"), 20);
    assert!(of_one("") < 20);
}

#[test]
fn keys_are_asked_for_when_they_are_required() {
    let scene = serving("keys = \"required\"");
    let mut service = Service::start(&scene, &["serve"]);
    get_until(&service.address(), "/recommendations/acme/TopCTR", 401);
}

#[test]
fn with_a_certificate_there_is_no_http_without_tls() {
    let scene = serving("tls_certificate = \"server.pem\"\ntls_key = \"server.key\"");
    let refused = |told: &str| {
        let mut service = Service::start(&scene, &["serve"]);
        service.line_with(told);
        assert_ne!(service.end(), Some(0));
    };
    refused("could not read serve.tls_certificate server.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    scene.write("server.pem", certificate.pem());
    refused("could not read serve.tls_key server.key");
    fs::write(scene.path("server.key"), key.serialize_pem()).unwrap();
    let mut service = Service::start(&scene, &["serve"]);
    let line = service.line_with("serving");
    assert!(line.contains("https://"), "{line}");
    let (_, address) = line.rsplit_once("address=").unwrap();
    let told = exchange(address, "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!told.contains("HTTP"), "{told}");
}
