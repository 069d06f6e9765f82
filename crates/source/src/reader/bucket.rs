//! A bucket's objects, fetched ahead by tasks and read by threads.
//!
//! What [`Ahead`] chooses is requested; what arrives wakes the reader that waits for it.

use super::{
    ahead::{Ahead, Buffer, ExtentId, ReadLimits, ReadStats, Request, RequestId, Taken},
    part,
};
use crate::{Location, ObjectInfo, SourceError, error::Cause};
use bytes::Bytes;
use std::{
    io::{self, Read},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, Weak},
};
use tokio::{runtime::Handle, sync::oneshot};

/// Requests at a time before anything is known of the store.
const REQUESTS_AT_FIRST: usize = 8;

/// What all readers of a bucket share.
pub(super) struct Fetcher {
    location: Location,
    runtime: Handle,
    ahead: Mutex<Ahead>,
}

impl Fetcher {
    pub(super) fn new(location: Location, limits: ReadLimits, runtime: Handle) -> Self {
        let ahead = Mutex::new(Ahead::new(limits, REQUESTS_AT_FIRST));
        Self { location, runtime, ahead }
    }

    pub(super) fn expect<'o>(self: &Arc<Self>, ranges: impl Iterator<Item = (&'o ObjectInfo, Range<u64>)>) {
        let mut last: Option<Arc<ObjectInfo>> = None;
        let ranges = ranges.map(|(object, range)| {
            let shared = last.take().filter(|last| **last == *object);
            let shared = shared.unwrap_or_else(|| Arc::new(object.clone()));
            last = Some(Arc::clone(&shared));
            (shared, range)
        });
        let mut ahead = self.lock();
        ahead.expect(ranges);
        self.send(&mut ahead);
    }

    pub(super) async fn range_bytes(
        self: &Arc<Self>,
        object: &ObjectInfo,
        range: Range<u64>,
    ) -> Result<Bytes, SourceError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted = part::length(&range);
        let (answer, answered) = oneshot::channel();
        {
            let mut ahead = self.lock();
            if let Some(whole) = ahead.kept(object) {
                let start = part::length(&(0..range.start));
                return Ok(whole.slice(start..start + wanted));
            }
            ahead.ask(object, range, answer);
            self.send(&mut ahead);
        }
        let bytes = answered.await.expect("a request is answered while somebody waits")?;
        Ok(bytes.slice(..wanted))
    }

    pub(super) fn stats(&self) -> ReadStats {
        self.lock().stats()
    }

    fn lock(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().expect("nobody panics with the lock")
    }

    /// Sends what may be sent now.
    fn send(self: &Arc<Self>, ahead: &mut Ahead) {
        while let Some(request) = ahead.next_request() {
            let id = request.id;
            let task = fetch(Arc::downgrade(self), self.location.clone(), request);
            ahead.has_sent(id, self.runtime.spawn(task).abort_handle());
        }
    }

    fn has_arrived(self: &Arc<Self>, id: RequestId, outcome: Result<Vec<u8>, SourceError>) {
        let mut ahead = self.lock();
        ahead.has_arrived(id, outcome);
        self.send(&mut ahead);
    }
}

/// Nobody waits for the outcome any more once the fetcher is gone.
async fn fetch(fetcher: Weak<Fetcher>, location: Location, request: Request) {
    let Request { id, object, range, buffer } = request;
    let given_up = SourceError::failed("read", location.object_url(&object.name), Cause::given_up());
    let mut arrival = Arrival { fetcher, id, outcome: Some(Err(given_up)) };
    let on_refusal = || {
        if let Some(fetcher) = arrival.fetcher.upgrade() {
            fetcher.lock().was_refused();
        }
    };
    let outcome = part::fetch(&location, &object, range, buffer, on_refusal).await;
    arrival.outcome = Some(outcome);
}

/// Tells how a request ended, even when the runtime ends first: a thread may wait for it.
struct Arrival {
    fetcher: Weak<Fetcher>,
    id: RequestId,
    outcome: Option<Result<Vec<u8>, SourceError>>,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if let (Some(fetcher), Some(outcome)) = (self.fetcher.upgrade(), self.outcome.take()) {
            fetcher.has_arrived(self.id, outcome);
        }
    }
}

/// One extent of an object, and what is behind it.
pub(super) struct BucketReader {
    fetcher: Arc<Fetcher>,
    extent: ExtentId,
    /// The part in use, and how much of it is used.
    part: Buffer,
    used: usize,
}

impl BucketReader {
    pub(super) fn open(fetcher: &Arc<Fetcher>, object: &ObjectInfo, range: Range<u64>) -> Self {
        let mut ahead = fetcher.lock();
        let extent = ahead.open(object, range);
        fetcher.send(&mut ahead);
        drop(ahead);
        Self { fetcher: Arc::clone(fetcher), extent, part: Buffer::default(), used: 0 }
    }

    /// Waits for the next part; none at the object's end.
    fn next_part(&mut self) -> Result<Option<Buffer>, SourceError> {
        let mut ahead = self.fetcher.lock();
        ahead.give_back(std::mem::take(&mut self.part));
        loop {
            let taken = ahead.take(self.extent);
            self.fetcher.send(&mut ahead);
            match taken {
                Taken::Part(bytes) => return Ok(Some(bytes)),
                Taken::Wait(arrived) => {
                    ahead = arrived.wait(ahead).expect("nobody panics with the lock");
                }
                Taken::End => return Ok(None),
                Taken::Failed(error) => return Err(error),
            }
        }
    }
}

impl Read for BucketReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used == self.part.len() {
            self.used = 0;
            match self.next_part()? {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
        let unused = &self.part[self.used..];
        let length = buffer.len().min(unused.len());
        buffer[..length].copy_from_slice(&unused[..length]);
        self.used += length;
        Ok(length)
    }
}

impl Drop for BucketReader {
    fn drop(&mut self) {
        let mut ahead = self.fetcher.lock();
        ahead.give_back(std::mem::take(&mut self.part));
        ahead.close(self.extent);
        self.fetcher.send(&mut ahead);
    }
}
