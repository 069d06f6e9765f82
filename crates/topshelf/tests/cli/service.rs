//! A command that goes on until it is told to stop.

use crate::scene::Scene;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

/// Longer than anything that is waited for takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running command. Dropped, it is killed.
pub(crate) struct Service {
    process: Child,
    /// Lines of stdout and stderr, as they are printed.
    lines: Receiver<(Source, String)>,
    seen: Vec<(Source, String)>,
}

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Stdout,
    Stderr,
}

impl Service {
    pub(crate) fn start(scene: &Scene, args: &[&str]) -> Self {
        Self::of(scene.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// A process whose stderr, and stdout if it still has one, are pipes.
    pub(crate) fn of(mut process: Child) -> Self {
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = process.stdout.take() {
            send_lines(stdout, Source::Stdout, sender.clone());
        }
        send_lines(process.stderr.take().unwrap(), Source::Stderr, sender);
        Self { process, lines, seen: Vec::new() }
    }

    /// The first line from here on that holds `text`.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        loop {
            let Ok((source, line)) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with {text:?} in {:#?}", self.seen);
            };
            self.seen.push((source, line.clone()));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// What was printed on stdout up to the line that was waited for.
    pub(crate) fn stdout(&self) -> String {
        let lines = self.seen.iter().filter(|(source, _)| *source == Source::Stdout);
        lines.map(|(_, line)| format!("{line}\n")).collect()
    }

    /// The address that a service says it listens on.
    pub(crate) fn address(&mut self) -> String {
        let line = self.line_with("address=");
        line.rsplit_once("address=").unwrap().1.to_owned()
    }

    /// The process' id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.process.id());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Asks it to stop, and gives the exit code.
    pub(crate) fn stop(self, signal: &str) -> Option<i32> {
        self.signal(signal);
        self.end()
    }

    /// Waits until it ends by itself, and gives the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        let code = self.process.wait().unwrap().code();
        self.seen.extend(self.lines.iter());
        let panics = self.seen.iter().any(|(_, line)| line.contains("panicked"));
        assert!(!panics, "{:#?}", self.seen);
        code
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn send_lines(from: impl Read + Send + 'static, source: Source, to: Sender<(Source, String)>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send((source, line)).is_err() {
                break;
            }
        }
    });
}

/// The status line's code and the body of `GET path`.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// What `GET path` answers once it answers with that code.
pub(crate) fn get_until(address: &str, path: &str, code: u16) -> String {
    let begun = Instant::now();
    loop {
        let (answered, body) = get(address, path);
        if answered == code {
            return body;
        }
        assert!(begun.elapsed() < PATIENCE, "{path} still answers {answered}: {body}");
        thread::sleep(Duration::from_millis(20));
    }
}
