//! Whole nights in this process, whose runs have the same names wherever they are run.

use crate::{scene::DAY, version::Version};
use jiff::Timestamp;
use source::AwsSettings;
use std::{
    fs,
    sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed},
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use topshelf::{
    clock::Clock,
    config::Config,
    failure::Failure,
    pipeline::{self, Night, RunOutcome, StartedBy},
    progress::Progress,
    schedule::Schedule,
};

/// Logs and a lake of one day, that go on from version to version.
pub(crate) struct Place {
    runtime: Runtime,
    clock: Clock,
    folder: TempDir,
    pub(crate) version: Version,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let version = Version::OF_DAY_BEFORE;
        Self { runtime, clock: clock(), folder, version }
    }

    /// Writes logs that no run has seen, and runs the day.
    pub(crate) fn run_next(&mut self, store: &str, patience_seconds: u64) -> Result<RunOutcome, Failure> {
        self.version = self.version.next();
        for (name, content) in self.version.logs(DAY) {
            fs::write(self.folder.path().join(name), content).unwrap();
        }
        self.run(store, patience_seconds)
    }

    /// Runs the day.
    pub(crate) fn run(&self, store: &str, patience_seconds: u64) -> Result<RunOutcome, Failure> {
        let within = |name: &str| self.folder.path().join(name).display().to_string();
        let mut config = Config::default();
        (config.input.url, config.lake.url) = (within("logs"), within("lake"));
        config.store.url = store.to_owned();
        config.store.patience_seconds = patience_seconds;
        let schedule = Schedule::new(&config.schedule).unwrap();
        let aws = AwsSettings::from_pairs::<String, String>([]);
        let (clock, progress) = (self.clock.clone(), Progress::none());
        let night = Night { schedule, clock, aws, ..Night::new(config, progress).unwrap() };
        let ran = self.runtime.block_on(pipeline::run(&night, &[DAY.parse().unwrap()], StartedBy::Hand));
        Ok(ran?.pop().expect("a run for the day"))
    }
}

/// A clock that goes on by a second each time it is asked.
fn clock() -> Clock {
    let began: Timestamp = "2024-11-21T02:30:00Z".parse().unwrap();
    let (seconds, told) = (AtomicI64::new(began.as_second()), AtomicU32::new(0));
    Clock::told_by(move || {
        let now = Timestamp::from_second(seconds.fetch_add(1, Relaxed)).unwrap();
        (now, told.fetch_add(1, Relaxed))
    })
}
