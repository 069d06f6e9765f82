//! A process of a trial: what it says goes to a file, and it ends with us, however we end.

use super::interrupt::Interrupt;
use crate::{
    Failure,
    repository::{cannot_start, program, works},
};
use std::{
    fs::{self, OpenOptions},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How long a process may take to be ready, on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How long one may take to end that was told to.
const END_TIME_MAX: Duration = Duration::from_secs(60);

/// A process that was started. Dropped, it is killed.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    /// Bytes of the log that were there before it.
    log_start: usize,
}

impl Process {
    /// Starts a program with those words and that environment, what it says being added to the file.
    pub(super) fn start(
        words: &[String],
        environment: &[(&str, String)],
        folder: &Path,
        log: PathBuf,
    ) -> Result<Self, Failure> {
        let cannot_log =
            |error: std::io::Error| Failure::from(format!("could not write {}: {error}", log.display()));
        let file = OpenOptions::new().create(true).append(true).open(&log).map_err(cannot_log)?;
        let log_start = file.metadata().map_err(cannot_log)?.len();
        // Signals of the terminal are ours to tell; and whoever kills us ends it too.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(words).current_dir(folder).process_group(0);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command.stdout(file.try_clone().map_err(cannot_log)?).stderr(file);
        let child = command.spawn().map_err(|error| cannot_start(&command, &error))?;
        Ok(Self { child, log, log_start: usize::try_from(log_start).unwrap_or(usize::MAX) })
    }

    /// What it has said.
    pub(super) fn said(&self) -> String {
        let content = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(content.get(self.log_start..).unwrap_or_default()).into_owned()
    }

    /// Waits until it says so.
    pub(super) fn wait_until_it_says(&mut self, text: &str, interrupt: &Interrupt) -> Result<(), Failure> {
        let begun = Instant::now();
        while !self.said().contains(text) {
            if self.ended()?.is_some() || begun.elapsed() > START_TIME_MAX {
                return Err(format!("{} never had {text:?}", self.log.display()).into());
            }
            interrupt.pause()?;
        }
        Ok(())
    }

    /// Waits until it ends by itself.
    pub(super) fn wait_until_it_ends(&mut self, interrupt: &Interrupt) -> Result<(), Failure> {
        let begun = Instant::now();
        while self.ended()?.is_none() {
            if begun.elapsed() > END_TIME_MAX {
                return Err(format!("{} tells of no end", self.log.display()).into());
            }
            interrupt.pause()?;
        }
        Ok(())
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.child.try_wait().map_err(|error| format!("could not ask for a process: {error}").into())
    }

    /// Sends a signal, unless it has ended.
    pub(super) fn signal(&mut self, signal: &str) -> Result<(), Failure> {
        if self.ended()?.is_none() {
            // Nobody else waits for it, so that its number is still its own.
            works(&mut program("kill", &[&format!("-{signal}"), &self.child.id().to_string()]));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
