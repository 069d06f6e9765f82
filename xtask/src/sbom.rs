//! `cargo xtask sbom`: what the program is made of, as a CycloneDX document.
//!
//! Listed is what is linked into the binary: crates of normal dependencies with the features of the shipped program, the C and
//! the data that they carry, Rust's standard library, a static C library, and files that lie beside the binary in an image.
//! Neither tests, nor build scripts, nor procedural macros are in it. The same commit gives the same bytes.

mod carried;
mod cyclonedx;
mod graph;
mod validation;

pub(crate) use validation::run_with_tests;

use crate::{
    Failure,
    repository::{program as command, root, stdout},
};
use cyclonedx::{Component, Dependency, Document, Metadata};
use graph::Linked;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Whose parts to list, and where to.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What the program is built for; this machine's by default
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// The built program: its hash, its compiler and its static C library are listed as it names them
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// A file that lies beside the program in its image, such as the certificates
    #[arg(long, value_name = "FILE")]
    beside: Vec<PathBuf>,
    /// Where to write the document; stdout by default
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Whose parts a document lists.
pub(crate) struct Subject<'a> {
    /// What the program is built for.
    pub(crate) target: &'a str,
    /// The built program; without it the compiler is this machine's, and no C library is listed.
    pub(crate) program: Option<&'a Path>,
    /// Files that lie beside it in its image.
    pub(crate) beside: &'a [PathBuf],
}

/// Prints or writes the document.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let target = match &options.target {
        Some(target) => target.clone(),
        None => of_compiler("host: ")?,
    };
    let subject = Subject { target: &target, program: options.program.as_deref(), beside: &options.beside };
    match &options.output {
        None => print!("{}", document(&subject)?),
        Some(output) => write(&subject, output)?,
    }
    Ok(())
}

/// Writes what `subject` is made of into a file.
pub(crate) fn write(subject: &Subject, output: &Path) -> Result<(), Failure> {
    let document = document(subject)?;
    let said = |error| format!("could not write {}: {error}", output.display());
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).map_err(said)?;
    }
    fs::write(output, document).map_err(|error| said(error).into())
}

/// What `subject` is made of, as CycloneDX in JSON.
fn document(subject: &Subject) -> Result<String, Failure> {
    let linked = graph::of(subject.target)?;
    let mut components = components(&linked);
    let mut needs = needs(&linked);
    for part in carried::by_crates(&linked)? {
        add(&mut needs, &part.owner, &part.component);
        components.push(part.component);
    }
    let program = linked.program.reference();
    let mut whole = Component::of_crate(&linked.crates[&linked.program]);
    let mut beside = match subject.program {
        None => vec![carried::standard_library(&of_compiler("release: ")?)],
        Some(file) => {
            let bytes = contents(file)?;
            whole.hash(&hex(&bytes));
            carried::by_binary(&bytes)
                .ok_or_else(|| format!("{} does not tell who compiled it", file.display()))?
        }
    };
    for file in subject.beside {
        beside.push(Component::of_file(&name(file)?, &hex(&contents(file)?)));
    }
    for part in beside {
        add(&mut needs, &program, &part);
        components.push(part);
    }
    components.sort_by(|one, other| one.reference.cmp(&other.reference));
    let dependencies =
        needs.into_iter().map(|(reference, needs)| Dependency::new(reference, needs)).collect();
    let metadata = Metadata::new(&committed_at()?, subject.target, whole);
    Ok(Document::new(metadata, components, dependencies).into_json())
}

/// Every crate but the program's own.
fn components(linked: &Linked) -> Vec<Component> {
    let others = linked.crates.values().filter(|of| of.id != linked.program);
    others.map(Component::of_crate).collect()
}

/// What each part needs, by its reference.
fn needs(linked: &Linked) -> BTreeMap<String, Vec<String>> {
    let references = |of: &graph::Crate| of.needs.iter().map(graph::Id::reference).collect();
    linked.crates.values().map(|of| (of.id.reference(), references(of))).collect()
}

fn add(needs: &mut BTreeMap<String, Vec<String>>, owner: &str, part: &Component) {
    needs.entry(part.reference.clone()).or_default();
    needs.entry(owner.to_owned()).or_default().push(part.reference.clone());
}

/// When what is built was committed, or what `SOURCE_DATE_EPOCH` says, in UTC.
fn committed_at() -> Result<String, Failure> {
    let seconds = match env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds,
        Err(_) => stdout(&mut command("git", &["log", "-1", "--format=%ct"]))?,
    };
    let at = seconds.trim().parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map(|at| at.to_string()).ok_or_else(|| format!("`{}` is no time in seconds", seconds.trim()).into())
}

/// A line of what the compiler tells of itself, without its name.
fn of_compiler(name: &str) -> Result<String, Failure> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = stdout(Command::new(rustc).arg("-vV").current_dir(root()))?;
    let line = told.lines().find_map(|line| line.strip_prefix(name));
    line.map(str::to_owned).ok_or_else(|| format!("rustc -vV has no line `{name}`").into())
}

fn contents(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| format!("could not read {}: {error}", file.display()).into())
}

fn name(file: &Path) -> Result<String, Failure> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| format!("{} is no file", file.display()).into())
}

/// The SHA-256 of bytes, as text.
fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const TARGET: &str = "x86_64-unknown-linux-gnu";

    fn of_repository(beside: &[PathBuf]) -> Value {
        let subject = Subject { target: TARGET, program: None, beside };
        serde_json::from_str(&document(&subject).unwrap()).unwrap()
    }

    fn component<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
        document["components"].as_array().unwrap().iter().find(|component| component["name"] == name)
    }

    #[test]
    fn what_is_linked_is_listed_and_what_only_builds_or_tests_is_not() {
        let document = of_repository(&[]);
        for linked in
            ["topshelf-counting", "sqlx", "rustls", "ring", "sqlite", "zstd", "swagger-ui", "rust-std"]
        {
            assert!(component(&document, linked).is_some(), "{linked} is not listed");
        }
        for not_linked in
            ["s3s", "proptest", "rcgen", "syn", "serde_derive", "cc", "opentelemetry", "xtask", "divan"]
        {
            assert!(component(&document, not_linked).is_none(), "{not_linked} is listed");
        }
    }

    #[test]
    fn a_crate_has_its_purl_its_hash_and_its_licence() {
        let document = of_repository(&[]);
        let zstd = component(&document, "zstd-sys").unwrap();
        assert!(zstd["purl"].as_str().unwrap().starts_with("pkg:cargo/zstd-sys@2."));
        assert!(zstd["purl"].as_str().unwrap().contains("%2Bzstd."));
        assert_eq!(zstd["hashes"][0]["content"].as_str().unwrap().len(), 64);
        assert_eq!(zstd["licenses"][0]["expression"], "BSD-3-Clause AND BSD-2-Clause");
        assert_eq!(document["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
        for component in document["components"].as_array().unwrap() {
            let has_licence = component.get("licenses").is_some();
            assert!(has_licence, "{component} has no licence");
        }
    }

    #[test]
    fn every_part_is_needed_by_the_program_and_is_there() {
        let document = of_repository(&[]);
        let mut reached = vec![document["metadata"]["component"]["bom-ref"].clone()];
        let mut at = 0;
        while let Some(part) = reached.get(at).cloned() {
            let dependencies = document["dependencies"].as_array().unwrap();
            let needs = dependencies.iter().find(|of| of["ref"] == part).unwrap();
            let needs = needs.get("dependsOn").and_then(Value::as_array).cloned().unwrap_or_default();
            reached.extend(needs.into_iter().filter(|needed| !reached.contains(needed)).collect::<Vec<_>>());
            at += 1;
        }
        let mut listed: Vec<_> =
            document["components"].as_array().unwrap().iter().map(|of| of["bom-ref"].to_string()).collect();
        let mut reached: Vec<_> = reached[1..].iter().map(Value::to_string).collect();
        listed.sort();
        reached.sort();
        assert_eq!(listed, reached);
    }

    #[test]
    fn the_same_commit_gives_the_same_bytes() {
        let subject = Subject { target: TARGET, program: None, beside: &[] };
        assert_eq!(document(&subject).unwrap(), document(&subject).unwrap());
    }

    #[test]
    fn a_file_beside_the_program_is_listed_with_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca-certificates.crt");
        fs::write(&file, "abc").unwrap();
        let document = of_repository(&[file]);
        let listed = component(&document, "ca-certificates.crt").unwrap();
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(listed["hashes"][0]["content"], of_abc);
    }
}
