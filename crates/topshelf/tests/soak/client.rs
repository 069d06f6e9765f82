//! A connection to a server, as a client of the plainest kind has it: HTTP/1.1, kept alive, and nothing is ever asked
//! twice.

use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than an answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Connection {
    stream: TcpStream,
    address: String,
    /// Bytes that came and were not looked at.
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    /// Whether the server has said that it closes the connection.
    pub(crate) is_last: bool,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address: address.to_owned(), read: Vec::new() })
    }

    /// Whether the server has closed it while nothing was asked, as far as can be known before one asks.
    pub(crate) fn is_closed(&self) -> bool {
        !matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    pub(crate) async fn ask(&mut self, path: &str, known: Option<&str>) -> io::Result<Answer> {
        let condition = known.map_or(String::new(), |etag| format!("If-None-Match: {etag}\r\n"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{condition}\r\n", self.address);
        timeout(PATIENCE, async {
            self.stream.write_all(request.as_bytes()).await?;
            self.answer().await
        })
        .await?
    }

    /// Waits until the server closes it, which must come without another byte.
    pub(crate) async fn closed(mut self) -> io::Result<()> {
        match timeout(PATIENCE, self.stream.read(&mut [0])).await?? {
            0 => Ok(()),
            _ => Err(io::Error::other("bytes came after the last answer")),
        }
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            match self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(end) => break end,
                None => self.more().await?,
            }
        };
        let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
        let bad = || io::Error::other(format!("no head of an answer: {head}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(bad)?;
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(':'));
            fields
                .find(|(field, _)| field.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
        };
        let length = match field("content-length") {
            _ if status == 304 => 0,
            Some(length) => length.parse().map_err(|_| bad())?,
            None => return Err(bad()),
        };
        let is_last = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let all = end + 4 + length;
        while self.read.len() < all {
            self.more().await?;
        }
        let after = self.read.split_off(all);
        let mut body = std::mem::replace(&mut self.read, after);
        body.drain(..end + 4);
        Ok(Answer { status, etag: field("etag"), is_last, body })
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("closed after {} bytes of an answer", self.read.len()),
            )),
            _ => Ok(()),
        }
    }
}
