//! The servers that are compared, and how each is started.

use super::{free_address, running::Running};
use crate::{
    Failure,
    bench::peers,
    repository::{program, root, target},
};
use std::{fmt, fs, path::Path, process::Command, thread, time::Duration};

/// How long a server may take until it answers.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// A server of recommendations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    Topshelf,
    /// Answers the same bytes to everyone.
    Constant,
    /// Reads PostgreSQL on each request.
    Reading,
    FastApi,
}

impl Contender {
    /// In the order of the table, and of the turns.
    pub(super) const ALL: [Self; 4] = [Self::Topshelf, Self::Constant, Self::Reading, Self::FastApi];

    /// Our requests a second ÷ its: at least so many.
    pub(super) fn goal(self) -> Option<f64> {
        match self {
            Self::Topshelf => None,
            Self::Constant => Some(0.9),
            Self::Reading => Some(3.0),
            Self::FastApi => Some(30.0),
        }
    }

    /// Whether its answers are of the database.
    pub(super) fn answers_truly(self) -> bool {
        self != Self::Constant
    }

    /// Starts it and waits until it answers `path`. All of them serve what is in `store`.
    pub(super) fn start(
        self,
        store: &str,
        folder: &Path,
        body: &[u8],
        path: &str,
    ) -> Result<Running, Failure> {
        let address = free_address()?;
        let mut command = match self {
            Self::Topshelf => topshelf(&address, store, folder),
            Self::Constant => {
                let file = folder.join("constant");
                fs::write(&file, body)
                    .map_err(|error| format!("could not write {}: {error}", file.display()))?;
                let mut command = ours("serve_constant", &address);
                command.arg("--body").arg(file);
                command
            }
            Self::Reading => {
                let mut command = ours("serve_reading", &address);
                command.args(["--store", store]);
                command
            }
            Self::FastApi => fastapi(&address, store),
        };
        let mut running = Running::start(&mut command, address)?;
        running.wait(path, START_TIME_MAX, |_| true)?;
        Ok(running)
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Topshelf => "topshelf",
            Self::Constant => "axum, a constant",
            Self::Reading => "axum, PostgreSQL on each request",
            Self::FastApi => "FastAPI, PostgreSQL on each request",
        })
    }
}

/// Topshelf serving `store`; what it keeps on disk is below `folder`.
pub(in crate::bench) fn topshelf(address: &str, store: &str, folder: &Path) -> Command {
    let serve = ["serve", "--listen", address, "--store", store];
    let mut command = program(target().join("release/topshelf"), &serve);
    // No configuration file of the repository has a say.
    command.current_dir(folder).env("TOPSHELF_LOG", "error");
    command
}

/// A program of `benches/servers`.
fn ours(name: &str, address: &str) -> Command {
    program(target().join("release").join(name), &["--listen", address])
}

/// A worker for each core, with the fastest parts that uvicorn can be given.
fn fastapi(address: &str, store: &str) -> Command {
    let (host, port) = address.split_once(':').expect("an address has a port");
    let workers = thread::available_parallelism().map_or(1, usize::from).to_string();
    let mut command = peers::python(&["-m", "uvicorn", "serve_fastapi:app", "--host", host, "--port", port]);
    command.args(["--workers", &workers, "--loop", "uvloop", "--http", "httptools"]);
    command.args(["--no-access-log", "--log-level", "warning", "--app-dir"]);
    command.arg(root().join("benches/serve")).env("DATABASE_URL", store);
    command
}
