//! shellcheck, the judge of shell scripts: found, or fetched from Debian's package without installing it.

use crate::{
    Failure,
    check::workflows::{Script, scripts},
    debian,
    repository::{cannot_start, files, program, read, root, succeed, target, works},
    say,
};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

/// Judges our scripts and those in workflows, where there is shellcheck; the words of what failed.
pub(crate) fn check() -> Result<Option<String>, Failure> {
    let Some(shellcheck) = find() else {
        say(
            "no shellcheck was found: scripts are not checked (`cargo xtask workflows` fetches it from Debian)",
        );
        return Ok(None);
    };
    let files = files()?;
    let (mut of_workflows, mut is_well) = (Vec::new(), true);
    for file in files.iter().filter(|file| file.starts_with(".github/workflows")) {
        let scripts = scripts(&read(file)?);
        of_workflows.extend(scripts.into_iter().map(|script| (file, script)));
    }
    let ours: Vec<_> =
        files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "sh")).collect();
    say(&format!("running `shellcheck` on {} scripts", ours.len() + of_workflows.len()));
    if !ours.is_empty() && succeed(program(&shellcheck, &[]).args(&ours)).is_err() {
        is_well = false;
    }
    for (file, script) in &of_workflows {
        if let Some(found) = found_in(script, &shellcheck)? {
            println!("{}: in the script from line {}:\n{found}", file.display(), script.line);
            is_well = false;
        }
    }
    Ok((!is_well).then(|| "`shellcheck`".to_owned()))
}

/// What it finds in a script of a workflow, whose steps are run by bash.
fn found_in(script: &Script, shellcheck: &Path) -> Result<Option<String>, Failure> {
    let mut judge = program(shellcheck, &["--shell=bash", "--color=never", "-"]);
    let judged = (|| {
        let mut running = judge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        running.stdin.take().expect("it is piped").write_all(script.text.as_bytes())?;
        running.wait_with_output()
    })();
    let output = judged.map_err(|error| cannot_start(&judge, &error))?;
    Ok((!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Fetches it where that can be done and there is none; else the check says so.
pub(crate) fn fetch() {
    if find().is_some() || !debian::has_apt() {
        return;
    }
    say("no shellcheck was found: fetching Debian's package");
    if debian::unpack("shellcheck", &folder()).is_err() {
        // What failed has said why.
        say("could not fetch shellcheck: scripts are not checked");
    }
}

fn folder() -> PathBuf {
    root().join(target()).join("shellcheck")
}

fn find() -> Option<PathBuf> {
    let candidates = [PathBuf::from("shellcheck"), folder().join("usr/bin/shellcheck")];
    candidates.into_iter().find(|shellcheck| works(&mut program(shellcheck, &["--version"])))
}
