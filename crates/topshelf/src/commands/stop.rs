//! Signals: the first tells the work to stop, the second ends the process as it is.

use crate::{halt::Halt, logging};
use std::{
    process,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// What a shell says of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// The same of SIGTERM.
const TERMINATED: i32 = 143;

/// What the work is told when somebody presses Ctrl-C.
pub(super) const CTRL_C: &str = "SIGINT";

/// Whether work is told of signals, and so ends by itself.
static IS_HEARD: AtomicBool = AtomicBool::new(false);

/// Tells the work to stop at SIGTERM or at Ctrl-C, from the call on.
pub(super) fn at_signal(halt: Halt) {
    let mut signals = Signals::listen();
    IS_HEARD.store(true, Relaxed);
    tokio::spawn(async move {
        let mut is_second = false;
        loop {
            let (name, _) = signals.next().await;
            if is_second {
                end(INTERRUPTED);
            }
            warn!(signal = name, "stopping; a second signal ends the process at once");
            halt.stop(name);
            is_second = true;
        }
    });
}

/// Process number 1 of a container hears no signal that nobody listens to: as long as no work does, one ends the process,
/// as it ends any other.
pub(super) fn listen_as_process_one() {
    if process::id() != 1 {
        return;
    }
    let mut signals = Signals::listen();
    tokio::spawn(async move {
        loop {
            let (_, code) = signals.next().await;
            if !IS_HEARD.load(Relaxed) {
                end(code);
            }
        }
    });
}

/// Ends the process as it is, whatever its threads do.
fn end(code: i32) -> ! {
    logging::end();
    process::exit(code)
}

struct Signals {
    terminated: Signal,
    interrupted: Signal,
}

impl Signals {
    fn listen() -> Self {
        let listen = |kind| signal(kind).expect("the runtime has signals");
        Self { terminated: listen(SignalKind::terminate()), interrupted: listen(SignalKind::interrupt()) }
    }

    /// The next one, and what a shell says of a process that it ended.
    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.interrupted.recv() => (CTRL_C, INTERRUPTED),
            _ = self.terminated.recv() => ("SIGTERM", TERMINATED),
        }
    }
}
