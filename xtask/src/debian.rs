//! What Debian and its like have as packages: installed where we may, or unpacked without installing.

use crate::{
    Failure,
    repository::{program, succeed, works},
};
use std::{fs, path::Path, process::Stdio};

/// Fetches a package and unpacks it below `folder`, which needs no root but on a machine that never listed packages.
pub(crate) fn unpack(package: &str, folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    let download = || succeed(program("apt-get", &["download", "--quiet", package]).current_dir(folder));
    if download().is_err() {
        succeed(program("apt-get", &["update", "--quiet"]).stdin(Stdio::null()))?;
        download()?;
    }
    let unpack = format!("dpkg-deb --extract {package}_*.deb . && rm {package}_*.deb");
    succeed(program("sh", &["-c", &unpack]).current_dir(folder))
}

/// Whether there is `apt-get`.
pub(crate) fn has_apt() -> bool {
    works(&mut program("apt-get", &["--version"]))
}
