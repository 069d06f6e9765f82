//! Virtual environments for programs that PyPI has, each a folder below `target`, at the versions that a file pins.

use crate::{
    Failure,
    repository::{program, succeed, target},
    say,
};
use std::{path::PathBuf, process::Command};

/// A virtual environment, by the name of its folder.
pub(crate) struct Environment(pub(crate) &'static str);

impl Environment {
    /// A program of it.
    pub(crate) fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = program(self.folder().join("bin").join(name), arguments);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
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

    /// Where it is.
    pub(crate) fn folder(&self) -> PathBuf {
        target().join(self.0)
    }
}
