//! The static program, and a look at whether it is that: some linkers write a dynamic one and say nothing.

use crate::{
    Failure,
    repository::{program as command, root, stdout},
    say,
};
use object::{
    Architecture, Object,
    elf::PT_INTERP,
    read::elf::{ElfFile64, ProgramHeader},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What each kind of processor is called, by Rust and by container engines.
const PROCESSORS: [(&str, &str, Architecture); 2] =
    [("x86_64", "amd64", Architecture::X86_64), ("aarch64", "arm64", Architecture::Aarch64)];

/// Features that the program is to have and is not handed out with, as `deploy/static.sh` is told of them; none for what
/// is handed out.
pub(crate) fn features() -> Option<String> {
    std::env::var("TOPSHELF_FEATURES").ok().filter(|features| !features.is_empty())
}

/// The target of this machine.
pub(crate) fn of_this_machine() -> Result<String, Failure> {
    Ok(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
}

/// What container engines call the processor of a target.
pub(crate) fn architecture(target: &str) -> Result<&'static str, Failure> {
    let machine = target.strip_suffix("-unknown-linux-gnu");
    let known = PROCESSORS.iter().find(|(name, ..)| Some(*name) == machine);
    known.map(|(_, architecture, _)| *architecture).ok_or_else(|| {
        format!(
            "no image is made for {target}; there are x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu"
        )
        .into()
    })
}

/// Builds it, which takes minutes.
pub(crate) fn build(target: &str) -> Result<PathBuf, Failure> {
    say(&format!("building the static program for {target}"));
    build_in(root(), target, &[])
}

/// Builds that of the repository in `folder`, with these variables in the environment.
pub(crate) fn build_in(folder: &Path, target: &str, variables: &[(&str, &Path)]) -> Result<PathBuf, Failure> {
    let mut script = command(folder.join("deploy/static.sh"), &[target]);
    // What cargo tells of xtask itself: some crates are built again when it changes.
    let is_of_xtask = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_xtask(&name.to_string_lossy())) {
        script.env_remove(name);
    }
    script.envs(variables.iter().copied());
    Ok(PathBuf::from(stdout(&mut script)?.trim()))
}

/// Writes the licences of what is linked into the program for `target`.
pub(crate) fn write_notices(target: &str, file: &Path) -> Result<(), Failure> {
    let notices = stdout(&mut command(root().join("deploy/notices.sh"), &[target]))?;
    let written = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(file, notices));
    written.map_err(|error| format!("could not write {}: {error}", file.display()).into())
}

/// Fails unless the file is a static program for the processor.
pub(crate) fn check(program: &Path, architecture: &str) -> Result<(), Failure> {
    let content =
        fs::read(program).map_err(|error| format!("could not read {}: {error}", program.display()))?;
    static_for(&content, architecture)
        .map_err(|why| format!("{} is no static program for {architecture}: {why}", program.display()).into())
}

fn static_for(content: &[u8], architecture: &str) -> Result<(), String> {
    let file = ElfFile64::<object::Endianness>::parse(content).map_err(|error| error.to_string())?;
    let built_for = file.architecture();
    if !PROCESSORS.iter().any(|(_, name, processor)| *name == architecture && *processor == built_for) {
        return Err(format!("it is for {built_for:?}"));
    }
    let needs_loader =
        file.elf_program_headers().iter().any(|header| header.p_type(file.endian()) == PT_INTERP);
    if needs_loader { Err("it needs a dynamic loader".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_or_one_for_another_processor_is_told() {
        // These tests themselves are a dynamic program.
        let ours = fs::read(std::env::current_exe().unwrap()).unwrap();
        let here = architecture(&of_this_machine().unwrap()).unwrap();
        assert_eq!(static_for(&ours, here), Err("it needs a dynamic loader".to_owned()));
        let elsewhere = if here == "amd64" { "arm64" } else { "amd64" };
        assert!(static_for(&ours, elsewhere).unwrap_err().starts_with("it is for "));
        assert!(static_for(b"#!/bin/sh\n", here).is_err());
    }

    #[test]
    fn the_processors_of_the_image_are_named_as_engines_do() {
        assert_eq!(architecture("x86_64-unknown-linux-gnu").unwrap(), "amd64");
        assert_eq!(architecture("aarch64-unknown-linux-gnu").unwrap(), "arm64");
        assert!(architecture("x86_64-unknown-linux-musl").is_err());
    }
}
