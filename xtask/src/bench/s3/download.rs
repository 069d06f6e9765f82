//! A plain downloader: the same ranges over as many connections, each byte read and thrown away.

use super::{
    http::{line, read_headers},
    server::BUCKET,
};
use std::{
    io::{self, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// What is asked for at a time, as topshelf does.
const PART_BYTES: u64 = 4 << 20;
/// Read from a socket at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads all objects, given by name and size, over `connections`; how long that took.
pub(super) fn download(
    address: SocketAddr,
    objects: &[(String, u64)],
    connections: usize,
) -> io::Result<Duration> {
    let parts: Vec<_> = objects.iter().flat_map(|(name, size)| parts(name, *size)).collect();
    let (next, started) = (AtomicUsize::new(0), Instant::now());
    let work = || {
        let mut connection = Connection::open(address)?;
        while let Some((name, range)) = parts.get(next.fetch_add(1, Relaxed)) {
            connection.get(name, range)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..connections.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a download does not panic"))
    })
    .map(|()| started.elapsed())
}

fn parts(name: &str, size: u64) -> impl Iterator<Item = (&str, Range<u64>)> {
    let count = size.div_ceil(PART_BYTES);
    (0..count).map(move |part| (name, part * PART_BYTES..((part + 1) * PART_BYTES).min(size)))
}

struct Connection {
    reader: BufReader<TcpStream>,
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(socket.try_clone()?), socket, buffer: vec![0; BUFFER_BYTES] })
    }

    fn get(&mut self, name: &str, range: &Range<u64>) -> io::Result<()> {
        let Range { start, end } = range;
        let request = format!(
            "GET /{BUCKET}/{name} HTTP/1.1\r\nHost: loopback\r\nRange: bytes={start}-{}\r\n\r\n",
            end - 1
        );
        self.socket.write_all(request.as_bytes())?;
        let status = line(&mut self.reader)?.unwrap_or_default();
        if !status.contains(" 206 ") {
            return Err(io::Error::other(format!("the server answered {status:?}")));
        }
        read_headers(&mut self.reader)?;
        let mut body = (&mut self.reader).take(end - start);
        while body.read(&mut self.buffer)? > 0 {}
        if body.limit() > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}
