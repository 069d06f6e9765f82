//! Which bytes of a bucket are requested next, for all who read from it.
//!
//! What will be read and in which order, who reads and who waits, and what arrived enter; requests
//! leave, one after the other. First comes what somebody waits for, then the beginnings of objects
//! that were asked for, then what open readers will want, whoever has least first, and then what will be
//! opened next. Two bounds hold: requests on their way, and bytes requested and not yet used. Only a reader
//! that waits goes over the second one, by one part. Nothing here sends a request or waits.

mod extent;

pub(super) use extent::Buffer;

use super::concurrency::Concurrency;
use crate::{ObjectInfo, SourceError};
use bytes::Bytes;
use extent::{Extent, PART_BYTES, Part, PartState, Tail, beginning};
use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Condvar},
    time::Instant,
};
use tokio::{sync::oneshot, task::AbortHandle};

/// What is requested at a time behind the end of an extent, where only the rest of a line is wanted.
const TAIL_PART_BYTES: u64 = 128 << 10;
/// Smaller buffers are cheap to get anew.
const REUSED_BYTES_MIN: usize = 16 << 10;
/// A buffer of this size is not used for less.
const LARGE_BYTES: usize = 1 << 20;

/// How much may be on its way and in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes that are requested and not yet used, of all readers together. Each reader that waits may have
    /// one request of at most 5 MiB beyond it.
    pub bytes_max: u64,
    /// Requests on their way.
    pub requests_max: usize,
}

/// What reading did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadStats {
    /// Requests for parts of objects, without those sent again.
    pub requests: u64,
    /// Requests that failed and were sent again.
    pub refusals: u64,
    /// The most requests that were on their way at once.
    pub requests_at_once: usize,
    /// The most bytes that were requested and not yet used at once.
    pub bytes_at_once: u64,
}

/// An extent's number, in the order of expectation.
pub(super) type ExtentId = u64;
/// A request's number.
pub(super) type RequestId = u64;

/// Bytes of an object that a task asked for, as its beginning or its footer.
pub(super) struct Asked {
    object: Arc<ObjectInfo>,
    range: Range<u64>,
    /// Whether it is the whole object, to be read from memory afterwards.
    is_kept: bool,
    answer: oneshot::Sender<Result<Bytes, SourceError>>,
}

/// What a request on its way is for.
enum Purpose {
    Part(ExtentId),
    Asked(Asked),
}

/// A request on its way; its task is known once it is spawned.
struct OnItsWay {
    purpose: Purpose,
    bytes: u64,
    task: Option<AbortHandle>,
}

/// A request to be sent.
pub(super) struct Request {
    pub(super) id: RequestId,
    pub(super) object: Arc<ObjectInfo>,
    pub(super) range: Range<u64>,
    /// To be filled.
    pub(super) buffer: Vec<u8>,
}

/// What a reader gets.
pub(super) enum Taken {
    /// Bytes, which count as in memory until they are given back.
    Part(Buffer),
    /// Not yet: requests may have to be sent now.
    Wait(Arc<Condvar>),
    /// The object's end.
    End,
    Failed(SourceError),
}

pub(super) struct Ahead {
    limits: ReadLimits,
    concurrency: Concurrency,
    on_the_way: HashMap<RequestId, OnItsWay>,
    /// Bytes requested and not yet used.
    bytes: u64,
    asked: VecDeque<Asked>,
    /// Small objects that came whole when their beginning was asked for.
    kept: HashMap<String, Bytes>,
    extents: HashMap<ExtentId, Extent>,
    /// Extents by object and start that nobody opened yet.
    expected: HashMap<(String, u64), VecDeque<ExtentId>>,
    has_expectations: bool,
    /// Extents of which not all is requested, in the order in which they will be opened.
    order: VecDeque<ExtentId>,
    open: Vec<ExtentId>,
    /// Extents for whose next part somebody waits, and which is not requested.
    wanted: VecDeque<ExtentId>,
    /// Memory that was used and is not now: its pages need not be found and cleared again. First small
    /// ones, then large ones.
    buffers: [Vec<Vec<u8>>; 2],
    next_id: u64,
    stats: ReadStats,
}

impl Ahead {
    pub(super) fn new(limits: ReadLimits, requests_at_first: usize) -> Self {
        Self {
            limits,
            concurrency: Concurrency::new(requests_at_first, limits.requests_max, Instant::now()),
            on_the_way: HashMap::new(),
            bytes: 0,
            asked: VecDeque::new(),
            kept: HashMap::new(),
            extents: HashMap::new(),
            expected: HashMap::new(),
            has_expectations: false,
            order: VecDeque::new(),
            open: Vec::new(),
            wanted: VecDeque::new(),
            buffers: Default::default(),
            next_id: 0,
            stats: ReadStats::default(),
        }
    }

    pub(super) fn stats(&self) -> ReadStats {
        self.stats
    }

    fn number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    // What readers say.

    /// These ranges will be opened, in about this order.
    pub(super) fn expect(&mut self, extents: impl Iterator<Item = (Arc<ObjectInfo>, Range<u64>)>) {
        self.has_expectations = true;
        let mut before = None;
        for (object, range) in extents {
            let id = self.add(Arc::clone(&object), range.clone());
            self.expected.entry((object.name.clone(), range.start)).or_default().push_back(id);
            self.order.push_back(id);
            if let Some(before) = before {
                self.chain(before, id);
            }
            self.use_kept(id);
            before = Some(id);
        }
        let unused = std::mem::take(&mut self.kept);
        unused.values().for_each(|bytes| self.release(bytes.len() as u64));
    }

    /// An extent that is expected, or another one, has a reader now.
    pub(super) fn open(&mut self, object: &ObjectInfo, range: Range<u64>) -> ExtentId {
        let key = (object.name.clone(), range.start);
        let expected = self.expected.get_mut(&key).and_then(VecDeque::pop_front);
        let id = expected.unwrap_or_else(|| {
            let id = self.add(Arc::new(object.clone()), range);
            self.use_kept(id);
            if let Some(whole) = self.kept.remove(&object.name) {
                self.release(whole.len() as u64);
            }
            id
        });
        self.extent(id).is_open = true;
        self.open.push(id);
        id
    }

    /// Nobody reads the extent any more.
    pub(super) fn close(&mut self, id: ExtentId) {
        let extent = self.extents.remove(&id).expect("an open extent is known");
        self.open.retain(|open| *open != id);
        self.cancel(&extent.parts);
        if let Tail::Kept(bytes) = &extent.tail {
            self.release(bytes.len() as u64);
        }
        if let Some(before) = extent.follows {
            self.lose_tail(before, id);
        }
    }

    /// The next bytes of an open extent, on and on to the object's end.
    pub(super) fn take(&mut self, id: ExtentId) -> Taken {
        let extent = self.extents.get_mut(&id).expect("an open extent is known");
        match extent.parts.pop_front() {
            Some(Part { state: PartState::Here(bytes), .. }) => Taken::Part(bytes),
            Some(Part { state: PartState::Failed(error), start, .. }) => {
                // Parts behind the lost one must not be taken for it by who reads on.
                extent.next = start;
                extent.has_failed = true;
                let behind = std::mem::take(&mut extent.parts);
                self.cancel(&behind);
                Taken::Failed(error)
            }
            Some(part) => {
                extent.parts.push_front(part);
                Taken::Wait(Arc::clone(&extent.arrived))
            }
            None if extent.next < extent.end => {
                extent.has_failed = false;
                self.wait_for(id, id)
            }
            None if extent.next >= extent.object.size => Taken::End,
            None => self.take_tail(id),
        }
    }

    /// The bytes behind the end of an extent that was read through.
    fn take_tail(&mut self, id: ExtentId) -> Taken {
        let extent = self.extents.get_mut(&id).expect("an open extent is known");
        match std::mem::replace(&mut extent.tail, Tail::Nowhere) {
            Tail::Kept(tail) => {
                extent.next += tail.len() as u64;
                extent.end = extent.next;
                Taken::Part(Buffer::Shared(tail))
            }
            Tail::In(following) => {
                extent.tail = Tail::In(following);
                let is_requested = !self.extent(following).parts.is_empty();
                if is_requested { Taken::Wait(self.arrived(id)) } else { self.wait_for(id, following) }
            }
            Tail::Nowhere => {
                extent.end = (extent.next + TAIL_PART_BYTES).min(extent.object.size);
                self.wait_for(id, id)
            }
        }
    }

    fn wait_for(&mut self, id: ExtentId, wanted: ExtentId) -> Taken {
        if !self.wanted.contains(&wanted) {
            self.wanted.push_back(wanted);
        }
        Taken::Wait(self.arrived(id))
    }

    /// Bytes that were taken are used.
    pub(super) fn give_back(&mut self, buffer: Buffer) {
        self.release(buffer.len() as u64);
        if let Buffer::Own(bytes) = buffer
            && bytes.capacity() >= REUSED_BYTES_MIN
        {
            self.buffers[usize::from(bytes.capacity() >= LARGE_BYTES)].push(bytes);
        }
    }

    fn release(&mut self, bytes: u64) {
        self.bytes -= bytes;
    }

    /// A range of an object; where that is its beginning, and it is small and will be read anyway, all of it.
    pub(super) fn ask(
        &mut self,
        object: &ObjectInfo,
        range: Range<u64>,
        answer: oneshot::Sender<Result<Bytes, SourceError>>,
    ) {
        let size = object.size;
        let object = Arc::new(object.clone());
        // What is kept leaves room for what must be read now.
        let asked: u64 = self.asked.iter().filter(|asked| asked.is_kept).map(|asked| asked.range.end).sum();
        let is_kept = !self.has_expectations
            && range.start == 0
            && size <= PART_BYTES
            && self.bytes + asked + size <= self.limits.bytes_max / 2;
        let range = if is_kept { 0..size } else { range };
        self.asked.push_back(Asked { object, range, is_kept, answer });
    }

    /// An object that came whole before.
    pub(super) fn kept(&self, object: &ObjectInfo) -> Option<&Bytes> {
        self.kept.get(&object.name)
    }

    // What is sent.

    /// The next request, if one may be sent now. It must be sent, and its task named by
    /// [`Ahead::has_sent`].
    pub(super) fn next_request(&mut self) -> Option<Request> {
        let next = self.choose()?;
        if self.on_the_way.len() >= self.concurrency.limit() {
            self.concurrency.held_back();
            return None;
        }
        let id = self.number();
        let (object, range, purpose) = match next {
            Next::Asked => {
                let asked = self.asked.pop_front().expect("it was chosen");
                (Arc::clone(&asked.object), asked.range.clone(), Purpose::Asked(asked))
            }
            Next::Part(extent_id) => {
                self.wanted.retain(|wanted| *wanted != extent_id);
                let extent = self.extent(extent_id);
                let range = extent.next..extent.next + extent.part_bytes();
                let (start, bytes) = (range.start, range.end - range.start);
                extent.parts.push_back(Part { start, bytes, state: PartState::Coming(id) });
                extent.next = range.end;
                (Arc::clone(&extent.object), range, Purpose::Part(extent_id))
            }
        };
        let bytes = range.end - range.start;
        self.on_the_way.insert(id, OnItsWay { purpose, bytes, task: None });
        self.hold(bytes);
        self.stats.requests += 1;
        self.stats.requests_at_once = self.stats.requests_at_once.max(self.on_the_way.len());
        let buffer = self.buffers[usize::from(bytes >= LARGE_BYTES as u64)].pop().unwrap_or_default();
        Some(Request { id, object, range, buffer })
    }

    pub(super) fn has_sent(&mut self, id: RequestId, task: AbortHandle) {
        if let Some(request) = self.on_the_way.get_mut(&id) {
            request.task = Some(task);
        }
    }

    fn choose(&mut self) -> Option<Next> {
        while let Some(id) = self.wanted.front() {
            // It may be closed by now, or its part may have been requested since.
            if self.extents.get(id).is_some_and(|extent| extent.parts.is_empty() && extent.has_more()) {
                return Some(Next::Part(*id));
            }
            self.wanted.pop_front();
        }
        if !self.asked.is_empty() {
            return Some(Next::Asked);
        }
        let open = self.open.iter().map(|id| (*id, &self.extents[id]));
        let open = open.filter(|(_, extent)| !extent.has_failed && self.has_room_for(extent));
        if let Some((id, _)) = open.min_by_key(|(_, extent)| extent.ahead_bytes()) {
            return Some(Next::Part(id));
        }
        while let Some(id) = self.order.front() {
            if self.extents.get(id).is_some_and(|extent| !extent.is_open && extent.has_more()) {
                break;
            }
            self.order.pop_front();
        }
        // Those in front that have their share are few: their bytes are within the bound.
        let mut order = self.order.iter().filter_map(|id| Some((*id, self.extents.get(id)?)));
        let next =
            order.find(|(_, extent)| !extent.is_open && extent.has_more() && self.is_within_share(extent));
        next.filter(|(_, extent)| self.has_room_for(extent)).map(|(id, _)| Next::Part(id))
    }

    /// Whether the extent's next part is within the bounds.
    fn has_room_for(&self, extent: &Extent) -> bool {
        extent.has_more()
            && self.is_within_share(extent)
            && self.bytes + extent.part_bytes() <= self.limits.bytes_max
    }

    /// Whether the extent's next part leaves others the half of the bytes, so that they can begin.
    fn is_within_share(&self, extent: &Extent) -> bool {
        let ahead = extent.ahead_bytes();
        ahead == 0 || ahead + extent.part_bytes() <= self.limits.bytes_max / 2
    }

    // What arrives.

    /// A request ended. Whom it wakes is woken.
    pub(super) fn has_arrived(&mut self, id: RequestId, outcome: Result<Vec<u8>, SourceError>) {
        let Some(OnItsWay { purpose, bytes, .. }) = self.on_the_way.remove(&id) else {
            return;
        };
        if outcome.is_ok() {
            self.concurrency.ended(bytes, Instant::now());
        }
        match purpose {
            Purpose::Asked(asked) => self.asked_has_arrived(asked, outcome.map(Bytes::from)),
            Purpose::Part(extent_id) => {
                let extent = self.extents.get_mut(&extent_id).expect("a closed one's requests are cancelled");
                let is_it =
                    |part: &&mut Part| matches!(part.state, PartState::Coming(coming) if coming == id);
                let part = extent.parts.iter_mut().find(is_it).expect("a lost part's request is cancelled");
                let is_first = part.start == extent.start;
                part.state = match outcome {
                    Ok(bytes) => PartState::Here(Buffer::Own(bytes)),
                    Err(error) => PartState::Failed(error),
                };
                extent.arrived.notify_all();
                if is_first {
                    self.share_beginning(extent_id);
                }
            }
        }
    }

    /// A request was refused and is sent again.
    pub(super) fn was_refused(&mut self) {
        self.stats.refusals += 1;
        self.concurrency.refused(Instant::now());
    }

    fn asked_has_arrived(&mut self, asked: Asked, answer: Result<Bytes, SourceError>) {
        match &answer {
            Ok(bytes) if asked.is_kept && !self.has_expectations => {
                let before = self.kept.insert(asked.object.name.clone(), bytes.clone());
                self.release(before.map_or(0, |before| before.len() as u64));
            }
            _ => self.release(asked.range.end - asked.range.start),
        }
        // Who asked may have given up.
        let _ = asked.answer.send(answer);
    }

    // How extents hang together.

    fn extent(&mut self, id: ExtentId) -> &mut Extent {
        self.extents.get_mut(&id).expect("the extent is known")
    }

    fn arrived(&mut self, id: ExtentId) -> Arc<Condvar> {
        Arc::clone(&self.extent(id).arrived)
    }

    fn add(&mut self, object: Arc<ObjectInfo>, range: Range<u64>) -> ExtentId {
        let id = self.number();
        let end = range.end.min(object.size);
        let extent = Extent {
            object,
            start: range.start,
            next: range.start,
            end,
            parts: VecDeque::new(),
            is_open: false,
            has_failed: false,
            arrived: Arc::default(),
            tail: Tail::Nowhere,
            follows: None,
        };
        self.extents.insert(id, extent);
        id
    }

    /// Lets the last line of an extent end in the next one, when that continues it.
    fn chain(&mut self, before: ExtentId, id: ExtentId) {
        let (start, end) = (self.extent(id).start, self.extent(id).end);
        let name = self.extent(id).object.name.clone();
        let extent = self.extent(before);
        if extent.object.name == name && (extent.start + 1..=extent.end).contains(&start) && extent.end < end
        {
            extent.tail = Tail::In(id);
            self.extent(id).follows = Some(before);
        }
    }

    /// Gives an extent of an object that is in memory its bytes.
    fn use_kept(&mut self, id: ExtentId) {
        let extent = &self.extents[&id];
        let (start, end) = (extent.next, extent.end);
        let Some(whole) = self.kept.get(&extent.object.name).filter(|_| start < end) else {
            return;
        };
        let within = |offset: u64| usize::try_from(offset).expect("what is kept fits in memory");
        let bytes = whole.slice(within(start)..within(end));
        let part = Part { start, bytes: end - start, state: PartState::Here(Buffer::Shared(bytes)) };
        let extent = self.extent(id);
        extent.parts.push_back(part);
        extent.next = end;
        self.hold(end - start);
        self.share_beginning(id);
    }

    /// The first part of an extent is there, or will not be: the reader before it gets the beginning.
    fn share_beginning(&mut self, id: ExtentId) {
        let Some(before_id) = self.extents[&id].follows else {
            return;
        };
        let Some(before) = self.extents.get(&before_id) else {
            return;
        };
        if !matches!(before.tail, Tail::In(following) if following == id) {
            return;
        }
        let extent = &self.extents[&id];
        let from = before.end - extent.start;
        let beginning = match extent.parts.front() {
            Some(Part { state: PartState::Here(bytes), .. }) => beginning(bytes, from),
            _ => Bytes::new(),
        };
        let bytes = beginning.len() as u64;
        let before = self.extent(before_id);
        before.tail = if beginning.is_empty() { Tail::Nowhere } else { Tail::Kept(beginning) };
        before.arrived.notify_all();
        self.hold(bytes);
    }

    /// An extent that `before` waited for is closed before anything of it arrived.
    fn lose_tail(&mut self, before: ExtentId, id: ExtentId) {
        if let Some(extent) = self.extents.get_mut(&before)
            && matches!(extent.tail, Tail::In(following) if following == id)
        {
            extent.tail = Tail::Nowhere;
            extent.arrived.notify_all();
        }
    }

    fn cancel(&mut self, parts: &VecDeque<Part>) {
        for part in parts {
            if let PartState::Coming(request) = part.state
                && let Some(OnItsWay { task: Some(task), .. }) = self.on_the_way.remove(&request)
            {
                task.abort();
            }
            self.release(part.bytes);
        }
    }

    fn hold(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.stats.bytes_at_once = self.stats.bytes_at_once.max(self.bytes);
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.on_the_way.values().filter_map(|request| request.task.as_ref()).for_each(AbortHandle::abort);
    }
}

enum Next {
    Asked,
    Part(ExtentId),
}

#[cfg(test)]
mod tests;
