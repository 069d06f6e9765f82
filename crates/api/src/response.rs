//! How answers are sent: JSON with a strong `ETag` and a lifetime, problems without one.

use crate::problem::Problem;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{fmt::Write, time::Duration};

/// How long a client may wait before it asks again a server that could not load yet.
const RETRY_AFTER_SECONDS: &str = "2";

/// `answer` as JSON that caches may keep for `max_age`; 304 when the client has these bytes.
pub(crate) fn cacheable(answer: &impl Serialize, max_age: Duration, request: &HeaderMap) -> Response {
    let body = json_bytes(answer);
    let etag = etag(&body);
    let is_known = client_has(request, &etag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        with_type(StatusCode::OK, "application/json", body)
    };
    let lifetime = format!("public, max-age={}", max_age.as_secs());
    let headers = response.headers_mut();
    headers.insert(header::ETAG, ascii(&etag));
    headers.insert(header::CACHE_CONTROL, ascii(&lifetime));
    response
}

/// `answer` as JSON that nobody may keep.
pub(crate) fn fresh(status: StatusCode, answer: &impl Serialize) -> Response {
    no_store(with_type(status, "application/json", json_bytes(answer)))
}

/// `body` of a media type.
pub(crate) fn with_type(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body.into()).into_response()
}

/// `response`, which nobody may keep.
pub(crate) fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.body();
        let status = StatusCode::from_u16(body.status).expect("a code has a status of HTTP");
        let mut response = no_store(with_type(status, "application/problem+json", json_bytes(&body)));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

fn json_bytes(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).expect("answers are made of text, numbers and lists")
}

fn ascii(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("the value is printable ASCII")
}

/// A strong entity tag: the first half of the body's SHA-256.
fn etag(body: &[u8]) -> String {
    let mut etag = String::from("\"");
    for byte in &Sha256::digest(body)[..16] {
        write!(etag, "{byte:02x}").expect("a String takes any text");
    }
    etag.push('"');
    etag
}

/// Whether `If-None-Match` names `etag`: in a list, as `*`, strong or weak (RFC 9110, 13.1.2).
fn client_has(request: &HeaderMap, etag: &str) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // Our tags hold no comma, so a tag that does is never ours, however it is cut.
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
