//! As much of HTTP/1.1 as the benchmark's server and downloader need.

use std::{
    io::{self, BufRead, Write},
    ops::Range,
};

/// The head of a request without a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Decoded, without the query.
    pub(super) path: String,
    query: Vec<(String, String)>,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn query(&self, name: &str) -> Option<String> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    /// The bytes asked for, when they are not all.
    pub(super) fn range(&self) -> Option<Range<u64>> {
        let (start, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some(start.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?)
    }
}

/// The next request of a connection; none when the client hung up.
pub(super) fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some(first) = line(reader)? else { return Ok(None) };
    let mut words = first.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pair = |text: &str| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (decoded(key), decoded(value))
    };
    let query = query.split('&').map(pair).collect();
    Ok(Some(Request { method, path: decoded(path), query, headers: read_headers(reader)? }))
}

/// Headers up to the empty line.
pub(super) fn read_headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let text = line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if text.is_empty() {
            return Ok(headers);
        }
        let (name, value) = text.split_once(':').unwrap_or((&text, ""));
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// A line without its end; none at the end of all.
pub(super) fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    if reader.read_line(&mut text)? == 0 {
        return Ok(None);
    }
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Writes a whole answer that is text.
pub(super) fn write_answer(
    out: &mut impl Write,
    status: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<()> {
    let length = body.len().to_string();
    write_head(out, status, &[&[("Content-Length", length.as_str())], headers].concat())?;
    out.write_all(body.as_bytes())
}

/// Writes the head of an answer, in one piece.
pub(super) fn write_head(out: &mut impl Write, status: &str, headers: &[(&str, &str)]) -> io::Result<()> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    out.write_all(format!("HTTP/1.1 {status}\r\n{headers}\r\n").as_bytes())
}

/// Text in which `%41` stands for `A`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = std::str::from_utf8(after.get(..2).unwrap_or_default()).ok();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_understood() {
        let text = "GET /logs/ads%20views?list-type=2&prefix=a%2Fb HTTP/1.1\r\nHost: x\r\nRange: bytes=5-9\r\n\r\nGET";
        let mut reader = text.as_bytes();
        let request = read_request(&mut reader).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/logs/ads views"));
        assert_eq!(request.query("prefix").as_deref(), Some("a/b"));
        assert_eq!(request.range(), Some(5..10));
        assert_eq!(reader, b"GET");
        assert_eq!(read_request(&mut &b""[..]).unwrap(), None);
    }

    #[test]
    fn an_answer_is_whole() {
        let mut out = Vec::new();
        write_answer(&mut out, "404 Not Found", &[("ETag", "\"1\"")], "gone").unwrap();
        let expected = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nETag: \"1\"\r\n\r\ngone";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
