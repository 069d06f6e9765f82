//! How answers are sent: JSON with a strong `ETag` and a lifetime, problems without one.

use crate::{
    answer::json,
    coding::Coding,
    entity_tag::{EntityTag, is_known},
    problem::Problem,
    serving::Keeping,
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;

/// How long a client may wait before it asks again a server that could not load yet.
const RETRY_AFTER_SECONDS: &str = "2";

/// Of an answer with everything, its request's name and `Connection` too.
const HEADERS_MAX: usize = 7;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// An answer's bytes, and the coding that they are in.
pub(crate) struct Coded {
    pub(crate) bytes: Bytes,
    pub(crate) coding: Coding,
}

impl Coded {
    /// An answer that is sent once, in `coding` if that is worth it.
    pub(crate) fn once(answer: Vec<u8>, coding: Coding) -> Self {
        match coding.encode(&answer) {
            Some(bytes) => Self { bytes: bytes.into(), coding },
            None => Self { bytes: answer.into(), coding: Coding::Identity },
        }
    }
}

/// The answer of `tag` that may be kept as `keeping` says; 304 when the client has it already, and `write` is
/// not called. `write` is told which coding the client prefers.
pub(crate) fn tagged(
    tag: EntityTag,
    keeping: Keeping,
    request: &HeaderMap,
    write: impl FnOnce(Coding) -> Coded,
) -> Response<Bytes> {
    let preferred = Coding::of(request);
    tagged_as(tag.header(preferred), keeping, request, || write(preferred))
}

/// The same with the tag of the coding that the client prefers.
pub(crate) fn tagged_as(
    tag: HeaderValue,
    keeping: Keeping,
    request: &HeaderMap,
    write: impl FnOnce() -> Coded,
) -> Response<Bytes> {
    let mut headers = HeaderMap::with_capacity(HEADERS_MAX);
    let mut response = if is_known(&tag, request) {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let Coded { bytes, coding } = write();
        headers.insert(header::CONTENT_TYPE, JSON);
        if coding == Coding::Gzip {
            headers.insert(header::CONTENT_ENCODING, GZIP);
        }
        Response::new(bytes)
    };
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, keeping.cache_control);
    headers.insert(header::VARY, keeping.vary);
    *response.headers_mut() = headers;
    response
}

/// The same of a small `answer`, tagged by its bytes.
pub(crate) fn cacheable(answer: &impl Serialize, keeping: Keeping, request: &HeaderMap) -> Response<Bytes> {
    let body = json(answer);
    tagged(EntityTag::of([&body]), keeping, request, |coding| Coded::once(body, coding))
}

/// `answer` as JSON that nobody may keep.
pub(crate) fn fresh(status: StatusCode, answer: &impl Serialize) -> Response<Body> {
    no_store(with_type(status, "application/json", json(answer)))
}

/// `body` of a media type.
pub(crate) fn with_type<B>(status: StatusCode, media_type: &'static str, body: impl Into<B>) -> Response<B> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// `response`, which nobody may keep.
pub(crate) fn no_store<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Problem {
    /// The problem as an answer.
    pub(crate) fn answer(&self) -> Response<Bytes> {
        let body = self.body();
        let status = StatusCode::from_u16(body.status).expect("a code has a status of HTTP");
        let mut response = no_store(with_type(status, "application/problem+json", json(&body)));
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"topshelf\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if let Self::TooManyRequests { retry_after_seconds } = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_seconds));
        }
        if let Self::BodyTooSlow { .. } = self {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Self::MethodNotAllowed { allowed, .. } = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        self.answer().map(Body::from)
    }
}
