//! Who is measured, and how each is started.

use super::{logs::Logs, peers::script};
use crate::{
    Failure,
    repository::{program, succeed, target},
};
use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// A program that makes both rankings of a day from the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    Topshelf,
    Peer(Peer),
}

/// Another tool, as a script in `benches/peers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Peer {
    #[value(name = "duckdb")]
    DuckDb,
    Polars,
    #[value(name = "chdb")]
    ChDb,
    #[value(name = "datafusion")]
    DataFusion,
    Pandas,
}

impl Contender {
    /// The name in files.
    pub(super) fn file_stem(self) -> &'static str {
        match self {
            Self::Topshelf => "topshelf",
            Self::Peer(Peer::DuckDb) => "duckdb",
            Self::Peer(Peer::Polars) => "polars",
            Self::Peer(Peer::ChDb) => "chdb",
            Self::Peer(Peer::DataFusion) => "datafusion",
            Self::Peer(Peer::Pandas) => "pandas",
        }
    }

    /// What to measure. A peer writes its answer itself; what topshelf makes is left by its night.
    pub(super) fn command(
        self,
        logs: &Logs,
        threads: u32,
        answer: &Path,
        night: &OurNight<'_>,
    ) -> Result<Command, Failure> {
        if self == Self::Topshelf {
            return night.run(logs, threads);
        }
        let mut command = script(&format!("count_{}.py", self.file_stem()));
        command.arg(&logs.folder).args([&logs.shape.day(), &threads.to_string()]).arg(answer);
        command.stdout(Stdio::null());
        Ok(command)
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Topshelf => "topshelf",
            Self::Peer(Peer::DuckDb) => "DuckDB",
            Self::Peer(Peer::Polars) => "Polars",
            Self::Peer(Peer::ChDb) => "chDB",
            Self::Peer(Peer::DataFusion) => "DataFusion",
            Self::Peer(Peer::Pandas) => "pandas",
        })
    }
}

/// Reads a name of `--peers`; the empty name is nobody.
pub(super) fn peer(name: &str) -> Result<Option<Peer>, String> {
    if name.is_empty() { Ok(None) } else { <Peer as clap::ValueEnum>::from_str(name, false).map(Some) }
}

/// A night of ours: it leaves in a folder all that it makes.
pub(super) struct OurNight<'a> {
    pub(super) folder: &'a Path,
}

impl OurNight<'_> {
    fn database(&self) -> PathBuf {
        self.folder.join("topshelf.db")
    }

    fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    fn report(&self) -> PathBuf {
        self.folder.join("run.json")
    }

    /// The whole night: counted, ranked, kept in the lake, published.
    ///
    /// # Errors
    /// When no file can be made in the folder.
    pub(super) fn run(&self, logs: &Logs, threads: u32) -> Result<Command, Failure> {
        let report = File::create(self.report())
            .map_err(|error| format!("could not make {}: {error}", self.report().display()))?;
        let mut run =
            program(target().join("release/topshelf"), &["run", "--json", "--day", &logs.shape.day()]);
        run.arg("--input").arg(&logs.folder).arg("--lake").arg(self.lake());
        run.args(["--store", &format!("sqlite:{}", self.database().display())]);
        // No configuration file of the repository has a say.
        run.current_dir(self.folder).env("TOPSHELF_COUNTING__THREADS", threads.to_string());
        run.stdout(report);
        Ok(run)
    }

    /// Writes what was published as the peers write their answers; not measured.
    pub(super) fn write_answer(&self, logs: &Logs, answer: &Path) -> Result<(), Failure> {
        succeed(script("published_answer.py").arg(self.database()).arg(logs.shape.day()).arg(answer))
    }

    /// How long the stage of counting took: from planning to what it left in the lake.
    pub(super) fn counting(&self) -> Result<Duration, Failure> {
        let report = self.json(&self.report())?;
        let stages = report["runs"][0]["report"]["stages"].as_array();
        let count = stages.into_iter().flatten().find(|stage| stage["stage"] == "count");
        let elapsed_ms = count.and_then(|stage| stage["elapsed_ms"].as_u64());
        elapsed_ms
            .map(Duration::from_millis)
            .ok_or_else(|| "`topshelf run --json` tells no stage `count`".into())
    }

    /// How many products of active advertisers were counted.
    pub(super) fn products(&self, logs: &Logs) -> Result<u64, Failure> {
        let manifest = self.lake().join(format!("counts/day={}/manifest.json", logs.shape.day()));
        let products = self.json(&manifest)?["products"].as_u64();
        products.ok_or_else(|| format!("{} tells no products", manifest.display()).into())
    }

    fn json(&self, file: &Path) -> Result<serde_json::Value, Failure> {
        let text = fs::read_to_string(file)
            .map_err(|error| format!("could not read {}: {error}", file.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{} is no JSON: {error}", file.display()).into())
    }
}
