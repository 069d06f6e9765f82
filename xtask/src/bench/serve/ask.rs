//! One request, one answer, one connection: for what is not measured.

use super::request::Request;
use crate::Failure;
use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server answers.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bench) struct Answer {
    pub(in crate::bench) status: u16,
    head: String,
    pub(in crate::bench) body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }

    /// The body, when it is JSON.
    pub(in crate::bench) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// An answer of that status with JSON.
    #[cfg(test)]
    pub(super) fn of(status: u16, body: &serde_json::Value) -> Self {
        Self { status, head: String::new(), body: body.to_string().into_bytes() }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let head_end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head, body: bytes[head_end + 4..].to_vec() })
    }
}

/// What the server at `address` answers.
pub(in crate::bench) fn ask(address: &str, request: &Request) -> Result<Answer, Failure> {
    let bytes = exchange(address, request);
    let bytes = bytes.map_err(|error| format!("could not ask {address} for {}: {error}", request.path))?;
    let answer = Answer::read(&bytes);
    answer.ok_or_else(|| format!("what {address} answers for {} is no HTTP", request.path).into())
}

fn exchange(address: &str, request: &Request) -> io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(text(address, request).as_bytes())?;
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Of HTTP/1.0: the answer ends with the connection, and its body stands there as it is.
fn text(address: &str, Request { method, path, header, body }: &Request) -> String {
    let header = header.as_deref().map_or_else(String::new, |header| format!("{header}\r\n"));
    let body = body.as_deref().unwrap_or_default();
    let length = body.len();
    format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n{header}Content-Length: {length}\r\n\r\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_headers_and_a_body() {
        let answer =
            Answer::read(b"HTTP/1.0 200 OK\r\nETag: \"a:b\"\r\nx: y\r\n\r\n{\"a\":\r\n\r\n1}").unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!([answer.header("etag"), answer.header("z")], [Some("\"a:b\""), None]);
        assert_eq!(answer.json().unwrap()["a"], 1);
        assert_eq!(Answer::read(b"HTTP/1.0 200 OK\r\n"), None);
    }

    #[test]
    fn a_request_is_sent_with_its_header_and_its_body() {
        let request = Request::post("/a", "{}".to_owned());
        let sent =
            "POST /a HTTP/1.0\r\nHost: h:1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(text("h:1", &request), sent);
    }
}
