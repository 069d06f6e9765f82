//! A disk so small that a test can fill it: a file system in memory, mounted where nobody else sees it.

use std::{
    env, fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// Is there in the process whose mounts are its own.
const VARIABLE: &str = "TOPSHELF_TEST_OWN_MOUNTS";

/// Does what the test of this name shall do, in a process of its own whose mounts nobody else sees: as root, or as any
/// user where users may have namespaces.
pub(crate) fn with_own_mounts(test: &str, does: impl FnOnce()) {
    if env::var_os(VARIABLE).is_some() {
        return does();
    }
    let is_root = crate::cluster::is_root();
    let mut again = Command::new("unshare");
    again.arg(if is_root { "-m" } else { "-rm" }).arg(env::current_exe().unwrap());
    let ended = again.args(["--exact", test, "--nocapture"]).env(VARIABLE, "yes").output().unwrap();
    let [told, error] = [&ended.stdout, &ended.stderr].map(|told| String::from_utf8_lossy(told));
    assert!(ended.status.success() && told.contains("1 passed"), "{told}\n{error}");
}

/// A disk. Dropped, it is gone with all that is on it.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts it, among mounts of our own.
    pub(crate) fn new(mebibytes: u32) -> Self {
        assert!(env::var_os(VARIABLE).is_some(), "others would see it");
        let disk = Self(tempfile::tempdir().unwrap());
        disk.mount(&["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]);
        disk
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Lets it be written, `rw`, or not, `ro`: nobody may have a file open then.
    pub(crate) fn remount(&self, how: &str) {
        self.mount(&["-o", &format!("remount,bind,{how}")]);
    }

    fn mount(&self, arguments: &[&str]) {
        assert!(Command::new("mount").args(arguments).arg(self.path()).status().unwrap().success());
    }

    /// Leaves so little room on it.
    pub(crate) fn fill_but(&self, kibibytes: u64) {
        self.fill();
        let ballast = fs::File::options().write(true).open(self.ballast()).unwrap();
        ballast.set_len(ballast.metadata().unwrap().len() - (kibibytes << 10)).unwrap();
    }

    /// Leaves no room on it.
    pub(crate) fn fill(&self) {
        let mut ballast = fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        // What is left when no large block fits is filled with small ones.
        for bytes in [1 << 20, 1 << 12] {
            while is_written(&mut ballast, &vec![b'x'; bytes]) {}
        }
    }

    /// Makes the room again.
    pub(crate) fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

fn is_written(file: &mut fs::File, block: &[u8]) -> bool {
    match file.write(block) {
        Ok(written) => written > 0,
        Err(error) if error.kind() == ErrorKind::StorageFull => false,
        Err(error) => panic!("{error}"),
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever has a file open there keeps it until it ends.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
