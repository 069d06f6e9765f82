//! What Debian and its like have as packages: installed where we may, or unpacked without installing.

use crate::{
    Failure,
    repository::{program, stdout, succeed, works},
    say,
};
use std::{fs, path::Path, process::Stdio};

/// Whether packages can be installed: there is `apt-get`, and we are root or need no password to be.
pub(crate) fn can_install() -> Result<bool, Failure> {
    Ok(has_apt() && (is_root()? || works(&mut program("sudo", &["-n", "true"]))))
}

/// Installs packages, without those that they only recommend.
pub(crate) fn install(packages: &[&str]) -> Result<(), Failure> {
    let sudo: &[&str] = if is_root()? { &[] } else { &["sudo", "-n"] };
    let apt = |arguments: &[&str]| {
        let environment = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes"];
        let words = [sudo, &environment, arguments].concat();
        succeed(program(words[0], &words[1..]).stdin(Stdio::null()))
    };
    say(&format!("installing Debian's packages: {}", packages.join(", ")));
    apt(&["update"])?;
    apt(&[&["install", "--no-install-recommends"], packages].concat())
}

/// The packages of those tools, each with its package, that are not here.
pub(crate) fn missing<'p>(tools: &[(&str, &'p str)]) -> Vec<&'p str> {
    let is_missing = |tool: &str| !works(&mut program("sh", &["-c", &format!("command -v {tool}")]));
    tools.iter().filter(|(tool, _)| is_missing(tool)).map(|(_, package)| *package).collect()
}

/// Installs the packages of those tools, each with its package, that are not here; `who` needs them.
pub(crate) fn install_missing(tools: &[(&str, &str)], who: &str) -> Result<(), Failure> {
    let missing = self::missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    if !can_install()? {
        return Err(format!("{who} need {}: install them", missing.join(", ")).into());
    }
    install(&missing)
}

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

/// Whether we are root.
pub(crate) fn is_root() -> Result<bool, Failure> {
    Ok(stdout(&mut program("id", &["-u"]))?.trim() == "0")
}
