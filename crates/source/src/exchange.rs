//! One exchange with a bucket's server: a request goes out, and an answer comes back that is whole.
//!
//! The client above sends again what fails here, so what it would take for an answer without another look is
//! looked at here: a listing that broke off on its way, or that ends without its end, and bytes that are not
//! those that were asked for. Bytes of objects are passed on as they come. Nothing here waits or tries again.

use futures::future::BoxFuture;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
        ReqwestConnector,
    },
};
use std::sync::{Arc, OnceLock};

/// What was connected; nothing before it is first asked for.
pub(crate) type Connected = Arc<OnceLock<HttpClient>>;

/// Connects once, for clients whose options are the same and whose exchanges are looked at.
#[derive(Debug)]
pub(crate) struct Connector(Connected);

impl Connector {
    pub(crate) fn new(connected: &Connected) -> Self {
        Self(Arc::clone(connected))
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        if let Some(connected) = self.0.get() {
            return Ok(connected.clone());
        }
        let client = ReqwestConnector::default().connect(options)?;
        Ok(self.0.get_or_init(|| HttpClient::new(Exchanges(client))).clone())
    }
}

/// What is said of a server that does not know ranges: to ask it once more is of no use.
pub(crate) const OTHER_BYTES: &str = "the server sent other bytes than were asked for";

/// What is wrong with an answer that looks well.
#[derive(Debug, thiserror::Error)]
enum BrokenAnswer {
    #[error("the server listed a part of what is there, and did not tell how to go on")]
    Listing,
    #[error("the server answered {0}")]
    Busy(&'static str),
    #[error("{OTHER_BYTES}")]
    Range,
}

/// The bucket lies elsewhere: only the head of the answer tells where.
#[derive(Debug, thiserror::Error)]
#[error("the bucket lies in the region {region}")]
pub(crate) struct OtherRegion {
    pub(crate) region: String,
}

#[derive(Debug)]
struct Exchanges(HttpClient);

impl HttpService for Exchanges {
    fn call<'s, 'f>(&'s self, request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(self.exchange(request))
    }
}

impl Exchanges {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let is_of_object = request.method() == "GET" && query.is_empty();
        let range = header(request.headers().get("range")).to_owned();
        let answer = self.0.execute(request).await.map_err(to_be_repeated)?;
        let region = header(answer.headers().get("x-amz-bucket-region")).to_owned();
        if matches!(answer.status().as_u16(), 301 | 307 | 308) && !region.is_empty() {
            return Err(HttpError::new(HttpErrorKind::Unknown, OtherRegion { region }));
        }
        if is_of_object {
            let sent = header(answer.headers().get("content-range"));
            let is_as_asked = !answer.status().is_success() || is_of_range(&range, sent);
            let broken = || HttpError::new(HttpErrorKind::Decode, BrokenAnswer::Range);
            return if is_as_asked { Ok(answer) } else { Err(broken()) };
        }
        let (parts, body) = answer.into_parts();
        let body = body.bytes().await.map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
        let is_listing = query.contains("list-type=2");
        let broken = match parts.status.as_u16() {
            200..300 if is_listing && !is_whole_page(&body) => Some(BrokenAnswer::Listing),
            400 | 409 => try_again(&body).map(BrokenAnswer::Busy),
            _ => None,
        };
        if let Some(broken) = broken {
            return Err(HttpError::new(HttpErrorKind::Request, broken));
        }
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}

fn header<V: AsRef<[u8]>>(value: Option<&V>) -> &str {
    value.and_then(|value| std::str::from_utf8(value.as_ref()).ok()).unwrap_or_default()
}

/// A request that broke off may be sent again, whatever it is: all of ours ask, overwrite or delete. Only a server
/// that is not who it should be will not be another the next time.
fn to_be_repeated(error: HttpError) -> HttpError {
    let is_untrusted = crate::error::chain_text(&error).contains(crate::error::UNTRUSTED);
    match error.kind() {
        _ if is_untrusted => HttpError::new(HttpErrorKind::Unknown, error),
        HttpErrorKind::Timeout | HttpErrorKind::Interrupted => HttpError::new(HttpErrorKind::Request, error),
        _ => error,
    }
}

/// Whether `bytes 10-19/100` is an answer to `bytes=10-19`, or all to a request for all. How far it goes, the
/// bytes tell.
fn is_of_range(asked: &str, sent: &str) -> bool {
    let start = |text: &str, unit: &str| {
        text.strip_prefix(unit).and_then(|range| range.split_once('-')).map(|(start, _)| start.to_owned())
    };
    match start(asked, "bytes=") {
        Some(asked) if !asked.is_empty() => start(sent, "bytes ") == Some(asked),
        _ => true,
    }
}

/// Whether it is a page of a listing, with its end, and tells where to go on if there is more. Who reads it takes
/// any document for one that lists nothing.
fn is_whole_page(page: &[u8]) -> bool {
    let text = String::from_utf8_lossy(page);
    let is_page = text.contains("<ListBucketResult") && text.trim_end().ends_with("</ListBucketResult>");
    let has_token = text.contains("<NextContinuationToken>") && !text.contains("<NextContinuationToken></");
    is_page && (has_token || !text.contains("<IsTruncated>true</IsTruncated>"))
}

/// What S3 says with the status of a client's mistake, and is none.
fn try_again(answer: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(answer);
    ["RequestTimeout", "OperationAborted", "ConditionalRequestConflict"]
        .into_iter()
        .find(|code| text.contains(&format!("<Code>{code}</Code>")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_range_is_answered_by_its_bytes() {
        for (asked, sent) in [
            ("bytes=10-19", "bytes 10-19/100"),
            ("bytes=10-19", "bytes 10-14/15"),
            ("", ""),
            ("bytes=-8", "bytes 92-99/100"),
        ] {
            assert!(is_of_range(asked, sent), "{asked} {sent}");
        }
        for sent in ["", "bytes 0-99/100", "bytes 1-19/100", "bytes */100"] {
            assert!(!is_of_range("bytes=10-19", sent), "{sent}");
        }
    }

    #[test]
    fn a_listing_that_goes_on_tells_where() {
        let page = |is_truncated: bool, token: &str| {
            format!("<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>{token}</ListBucketResult>")
        };
        let token = "<NextContinuationToken>ads_views.7.csv</NextContinuationToken>";
        assert!(is_whole_page(page(true, token).as_bytes()) && is_whole_page(page(false, "").as_bytes()));
        for token in ["", "<NextContinuationToken/>", "<NextContinuationToken></NextContinuationToken>"] {
            assert!(!is_whole_page(page(true, token).as_bytes()), "{token}");
        }
        let page = page(false, "");
        assert!(!is_whole_page(b"") && !is_whole_page(b"<html></html>"));
        assert!(!is_whole_page(&page.as_bytes()[..page.len() - 1]));
    }

    #[test]
    fn a_server_that_was_too_slow_is_no_mistake_of_ours() {
        assert_eq!(try_again(b"<Error><Code>RequestTimeout</Code></Error>"), Some("RequestTimeout"));
        assert_eq!(try_again(b"<Error><Code>InvalidArgument</Code></Error>"), None);
    }

    #[test]
    fn what_is_repeated_and_what_is_not() {
        let kind =
            |kind, text: &str| to_be_repeated(HttpError::new(kind, io::Error::other(text.to_owned()))).kind();
        assert_eq!(kind(HttpErrorKind::Timeout, "late"), HttpErrorKind::Request);
        assert_eq!(kind(HttpErrorKind::Interrupted, "reset"), HttpErrorKind::Request);
        assert_eq!(kind(HttpErrorKind::Connect, "refused"), HttpErrorKind::Connect);
        let untrusted = kind(HttpErrorKind::Connect, "invalid peer certificate: UnknownIssuer");
        assert_eq!(untrusted, HttpErrorKind::Unknown);
    }
}
