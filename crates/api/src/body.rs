//! Bodies, as far as limits allow: the bytes and the time of a request's, and the memory that all of them and the long
//! answers take together, until they have been read or sent.
//!
//! Clients that take their answers slowly, and those that send slowly, hold memory of ours. There is a fixed amount of
//! it: who comes when it is used up is told to come back.

use crate::{
    problem::Problem,
    room::{Share, Taken},
    serving::Serving,
};
use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{Extension, Request, State},
    http::Response,
    middleware::Next,
    response::IntoResponse,
};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::timeout;

/// Answers up to that length need no room: connections are bounded, and most answers are that short.
const SHORT_BYTES_MAX: usize = 16 << 10;

/// Of whose connection a request is; none of a proxy's.
#[derive(Debug, Clone)]
pub(crate) struct Owner(pub(crate) Option<Arc<Share>>);

/// The body, of at most `bytes_max`, and the memory that was taken for it.
pub(crate) async fn read(
    serving: &Serving,
    owner: &Owner,
    body: Body,
    bytes_max: usize,
) -> Result<(Vec<u8>, Taken), Problem> {
    let time = serving.options.limits.body_time;
    let read = timeout(time, read_all(serving, owner, body, bytes_max)).await;
    read.unwrap_or(Err(Problem::BodyTooSlow { time }))
}

async fn read_all(
    serving: &Serving,
    owner: &Owner,
    mut body: Body,
    bytes_max: usize,
) -> Result<(Vec<u8>, Taken), Problem> {
    let mut room = serving.room.enter(owner.0.as_ref());
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::BadBody(error.to_string()))?;
        let Ok(part) = frame.into_data() else { continue }; // trailers
        if bytes.len() + part.len() > bytes_max {
            return Err(Problem::BodyTooLarge { bytes_max });
        }
        room = room.grow(part.len()).ok_or(Problem::Overloaded)?;
        bytes.extend_from_slice(&part);
    }
    Ok((bytes, room))
}

/// Takes room for a long answer until it is sent.
pub(crate) fn with_room(
    serving: &Serving,
    owner: &Owner,
    response: Response<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    let length = response.body().len();
    if length <= SHORT_BYTES_MAX {
        return Ok(response);
    }
    let room = serving.room.enter(owner.0.as_ref()).grow(length).ok_or(Problem::Overloaded)?;
    Ok(response.map(|bytes| room.hold(bytes)))
}

/// A long answer that is being written: it takes its room as it grows.
pub(crate) struct Growing {
    pub(crate) bytes: Vec<u8>,
    room: Taken,
    /// Up to that length it has room.
    has_room: usize,
}

impl Growing {
    /// Room is taken in such steps.
    const STEP: usize = 64 << 10;

    /// No more is reserved beforehand.
    const CAPACITY_MAX: usize = 4 << 20;

    /// Nothing yet, of about so many bytes in the end, in the room that its question has.
    pub(crate) fn new(room: Taken, about: usize) -> Self {
        let bytes = Vec::with_capacity(about.min(Self::CAPACITY_MAX));
        Self { bytes, room, has_room: SHORT_BYTES_MAX }
    }

    /// Takes room for what was written.
    ///
    /// # Errors
    /// [`Problem::Overloaded`] when there is none.
    pub(crate) fn take_room(mut self) -> Result<Self, Problem> {
        if self.bytes.len() > self.has_room {
            let more = self.bytes.len() - self.has_room + Self::STEP;
            self.room = self.room.grow(more).ok_or(Problem::Overloaded)?;
            self.has_room += more;
        }
        Ok(self)
    }

    /// What was written, which keeps its room until it is sent.
    pub(crate) fn finish(self) -> Body {
        let needed = if self.bytes.len() > SHORT_BYTES_MAX { self.bytes.len() } else { 0 };
        Body::new(Sliced::from(self.room.shrink(needed).hold(self.bytes.into())))
    }
}

/// Whole bytes that are sent in slices. hyper copies each into its buffer, behind the head and in one write, and asks for the
/// next when there is room again: so a long answer is copied slice by slice as its client takes it, and its room stays
/// taken until the last.
pub(crate) struct Sliced(Bytes);

/// No slice is longer.
const SLICE_BYTES_MAX: usize = 64 << 10;

impl From<Bytes> for Sliced {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl HttpBody for Sliced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let slice = match self.0.len() > SLICE_BYTES_MAX {
            true => self.0.split_to(SLICE_BYTES_MAX),
            false => mem::take(&mut self.0),
        };
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// Marks an answer that has its room already, or takes no memory of its own, such as a file of the program, or that
/// operators need most when there is no room: nobody fills the room with it, and nobody keeps it from them.
#[derive(Debug, Clone)]
pub(crate) struct RoomSeenTo;

impl RoomSeenTo {
    pub(crate) fn mark<B>(mut response: Response<B>) -> Response<B> {
        response.extensions_mut().insert(Self);
        response
    }
}

/// Gives a route's work its time, and its answer room.
pub(crate) async fn limit(
    State(serving): State<Arc<Serving>>,
    Extension(owner): Extension<Owner>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let time = serving.options.limits.request_time;
    let Ok(response) = timeout(time, next.run(request)).await else {
        return Problem::TookTooLong { time }.into_response();
    };
    match response.size_hint().exact() {
        _ if response.extensions().get::<RoomSeenTo>().is_some() => response,
        Some(length) if length <= SHORT_BYTES_MAX as u64 => response,
        _ => whole_with_room(&serving, &owner, response).await.unwrap_or_else(IntoResponse::into_response),
    }
}

async fn whole_with_room(
    serving: &Serving,
    owner: &Owner,
    response: Response<Body>,
) -> Result<Response<Body>, Problem> {
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|_| Problem::Internal)?;
    with_room(serving, owner, Response::from_parts(head, body))
        .map(|response| response.map(|bytes| Body::new(Sliced::from(bytes))))
}
