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

/// Fetches all of `range` into `buffer`, whose memory is used again; `on_refusal` is called for each
/// request that failed and is sent again.
pub(super) async fn fetch(
    location: &Location,
    object: &ObjectInfo,
    range: Range<u64>,
    mut buffer: Vec<u8>,
    on_refusal: impl Fn(),
) -> Result<Vec<u8>, SourceError> {
    let mut retries = Retries::new(bucket(location).patience);
    buffer.clear();
    buffer.reserve_exact(length(&range));
    loop {
        let had = buffer.len();
        let missing = range.start + had as u64..range.end;
        if missing.is_empty() {
            return Ok(buffer);
        }
        let Err(error) = request(location, object, missing, &mut buffer, retries.stall()).await else {
            continue;
        };
        if !error.is_transient() {
            return Err(error);
        }
        on_refusal();
        if buffer.len() > had {
            retries = Retries::new(retries.patience);
        }
        match retries.pause() {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(error),
        }
    }
}

/// The length of a range that fits in memory.
pub(super) fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).expect("a part fits in memory")
}

fn bucket(location: &Location) -> &Bucket {
    match location.place() {
        Place::Bucket(bucket) => bucket,
        Place::Directory(_) => unreachable!("only buckets are asked for parts"),
    }
}

/// One request for what is missing; what came before it failed is in `buffer`.
async fn request(
    location: &Location,
    object: &ObjectInfo,
    missing: Range<u64>,
    buffer: &mut Vec<u8>,
    stall: Duration,
) -> Result<(), SourceError> {
    let failed = |cause: Cause| SourceError::failed("read", location.object_url(&object.name), cause);
    let end = buffer.len() + length(&missing);
    let answer = match tokio::time::timeout(stall, send(location, object, missing)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(refused(location, object, error).await),
        Err(_) => return Err(failed(Cause::stalled(stall))),
    };
    let meta = &answer.meta;
    location.check_object(object, meta.size, meta.e_tag.as_deref(), meta.last_modified.into())?;
    let mut chunks = answer.into_stream();
    while buffer.len() < end {
        match tokio::time::timeout(stall, chunks.next()).await {
            Ok(Some(Ok(chunk))) if chunk.len() > end - buffer.len() => return Err(failed(Cause::too_long())),
            // The copy lets the connection use its memory again, whose pages are there already.
            Ok(Some(Ok(chunk))) => buffer.extend_from_slice(&chunk),
            Ok(Some(Err(error))) => return Err(failed(error.into())),
            Ok(None) => return Err(failed(Cause::cut_short())),
            Err(_) => return Err(failed(Cause::stalled(stall))),
        }
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
