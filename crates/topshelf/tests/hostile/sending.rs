//! One request on a connection of its own: sent whole, in pieces, with an end or none, or left alone.

use crate::{answers::Answer, callers::Caller, random::Random, requests::Request};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

/// Longer than an answer takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Sends it for the caller, and looks at what comes back.
pub(crate) fn exchange(address: &str, caller: &Caller, request: Request, random: &mut Random) {
    let request = &request.sent_by(caller);
    let mut stream = connect(address);
    if random.is_one_in(10) {
        return abort(stream, &request.bytes, random);
    }
    let is_sent = send(&mut stream, &request.bytes, random);
    let mut received = Vec::new();
    if request.is_sound {
        assert!(is_sent, "the server hung up on {request:?}");
        let answer = answer(&mut stream, &mut received, request.is_head);
        let answer = answer.unwrap_or_else(|| panic!("no answer to {}", shown(&request.bytes)));
        caller.expect_nothing_else_in(&answer, request);
    }
    // Nothing more comes, which the server learns; what it still has to say is read.
    let _ = stream.shutdown(Shutdown::Write);
    while more(&mut stream, &mut received) {}
    let mut is_head = request.is_head && !request.is_sound;
    while let Some(answer) = Answer::take_from(&mut received, is_head) {
        caller.expect_nothing_else_in(&answer, request);
        is_head = false;
    }
}

pub(crate) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Whether all could be sent: a server may hang up on what it will not read.
fn send(stream: &mut TcpStream, bytes: &[u8], random: &mut Random) -> bool {
    let mut rest = bytes;
    if random.is_one_in(4) {
        for _ in 0..random.below(5) {
            let (piece, after) = rest.split_at(random.below(rest.len().min(200) + 1));
            if stream.write_all(piece).is_err() {
                return false;
            }
            rest = after;
        }
    }
    stream.write_all(rest).is_ok()
}

/// Sends some of it and goes away; what was not read makes the kernel say so with a reset.
fn abort(mut stream: TcpStream, bytes: &[u8], random: &mut Random) {
    let _ = stream.write_all(&bytes[..random.below(bytes.len() + 1)]);
    if random.is_one_in(2) {
        stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let _ = stream.read(&mut [0]);
    }
}

/// The answer to a request that is sound.
pub(crate) fn ask(address: &str, request: &Request) -> Option<Answer> {
    let mut stream = connect(address);
    stream.write_all(&request.bytes).unwrap();
    answer(&mut stream, &mut Vec::new(), request.is_head)
}

/// The next answer; none when the connection ends before it is whole.
pub(crate) fn answer(stream: &mut TcpStream, received: &mut Vec<u8>, is_head: bool) -> Option<Answer> {
    loop {
        if let Some(answer) = Answer::take_from(received, is_head) {
            return Some(answer);
        }
        if !more(stream, received) {
            return None;
        }
    }
}

/// Reads more; false when there is no more.
fn more(stream: &mut TcpStream, received: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 1 << 14];
    match stream.read(&mut bytes) {
        Ok(read) => {
            received.extend_from_slice(&bytes[..read]);
            read > 0
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => true,
        Err(error) => {
            let is_silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!is_silent, "neither an answer nor an end within {PATIENCE:?}");
            false
        }
    }
}

/// Bytes as people can read them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    format!("{} bytes: {}", bytes.len(), bytes[..bytes.len().min(600)].escape_ascii())
}
