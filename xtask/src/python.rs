//! Virtual environments for programs that PyPI has, each a folder below `target`, at the versions that a file pins.

use crate::{
    Failure,
    repository::{program, succeed, target},
    say,
};
use std::{path::PathBuf, process::Command};

/// What makes environments with many packages, in seconds.
const UV: Environment = Environment("uv-venv");
const UV_REQUIREMENT: &str = "uv==0.13.9";

/// A virtual environment, by the name of its folder.
pub(crate) struct Environment(pub(crate) &'static str);

impl Environment {
    /// A program of it.
    pub(crate) fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = program(self.folder().join("bin").join(name), arguments);
        // What Python compiles is kept, but not in the repository.
        command
            .env("PYTHONPYCACHEPREFIX", self.folder().join("pycache"))
            .env_remove("PYTHONDONTWRITEBYTECODE");
        command
    }

    /// Makes it if it is not there.
    pub(crate) fn make(&self) -> Result<(), Failure> {
        say(&format!("installing what PyPI has below {}", self.folder().display()));
        if self.folder().join("bin/python").exists() {
            return Ok(());
        }
        succeed(program("python3", &["-m", "venv"]).arg(self.folder()))
    }

    /// Installs what pip is told to.
    pub(crate) fn install(&self, what: &[&str]) -> Result<(), Failure> {
        let quietly = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        succeed(self.program("python", &quietly).args(what))
    }

    /// Makes it with exactly what a file pins: a file that `uv pip compile --no-header --no-annotate` made.
    pub(crate) fn sync(&self, requirements: &str) -> Result<(), Failure> {
        UV.make()?;
        UV.install(&[UV_REQUIREMENT])?;
        let python = self.folder().join("bin/python");
        if !python.exists() {
            succeed(UV.program("uv", &["venv", "--quiet", "--python", "python3"]).arg(self.folder()))?;
        }
        say(&format!("installing {requirements} below {}", self.folder().display()));
        let mut sync = UV.program("uv", &["pip", "sync", "--quiet", requirements, "--python"]);
        succeed(sync.arg(python).env("UV_PYTHON_DOWNLOADS", "never"))
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> PathBuf {
        target().join(self.0)
    }
}
