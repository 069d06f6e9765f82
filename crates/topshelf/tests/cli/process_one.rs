//! Commands as process number 1, as a container's only process is: the kernel gives it no signal that nobody listens to.

use crate::scene::Scene;
use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A command in a name space of processes of its own.
struct ProcessOne(Child);

impl ProcessOne {
    fn start(scene: &Scene, args: &[&str]) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--pid", "--fork", "--kill-child", env!("CARGO_BIN_EXE_topshelf")]);
        command.args(args).current_dir(scene.folder()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Sends the signal, and gives the exit code; none when it does not end within ten seconds.
    fn stop(&mut self, signal: &str) -> Option<i32> {
        let unshare = self.0.id();
        let child = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap();
        let killed = Command::new("kill").args([&format!("-{signal}"), child.trim()]).status().unwrap();
        assert!(killed.success());
        let told_at = Instant::now();
        while told_at.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for ProcessOne {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_command_that_waits_ends_at_a_signal() {
    let scene = Scene::new();
    // Whoever connects is never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("postgres://shelf:shelf@{}/shelf", silent.local_addr().unwrap());
    for (command, signal, code) in [("migrate", "TERM", 143), ("runs", "INT", 130)] {
        let mut waits = ProcessOne::start(&scene, &[command, "--store", &store]);
        let _asked = silent.accept().unwrap();
        assert_eq!(waits.stop(signal), Some(code), "{command}");
    }
}

#[test]
fn a_command_that_works_on_the_first_thread_ends_at_a_signal() {
    let scene = Scene::new();
    let mut works = ProcessOne::start(&scene, &["generate", "--out", "new", "--rows", "1000000000"]);
    let has_begun = || fs::read_dir(scene.path("new")).is_ok_and(|mut files| files.next().is_some());
    while !has_begun() {
        assert_eq!(works.0.try_wait().unwrap(), None, "it ended before it was told to");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(works.stop("TERM"), Some(143));
}

/// What ends in good order goes on to do so.
#[test]
fn a_night_under_way_is_told_to_stop_all_the_same() {
    let scene = Scene::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("postgres://shelf:shelf@{}/shelf", silent.local_addr().unwrap());
    let mut waits = ProcessOne::start(&scene, &["run", "--input", "logs", "--store", &store]);
    let _asked = silent.accept().unwrap();
    assert_eq!(waits.stop("TERM"), Some(1));
}
