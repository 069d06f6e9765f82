//! One program measured to its end: wall time, CPU time and the most memory, as the kernel counts them.

use crate::{
    Failure,
    repository::{cannot_start, program, works},
};
use std::{
    fmt,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use wait4::Wait4 as _;

/// What a run took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Usage {
    /// It ended well.
    Done {
        /// From start to end.
        wall: Duration,
        /// User and system time of all threads.
        cpu: Duration,
        /// The largest resident set, in bytes.
        memory_bytes: u64,
    },
    /// It was killed at the limit.
    GivenUp(Duration),
    /// It failed, and has said why.
    Failed,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { wall, cpu, memory_bytes } => write!(
                f,
                "took {:.2} s, {:.2} s of CPU, {:.2} GB",
                wall.as_secs_f64(),
                cpu.as_secs_f64(),
                gigabytes(*memory_bytes)
            ),
            Self::GivenUp(limit) => write!(f, "gave up after {} s", limit.as_secs()),
            Self::Failed => f.write_str("failed"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
pub(super) fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

/// Runs `command`, killing it at `limit`. What it prints to stdout is dropped: it is not what is measured.
pub(super) fn run(command: &mut Command, limit: Duration) -> Result<Usage, Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let mut process = command.spawn().map_err(|error| cannot_start(command, &error))?;
    let pid = process.id().to_string();
    let (ended, watched) = mpsc::channel();
    let watch = thread::spawn(move || {
        let is_late = watched.recv_timeout(limit).is_err();
        is_late && works(&mut program("kill", &["-KILL", &pid]))
    });
    let used = process.wait4().map_err(|error| format!("could not wait for a program: {error}"))?;
    let wall = started.elapsed();
    // The watch has ended already when it was too late.
    let _ = ended.send(());
    let was_killed = watch.join().expect("the watch does not panic");
    Ok(if used.status.success() {
        let cpu = used.rusage.utime + used.rusage.stime;
        Usage::Done { wall, cpu, memory_bytes: used.rusage.maxrss }
    } else if was_killed {
        Usage::GivenUp(limit)
    } else {
        Usage::Failed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a script of the shell ends when it may take a second.
    fn run_script(script: &str) -> Usage {
        run(&mut program("sh", &["-c", script]), Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn a_program_is_measured_or_told_to_have_failed() {
        let Usage::Done { wall, memory_bytes, .. } = run_script("sleep 0.1") else { panic!("it ends well") };
        assert!(wall >= Duration::from_millis(100));
        assert!((100_000..1_000_000_000).contains(&memory_bytes), "{memory_bytes} bytes");
        assert_eq!(run_script("exit 3"), Usage::Failed);
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        let started = Instant::now();
        assert_eq!(run_script("exec sleep 60"), Usage::GivenUp(Duration::from_secs(1)));
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
