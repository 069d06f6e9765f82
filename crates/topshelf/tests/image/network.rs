//! A network of a test's own: nothing but a loopback address, with all ports free.

use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::process::Command;

/// Moves this thread, and all that it starts from now on, into a network where nobody else is.
pub(crate) fn enter() {
    // SAFETY: flags that do not part files from the process' other threads leave Rust's assumptions alone.
    let moved = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    moved.expect("the tests of the image are run by root");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
    assert!(up.success());
}
