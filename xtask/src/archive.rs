//! `cargo xtask archive`: what people without containers unpack: the static program, its manual pages, completions for
//! shells, the unit for systemd.
//!
//! The same commit gives the same bytes: names in order, the commit's time, nobody's user.

use crate::{
    Failure,
    image::{megabytes, program, tag},
    repository::{cargo, program as command, root, stdout, succeed, target},
    say,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Shells, and what each wants its script to be called.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "topshelf.bash"), ("fish", "topshelf.fish"), ("zsh", "_topshelf")];

/// What is copied as it is.
const FILES: [&str; 6] =
    ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "deploy/systemd", "docs/systemd.md"];

/// What to build.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// The processor it is for, as Rust names it with the system [default: this machine's]
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// A static program that was built already
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
}

/// Builds the archive, says where it is, and unpacks it to see that it works.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let triple = options.target.clone().map_or_else(program::of_this_machine, Ok)?;
    let built = match &options.program {
        Some(file) => file.clone(),
        None => program::build(&triple)?,
    };
    program::check(&built, program::architecture(&triple)?)?;
    let folder = root().join(target()).join("archive");
    let name = format!("topshelf-{}-{triple}", tag());
    let content = folder.join(&name);
    if content.exists() {
        fs::remove_dir_all(&content).map_err(|error| cannot("remove", &content, &error))?;
    }
    for below in ["completions", "deploy", "docs", "man/man1"] {
        let below = content.join(below);
        fs::create_dir_all(&below).map_err(|error| cannot("make", &below, &error))?;
    }
    copy(&built, &content.join("topshelf"))?;
    for file in FILES {
        succeed(command("cp", &["-R", file]).arg(content.join(file)))?;
    }
    program::write_notices(&triple, &content.join("LICENSES-THIRD-PARTY.txt"))?;
    let is_ours = triple == program::of_this_machine()?;
    let topshelf = |arguments: &[&str]| speaking(is_ours.then_some(&*built), arguments);
    for (shell, script) in COMPLETIONS {
        let file = content.join("completions").join(script);
        let text = stdout(&mut topshelf(&["completions", shell]))?;
        fs::write(&file, text).map_err(|error| cannot("write", &file, &error))?;
    }
    succeed(topshelf(&["man", "--out"]).arg(content.join("man/man1")))?;
    let archive = pack(&folder, &name)?;
    if is_ours {
        unpacks(&archive, &name)?;
    }
    let size = fs::metadata(&archive).map_err(|error| cannot("read", &archive, &error))?.len();
    say(&format!("{}: {}", archive.display(), megabytes(size)));
    Ok(())
}

/// The program as this machine can run it: one for another processor says the same as ours.
fn speaking(built: Option<&Path>, arguments: &[&str]) -> Command {
    match built {
        Some(built) => command(built, arguments),
        None => {
            let mut run = cargo(&["run", "--quiet", "--package", "topshelf", "--"]);
            run.args(arguments);
            run
        }
    }
}

/// Packs the folder, with its digest beside it as `sha256sum --check` reads it.
fn pack(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let committed_at = stdout(&mut command("git", &["show", "-s", "--format=%ct", "HEAD"]))?;
    let script = "tar --sort=name --mtime=\"@$1\" --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw --format=gnu \
        --create \"$0\" | gzip -9 --no-name > \"$0.tar.gz\" && sha256sum \"$0.tar.gz\" > \"$0.tar.gz.sha256\"";
    succeed(
        command("bash", &["-eo", "pipefail", "-c", script, name, committed_at.trim()]).current_dir(folder),
    )?;
    Ok(folder.join(format!("{name}.tar.gz")))
}

/// Fails unless what was packed comes out whole, and the program in it speaks.
fn unpacks(archive: &Path, name: &str) -> Result<(), Failure> {
    let place = tempfile::tempdir().map_err(|error| format!("could not make a temporary folder: {error}"))?;
    let digest = archive.with_extension("gz.sha256");
    let folder = archive.parent().unwrap_or(Path::new("."));
    succeed(command("sha256sum", &["--check", "--quiet"]).arg(&digest).current_dir(folder))?;
    succeed(command("tar", &["--extract", "--file"]).arg(archive).current_dir(place.path()))?;
    let inside = place.path().join(name);
    let version = stdout(&mut command(inside.join("topshelf"), &["--version"]))?;
    if version.trim() != concat!("topshelf ", env!("CARGO_PKG_VERSION")) {
        return Err(format!("the program in {} says that it is {version}", archive.display()).into());
    }
    let expected = [
        "completions/_topshelf",
        "man/man1/topshelf-run.1",
        "deploy/systemd/topshelf.service",
        "docs/systemd.md",
        "LICENSES-THIRD-PARTY.txt",
    ];
    let missing: Vec<_> = expected.into_iter().filter(|file| !inside.join(file).is_file()).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("{} lacks {}", archive.display(), missing.join(", ")).into())
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to).map(|_| ()).map_err(|error| cannot("copy", from, &error))
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    format!("could not {what} {}: {error}", path.display()).into()
}
