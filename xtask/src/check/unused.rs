//! Dependencies that nobody uses cost everyone their build.
//!
//! A dependency counts as used when a source has a path that begins with its name (`serde::…`) or a `use`
//! of it. That is a look at the text, not at what it means: a local module of the same name hides an unused
//! dependency, and no used one is ever reported.

use super::{
    Finding,
    manifest::{Dependency, Package, takes_from_all},
};
use std::path::Path;

/// `declared_for_all` are the names of the root manifest's `[workspace.dependencies]`.
pub(super) fn check(packages: &[Package], declared_for_all: &[String]) -> Vec<Finding> {
    let of_packages = packages.iter().flat_map(of_package);
    let nobodys = declared_for_all
        .iter()
        .filter(|name| !packages.iter().any(|package| takes_from_all(&package.manifest_text, name)));
    let nobodys = nobodys.map(|name| {
        let text = format!("no package uses {name}: remove it from [workspace.dependencies]");
        Finding::new(Path::new("Cargo.toml"), text)
    });
    of_packages.chain(nobodys).collect()
}

fn of_package(package: &Package) -> Vec<Finding> {
    let tell = |dependency: &Dependency| {
        let name = &dependency.identifier;
        let is_in = |sources: &[String]| sources.iter().any(|source| uses(source, name));
        match (is_in(&package.sources), is_in(&package.test_sources), dependency.is_for_tests) {
            (true, ..) | (false, true, true) => None,
            (false, true, false) => {
                Some(format!("only tests use {name}: move it from [dependencies] to [dev-dependencies]"))
            }
            (false, false, _) => Some(format!("nothing uses {name}: remove it")),
        }
    };
    package.dependencies.iter().filter_map(tell).map(|text| package.finding(text)).collect()
}

/// Whether a source names the crate `name`, comments apart.
fn uses(source: &str, name: &str) -> bool {
    source.lines().any(|line| {
        let code = line.trim_start();
        !code.starts_with("//") && code.match_indices(name).any(|(at, _)| is_crate(code, at, name))
    })
}

fn is_crate(code: &str, at: usize, name: &str) -> bool {
    let (before, after) = (&code[..at], &code[at + name.len()..]);
    let continues = |character: char| character.is_alphanumeric() || character == '_';
    if before.ends_with(continues)
        || before.ends_with("::") && !is_global(before)
        || after.starts_with(continues)
    {
        return false;
    }
    let is_imported = before.ends_with("use ") || before.ends_with("extern crate ");
    after.starts_with("::") || is_imported && (after.starts_with(';') || after.starts_with(" as "))
}

/// Whether the `::` at the end begins a path, as in `::serde::Serialize`.
fn is_global(before: &str) -> bool {
    let path = before.trim_end_matches("::");
    !path.ends_with(|character: char| character.is_alphanumeric() || character == '_' || character == '>')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(source: &str, test_source: &str, is_for_tests: bool) -> Vec<String> {
        let dependency = Dependency {
            package: "csv-core".to_owned(),
            identifier: "csv_core".to_owned(),
            is_ours: false,
            is_for_tests,
        };
        let package = Package {
            name: "a".to_owned(),
            manifest: "a/Cargo.toml".into(),
            dependencies: vec![dependency],
            sources: vec![source.to_owned()],
            test_sources: vec![test_source.to_owned()],
            ..Package::default()
        };
        check(&[package], &[]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dependency_that_no_source_names_is_found() {
        let unused = ["a/Cargo.toml: nothing uses csv_core: remove it"];
        assert_eq!(
            check_one("// csv_core::Reader is not for us\nuse csv_core_2::Reader;", "", false),
            unused
        );
        assert_eq!(check_one("use crate::csv_core::Reader;\nlet csv_core = 1;", "", false), unused);
        assert_eq!(check_one("", "", true), unused);
    }

    #[test]
    fn a_dependency_is_used_by_a_path_or_an_import() {
        for source in
            ["use csv_core::Reader;", "use {a::B, csv_core::C};", "let r = ::csv_core::Reader::new();"]
        {
            assert!(check_one(source, "", false).is_empty(), "{source}");
        }
        assert!(check_one("#[csv_core::test]", "", false).is_empty());
        assert!(check_one("use csv_core as core;", "", false).is_empty());
        assert!(check_one("", "use csv_core::Reader;", true).is_empty());
    }

    #[test]
    fn a_dependency_that_only_tests_name_is_a_dev_dependency() {
        assert_eq!(
            check_one("", "use csv_core::Reader;", false),
            ["a/Cargo.toml: only tests use csv_core: move it from [dependencies] to [dev-dependencies]"]
        );
    }

    #[test]
    fn a_shared_declaration_that_no_package_takes_is_found() {
        let package = Package { manifest_text: "serde.workspace = true".to_owned(), ..Package::default() };
        let found = check(&[package], &["serde".to_owned(), "url".to_owned()]);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["Cargo.toml: no package uses url: remove it from [workspace.dependencies]"]);
    }
}
