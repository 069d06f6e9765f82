//! Lines that wait to be written by a thread of their own.
//!
//! Whole lines go in and never wait; they come out in order on a writer that may be slow, or stop. What finds no room is
//! dropped and counted. Lines of the access log have room of their own, so that they displace no others.

use api::DroppedLines;
use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread,
    time::Duration,
};

/// The most bytes of lines that wait, of each lane.
const LANE_BYTES_MAX: usize = 256 << 10;

/// How long the process waits at its end for lines to be written.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// Which lines they are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// The access log's.
    Access,
    /// All others, which go first.
    Others,
}

/// Takes lines, and has them written.
#[derive(Clone)]
pub(super) struct Queue {
    waiting: Arc<(Mutex<Waiting>, Condvar)>,
    dropped: DroppedLines,
}

#[derive(Default)]
struct Waiting {
    others: Vec<u8>,
    access: Vec<u8>,
    is_writing: bool,
}

/// Where one line is put.
pub(super) struct Line<'a> {
    queue: &'a Queue,
    lane: Lane,
}

impl Queue {
    /// A queue of lines for `writer`.
    pub(super) fn start(writer: impl Write + Send + 'static) -> Self {
        let queue = Self { waiting: Arc::default(), dropped: DroppedLines::default() };
        let written = queue.clone();
        let name = thread::Builder::new().name("log".to_owned());
        // Without the thread nothing is written and all is counted as dropped once there is no room.
        let _ = name.spawn(move || written.write(writer));
        queue
    }

    pub(super) fn line(&self, lane: Lane) -> Line<'_> {
        Line { queue: self, lane }
    }

    pub(super) fn dropped_lines(&self) -> DroppedLines {
        self.dropped.clone()
    }

    /// Waits until all is written, for a moment at most.
    pub(super) fn flush(&self) {
        let is_left = |waiting: &mut Waiting| waiting.is_writing || !waiting.is_empty();
        drop(self.waiting.1.wait_timeout_while(self.waiting(), FLUSH_TIME_MAX, is_left));
    }

    fn push(&self, lane: Lane, line: &[u8]) {
        let mut waiting = self.waiting();
        let (lines, dropped) = match lane {
            Lane::Access => (&mut waiting.access, &self.dropped.of_access),
            Lane::Others => (&mut waiting.others, &self.dropped.of_others),
        };
        if lines.len() + line.len() > LANE_BYTES_MAX {
            dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        lines.extend_from_slice(line);
        drop(waiting);
        self.waiting.1.notify_all();
    }

    /// Writes what comes, for ever.
    fn write(&self, mut writer: impl Write) {
        loop {
            let mut waiting = self.waiting();
            while waiting.is_empty() {
                waiting = self.waiting.1.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let (others, access) = (mem::take(&mut waiting.others), mem::take(&mut waiting.access));
            waiting.is_writing = true;
            drop(waiting);
            for lines in [others, access] {
                // There is nowhere to tell that the log cannot be written.
                let _ = writer.write_all(&lines);
            }
            self.waiting().is_writing = false;
            self.waiting.1.notify_all();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.others.is_empty() && self.access.is_empty()
    }
}

impl Write for Line<'_> {
    /// Takes a line whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(self.lane, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A writer that waits before each write until it is let go on.
    struct Slow {
        go_on: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.go_on.recv().is_ok() {
                self.written.send(bytes.to_vec()).unwrap();
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_does_not_read_costs_lines_and_no_time_and_each_lane_has_room_of_its_own() {
        let ((let_go, go_on), (written, read)) = (channel(), channel());
        let queue = Queue::start(Slow { go_on, written });
        queue.line(Lane::Others).write_all(b"first\n").unwrap();
        // The writer has taken it, and waits.
        while !queue.waiting().is_writing {
            thread::yield_now();
        }
        let line = [b'x'; 1024];
        let room = LANE_BYTES_MAX / line.len();
        (0..room + 3).for_each(|_| queue.line(Lane::Access).write_all(&line).unwrap());
        queue.line(Lane::Others).write_all(b"second\n").unwrap();
        let DroppedLines { of_access, of_others } = queue.dropped_lines();
        assert_eq!((of_access.load(Ordering::Relaxed), of_others.load(Ordering::Relaxed)), (3, 0));
        (0..3).for_each(|_| let_go.send(()).unwrap());
        queue.flush();
        let written: Vec<_> = read.try_iter().collect();
        let lengths: Vec<_> = written.iter().map(Vec::len).collect();
        assert_eq!((&written[0][..], &written[1][..]), (&b"first\n"[..], &b"second\n"[..]));
        assert_eq!(lengths[2], room * line.len());
    }

    #[test]
    fn the_end_waits_for_lines_but_not_for_who_does_not_read() {
        let ((let_go, go_on), (written, _read)) = (channel(), channel());
        let queue = Queue::start(Slow { go_on, written });
        queue.line(Lane::Others).write_all(b"never\n").unwrap();
        let began = std::time::Instant::now();
        queue.flush();
        assert!(began.elapsed() >= FLUSH_TIME_MAX);
        drop(let_go);
    }
}
