//! The servers that are compared, and how each is started.

use super::{free_address, running::Running};
use crate::{
    Failure,
    bench::peers,
    repository::{program, root, stdout, target},
};
use std::{fmt, fs, path::Path, process::Command, thread, time::Duration};

/// How long a server may take until it answers.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// A server of recommendations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    Topshelf,
    /// The same, asking for a key and counting the requests of each.
    Guarded,
    /// Answers the same bytes to everyone.
    Constant,
    /// Reads PostgreSQL on each request.
    Reading,
    FastApi,
}

impl Contender {
    /// In the order of the table, and of the turns.
    pub(super) const ALL: [Self; 5] =
        [Self::Topshelf, Self::Guarded, Self::Constant, Self::Reading, Self::FastApi];

    /// What our requests a second ÷ its are to be.
    pub(super) fn goal(self) -> Option<&'static str> {
        match self {
            Self::Topshelf => None,
            Self::Guarded => Some("≤ 1.11"),
            Self::Constant => Some("≥ 0.9"),
            Self::Reading => Some("≥ 3"),
            Self::FastApi => Some("≥ 30"),
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
        let mut header = None;
        let mut command = match self {
            Self::Topshelf => topshelf(&address, store, folder),
            Self::Guarded => {
                header = Some(format!("X-Api-Key: {}", new_key(store, folder)?));
                guarded(topshelf(&address, store, folder))
            }
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
        running.header = header;
        running.wait(path, START_TIME_MAX, |_| true)?;
        Ok(running)
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Topshelf => "topshelf",
            Self::Guarded => "topshelf, with keys and limits",
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

/// The same, guarded: a limit that nobody reaches is counted all the same.
fn guarded(mut topshelf: Command) -> Command {
    topshelf.env("TOPSHELF_SERVE__KEYS", "required").env("TOPSHELF_SERVE__SNAPSHOT_DIR", "");
    topshelf.env("TOPSHELF_SERVE__REQUESTS_PER_SECOND", "1000000000");
    topshelf
}

/// Makes a key for all advertisers; its text.
fn new_key(store: &str, folder: &Path) -> Result<String, Failure> {
    let create = ["keys", "create", "--all", "--name", "bench", "--store", store];
    let mut command = program(target().join("release/topshelf"), &create);
    command.current_dir(folder).env("TOPSHELF_LOG", "error");
    Ok(stdout(&mut command)?.trim().to_owned())
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
