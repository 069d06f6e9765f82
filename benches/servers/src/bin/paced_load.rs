//! A client that keeps its own pace, whatever the server does: requests are sent at times fixed before.
//!
//! Latency is counted from the time at which a request was due. A server that stands still so makes all the
//! requests late that were due meanwhile, as it would with callers who do not wait for each other; a client that
//! sends only after an answer would hide that (Gil Tene's "coordinated omission"). Prints one line of JSON.
//!
//! Without a server it tells how late each request is noticed to be due: so late the machine alone makes them.

use bench_servers::latencies::Percentiles;
use clap::Parser;
use std::{
    error::Error,
    fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long after the last request was due all answers must be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for paths in turn, so many a second, over connections that stay open.
#[derive(Parser)]
struct Arguments {
    /// Host and port of the server; without, nobody is asked
    #[arg(long, requires = "paths")]
    address: Option<String>,
    /// A file with a path on each line
    #[arg(long, requires = "address")]
    paths: Option<PathBuf>,
    /// Requests a second
    #[arg(long)]
    rate: f64,
    /// For how long
    #[arg(long)]
    seconds: f64,
    /// Connections, which take turns
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { address, paths, rate, seconds, connections } = Arguments::parse();
    let time = Duration::from_secs_f64(seconds);
    let latencies = match address.zip(paths) {
        None => wait(rate, time),
        Some((address, paths)) => {
            let paths = fs::read_to_string(paths)?;
            let request = |path| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
            let requests: Vec<Vec<u8>> = paths.lines().map(request).collect();
            if requests.is_empty() || connections == 0 {
                return Err("there is nothing to ask for, or nobody to ask".into());
            }
            let connect = |_| Connection::to(&address);
            ask((0..connections).map(connect).collect::<io::Result<Vec<_>>>()?, &requests, rate, time)?
        }
    };
    println!("{}", serde_json::to_string(&Percentiles::of(latencies))?);
    Ok(())
}

/// How late a thread that never sleeps notices that each request is due.
fn wait(rate: f64, time: Duration) -> Vec<Duration> {
    let started = Instant::now();
    let late = |after: Duration| {
        loop {
            if let Some(late) = started.elapsed().checked_sub(after) {
                break late;
            }
        }
    };
    (0..).map_while(|number| due(number, rate, time)).map(late).collect()
}

/// Sends each request when it is due, over a connection that waits for nothing; how late each answer was there.
///
/// One thread that never sleeps: what wakes a thread takes longer than the server does.
fn ask(
    mut connections: Vec<Connection>,
    requests: &[Vec<u8>],
    rate: f64,
    time: Duration,
) -> io::Result<Vec<Duration>> {
    let (mut idle, mut busy): (Vec<usize>, Vec<usize>) = ((0..connections.len()).rev().collect(), Vec::new());
    let (mut latencies, mut next) = (Vec::new(), 0);
    let started = Instant::now();
    loop {
        while let Some(at) =
            due(next, rate, time).map(|after| started + after).filter(|at| *at <= Instant::now())
        {
            let Some(connection) = idle.pop() else { break };
            connections[connection].send(&requests[next % requests.len()], at)?;
            busy.push(connection);
            next += 1;
        }
        let mut index = 0;
        while index < busy.len() {
            match connections[busy[index]].answered()? {
                None => index += 1,
                Some(latency) => {
                    latencies.push(latency);
                    idle.push(busy.swap_remove(index));
                }
            }
        }
        if busy.is_empty() && due(next, rate, time).is_none() {
            return Ok(latencies);
        }
        if started.elapsed() > time + PATIENCE {
            return Err(io::Error::other("the server does not keep up with this pace"));
        }
    }
}

/// When the request of that number is due after the start; none when there is no such request.
fn due(number: usize, rate: f64, time: Duration) -> Option<Duration> {
    #[expect(clippy::cast_precision_loss, reason = "a time to the microsecond needs no more")]
    let after = Duration::from_secs_f64(number as f64 / rate);
    (after < time).then_some(after)
}

/// A connection that stays open, with one request at a time.
struct Connection {
    stream: TcpStream,
    /// When the request under way was due.
    due: Instant,
    received: Vec<u8>,
}

impl Connection {
    fn to(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, due: Instant::now(), received: Vec::new() })
    }

    fn send(&mut self, request: &[u8], due: Instant) -> io::Result<()> {
        self.received.clear();
        self.due = due;
        self.stream.write_all(request)
    }

    /// How late the answer is there, once it is; its status must be 200.
    fn answered(&mut self) -> io::Result<Option<Duration>> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.received.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        match answer_bytes(&self.received)? {
            Some(bytes) if self.received.len() > bytes => Err(io::Error::other("an answer is too long")),
            Some(bytes) if self.received.len() == bytes => Ok(Some(self.due.elapsed())),
            _ => Ok(None),
        }
    }
}

/// How many bytes the answer has of which these are the first; none when they do not tell yet.
fn answer_bytes(received: &[u8]) -> io::Result<Option<usize>> {
    let Some(head_end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&received[..head_end]);
    if !head.starts_with("HTTP/1.1 200 ") {
        let status = head.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!("the server answered {status}")));
    }
    let mut lengths = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = lengths.next().ok_or_else(|| io::Error::other("an answer does not tell its length"))?;
    Ok(Some(head_end + 4 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_its_length_once_its_head_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 2\r\n\r\nab";
        assert_eq!(answer_bytes(&answer[..40]).unwrap(), None);
        for received in [answer.len() - 2, answer.len() - 1, answer.len()] {
            assert_eq!(answer_bytes(&answer[..received]).unwrap(), Some(answer.len()));
        }
    }

    #[test]
    fn an_answer_that_is_no_success_or_without_length_fails() {
        let missing = answer_bytes(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").unwrap_err();
        assert_eq!(missing.to_string(), "the server answered HTTP/1.1 404 Not Found");
        assert!(answer_bytes(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn without_a_server_each_request_is_noticed_once_it_is_due() {
        let began = Instant::now();
        assert_eq!(wait(1_000.0, Duration::from_millis(20)).len(), 20);
        assert!(began.elapsed() >= Duration::from_millis(19));
    }

    #[test]
    fn requests_are_due_evenly() {
        let due = |number| due(number, 1_000.0, Duration::from_millis(3));
        assert_eq!([0, 1, 2].map(due), [0, 1, 2].map(|ms| Some(Duration::from_millis(ms))));
        assert_eq!(due(3), None);
    }
}
