//! `cargo xtask reproduce`: whether the same commit gives the same program elsewhere.
//!
//! What is committed is cloned to another folder and built there, into a target folder and with a cargo home of other
//! names. Then the two programs are compared, byte by byte.

use crate::{
    Failure,
    image::program,
    repository::{program as command, root, succeed, target, works},
    say,
};
use object::{Object, ObjectSection, read::elf::ElfFile64};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// What to compare.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The processor it is for, as Rust names it with the system [default: this machine's]
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// A static program that was built already, of what is committed
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Builds it here and elsewhere; fails, naming what differs, unless both are the same.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if !works(&mut command("git", &["diff", "--quiet", "HEAD"])) {
        return Err("there are changes that are not committed: nobody could build the same".into());
    }
    let triple = options.target.clone().map_or_else(program::of_this_machine, Ok)?;
    let here = match &options.program {
        Some(file) => file.clone(),
        None => program::build(&triple)?,
    };
    let folder = root().join(target()).join("reproduce");
    let there = build_elsewhere(&folder, &triple)?;
    let contents = [&here, &there].map(|file| {
        fs::read(file).map_err(|error| Failure::from(format!("could not read {}: {error}", file.display())))
    });
    let [here_bytes, there_bytes] = contents;
    let (here_bytes, there_bytes) = (here_bytes?, there_bytes?);
    if here_bytes == there_bytes {
        say(&format!("{} and {} are the same {} bytes", here.display(), there.display(), here_bytes.len()));
        return fs::remove_dir_all(&folder)
            .map_err(|error| format!("could not remove {}: {error}", folder.display()).into());
    }
    let differing = differing_sections(&here_bytes, &there_bytes);
    Err(format!(
        "{} ({} bytes) and {} ({} bytes) differ in {}",
        here.display(),
        here_bytes.len(),
        there.display(),
        there_bytes.len(),
        if differing.is_empty() { "what no section holds".to_owned() } else { differing.join(", ") }
    )
    .into())
}

/// The program of a clone, of whose paths none is as here.
fn build_elsewhere(folder: &Path, triple: &str) -> Result<PathBuf, Failure> {
    let (clone, cargo_home) = (folder.join("other-clone"), folder.join("cargo-home"));
    if folder.exists() {
        fs::remove_dir_all(folder)
            .map_err(|error| format!("could not remove {}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    succeed(command("git", &["clone", "--quiet", "--no-hardlinks"]).arg(root()).arg(&clone))?;
    // The same crates by another name: nothing is fetched again.
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let home = home.ok_or("there is neither CARGO_HOME nor a home folder")?;
    std::os::unix::fs::symlink(&home, &cargo_home)
        .map_err(|error| format!("could not link {}: {error}", cargo_home.display()))?;
    say(&format!("building the same in {}", clone.display()));
    let variables = [("CARGO_TARGET_DIR", &*folder.join("other-target")), ("CARGO_HOME", &*cargo_home)];
    program::build_in(&clone, triple, &variables)
}

/// The names of sections that are not the same in both.
fn differing_sections(here: &[u8], there: &[u8]) -> Vec<String> {
    let parsed = |content| ElfFile64::<object::Endianness>::parse(content).ok();
    let (Some(here), Some(there)) = (parsed(here), parsed(there)) else {
        return vec!["their form".to_owned()];
    };
    let mut differing = Vec::new();
    for section in here.sections() {
        let name = section.name().unwrap_or_default().to_owned();
        let other = there.section_by_name(&name);
        // Of what is only zeros in memory there is a size alone.
        let is_same =
            other.is_some_and(|other| other.size() == section.size() && other.data() == section.data());
        if !is_same {
            differing.push(name);
        }
    }
    differing
}
