//! An object that can only be read from its start to its end, counted by several threads.
//!
//! Whoever has the lock reads the next chunk, which for compressed objects is most of the work, and
//! counts it when the lock is free for the next. A chunk of JSON lines, or one without quotes, is cut behind
//! its last line ending: there a record ends for sure. Another one, or one without a line ending, is counted
//! under the lock to where its last record ends, since only reading on can tell where that is.

use crate::{
    count::{CountedObject, Objects},
    slice::{Begin, SliceCounter, SliceReport},
};
use std::{
    io::{self, Read},
    sync::{Mutex, TryLockError},
};

/// The most bytes of a chunk.
const CHUNK_BYTES_MAX: u64 = 1 << 20;

/// The object, shared by the threads that count it.
pub(crate) struct Stream<'a> {
    /// The object's index.
    pub(crate) object: usize,
    counted: &'a CountedObject,
    objects: &'a dyn Objects,
    chunk_bytes: u64,
    state: Mutex<State<'a>>,
}

struct State<'a> {
    /// None before it is opened.
    input: Option<Box<dyn Read + Send + 'a>>,
    /// Where the next chunk begins, which is where a record does.
    offset: u64,
    /// Bytes from there on that were read already.
    ahead: Vec<u8>,
    is_done: bool,
}

/// What became of a thread's turn.
pub(crate) enum Turn {
    /// Another thread is reading.
    Busy,
    /// There is nothing left.
    Done,
    /// A chunk that began at the offset was counted.
    Counted(u64, Box<SliceReport>),
}

/// Bytes that begin where a record does.
struct Chunk {
    bytes: Vec<u8>,
    /// Whether they end where a record does.
    is_closed: bool,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(
        (object, counted): (usize, &'a CountedObject),
        objects: &'a dyn Objects,
        chunk_bytes: u64,
    ) -> Self {
        let offset = counted.layout().data_start();
        let state = State { input: None, offset, ahead: Vec::new(), is_done: false };
        let chunk_bytes = chunk_bytes.min(CHUNK_BYTES_MAX);
        Self { object, counted, objects, chunk_bytes, state: Mutex::new(state) }
    }

    /// Counts the next chunk. While another thread reads, it waits, or, unless `may_wait`, does nothing.
    ///
    /// # Errors
    /// When the object cannot be read or the system gives no memory.
    pub(crate) fn take_turn(&self, counter: &mut SliceCounter<'_>, may_wait: bool) -> io::Result<Turn> {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::WouldBlock) if !may_wait => return Ok(Turn::Busy),
            Err(_) => self.state.lock().expect("a counting thread does not panic"),
        };
        if state.is_done {
            return Ok(Turn::Done);
        }
        let start = state.offset;
        let chunk = self.read_chunk(&mut state).inspect_err(|_| state.close())?;
        let range = start..start + chunk.bytes.len() as u64;
        let mut bytes = &chunk.bytes[..];
        if chunk.is_closed {
            state.offset = range.end;
            drop(state);
            let report = counter.count(self.counted, range, Begin::At(start), false, &mut bytes)?;
            return Ok(Turn::Counted(start, report.into()));
        }
        let input = state.input.as_mut().expect("read_chunk opened it");
        let mut rest = bytes.by_ref().chain(input);
        let counted = counter.count(self.counted, range, Begin::At(start), false, &mut rest);
        let report = counted.inspect_err(|_| state.close())?;
        state.offset = report.next;
        state.ahead = [counter.rest(), bytes].concat();
        Ok(Turn::Counted(start, report.into()))
    }

    /// The next chunk; the last one when it leaves the stream done.
    fn read_chunk(&self, state: &mut State<'a>) -> io::Result<Chunk> {
        let input = match &mut state.input {
            Some(input) => input,
            none => none.insert(self.objects.open(self.object, state.offset..u64::MAX)?),
        };
        let mut bytes = std::mem::take(&mut state.ahead);
        let room = self.chunk_bytes.saturating_sub(bytes.len() as u64);
        let read = input.take(room).read_to_end(&mut bytes)?;
        if (read as u64) < room {
            state.close();
            return Ok(Chunk { bytes, is_closed: true });
        }
        let end = memchr::memrchr(b'\n', &bytes).map(|at| at + 1);
        let is_sure =
            !self.counted.layout().may_quote_line_endings() || memchr::memchr(b'"', &bytes).is_none();
        match end.filter(|_| is_sure) {
            Some(end) => {
                state.ahead = bytes.split_off(end);
                Ok(Chunk { bytes, is_closed: true })
            }
            None => Ok(Chunk { bytes, is_closed: false }),
        }
    }
}

impl State<'_> {
    /// Nothing is read any more, and no file is kept open for it.
    fn close(&mut self) {
        (self.is_done, self.input) = (true, None);
    }
}
