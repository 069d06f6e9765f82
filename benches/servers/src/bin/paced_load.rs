//! A client that keeps its own pace, whatever the server does: requests are sent at times fixed before.
//!
//! Latency is counted from the time at which a request was due. A server that stands still so makes all the
//! requests late that were due meanwhile, as it would with callers who do not wait for each other; a client that
//! sends only after an answer would hide that (Gil Tene's "coordinated omission"). Prints one line of JSON.

use bench_servers::latencies::Percentiles;
use clap::Parser;
use std::{
    error::Error,
    fs, io,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

/// How long after the last request was due all answers must be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for paths in turn, so many a second, over connections that stay open.
#[derive(Parser)]
struct Arguments {
    /// Host and port of the server
    #[arg(long)]
    address: String,
    /// A file with a path on each line
    #[arg(long)]
    paths: PathBuf,
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

/// A request, and when it is due.
struct Due {
    at: Instant,
    request: usize,
}

// One thread: the server, on the same machine, needs the others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let paths = fs::read_to_string(&arguments.paths)?;
    let request = |path| format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", arguments.address).into_bytes();
    let requests: Arc<Vec<Vec<u8>>> = Arc::new(paths.lines().map(request).collect());
    if requests.is_empty() || arguments.connections == 0 {
        return Err("there is nothing to ask for, or nobody to ask".into());
    }
    let (mut connections, mut calls) = (JoinSet::new(), Vec::new());
    for _ in 0..arguments.connections {
        let stream = TcpStream::connect(&arguments.address).await?;
        stream.set_nodelay(true)?;
        let (sender, due) = unbounded_channel();
        calls.push(sender);
        connections.spawn(answer_in_turn(stream, due, requests.clone()));
    }
    let (rate, count) = (arguments.rate, requests.len());
    let time = Duration::from_secs_f64(arguments.seconds);
    thread::spawn(move || call_in_time(rate, time, count, &calls));
    let all = tokio::time::timeout(time + PATIENCE, connections.join_all()).await;
    let all = all.map_err(|_| "the server does not keep up with this pace")?;
    let latencies: Vec<Vec<Duration>> = all.into_iter().collect::<io::Result<_>>()?;
    println!("{}", serde_json::to_string(&Percentiles::of(latencies.concat()))?);
    Ok(())
}

/// Calls the connections in turn, each at the time when its request is due. A thread of its own: the
/// runtime's timers go by whole milliseconds.
fn call_in_time(rate: f64, time: Duration, requests: usize, calls: &[UnboundedSender<Due>]) {
    let started = Instant::now();
    for (number, call) in calls.iter().cycle().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a time to the microsecond needs no more")]
        let due_after = Duration::from_secs_f64(number as f64 / rate);
        if due_after >= time {
            return;
        }
        let at = started + due_after;
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if call.send(Due { at, request: number % requests }).is_err() {
            return; // the connection has failed, and says so
        }
    }
}

/// Sends each request that is due after the answer to the one before; how late each answer was there.
async fn answer_in_turn(
    mut stream: TcpStream,
    mut due: UnboundedReceiver<Due>,
    requests: Arc<Vec<Vec<u8>>>,
) -> io::Result<Vec<Duration>> {
    let (mut latencies, mut received) = (Vec::new(), Vec::new());
    while let Some(Due { at, request }) = due.recv().await {
        stream.write_all(&requests[request]).await?;
        read_answer(&mut stream, &mut received).await?;
        latencies.push(at.elapsed());
    }
    Ok(latencies)
}

/// Reads one answer, whose status must be 200. `received` is room to read into.
async fn read_answer(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    received.clear();
    loop {
        if stream.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match answer_bytes(received)? {
            Some(bytes) if received.len() > bytes => return Err(io::Error::other("an answer is too long")),
            Some(bytes) if received.len() == bytes => return Ok(()),
            _ => {}
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
    fn requests_are_due_evenly_and_connections_take_turns() {
        let (senders, mut receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| unbounded_channel()).unzip();
        call_in_time(1_000.0, Duration::from_millis(5), 3, &senders);
        let mut due = |receiver: usize| receivers[receiver].try_recv().ok();
        let calls = [0, 1, 0, 1, 0].map(|receiver| due(receiver).unwrap());
        assert_eq!(calls.each_ref().map(|call| call.request), [0, 1, 2, 0, 1]);
        for (number, call) in (0..).zip(&calls) {
            assert_eq!(call.at - calls[0].at, Duration::from_millis(number));
        }
        assert!(due(1).is_none());
    }
}
