//! Where the repository is, and programs run in it.

use crate::Failure;
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

/// The workspace, without what the feature `cluster` alone needs: its engine takes a quarter of an hour to build.
pub(crate) const WORKSPACE: [&str; 3] = ["--workspace", "--exclude", "topshelf-cluster"];

/// What of the workspace is tested with the feature `otel`. The workspace is named whole, so that what the program is
/// made of keeps the features that it has in all other tests, and is not built again.
pub(crate) const TRACES: [&str; 7] =
    [WORKSPACE[0], WORKSPACE[1], WORKSPACE[2], "--features", "topshelf/otel", "--test", "traces"];

/// The folder of the repository, where the workspace's `Cargo.toml` is.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository")
}

/// Where cargo builds to, and what a benchmark makes is kept.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target")))
}

/// Cargo, run in the repository; the one that runs us when there is one. What that one tells us of our own package it does
/// not get: a build script that asks for such variables would run again, and all that depends on it be built anew.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = program(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")), arguments);
    let is_ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    let ours = env::vars_os().map(|(name, _)| name).filter(|name| name.to_str().is_some_and(is_ours));
    for name in ours {
        cargo.env_remove(name);
    }
    cargo
}

/// A program to run in the repository.
pub(crate) fn program(name: impl Into<OsString>, arguments: &[&str]) -> Command {
    let mut command = Command::new(name.into());
    command.current_dir(root()).args(arguments);
    command
}

/// Runs a program to its end, what it prints going where ours goes.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus, Failure> {
    command.status().map_err(|error| cannot_start(command, &error))
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn succeed(command: &mut Command) -> Result<(), Failure> {
    let status = status(command)?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", words(command)).into()) }
}

/// What a program prints to stdout; an error when it fails or prints no UTF-8.
pub(crate) fn stdout(command: &mut Command) -> Result<String, Failure> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| cannot_start(command, &error))?;
    if !output.status.success() {
        return Err(format!("`{}` failed: {}", words(command), output.status).into());
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{}` printed no UTF-8", words(command)).into())
}

/// Whether a program is there and ends well, whatever it prints.
pub(crate) fn works(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

pub(crate) fn cannot_start(command: &Command, error: &std::io::Error) -> Failure {
    format!("could not run `{}`: {error}", words(command)).into()
}

/// The command as a person would type it.
pub(crate) fn words(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Every file that is in version control or would be, relative to the root.
pub(crate) fn files() -> Result<Vec<PathBuf>, Failure> {
    let mut git = program("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = stdout(&mut git)?;
    let files = listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    Ok(files.filter(|file| root().join(file).is_file()).collect())
}

/// The text of a file relative to the root.
pub(crate) fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(root().join(file))
        .map_err(|error| format!("could not read {}: {error}", file.display()).into())
}
