//! `topshelf health`: exit code 0 as long as the server answers, 1 when it does not.

use crate::{scene::Scene, service::Service};
use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

#[test]
fn a_server_is_healthy_as_long_as_it_answers() {
    let scene = Scene::new();
    let mut server = Service::start(&scene, &["serve", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    let ask = |more: &[&str]| {
        let asked = ["health", "--listen", address.as_str()];
        scene.call(&asked.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let ended = ask(&[]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
    assert!(
        ended.stdout.starts_with(&format!("http://{address}/health/live says live (200 OK) after ")),
        "{}",
        ended.stdout
    );
    let told: serde_json::Value = serde_json::from_str(&ask(&["--ready", "--json"]).stdout).unwrap();
    assert_eq!(told["url"], format!("http://{address}/health/ready"));
    assert_eq!((&told["is_healthy"], &told["http_status"]), (&true.into(), &200.into()));
    assert_eq!(told["answer"]["status"], "no_publication_yet");
    // A process that stands still accepts connections, by its kernel, and answers none.
    server.signal("STOP");
    let ended = ask(&["--timeout", "300ms"]);
    assert_eq!((ended.exit, ended.stdout.as_str()), (1, ""));
    assert!(
        ended.stderr.contains("does not answer") && ended.stderr.contains("--timeout"),
        "{}",
        ended.stderr
    );
    server.signal("CONT");
    assert_eq!(ask(&[]).exit, 0);
    assert_eq!(server.stop("INT"), Some(0));
    let ended = ask(&[]);
    assert_eq!((ended.exit, ended.stdout.as_str()), (1, ""));
    assert!(
        ended.stderr.contains(&format!("http://{address}/health/live does not answer")),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("is the server running"), "{}", ended.stderr);
}

#[test]
fn a_server_with_a_certificate_of_any_name_is_asked_by_tls() {
    let scene = Scene::new();
    let made = rcgen::generate_simple_self_signed(["shelf.example".to_owned()]).unwrap();
    scene.write("crt.pem", made.cert.pem());
    scene.write("key.pem", made.signing_key.serialize_pem());
    let configured = "[serve]\ntls_certificate = \"crt.pem\"\ntls_key = \"key.pem\"\n";
    scene.write("topshelf.toml", configured);
    let mut server = Service::start(&scene, &["serve", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    let ended = scene.call(&["health", "--listen", &address]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
    assert!(
        ended.stdout.starts_with(&format!("https://{address}/health/live says live")),
        "{}",
        ended.stdout
    );
}

#[test]
fn another_server_in_its_place_is_told_from_ours() {
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        // Whoever hangs up before he has read all may take his answer back with that.
        assert!(socket.read(&mut [0; 4096]).unwrap() > 0);
        socket.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\noops").unwrap();
    });
    let ended = scene.call(&["health", "--listen", &address, "--json"]);
    assert_eq!(ended.exit, 1);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&told["is_healthy"], &told["http_status"]), (&false.into(), &503.into()));
    assert!(ended.stderr.contains("says nothing that is known of topshelf (503"), "{}", ended.stderr);
}

#[test]
fn where_a_server_listens_must_be_known() {
    let ended = Scene::new().call(&["health", "--listen", "127.0.0.1:0"]);
    assert_eq!((ended.exit, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("--listen 127.0.0.1:8080"), "{}", ended.stderr);
}
