//! What the packages of the workspace declare that they need, and the text of their sources.

use crate::{
    Failure,
    repository::{files, read, root},
};
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::path::{Path, PathBuf};

/// A package of the workspace.
#[derive(Debug, Default)]
pub(super) struct Package {
    pub(super) name: String,
    /// Its `Cargo.toml`, relative to the root.
    pub(super) manifest: PathBuf,
    /// The text of that file.
    pub(super) manifest_text: String,
    pub(super) dependencies: Vec<Dependency>,
    /// Rust sources that the built package consists of: `src` and `build.rs`.
    pub(super) sources: Vec<String>,
    /// Rust sources of its tests, benchmarks and examples.
    pub(super) test_sources: Vec<String>,
}

/// Something a package needs.
#[derive(Debug, Clone)]
pub(super) struct Dependency {
    /// The package's name in its registry.
    pub(super) package: String,
    /// What sources call it.
    pub(super) identifier: String,
    /// Whether it is of this workspace.
    pub(super) is_ours: bool,
    /// Whether only tests, benchmarks and examples have it.
    pub(super) is_for_tests: bool,
}

/// Every package of the workspace.
pub(super) fn packages() -> Result<Vec<Package>, Failure> {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec();
    let metadata = metadata.map_err(|error| format!("could not read the workspace: {error}"))?;
    let files = files()?;
    metadata.packages.iter().map(|package| read_package(package, &files)).collect()
}

fn read_package(package: &cargo_metadata::Package, files: &[PathBuf]) -> Result<Package, Failure> {
    let manifest = package.manifest_path.as_std_path();
    let manifest = manifest.strip_prefix(root()).unwrap_or(manifest).to_owned();
    let folder = manifest.parent().expect("a manifest lies in a folder");
    let read_below = |parts: &[&str]| {
        let rust = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
        let below = rust.filter(|file| parts.iter().any(|part| file.starts_with(folder.join(part))));
        below.map(|file| read(file)).collect::<Result<Vec<_>, _>>()
    };
    Ok(Package {
        name: package.name.to_string(),
        manifest_text: read(&manifest)?,
        dependencies: package.dependencies.iter().map(dependency).collect(),
        sources: read_below(&["src", "build.rs"])?,
        test_sources: read_below(&["tests", "benches", "examples"])?,
        manifest,
    })
}

fn dependency(declared: &cargo_metadata::Dependency) -> Dependency {
    Dependency {
        package: declared.name.clone(),
        identifier: declared.rename.as_ref().unwrap_or(&declared.name).replace('-', "_"),
        is_ours: declared.path.is_some(),
        is_for_tests: declared.kind == DependencyKind::Development,
    }
}

/// The names that the root manifest declares for all packages in `[workspace.dependencies]`.
pub(super) fn declared_for_all(root_manifest: &str) -> Vec<String> {
    let section = root_manifest.lines().skip_while(|line| line.trim() != "[workspace.dependencies]").skip(1);
    let section = section.take_while(|line| !line.starts_with('['));
    section.filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned())).collect()
}

/// Whether a package's manifest takes `name` from the root manifest.
pub(super) fn takes_from_all(manifest: &str, name: &str) -> bool {
    manifest.lines().any(|line| {
        let line = line.trim();
        line.strip_prefix(name).is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.starts_with(".workspace") || rest.starts_with('=') && rest.contains("workspace = true")
        })
    })
}

impl Package {
    /// The finding that this package breaks a rule.
    pub(super) fn finding(&self, text: String) -> super::Finding {
        super::Finding::new(Path::new(&self.manifest), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_takes_from_the_root_in_either_spelling() {
        assert!(takes_from_all("serde.workspace = true\n", "serde"));
        assert!(takes_from_all("serde = { workspace = true, features = [\"rc\"] }\n", "serde"));
        assert!(!takes_from_all("serde_json.workspace = true\nserde = \"1\"\n", "serde"));
    }

    #[test]
    fn only_the_section_of_the_root_manifest_is_read() {
        let manifest = "[workspace]\nresolver = \"3\"\n\n[workspace.dependencies]\na = \"1\"\nb-c = { version = \"2\" }\n\n[profile.dev]\ndebug = true\n";
        assert_eq!(declared_for_all(manifest), ["a", "b-c"]);
    }
}
