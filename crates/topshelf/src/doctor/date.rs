//! What time an HTTP server says it is, asked over an open connection.

use super::clock::Reading;
use std::time::{Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No answer's head is longer.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Asks for nothing in particular: every answer, also a refusal, has a date. None when this one has none.
pub(super) async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str) -> Option<Reading> {
    let (asked, began) = (SystemTime::now(), Instant::now());
    let request =
        format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: topshelf\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let mut head = Vec::new();
    while head.len() < HEAD_BYTES_MAX && !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        // A server that hangs up without a farewell has answered all the same.
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            break;
        }
    }
    let theirs = date(&String::from_utf8_lossy(&head))?;
    Some(Reading { theirs, coarseness: 1., asked, took: began.elapsed() })
}

/// The header `Date` in seconds since 1970.
fn date(head: &str) -> Option<f64> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, date) = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("date"))?;
    let date = jiff::fmt::rfc2822::parse(date.trim()).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "seconds of this age are exact")]
    Some(date.timestamp().as_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_found_in_any_answer() {
        let head = "HTTP/1.1 403 Forbidden\r\nserver: x\r\ndate: Wed, 20 Nov 2024 02:30:00 GMT\r\n\r\n";
        assert_eq!(date(head), Some(1_732_069_800.));
        assert_eq!(date("HTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(date("nonsense"), None);
    }
}
