//! What a connection does just now, and since when: so that one that does nothing for too long ends.
//!
//! The stream and the service of a connection note each step; [`crate::watch`] looks now and then which step lasts. So no
//! clock is read and no timer set for a request. hyper's own `header_read_timeout` knows one time for both a head that
//! comes slowly and a connection that rests, and sets a timer for each request.

use crate::limits::Limits;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;

/// A client that takes as much of its answer has another [`Limits::write_time`] for the rest.
const WRITE_STEP: usize = 64 << 10;

/// For so long the rest of a body is thrown away after the answer: were the connection closed meanwhile, the
/// client's kernel would throw away the answer.
const LINGER: Duration = Duration::from_secs(1);

/// The steps of one connection. It has one writer at a time, the connection's task.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// A [`Step`] in the lowest bits; above, how often it changed.
    step: AtomicU32,
    /// Whether a write waits for the client in the lowest bit; above, how often that began anew.
    write: AtomicU32,
    /// Whether the client may be sending a body that is not read.
    lingers: AtomicBool,
}

/// What is waited for, as far as reading goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A TLS handshake.
    Handshake,
    /// The first head, from its first byte on or before.
    First,
    /// The rest of a head.
    Head,
    /// Our own work.
    Work,
    /// Nothing: the answer is there, and the next request not looked for yet.
    Answered,
    /// The next head's first byte.
    Idle,
}

impl Step {
    const ALL: [Self; 6] = [Self::Handshake, Self::First, Self::Head, Self::Work, Self::Answered, Self::Idle];
    const BITS: u32 = 3;
    const MASK: u32 = (1 << Self::BITS) - 1;

    /// The step in a pulse's number.
    fn of(number: u32) -> Self {
        Self::ALL[(number & Self::MASK) as usize]
    }
}

/// Why a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// Its TLS handshake did not come to an end.
    Handshake,
    /// Its head came too slowly.
    Head,
    /// It had no request for too long.
    Idle,
    /// Its client did not take the answer.
    Write,
}

impl Pulse {
    /// Of a connection that was accepted just now.
    pub(crate) fn new(with_tls: bool) -> Self {
        let step = if with_tls { Step::Handshake } else { Step::First };
        Self { step: AtomicU32::new(step as u32), write: AtomicU32::new(0), lingers: AtomicBool::new(false) }
    }

    /// The TLS handshake succeeded.
    pub(crate) fn shook_hands(&self) {
        self.enter(Step::First);
    }

    /// A whole head is there.
    pub(crate) fn asked(&self) {
        self.enter(Step::Work);
    }

    /// The answer is there, though not sent.
    pub(crate) fn answered(&self) {
        self.enter(Step::Answered);
    }

    /// The answer is one to a request whose body was not read to its end.
    pub(crate) fn lingers(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// Bytes came.
    fn received(&self) {
        if matches!(self.step(), Step::Idle | Step::Answered) {
            self.enter(Step::Head);
        }
    }

    /// There are no bytes to be read.
    fn rests(&self) {
        if self.step() == Step::Answered {
            self.enter(Step::Idle);
        }
    }

    fn step(&self) -> Step {
        Step::of(self.step.load(Ordering::Relaxed))
    }

    fn enter(&self, step: Step) {
        let count = self.step.load(Ordering::Relaxed) >> Step::BITS;
        self.step.store(count.wrapping_add(1) << Step::BITS | step as u32, Ordering::Relaxed);
    }

    /// A write waits for the client, or does so again after a step forward.
    fn write_waits(&self) {
        self.note_write(1);
    }

    fn write_goes(&self) {
        self.note_write(0);
    }

    fn note_write(&self, waits: u32) {
        let count = self.write.load(Ordering::Relaxed) >> 1;
        self.write.store(count.wrapping_add(1) << 1 | waits, Ordering::Relaxed);
    }
}

/// What a pulse was at the last look, and since when.
#[derive(Default)]
pub(crate) struct Seen {
    step: Lasting,
    write: Lasting,
}

impl Seen {
    /// Looks at the pulse: what has lasted for longer than the limits allow, if anything has.
    pub(crate) fn look(&mut self, pulse: &Pulse, limits: &Limits, now: Instant) -> Option<Overdue> {
        let waits_to_write = self.write.look(&pulse.write, now);
        let waits_to_read = self.step.look(&pulse.step, now);
        if self.write.value & 1 == 1 {
            return (waits_to_write >= limits.write_time).then_some(Overdue::Write); // nothing is read meanwhile
        }
        let (time, overdue) = match Step::of(self.step.value) {
            Step::Handshake => (limits.head_time, Overdue::Handshake),
            Step::First | Step::Head => (limits.head_time, Overdue::Head),
            Step::Idle => (limits.idle_time, Overdue::Idle),
            Step::Work | Step::Answered => return None,
        };
        (waits_to_read >= time).then_some(overdue)
    }
}

/// A value that is looked at, and since when it is the same.
#[derive(Default)]
struct Lasting {
    value: u32,
    since: Option<Instant>,
}

impl Lasting {
    /// For how long the value is known to be the same.
    fn look(&mut self, value: &AtomicU32, now: Instant) -> Duration {
        let value = value.load(Ordering::Relaxed);
        match self.since {
            Some(since) if self.value == value => now.saturating_duration_since(since),
            _ => {
                *self = Self { value, since: Some(now) };
                Duration::ZERO
            }
        }
    }
}

/// The bytes of a connection, with TLS or without.
pub(crate) enum Bare {
    /// Without.
    Plain(TcpStream),
    /// With it, after the handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The same, noting what it does.
///
/// While a client does not take its answers, nothing more is read from it: who sends requests on and on without
/// reading would have us keep all answers.
pub(crate) struct Stream {
    bare: Bare,
    pulse: Arc<Pulse>,
    write_waits: bool,
    /// Whether reading was put off.
    read_waits: bool,
    /// Bytes written since the write waits.
    written: usize,
    /// Until when the rest of what the client sends is thrown away.
    lingers: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    pub(crate) fn new(bare: Bare, pulse: Arc<Pulse>) -> Self {
        Self { bare, pulse, write_waits: false, read_waits: false, written: 0, lingers: None }
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.waits(),
            Poll::Ready(Ok(written)) if self.write_waits => {
                self.written += written;
                if self.written >= WRITE_STEP {
                    self.written = 0;
                    self.pulse.write_waits();
                }
            }
            Poll::Ready(_) => (),
        }
    }

    fn waits(&mut self) {
        if !self.write_waits {
            self.write_waits = true;
            self.written = 0;
            self.pulse.write_waits();
        }
    }

    /// Throws away what still comes, until that ends, breaks or takes too long.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = self.lingers.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if until.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut bytes = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = match &mut self.bare {
                Bare::Plain(stream) => Pin::new(stream).poll_read(context, &mut buffer),
                Bare::Tls(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            };
            if ready!(read).is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// All that was written is on its way.
    fn flushed(&mut self, context: &Context<'_>) {
        if std::mem::take(&mut self.write_waits) {
            self.pulse.write_goes();
            if std::mem::take(&mut self.read_waits) {
                context.waker().wake_by_ref();
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.write_waits {
            self.read_waits = true;
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = match &mut self.bare {
            Bare::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Bare::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if read.is_pending() {
            self.pulse.rests();
        } else if buffer.filled().len() > before {
            self.pulse.received();
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.bare {
            Bare::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Bare::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.bare {
            Bare::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Bare::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        };
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.bare {
            Bare::Plain(stream) => Pin::new(stream).poll_flush(context),
            Bare::Tls(stream) => Pin::new(stream).poll_flush(context),
        };
        if flushed.is_pending() {
            self.waits()
        } else {
            self.flushed(context)
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            let ended = match &mut self.bare {
                Bare::Plain(stream) => Pin::new(stream).poll_shutdown(context),
                Bare::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            };
            if ended.is_pending() {
                self.waits();
            }
            ready!(ended)?;
        }
        if self.pulse.lingers.load(Ordering::Relaxed) {
            ready!(self.poll_rest(context));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let seconds = Duration::from_secs;
        Limits {
            head_time: seconds(10),
            idle_time: seconds(75),
            write_time: seconds(30),
            ..Limits::default()
        }
    }

    /// Looks at a pulse each second, after `next` has happened: after how many seconds it ends, of a thousand, and for what.
    fn ends(pulse: &Pulse, mut next: impl FnMut(u64)) -> Option<(Overdue, u64)> {
        let (began, mut seen) = (Instant::now(), Seen::default());
        (0..1000).find_map(|second| {
            next(second);
            let overdue = seen.look(pulse, &limits(), began + Duration::from_secs(second))?;
            Some((overdue, second))
        })
    }

    #[test]
    fn each_step_has_its_time_and_our_own_work_none() {
        let pulse = Pulse::new(true);
        let ends = || ends(&pulse, |_| ());
        assert_eq!(ends(), Some((Overdue::Handshake, 10)));
        pulse.shook_hands();
        assert_eq!(ends(), Some((Overdue::Head, 10)));
        pulse.asked();
        assert_eq!(ends(), None);
        pulse.received();
        pulse.rests();
        assert_eq!(ends(), None, "what comes meanwhile changes nothing");
        pulse.answered();
        pulse.rests();
        assert_eq!(ends(), Some((Overdue::Idle, 75)));
        pulse.received();
        assert_eq!(ends(), Some((Overdue::Head, 10)));
        pulse.answered();
        pulse.write_waits();
        assert_eq!(ends(), Some((Overdue::Write, 30)));
        pulse.write_goes();
        assert_eq!(ends(), None);
    }

    #[test]
    fn without_tls_a_connection_begins_with_its_head() {
        assert_eq!(ends(&Pulse::new(false), |_| ()), Some((Overdue::Head, 10)));
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_gains_no_time() {
        let pulse = Pulse::new(false);
        pulse.answered();
        let drip = |_| {
            pulse.received();
            pulse.rests();
        };
        assert_eq!(ends(&pulse, drip), Some((Overdue::Head, 10)));
    }

    #[test]
    fn who_asks_again_and_again_is_never_ended() {
        let pulse = Pulse::new(false);
        let ask = |second| {
            if second % 9 == 0 {
                pulse.received();
                pulse.asked();
                pulse.answered();
                pulse.write_waits();
                pulse.write_goes();
                pulse.rests();
            }
        };
        assert_eq!(ends(&pulse, ask), None);
    }
}
