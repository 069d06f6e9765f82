//! A disk so small that a test can fill it: a file system in memory, mounted where nobody else sees it.

use crate::cluster::is_root;
use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A disk. Dropped, it is gone with all that is on it.
pub(crate) struct SmallDisk {
    /// Holds the mount for as long as its stdin is open, so also when the test is killed.
    holder: Child,
    mount_point: TempDir,
}

impl SmallDisk {
    pub(crate) fn new(mebibytes: u32) -> Self {
        let mount_point = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o \"size=$1m,mode=777\" tmpfs \"$0\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare");
        holder.arg(if is_root() { "-m" } else { "-rm" }).args(["sh", "-c", script]);
        holder.arg(mount_point.path()).arg(mebibytes.to_string());
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut told).unwrap();
        assert_eq!(told, "mounted\n", "this needs root, or namespaces of users");
        Self { holder, mount_point }
    }

    /// The disk's folder, by a path that leads there from outside of the mount's namespace.
    pub(crate) fn path(&self) -> PathBuf {
        let inside = self.mount_point.path().strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside)
    }

    /// The disk's folder as who is led within sees it.
    pub(crate) fn path_within(&self) -> PathBuf {
        self.mount_point.path().to_owned()
    }

    /// A command that leads another to where the disk is mounted.
    pub(crate) fn within(&self) -> Vec<String> {
        let id = self.holder.id();
        let words = if is_root() {
            format!("nsenter -t {id} -m")
        } else {
            // There we are root, as whom PostgreSQL refuses to run.
            format!("nsenter -t {id} -U -m --preserve-credentials unshare -U --map-user=1000")
        };
        words.split(' ').map(str::to_owned).collect()
    }

    /// Leaves no room on it.
    pub(crate) fn fill(&self) {
        let mut ballast = fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        for block in [1 << 20, 1 << 12] {
            let block = vec![b'x'; block];
            loop {
                match ballast.write(&block) {
                    Ok(written) if written > 0 => {}
                    Ok(_) => break,
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Makes the room again.
    pub(crate) fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    /// Lets it be written, `rw`, or not, `ro`: nobody may have a file open then.
    pub(crate) fn remount(&self, how: &str) {
        let id = self.holder.id();
        let mut remount = Command::new("nsenter");
        remount.args(["-t", &id.to_string(), "-m"]);
        if !is_root() {
            remount.args(["-U", "--preserve-credentials"]);
        }
        remount.args(["mount", "-o", &format!("remount,{how}")]).arg(self.path_within());
        assert!(remount.status().unwrap().success());
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
