//! Signals: the first tells the work to stop, the second ends the process as it is.

use crate::{halt::Halt, logging};
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

/// What a shell says of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// What the work is told when somebody presses Ctrl-C.
pub(super) const CTRL_C: &str = "SIGINT";

/// Tells the work to stop at SIGTERM or at Ctrl-C, from the call on.
pub(super) fn at_signal(halt: Halt) {
    let listen = |kind| signal(kind).expect("the runtime has signals");
    let (mut terminated, mut interrupted) =
        (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    tokio::spawn(async move {
        let mut is_second = false;
        loop {
            let name = tokio::select! {
                _ = interrupted.recv() => CTRL_C,
                _ = terminated.recv() => "SIGTERM",
            };
            if is_second {
                logging::end();
                std::process::exit(INTERRUPTED);
            }
            warn!(signal = name, "stopping; a second signal ends the process at once");
            halt.stop(name);
            is_second = true;
        }
    });
}
