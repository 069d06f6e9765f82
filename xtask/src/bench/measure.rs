//! One program measured to its end: wall time, CPU time and the most memory, as the kernel counts them.

use super::{gigabytes, median, seconds};
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

/// What a run that ended well took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Used {
    /// From start to end.
    pub(super) wall: Duration,
    /// User and system time of all threads.
    pub(super) cpu: Duration,
    /// The largest resident set.
    pub(super) memory_bytes: u64,
}

impl Used {
    /// The medians of wall time, CPU time and memory, each by itself.
    pub(super) fn median(runs: &[Self]) -> Option<Self> {
        Some(Self {
            wall: median(runs.iter().map(|run| run.wall))?,
            cpu: median(runs.iter().map(|run| run.cpu))?,
            memory_bytes: median(runs.iter().map(|run| run.memory_bytes))?,
        })
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wall, cpu, memory) = (seconds(self.wall), seconds(self.cpu), gigabytes(self.memory_bytes));
        write!(f, "{wall:.2} s, {cpu:.2} s of CPU, {memory:.2} GB")
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Usage {
    /// Well.
    Done(Used),
    /// It was killed at the limit.
    GivenUp(Duration),
    /// It failed, and has said why.
    Failed,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(used) => write!(f, "took {used}"),
            Self::GivenUp(limit) => write!(f, "gave up after {} s", limit.as_secs()),
            Self::Failed => f.write_str("failed"),
        }
    }
}

/// Runs `command`, killing it at `limit`. Where its stdout goes is the caller's to say.
pub(super) fn run(command: &mut Command, limit: Duration) -> Result<Usage, Failure> {
    command.stdin(Stdio::null());
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
        Usage::Done(Used { wall, cpu, memory_bytes: used.rusage.maxrss })
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
        let Usage::Done(Used { wall, memory_bytes, .. }) = run_script("sleep 0.1") else {
            panic!("it ends well")
        };
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
