//! systemd's own judge of its unit: whether all of it is understood, and how much of the machine it leaves open.
//!
//! Nothing is installed or started, and nobody need be root: both read files alone.

use crate::{
    Failure,
    repository::{program, read, root, succeed, target, works},
    say,
};
use std::{fs, path::Path, process::Stdio};

const UNIT: &str = "deploy/systemd/topshelf.service";
const USERS: &str = "deploy/systemd/topshelf.sysusers";

/// Where the unit looks for the program, which is not there on a developer's machine.
const PROGRAM: &str = "/usr/local/bin/topshelf";

/// What is there wherever systemd is.
const ANY_PROGRAM: &str = "/bin/sh";

/// How open the unit may be, in tenths of systemd's 0 (shut) to 10 (open).
const EXPOSURE_MAX: u8 = 12;

/// Judges the unit and its user, where systemd is; the words of what failed.
pub(crate) fn check() -> Result<Option<String>, Failure> {
    // Before its version 250 it judges only what runs.
    if !works(&mut program("systemd-analyze", &["--offline=true", "--version"])) {
        say("no systemd-analyze was found: the systemd unit is not checked (Debian has it in `systemd`)");
        return Ok(None);
    }
    let copy = with_a_program()?;
    let users = root().join(USERS).display().to_string();
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let steps: [&[&str]; 3] = [
        &["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", &copy],
        &["systemd-analyze", "security", "--no-pager", "--offline=true", &threshold, UNIT],
        &["systemd-sysusers", "--dry-run", &users],
    ];
    for step in steps {
        let line = step.join(" ");
        say(&format!("running `{line}`"));
        let mut command = program(step[0], &step[1..]);
        // What is well is not told.
        command.env("SYSTEMD_LOG_LEVEL", "warning").stdout(Stdio::null());
        if succeed(&mut command).is_err() {
            return Ok(Some(format!("`{line}`")));
        }
    }
    Ok(None)
}

/// A copy of the unit whose program is there: that ours is not installed is no fault of the unit's.
fn with_a_program() -> Result<String, Failure> {
    let unit = read(Path::new(UNIT))?;
    if !unit.contains(&format!("ExecStart={PROGRAM} ")) {
        return Err(format!("{UNIT} does not start {PROGRAM}, as docs/systemd.md installs it").into());
    }
    let folder = root().join(target()).join("systemd");
    let copy = folder.join("topshelf.service");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&copy, unit.replace(PROGRAM, ANY_PROGRAM)))
        .map_err(|error| format!("could not write {}: {error}", copy.display()))?;
    Ok(copy.display().to_string())
}
