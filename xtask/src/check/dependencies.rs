//! The plan of the house as a rule: who may depend on whom, and who owns what is heavy.
//!
//! Crates of this workspace follow the plan in their tests too: a test that needs a later stage belongs to
//! `topshelf`, which has them all. A heavy dependency's owner is asked only for what is built into the
//! program; a test may use one to look at its crate's work from outside.

use super::{
    Finding,
    manifest::{Dependency, Package},
};

/// Each package and the packages of the workspace that it may depend on.
const PLAN: &[(&str, &[&str])] = &[
    ("topshelf-domain", &[]),
    ("topshelf-source", &["topshelf-domain"]),
    ("topshelf-counting", &["topshelf-domain"]),
    ("topshelf-ranking", &["topshelf-domain"]),
    ("topshelf-cluster", &[]),
    ("topshelf-lake", &["topshelf-domain"]),
    ("topshelf-store", &["topshelf-domain"]),
    ("topshelf-secrets", &["topshelf-source", "topshelf-store"]),
    ("topshelf-api", &["topshelf-domain", "topshelf-store"]),
    (
        "topshelf",
        &[
            "topshelf-domain",
            "topshelf-source",
            "topshelf-counting",
            "topshelf-ranking",
            "topshelf-lake",
            "topshelf-store",
            "topshelf-secrets",
            "topshelf-api",
            "topshelf-cluster",
        ],
    ),
    // Fills stores as a night does, through the store alone.
    ("topshelf-bench-servers", &["topshelf-domain", "topshelf-store"]),
    ("xtask", &[]),
];

/// Heavy dependencies, by the start of their names, and the packages that own them.
const OWNERS: &[(&str, &[&str])] = &[
    ("aws-", &["topshelf-secrets"]),
    ("object_store", &["topshelf-source", "topshelf-lake"]),
    ("parquet", &["topshelf-source", "topshelf-lake"]),
    ("arrow", &["topshelf-source", "topshelf-lake", "topshelf-cluster"]),
    ("ballista", &["topshelf-cluster"]),
    ("datafusion", &["topshelf-cluster"]),
    ("tonic", &["topshelf-cluster"]),
    ("sqlx", &["topshelf-store"]),
    ("axum", &["topshelf-api"]),
    ("tower-http", &["topshelf-api"]),
    ("utoipa", &["topshelf-api"]),
    ("opentelemetry", &["topshelf-api", "topshelf"]),
    ("tracing-opentelemetry", &["topshelf"]),
];

/// Packages that are no part of the program, so that nothing heavy in them weighs on it: what topshelf is compared
/// with is built of the same parts.
const APART: &[&str] = &["topshelf-bench-servers"];

/// Packages without input or output, clock or threads of a runtime: everything comes in as an argument.
const PURE: &[&str] = &["topshelf-domain", "topshelf-counting", "topshelf-ranking"];
/// What a pure package has no use for, by the start of its name.
const IMPURE: &[&str] = &["tokio", "object_store", "sqlx", "axum", "reqwest", "hyper", "futures"];

pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    packages.iter().flat_map(|package| edges(package).into_iter().chain(heavy(package))).collect()
}

fn edges(package: &Package) -> Vec<Finding> {
    let Some((_, allowed)) = PLAN.iter().find(|(name, _)| *name == package.name) else {
        let text = format!("package {} is not in the plan: add it to PLAN in {}", package.name, file!());
        return vec![package.finding(text)];
    };
    let ours = package.dependencies.iter().filter(|dependency| dependency.is_ours);
    let refused = ours.filter(|dependency| !allowed.contains(&dependency.package.as_str()));
    let tell = |dependency: &Dependency| {
        let (from, to) = (&package.name, &dependency.package);
        package
            .finding(format!("{from} may not depend on {to}: pass what is needed as an argument, or move it"))
    };
    refused.map(tell).collect()
}

fn heavy(package: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_for_tests) {
        let (from, to) = (package.name.as_str(), dependency.package.as_str());
        if PURE.contains(&from) && IMPURE.iter().any(|start| to.starts_with(start)) {
            findings.push(
                package.finding(format!(
                    "{from} is pure and may not depend on {to}: take bytes or values instead"
                )),
            );
        } else if let Some((_, owners)) = OWNERS.iter().find(|(start, _)| to.starts_with(start))
            && !owners.contains(&from)
            && !APART.contains(&from)
        {
            findings.push(package.finding(format!(
                "{to} belongs to {}: ask for what {from} needs there",
                owners.join(" and ")
            )));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when `package` has one dependency.
    fn check_one(package: &str, dependency: &str, is_for_tests: bool) -> Vec<String> {
        let dependency = Dependency {
            package: dependency.to_owned(),
            identifier: dependency.replace('-', "_"),
            is_ours: dependency.starts_with("topshelf"),
            is_for_tests,
        };
        let package = Package {
            name: package.to_owned(),
            manifest: "a/Cargo.toml".into(),
            dependencies: vec![dependency],
            ..Package::default()
        };
        check(&[package]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_edge_that_the_plan_does_not_have_is_found_in_tests_too() {
        assert!(check_one("topshelf-api", "topshelf-store", false).is_empty());
        let expected = "a/Cargo.toml: topshelf-ranking may not depend on topshelf-counting: \
                        pass what is needed as an argument, or move it";
        assert_eq!(check_one("topshelf-ranking", "topshelf-counting", false), [expected]);
        assert_eq!(check_one("topshelf-ranking", "topshelf-counting", true), [expected]);
    }

    #[test]
    fn a_package_outside_the_plan_is_found() {
        let found = check_one("topshelf-extras", "serde", false);
        assert!(
            found[0].starts_with("a/Cargo.toml: package topshelf-extras is not in the plan"),
            "{found:?}"
        );
    }

    #[test]
    fn a_heavy_dependency_has_its_owner_except_in_tests() {
        assert!(check_one("topshelf-store", "sqlx", false).is_empty());
        assert!(check_one("topshelf-api", "sqlx", true).is_empty());
        assert!(check_one("topshelf-bench-servers", "axum", false).is_empty());
        let expected = "a/Cargo.toml: sqlx belongs to topshelf-store: ask for what topshelf-api needs there";
        assert_eq!(check_one("topshelf-api", "sqlx", false), [expected]);
        assert_eq!(check_one("topshelf-store", "arrow-array", false).len(), 1);
    }

    #[test]
    fn a_pure_package_stays_pure() {
        let expected =
            "a/Cargo.toml: topshelf-domain is pure and may not depend on tokio: take bytes or values instead";
        assert_eq!(check_one("topshelf-domain", "tokio", false), [expected]);
        assert!(check_one("topshelf-source", "tokio", false).is_empty());
    }
}
