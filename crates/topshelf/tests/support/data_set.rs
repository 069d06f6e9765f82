//! Where real input lies.

use std::path::PathBuf;

/// The folder of a data set, which is never copied into the repository.
pub(crate) fn folder(name: &str) -> PathBuf {
    let shared = std::env::var_os("TOPSHELF_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let folder = shared.join("data").join(name);
    assert!(
        folder.is_dir(),
        "{} is not there: the data sets lie in the folder `shared` beside the repository, or in the one that \
         TOPSHELF_SHARED names",
        folder.display()
    );
    folder
}
