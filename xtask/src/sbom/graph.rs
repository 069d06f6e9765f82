//! Which crates are linked into the program, and which of them needs which.
//!
//! `cargo tree` says so: unlike `cargo metadata`, it takes the features that this one package is built with.

use crate::{
    Failure,
    image::program,
    repository::{cargo, read, root, stdout},
};
use cargo_metadata::MetadataCommand;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// A crate's name and version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) name: String,
    pub(super) version: String,
}

impl Id {
    fn new(name: &str, version: &str) -> Self {
        Self { name: name.to_owned(), version: version.to_owned() }
    }

    /// What a document calls it.
    pub(super) fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// A crate that is linked.
pub(super) struct Crate {
    pub(super) id: Id,
    pub(super) licence: Option<String>,
    pub(super) repository: Option<String>,
    /// The SHA-256 of the file that the registry has; none of ours.
    pub(super) sha256: Option<String>,
    pub(super) needs: BTreeSet<Id>,
}

/// All crates that are linked.
pub(super) struct Linked {
    pub(super) program: Id,
    pub(super) crates: BTreeMap<Id, Crate>,
    /// Where the sources of each package lie that was taken to build, linked or not, by name.
    pub(super) folders: BTreeMap<Id, PathBuf>,
}

/// What is linked into the program when it is built for `target`.
pub(super) fn of(target: &str) -> Result<Linked, Failure> {
    let mut tree = cargo(&["tree", "--locked", "--package", "topshelf", "--edges", "normal,no-proc-macro"]);
    tree.args(["--prefix", "depth", "--format", "|{p}", "--target", target]);
    if let Some(features) = program::features() {
        tree.args(["--features", &features]);
    }
    let (program, needs) = parse_tree(&stdout(&mut tree)?)?;
    let checksums = checksums(&read(Path::new("Cargo.lock"))?);
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .other_options(["--locked".to_owned(), format!("--filter-platform={target}")])
        .exec()
        .map_err(|error| format!("could not read what crates say of themselves: {error}"))?;
    let mut linked = Linked { program, crates: BTreeMap::new(), folders: BTreeMap::new() };
    for package in metadata.packages {
        let id = Id::new(&package.name, &package.version.to_string());
        let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
        linked.folders.insert(id.clone(), folder.as_std_path().to_owned());
        let Some(needs) = needs.get(&id) else { continue };
        linked.crates.insert(
            id.clone(),
            Crate {
                licence: package.license.as_deref().map(expression),
                repository: package.repository,
                sha256: checksums.get(&id).cloned(),
                needs: needs.clone(),
                id,
            },
        );
    }
    match needs.keys().find(|id| !linked.crates.contains_key(id)) {
        None => Ok(linked),
        Some(missing) => Err(format!("cargo metadata does not know {}", missing.reference()).into()),
    }
}

/// Reads lines such as `2|serde v1.0.229 (*)`, where a crate at depth 2 is needed by the last one at depth 1.
fn parse_tree(tree: &str) -> Result<(Id, BTreeMap<Id, BTreeSet<Id>>), Failure> {
    let mut needs = BTreeMap::<Id, BTreeSet<Id>>::new();
    let mut path = Vec::<Id>::new();
    for line in tree.lines() {
        let (depth, id) =
            parse_line(line).ok_or_else(|| format!("cargo tree printed `{line}`, which is no crate"))?;
        path.truncate(depth);
        if let Some(parent) = path.last() {
            needs.entry(parent.clone()).or_default().insert(id.clone());
        }
        needs.entry(id.clone()).or_default();
        path.push(id);
    }
    let program = path.first().ok_or("cargo tree printed nothing")?.clone();
    Ok((program, needs))
}

fn parse_line(line: &str) -> Option<(usize, Id)> {
    let (depth, package) = line.split_once('|')?;
    let mut words = package.split(' ');
    Some((depth.parse().ok()?, Id::new(words.next()?, words.next()?.strip_prefix('v')?)))
}

/// The SHA-256 of each crate that `Cargo.lock` has one of.
fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let mut checksums = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let value = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.and_then(|rest| rest.strip_suffix('"'))
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (value("name"), value("version"), value("checksum"))
        {
            checksums.insert(Id::new(name, version), checksum.to_owned());
        }
    }
    checksums
}

/// A licence as SPDX writes it: older crates put a slash where it has `OR`.
fn expression(licence: &str) -> String {
    licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_needed_by_the_last_one_above_it() {
        let tree = "0|top v0.1.0 (/somewhere)\n1|a v1.0.0\n2|c v3.0.0+z.1\n1|b v2.0.0\n2|a v1.0.0 (*)\n";
        let (program, needs) = parse_tree(tree).unwrap();
        let of = |id: &Id| needs[id].iter().map(Id::reference).collect::<Vec<_>>();
        assert_eq!(program.reference(), "top@0.1.0");
        assert_eq!(of(&program), ["a@1.0.0", "b@2.0.0"]);
        assert_eq!(of(&Id::new("a", "1.0.0")), ["c@3.0.0+z.1"]);
        assert_eq!(of(&Id::new("b", "2.0.0")), ["a@1.0.0"]);
        assert_eq!(needs.len(), 4);
    }

    #[test]
    fn what_is_no_tree_is_an_error() {
        assert!(parse_tree("").is_err());
        assert!(parse_tree("0|top\n").is_err());
    }

    #[test]
    fn the_lock_file_has_a_checksum_of_what_comes_from_the_registry() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\nchecksum = \"ab\"\ndependencies = [\n \"ours\",\n]\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n";
        let checksums = checksums(lock);
        assert_eq!(checksums.into_iter().collect::<Vec<_>>(), [(Id::new("a", "1.0.0"), "ab".to_owned())]);
    }

    #[test]
    fn an_old_licence_is_written_as_spdx_does() {
        assert_eq!(expression("Apache-2.0 / MIT"), "Apache-2.0 OR MIT");
        assert_eq!(expression("MIT OR Apache-2.0"), "MIT OR Apache-2.0");
    }
}
