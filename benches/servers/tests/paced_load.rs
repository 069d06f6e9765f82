//! The client with a pace of its own against the server of a constant, as they are run.

#![allow(clippy::unwrap_used, reason = "a test that fails says so")]

use serde_json::Value;
use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output},
    thread,
    time::Duration,
};

/// A server that is ended with the test.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(body: &std::path::Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut serve = Command::new(env!("CARGO_BIN_EXE_serve_constant"));
        let process = serve.args(["--listen", &address, "--body"]).arg(body).spawn().unwrap();
        let server = Self { process, address };
        while TcpStream::connect(&server.address).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ask_for(paths: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let [body, paths_file] = ["body", "paths"].map(|name| folder.path().join(name));
    fs::write(&body, "{}").unwrap();
    fs::write(&paths_file, paths).unwrap();
    let server = Server::start(&body);
    let mut paced = Command::new(env!("CARGO_BIN_EXE_paced_load"));
    paced.args(["--address", &server.address, "--rate", "400", "--seconds", "0.5", "--paths"]);
    paced.arg(paths_file).output().unwrap()
}

#[test]
fn each_request_that_is_due_is_sent_and_measured() {
    let done = ask_for("/recommendations/a/TopCTR\n/recommendations/b/TopCTR\n");
    let figures: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(figures["requests"], 200);
    let us = ["p50_us", "p99_us", "p999_us", "max_us"].map(|name| figures[name].as_f64().unwrap());
    assert!(us[0] > 0.0 && us.is_sorted(), "{us:?}");
}

#[test]
fn an_answer_that_is_no_success_fails() {
    let done = ask_for("/recommendations/a/TopCTR\n/nowhere\n");
    assert!(!done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("404 Not Found"));
}
