//! This machine: room on the disks that a night writes to, and memory.

use super::{
    input::in_units,
    step::{Answer, Examined, Section, Tell, Tried},
};
use crate::{
    memory::{MemoryLimit, machine_or_container_bytes},
    pipeline::Night,
};
use counting::table_bytes_min;
use rustix::fs::{Access, access, statvfs};
use source::{ReadLimits, probe::directory_of};
use std::path::{Path, PathBuf};

/// With less room than this nothing can be written for certain.
const ROOM_MIN_BYTES: u64 = 16 << 20;
/// With less room than this somebody should know.
const ROOM_WARN_BYTES: u64 = 1 << 30;

/// Where a night writes on disk.
#[derive(Debug, Clone)]
struct Disk {
    step: &'static str,
    path: PathBuf,
    /// The key that names another place.
    key: &'static str,
    /// Whether no other step looks whether it can be written.
    is_only_here: bool,
    /// With less room than this somebody should know.
    wanted: u64,
}

/// Looks at the machine, for an input of so many bytes.
pub(super) async fn examine(
    night: &Night,
    database: Option<PathBuf>,
    input_bytes: u64,
    is_input_remote: bool,
    tell: Tell<'_>,
) -> (Section, bool) {
    let disks = disks(night, database, input_bytes);
    let mut planned: Vec<_> = disks.iter().map(|disk| disk.step).collect();
    planned.push("memory");
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut examined = Examined::begin("machine", name, planned, tell);
    for disk in disks {
        let tried = match disk.is_only_here {
            true => format!("measure the room at {}, and whether it can be written", disk.path.display()),
            false => format!("measure the room at {}", disk.path.display()),
        };
        examined.step(disk.step, tried, async move { room(&disk).alone() }).await;
    }
    let (limit, threads) = (night.config.counting.memory_limit, night.config.counting.threads());
    let tried = format!("compare counting.memory_limit ({limit}) with what there is");
    examined.step("memory", tried, async move { memory(limit, threads, is_input_remote).alone() }).await;
    examined.end()
}

fn disks(night: &Night, database: Option<PathBuf>, input_bytes: u64) -> Vec<Disk> {
    let lake = directory_of(&night.config.lake.url).ok();
    let spill = match night.config.counting.spill_dir.as_str() {
        "auto" => lake.clone().unwrap_or_else(std::env::temp_dir),
        path => path.into(),
    };
    // Counts take less room than the lines that they come from, in the lake as well as on their way there.
    let wanted = ROOM_WARN_BYTES.max(input_bytes);
    let disk = |step, path, key, is_only_here, wanted| Disk { step, path, key, is_only_here, wanted };
    let is_in_lake = lake.as_ref() == Some(&spill);
    let lake = lake.map(|path| disk("lake disk", path, "lake.url", false, wanted));
    let spill = disk("spill disk", spill, "counting.spill_dir", !is_in_lake, wanted);
    let database = database.map(|path| disk("database disk", path, "store.url", false, ROOM_WARN_BYTES));
    lake.into_iter().chain([spill]).chain(database).collect()
}

fn room(disk: &Disk) -> Answer {
    let (folder, _) = nearest(&disk.path);
    let measured = match statvfs(&folder) {
        Ok(measured) => measured,
        Err(error) => {
            return Answer::failed(
                format!("{}: {error}", folder.display()),
                "the disk is not there, or this user may not look at it",
                format!("name another place with {}", disk.key),
            );
        }
    };
    if disk.is_only_here
        && let Writable::No(why) = writable_folder(&folder)
    {
        return Answer::failed(
            format!("{}: {why}", folder.display()),
            "the folder belongs to another user, is none, or its disk is mounted to be read only: a night that does not \
             fit in memory would fail",
            format!("give this user the folder (`chown`), or name another with {}", disk.key),
        );
    }
    let (free, whole) = (measured.f_bavail * measured.f_frsize, measured.f_blocks * measured.f_frsize);
    let told = format!("{} free of {}", in_units(free), in_units(whole));
    let remedy = format!("free some room there, or name a place on another disk with {}", disk.key);
    if measured.f_files > 0 && measured.f_favail == 0 {
        return Answer::failed(
            format!("{told}, but no file can be made"),
            "the disk has as many files as it can have",
            remedy,
        );
    }
    if free < ROOM_MIN_BYTES {
        return Answer::failed(
            format!("{told}: it is full"),
            "something else fills the disk, or it is too small",
            remedy,
        );
    }
    if free < disk.wanted {
        let cause = format!("a night of this size may need up to {}", in_units(disk.wanted));
        return Answer::warning(told, cause, remedy);
    }
    Answer::ok(told)
}

fn memory(limit: MemoryLimit, threads: usize, is_input_remote: bool) -> Answer {
    let (has, takes) = (machine_or_container_bytes(), limit.bytes());
    let told =
        format!("a night takes at most {}, this machine or container has {}", in_units(takes), in_units(has));
    if takes > has {
        return Answer::warning(
            told,
            "the limit is more than there is: on a day with much to count the system would kill the run",
            format!("set counting.memory_limit to {} or less, or to auto", in_units(has / 4 * 3)),
        );
    }
    let ahead = if is_input_remote { ReadLimits::for_threads(threads).memory_bytes() } else { 0 };
    match limit.table_bytes(threads, table_bytes_min(threads, 1), ahead) {
        Ok(_) => Answer::ok(told),
        Err(error) => Answer::failed(
            error.to_string(),
            "the limit leaves nothing for counting",
            "allow more, count on fewer threads (counting.threads), or leave both to the program: memory_limit = \"auto\"",
        ),
    }
}

/// The path itself, or the nearest one above it that is there; whether it is itself.
pub(super) fn nearest(path: &Path) -> (PathBuf, bool) {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // What this user may not look at is there: the next question is refused, and says why.
    let is_there = |path: &&Path| {
        path.try_exists().unwrap_or_else(|error| error.kind() != std::io::ErrorKind::NotADirectory)
    };
    let nearest = absolute.ancestors().find(is_there).unwrap_or(Path::new("/"));
    (nearest.to_owned(), nearest == absolute)
}

/// Whether this user may write somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Writable {
    Yes,
    /// Why not.
    No(String),
}

/// Asks the system whether a file may be written, without writing.
pub(super) fn writable_file(path: &Path) -> Writable {
    match access(path, Access::WRITE_OK) {
        Ok(()) => Writable::Yes,
        Err(error) => Writable::No(error.to_string()),
    }
}

/// Asks the system whether something may be made in a folder, without making it.
pub(super) fn writable_folder(path: &Path) -> Writable {
    if path.is_file() {
        return Writable::No("it is a file".to_owned());
    }
    match access(path, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Writable::Yes,
        Err(error) => Writable::No(error.to_string()),
    }
}

/// What a lake in a directory says before anything is written: the folder, if it is there.
pub(super) fn directory(path: &Path) -> Tried<bool> {
    let (folder, is_it) = nearest(path);
    match (writable_folder(&folder), is_it) {
        (Writable::Yes, true) => Ok((Answer::ok("it is there"), true)),
        (Writable::Yes, false) => {
            let told = format!(
                "it is not there yet; {}, where the first run makes it, can be written",
                folder.display()
            );
            Ok((Answer::ok(told), false))
        }
        (Writable::No(why), _) => Err(Answer::failed(
            format!("{}: {why}", folder.display()),
            "the folder belongs to another user, is none, or its disk is mounted to be read only",
            "give this user the folder (`chown`), or keep the lake elsewhere with lake.url (--lake)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::step::Outcome, *};

    #[test]
    fn the_nearest_is_found_without_making_any() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a/b");
        assert_eq!(nearest(&inside), (folder.path().to_owned(), false));
        assert_eq!(nearest(folder.path()), (folder.path().to_owned(), true));
        assert!(!folder.path().join("a").exists());
    }

    #[test]
    fn a_limit_of_memory_is_compared_with_what_there_is() {
        assert_eq!(memory(MemoryLimit::Auto, 1, true).outcome, Outcome::Ok);
        assert_eq!(memory(MemoryLimit::Bytes(u64::MAX), 1, false).outcome, Outcome::Warning);
        let answer = memory(MemoryLimit::Bytes(1 << 20), 1, false);
        assert_eq!(answer.outcome, Outcome::Failed);
        assert!(answer.text.contains("too little for 1 thread"), "{}", answer.text);
    }
}
