//! One range of a bucket's object, requested until all of its bytes are there.
//!
//! A range enters; its bytes leave, each from an answer that carried the planned ETag. What may pass (the
//! store is busy, the connection breaks, the body ends early, nothing comes for a while) is tried again
//! from the first byte that is missing, with growing pauses, as long as the location's patience lasts
//! without a byte. What will not pass ends it at once.

use crate::{
    Location, ObjectInfo, SourceError,
    error::Cause,
    location::{Bucket, Place, object_key},
};
use bytes::Bytes;
use futures::StreamExt;
use object_store::{GetOptions, GetResult, ObjectStore};
use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    ops::Range,
    time::{Duration, Instant},
};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A request that brings nothing for this share of the patience has stalled.
const STALLS_PER_PATIENCE: u32 = 6;
/// The same where nothing is tried again.
const STALL_WITHOUT_PATIENCE: Duration = Duration::from_secs(10);

/// The bytes of a range, in order.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) chunks: Vec<Bytes>,
    bytes: u64,
}

impl From<Bytes> for Body {
    fn from(chunk: Bytes) -> Self {
        Self { bytes: chunk.len() as u64, chunks: vec![chunk] }
    }
}

impl Body {
    /// All bytes in one piece.
    pub(super) fn joined(mut self) -> Bytes {
        match self.chunks.len() {
            1 => self.chunks.remove(0),
            _ => self.chunks.concat().into(),
        }
    }

    /// A copy of at most `most` bytes behind the first `from`.
    pub(super) fn copy(&self, from: u64, most: u64) -> Bytes {
        let size = |bytes: u64| usize::try_from(bytes).expect("a part fits in memory");
        let (mut to_skip, mut left) = (size(from), size(most.min(self.bytes.saturating_sub(from))));
        let mut copy = Vec::with_capacity(left);
        for chunk in &self.chunks {
            let wanted = &chunk[to_skip.min(chunk.len())..];
            to_skip -= chunk.len() - wanted.len();
            let wanted = &wanted[..left.min(wanted.len())];
            left -= wanted.len();
            copy.extend_from_slice(wanted);
        }
        copy.into()
    }

    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len() as u64;
        self.chunks.push(chunk);
    }
}

/// Fetches all of `range`; `on_refusal` is called for each request that failed and is sent again.
pub(super) async fn fetch(
    location: &Location,
    object: &ObjectInfo,
    range: Range<u64>,
    on_refusal: impl Fn(),
) -> Result<Body, SourceError> {
    let Bucket { patience, .. } = bucket(location);
    let mut body = Body::default();
    let mut retries = Retries::new(*patience);
    loop {
        let missing = range.start + body.bytes..range.end;
        if missing.is_empty() {
            return Ok(body);
        }
        let before = body.bytes;
        let Err(error) = request(location, object, missing, &mut body, retries.stall()).await else {
            continue;
        };
        if !error.is_transient() {
            return Err(error);
        }
        on_refusal();
        if body.bytes > before {
            retries = Retries::new(*patience);
        }
        match retries.pause() {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(error),
        }
    }
}

fn bucket(location: &Location) -> &Bucket {
    match location.place() {
        Place::Bucket(bucket) => bucket,
        Place::Directory(_) => unreachable!("only buckets are asked for parts"),
    }
}

/// One request for what is missing; what came before it failed is in `body`.
async fn request(
    location: &Location,
    object: &ObjectInfo,
    missing: Range<u64>,
    body: &mut Body,
    stall: Duration,
) -> Result<(), SourceError> {
    let failed = |cause: Cause| SourceError::failed("read", location.object_url(&object.name), cause);
    let length = missing.end - missing.start;
    let end = body.bytes + length;
    let answer = match tokio::time::timeout(stall, send(location, object, missing)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(refused(location, object, error).await),
        Err(_) => return Err(failed(Cause::stalled(stall))),
    };
    let meta = &answer.meta;
    location.check_object(object, meta.size, meta.e_tag.as_deref(), meta.last_modified.into())?;
    let mut chunks = answer.into_stream();
    while body.bytes < end {
        match tokio::time::timeout(stall, chunks.next()).await {
            Ok(Some(Ok(chunk))) => body.push(chunk),
            Ok(Some(Err(error))) => return Err(failed(error.into())),
            Ok(None) => return Err(failed(Cause::cut_short())),
            Err(_) => return Err(failed(Cause::stalled(stall))),
        }
    }
    if body.bytes > end {
        return Err(failed(Cause::too_long()));
    }
    Ok(())
}

async fn send(
    location: &Location,
    object: &ObjectInfo,
    range: Range<u64>,
) -> object_store::Result<GetResult> {
    let Bucket { reader, prefix, .. } = bucket(location);
    let key = object_key(prefix, &object.name)?;
    let options =
        GetOptions { range: Some(range.into()), if_match: object.etag.clone(), ..Default::default() };
    reader.get_opts(&key, options).await
}

/// A refused request may mean that the object is another by now: its range is out of bounds, its ETag
/// does not match.
async fn refused(location: &Location, object: &ObjectInfo, error: object_store::Error) -> SourceError {
    let error = match error {
        object_store::Error::NotFound { .. } => return location.gone(object),
        error => SourceError::failed("read", location.object_url(&object.name), error),
    };
    if error.is_transient() {
        return error;
    }
    match location.verify_unchanged(object).await {
        Err(changed @ SourceError::Changed { .. }) => changed,
        _ => error,
    }
}

/// How often and for how long requests that bring no byte are sent again.
struct Retries {
    patience: Duration,
    began: Instant,
    pauses: u32,
}

impl Retries {
    fn new(patience: Duration) -> Self {
        Self { patience, began: Instant::now(), pauses: 0 }
    }

    /// How long a request may bring nothing.
    fn stall(&self) -> Duration {
        if self.patience.is_zero() { STALL_WITHOUT_PATIENCE } else { self.patience / STALLS_PER_PATIENCE }
    }

    /// How long to wait before the next try; none when patience is at its end.
    fn pause(&mut self) -> Option<Duration> {
        if self.began.elapsed() >= self.patience {
            return None;
        }
        let longest = PAUSE_MIN.saturating_mul(1 << self.pauses.min(16)).min(PAUSE_MAX);
        self.pauses += 1;
        // From half of it to all: requests that failed together do not come back together.
        Some(longest.mul_f64(0.5 + 0.5 * random_share()))
    }
}

/// A number from 0 to 1 that differs from call to call.
fn random_share() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}
