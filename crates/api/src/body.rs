//! Bodies, as far as limits allow: the bytes and the time of a request's, and the memory that all of them and the long
//! answers take together, until they have been read or sent.
//!
//! Clients that take their answers slowly, and those that send slowly, hold memory of ours. There is a fixed amount of
//! it: who comes when it is used up is told to come back.

use crate::{limits::Taken, problem::Problem, serving::Serving};
use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Response, header},
    middleware::Next,
    response::IntoResponse,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::sync::Arc;
use tokio::time::timeout;

/// Answers up to that length need no room: connections are bounded, and most answers are that short.
const SHORT_BYTES_MAX: usize = 16 << 10;

/// The body, of at most `bytes_max`, and the memory that was taken for it.
pub(crate) async fn read(
    serving: &Serving,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<(Bytes, Taken), Problem> {
    let room = serving.room.take(said_length(headers).map_or(bytes_max, |length| length.min(bytes_max)));
    let room = room.ok_or(Problem::Overloaded)?;
    let limit = serving.options.limits.body_time;
    let read = timeout(limit, Limited::new(body, bytes_max).collect()).await;
    let read = read.map_err(|_| Problem::BodyTooSlow { time: limit })?;
    let read = read.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => Problem::BodyTooLarge { bytes_max },
        None => Problem::BadBody(error.to_string()),
    })?;
    Ok((read.to_bytes(), room))
}

/// How long the client says the body is.
fn said_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Takes room for a long answer until it is sent.
pub(crate) fn with_room(serving: &Serving, response: Response<Bytes>) -> Result<Response<Bytes>, Problem> {
    let length = response.body().len();
    if length <= SHORT_BYTES_MAX {
        return Ok(response);
    }
    let room = serving.room.take(length).ok_or(Problem::Overloaded)?;
    Ok(response.map(|bytes| room.hold(bytes)))
}

/// Gives a route's work its time, and its answer room.
pub(crate) async fn limit(
    State(serving): State<Arc<Serving>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let time = serving.options.limits.request_time;
    let Ok(response) = timeout(time, next.run(request)).await else {
        return Problem::TookTooLong { time }.into_response();
    };
    match response.size_hint().exact() {
        Some(length) if length <= SHORT_BYTES_MAX as u64 => response,
        _ => whole_with_room(&serving, response).await.unwrap_or_else(IntoResponse::into_response),
    }
}

async fn whole_with_room(serving: &Serving, response: Response<Body>) -> Result<Response<Body>, Problem> {
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|_| Problem::Internal)?;
    with_room(serving, Response::from_parts(head, body)).map(|response| response.map(Body::from))
}
