//! File and folder names that say nothing about what is inside.

use super::Finding;
use std::path::{Path, PathBuf};

const SAYING_NOTHING: &[&str] = &[
    "util",
    "utils",
    "utilities",
    "common",
    "helper",
    "helpers",
    "manager",
    "data",
    "process",
    "misc",
    "shared",
    "stuff",
];

/// Looks at sources only: a folder of sample data may be called `data`.
pub(super) fn check(files: &[PathBuf]) -> Vec<Finding> {
    let sources = files.iter().filter(|file| {
        file.extension().is_some_and(|extension| {
            ["rs", "py", "sh", "sql", "js"].iter().any(|source| extension == *source)
        })
    });
    sources.filter_map(|file| Some((file, empty_name(file)?))).map(|(file, name)| tell(file, &name)).collect()
}

fn empty_name(file: &Path) -> Option<String> {
    let folders = file.parent().into_iter().flat_map(Path::iter);
    let names = folders.chain(file.file_stem()).map(|name| name.to_string_lossy());
    names.into_iter().find(|name| SAYING_NOTHING.contains(&name.as_ref())).map(|name| name.into_owned())
}

fn tell(file: &Path, name: &str) -> Finding {
    Finding::new(file, format!("the name `{name}` does not say what is inside: call it by its subject"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_or_its_folder_with_an_empty_name_is_found() {
        let found = |path: &str| check(&[PathBuf::from(path)]).len();
        assert_eq!(found("crates/a/src/utils.rs"), 1);
        assert_eq!(found("crates/a/tests/common/server.rs"), 1);
        assert_eq!(found("crates/a/src/table.rs"), 0);
        assert_eq!(found("docs/data/table.md"), 0);
    }
}
