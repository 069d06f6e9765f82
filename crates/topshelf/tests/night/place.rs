//! Where a night happens: an input, a lake and a database of its own.

use crate::{postgres, s3, site::Site};
use domain::Day;
use jiff::Timestamp;
use source::AwsSettings;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};
use tempfile::TempDir;
use topshelf::{
    checks::Checks,
    clock::Clock,
    config::Config,
    pipeline::{self, Night, RunOutcome, StartedBy, Verdict},
    progress::Progress,
    schedule::Schedule,
};

/// Where logs and lake lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Objects {
    Directory,
    Bucket,
}

/// What is published into.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// The four ways through the night.
pub(crate) const WAYS: [(Objects, Database); 4] = [
    (Objects::Directory, Database::Sqlite),
    (Objects::Bucket, Database::Postgres),
    (Objects::Bucket, Database::Sqlite),
    (Objects::Directory, Database::Postgres),
];

/// Two of them that meet each part once.
pub(crate) const TWO_WAYS: [(Objects, Database); 2] = [WAYS[0], WAYS[1]];

/// An input, a lake and a database that no other test knows.
pub(crate) struct Place {
    /// Names the same runs in the same order wherever it ticks.
    clock: Clock,
    config: Config,
    environment: Vec<(String, String)>,
    folder: TempDir,
}

impl Place {
    /// A place with an empty input, to be filled by [`Place::input`].
    pub(crate) async fn new((objects, database): (Objects, Database)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bucket/input", "bucket/lake"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        // Most nights here are like no other: those of `held` are checked.
        let mut config = Config { checks: Checks::off(), ..Config::default() };
        let mut environment = Vec::new();
        let (input, lake) = match objects {
            Objects::Directory => {
                let inside = |name| folder.path().join("bucket").join(name).display().to_string();
                (inside("input"), inside("lake"))
            }
            Objects::Bucket => {
                environment = s3::start(folder.path()).await;
                ("s3://bucket/input".to_owned(), "s3://bucket/lake".to_owned())
            }
        };
        (config.input.url, config.lake.url) = (input, lake);
        config.store.url = match database {
            Database::Sqlite => format!("sqlite:{}", folder.path().join("topshelf.db").display()),
            Database::Postgres => postgres::new_database("topshelf_night").await,
        };
        config.serve.history_days = 400;
        Self { clock: clock("2024-12-20T02:30:00Z"), config, environment, folder }
    }

    /// A place whose input is what lies in `input`: read where it is, or put into the bucket.
    pub(crate) async fn with_input(way: (Objects, Database), input: &Path) -> Self {
        let mut place = Self::new(way).await;
        if way.0 == Objects::Directory {
            place.config.input.url = input.display().to_string();
            return place;
        }
        for entry in fs::read_dir(input).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), place.input().join(entry.file_name())).unwrap();
        }
        place
    }

    /// The same place, configured otherwise.
    pub(crate) fn configured(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The same place, whose lake is a directory wherever the input is.
    pub(crate) fn with_lake_in_directory(mut self) -> Self {
        self.config.lake.url = self.folder.path().join("bucket/lake").display().to_string();
        self
    }

    /// The folder whose files are the input.
    pub(crate) fn input(&self) -> PathBuf {
        self.folder.path().join("bucket/input")
    }

    /// Every object of the lake, by name.
    pub(crate) fn lake(&self) -> BTreeMap<String, Vec<u8>> {
        let root = self.folder.path().join("bucket/lake");
        let mut objects = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().display().to_string();
                    objects.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        objects
    }

    /// The environment in which a program finds the bucket.
    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    pub(crate) fn night(&self) -> Night {
        let config = self.config.clone();
        let schedule = Schedule::new(&config.schedule).unwrap();
        let aws = AwsSettings::from_pairs(self.environment.clone());
        let clock = self.clock.clone();
        Night { schedule, clock, aws, ..Night::new(config, Progress::none()).unwrap() }
    }

    /// Runs the days in one go.
    pub(crate) async fn run(&self, days: &[Day]) -> Vec<RunOutcome> {
        pipeline::run(&self.night(), days, StartedBy::Hand).await.unwrap()
    }

    /// Runs the days in one go, whether their input changed or not.
    pub(crate) async fn run_anew(&self, days: &[Day]) -> Vec<RunOutcome> {
        let night = Night { recount: true, ..self.night() };
        pipeline::run(&night, days, StartedBy::Hand).await.unwrap()
    }

    /// Runs the days in one go, each of which must come to `verdict`.
    pub(crate) async fn run_to(&self, verdict: Verdict, days: &[Day]) -> Vec<RunOutcome> {
        let outcomes = self.run(days).await;
        for outcome in &outcomes {
            assert_eq!(outcome.ended.as_ref().unwrap().verdict(), verdict, "{}", outcome.day);
        }
        outcomes
    }

    /// Serves what is published here.
    pub(crate) async fn serve(&self) -> Site {
        Site::start(&self.night()).await
    }

    /// Runs a command of the program in a process of its own, which must succeed; what it printed.
    pub(crate) async fn command(&self, arguments: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_topshelf"));
        command.current_dir(self.folder.path()).env_clear().envs(self.environment.clone());
        command.args(["--input", &self.config.input.url, "--lake", &self.config.lake.url]);
        command.args(["--store", &self.config.store.url]).args(arguments.split(' '));
        // Our S3 server needs this thread while the process runs.
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "topshelf {arguments}: {}\n{error}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A clock that stands at `now`; what tells runs apart is counted.
fn clock(now: &str) -> Clock {
    let now: Timestamp = now.parse().unwrap();
    let told = AtomicU32::new(0);
    Clock::told_by(move || (now, told.fetch_add(1, Relaxed)))
}
