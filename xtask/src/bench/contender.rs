//! Who is measured, and how each is started.

use super::logs::{DAY, Logs};
use crate::{
    Failure,
    repository::{program, root, succeed, target},
    say,
};
use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// A program that makes both rankings of a day from the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    Topshelf,
    Peer(Peer),
}

/// Another tool, as a script in `benches/peers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    DuckDb,
    Polars,
    Pandas,
}

impl Contender {
    /// The name in files.
    pub(super) fn file_stem(self) -> &'static str {
        match self {
            Self::Topshelf => "topshelf",
            Self::Peer(Peer::DuckDb) => "duckdb",
            Self::Peer(Peer::Polars) => "polars",
            Self::Peer(Peer::Pandas) => "pandas",
        }
    }

    /// What to measure.
    pub(super) fn command(
        self,
        logs: &Logs,
        threads: u32,
        answer: &Path,
        published: &Published<'_>,
    ) -> Command {
        if self == Self::Topshelf {
            return published.run(logs, threads);
        }
        let mut command = python(&format!("count_{}.py", self.file_stem()));
        command.arg(&logs.folder).args([DAY, &threads.to_string()]).arg(answer);
        command
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Topshelf => "topshelf",
            Self::Peer(Peer::DuckDb) => "DuckDB",
            Self::Peer(Peer::Polars) => "Polars",
            Self::Peer(Peer::Pandas) => "pandas",
        })
    }
}

/// Reads a name of `--peers`; the empty name is nobody.
pub(super) fn peer(name: &str) -> Result<Option<Peer>, String> {
    match name {
        "" => Ok(None),
        "duckdb" => Ok(Some(Peer::DuckDb)),
        "polars" => Ok(Some(Peer::Polars)),
        "pandas" => Ok(Some(Peer::Pandas)),
        _ => Err("the peers are duckdb, polars and pandas".to_owned()),
    }
}

/// Where topshelf keeps what one run makes.
pub(super) struct Published<'a> {
    pub(super) folder: &'a Path,
}

impl Published<'_> {
    fn database(&self) -> PathBuf {
        self.folder.join("topshelf.db")
    }

    /// The whole night: counted, ranked, kept in the lake, published.
    fn run(&self, logs: &Logs, threads: u32) -> Command {
        let mut run = program(target().join("release/topshelf"), &["run", "--day", DAY, "--input"]);
        run.arg(&logs.folder).arg("--lake").arg(self.folder.join("lake"));
        run.args(["--store", &format!("sqlite:{}", self.database().display())]);
        // No configuration file of the repository has a say.
        run.current_dir(self.folder).env("TOPSHELF_COUNTING__THREADS", threads.to_string());
        run
    }

    /// Writes what was published as the peers write their answers; not measured.
    pub(super) fn write_answer(&self, answer: &Path) -> Command {
        let mut command = python("published_answer.py");
        command.arg(self.database()).arg(DAY).arg(answer);
        command
    }
}

/// A script of `benches/peers` in the virtual environment.
pub(super) fn python(script: &str) -> Command {
    let mut command = program(environment().join("bin/python"), &[]);
    command.arg(root().join("benches/peers").join(script));
    command
}

fn environment() -> PathBuf {
    target().join("bench-venv")
}

/// Makes the virtual environment and brings it to the versions of `requirements.txt`.
pub(super) fn install_peers() -> Result<(), Failure> {
    say("installing the other tools below target/bench-venv");
    if !environment().join("bin/python").exists() {
        succeed(program("python3", &["-m", "venv"]).arg(environment()))?;
    }
    let mut pip = program(environment().join("bin/python"), &["-m", "pip", "install", "--quiet"]);
    pip.args(["--disable-pip-version-check", "--requirement"]);
    succeed(pip.arg(root().join("benches/peers/requirements.txt")))
}
