//! A request or an answer of HTTP, whole in memory.

use std::io;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpStream,
};

#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// `GET /bucket/key HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub(crate) first: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// An answer made up here.
    pub(crate) fn answer(status: &str, content_type: &str, body: String) -> Self {
        let mut answer =
            Self { first: format!("HTTP/1.1 {status}"), headers: Vec::new(), body: body.into_bytes() };
        answer.set("Content-Type", content_type);
        answer.tell_length();
        answer
    }

    /// The next message; none when nothing more comes. An answer to HEAD has a length and no body.
    pub(crate) async fn read(from: &mut BufReader<TcpStream>, has_body: bool) -> io::Result<Option<Self>> {
        let mut message = Self { first: String::new(), headers: Vec::new(), body: Vec::new() };
        if from.read_line(&mut message.first).await? == 0 {
            return Ok(None);
        }
        message.first.truncate(message.first.trim_end().len());
        loop {
            let mut line = String::new();
            if from.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            message.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        assert!(message.header("transfer-encoding").is_none(), "{message:?} tells its length");
        let length = message.header("content-length").map_or(0, |length| length.parse().unwrap());
        if has_body {
            message.body = vec![0; length];
            from.read_exact(&mut message.body).await?;
        }
        Ok(Some(message))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        headers.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Makes the length in the head that of the body.
    pub(crate) fn tell_length(&mut self) {
        self.set("Content-Length", &self.body.len().to_string());
    }

    /// All before the body.
    pub(crate) fn head(&self) -> Vec<u8> {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("{}\r\n{}\r\n", self.first, headers.collect::<String>()).into_bytes()
    }
}
