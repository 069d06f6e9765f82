//! Whoever stops the command has it tidy up first.

use crate::Failure;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

const STEP: Duration = Duration::from_millis(20);

/// Whether we were told to end.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for Ctrl-C and its likes from now on.
    pub(super) fn listen() -> Result<Self, Failure> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag))
                .map_err(|error| format!("could not listen for Ctrl-C: {error}"))?;
        }
        Ok(Self(flag))
    }

    /// Lets a moment pass; an error when we were told to end.
    pub(super) fn pause(&self) -> Result<(), Failure> {
        thread::sleep(STEP);
        if self.0.load(Ordering::Relaxed) {
            return Err(Failure::with_exit_code("stopped".to_owned(), 130));
        }
        Ok(())
    }
}
