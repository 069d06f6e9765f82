//! Connections that take long over everything: silent ones, heads and bodies that come byte by byte, answers that nobody
//! reads. The server may close them; it may not mind them.

use crate::{callers::Caller, random::Random, requests::sound, sending::connect};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::Duration,
};

/// How many there are at a time.
const CONNECTIONS: usize = 40;

const PERIOD: Duration = Duration::from_millis(50);

/// Goes on until it is over, and says how many connections the caller had.
pub(crate) fn linger(address: &str, caller: &Caller, mut random: Random, is_over: &AtomicBool) -> usize {
    let new = |number| Lingering::new(address, caller, number);
    let mut connections: Vec<_> = (0..CONNECTIONS).map(new).collect();
    let mut number = CONNECTIONS;
    while !is_over.load(SeqCst) {
        for connection in &mut connections {
            // Now and then one gives up, and another comes.
            if !connection.goes_on() || random.is_one_in(200) {
                *connection = new(number);
                number += 1;
            }
        }
        thread::sleep(PERIOD);
    }
    number
}

struct Lingering {
    stream: TcpStream,
    /// What it still sends, a byte at a time.
    rest: Vec<u8>,
    reads: bool,
}

impl Lingering {
    fn new(address: &str, caller: &Caller, number: usize) -> Self {
        let mut stream = connect(address);
        let (at_once, slowly, reads): (Vec<u8>, &[u8], bool) = match number % 5 {
            0 => (Vec::new(), b"", true),
            1 => (b"GET ".to_vec(), b"/recommendations/acme/TopCTR HTTP/1.1\r\nHost: a\r\nX-Slow: ", true),
            2 => (
                sound(b"POST", b"/recommendations", &[b"Content-Length: 1000"], b"").sent_by(caller).bytes,
                b"{\"requests\":[",
                true,
            ),
            // Answers of some 400 KB, which no buffer takes whole.
            3 => (b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10), b"", false),
            _ => (
                b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n",
                false,
            ),
        };
        // It may be closed before it has said a word.
        let _ = stream.write_all(&at_once);
        stream.set_nonblocking(true).unwrap();
        Self { stream, rest: slowly.iter().rev().copied().collect(), reads }
    }

    /// Sends its next byte; false when the server has closed it.
    fn goes_on(&mut self) -> bool {
        let is_open = |done: std::io::Result<usize>| match done {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        let is_read = !self.reads || is_open(self.stream.read(&mut [0; 64]));
        let is_written = self.rest.pop().is_none_or(|byte| is_open(self.stream.write(&[byte])));
        is_read && is_written
    }
}
