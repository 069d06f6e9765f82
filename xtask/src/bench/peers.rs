//! The virtual environment of the other tools, and the scripts that run in it.

use crate::{
    Failure,
    python::Environment,
    repository::{read, root},
    say,
};
use std::{path::Path, process::Command};

const ENVIRONMENT: Environment = Environment("bench-venv");

/// What the scripts of `benches/peers` need.
pub(super) const COUNT: &str = "benches/peers/requirements.txt";
/// What the server of `benches/serve` needs.
pub(super) const SERVE: &str = "benches/serve/requirements.txt";

/// What the scripts of `benches/scale` need.
pub(super) const SCALE: &str = "benches/scale/requirements.txt";

/// A script of `benches/peers` in the virtual environment.
pub(super) fn script(name: &str) -> Command {
    let mut command = python(&[]);
    command.arg(root().join("benches/peers").join(name));
    command
}

/// Python of the virtual environment.
pub(super) fn python(arguments: &[&str]) -> Command {
    ENVIRONMENT.program("python", arguments)
}

/// Makes the virtual environment and brings it to the versions that are pinned in `requirements`. A tool that
/// cannot be installed does not keep the others.
pub(super) fn install(requirements: &str) -> Result<(), Failure> {
    ENVIRONMENT.make()?;
    if ENVIRONMENT.install(&["--requirement", requirements]).is_ok() {
        return Ok(());
    }
    for (name, version) in pinned(requirements)? {
        if ENVIRONMENT.install(&[&format!("{name}=={version}")]).is_err() {
            say(&format!("could not install {name} {version}: what needs it will fail"));
        }
    }
    Ok(())
}

/// The packages of `requirements` with their versions.
pub(super) fn pinned(requirements: &str) -> Result<Vec<(String, String)>, Failure> {
    Ok(pins(&read(Path::new(requirements))?))
}

fn pins(requirements: &str) -> Vec<(String, String)> {
    let lines = requirements.lines().filter(|line| !line.starts_with('#'));
    let pins = lines.filter_map(|line| line.split_once("=="));
    pins.map(|(name, version)| (name.trim().to_owned(), version.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_names_with_versions() {
        let pins = pins("# a comment with x==1\nduckdb==2.0.0\n\nchdb==4.4.0\n");
        let pins: Vec<_> = pins.iter().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(pins, ["duckdb 2.0.0", "chdb 4.4.0"]);
    }

    #[test]
    fn every_version_is_pinned() {
        for file in [COUNT, SERVE, SCALE] {
            let requirements = read(Path::new(file)).unwrap();
            let lines = requirements.lines().filter(|line| !line.starts_with('#'));
            assert_eq!(pins(&requirements).len(), lines.count(), "{file}");
        }
    }
}
