//! Where partial counts wait on disk when there is no memory for them.
//!
//! A file loses its name as soon as it is open: however the process ends, the system takes the space back.
//! What a process that was killed between the two left behind is removed by the next.

use counting::{SpillFile, SpillPlace};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

/// What names of spill files begin with.
const NAME: &str = "topshelf-spill-";

/// A folder for spill files, made when it is not there, and removed again when it was made.
#[derive(Debug)]
pub(crate) struct SpillFolder {
    path: PathBuf,
    was_made: AtomicBool,
    files: AtomicUsize,
}

impl SpillFolder {
    /// The folder, without what processes before this one left behind.
    pub(crate) fn clean(path: PathBuf) -> Self {
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        let stale = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(NAME));
        // A file of another process that is alive loses its name a moment earlier than it would have.
        stale.for_each(|entry| drop(fs::remove_file(entry.path())));
        Self { path, was_made: AtomicBool::new(false), files: AtomicUsize::new(0) }
    }
}

impl SpillPlace for SpillFolder {
    fn create(&self) -> io::Result<Box<dyn SpillFile>> {
        if !self.path.is_dir() {
            fs::create_dir_all(&self.path)?;
            self.was_made.store(true, Relaxed);
        }
        let number = self.files.fetch_add(1, Relaxed);
        let path = self.path.join(format!("{NAME}{}-{number}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Box::new(NamelessFile(file))),
        }
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        if self.was_made.load(Relaxed) {
            // It stays when something else is in it by now.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

#[derive(Debug)]
struct NamelessFile(File);

impl SpillFile for NamelessFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_no_name_and_stale_ones_go() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("spill");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("topshelf-spill-1-0"), "stale").unwrap();
        fs::write(path.join("theirs"), "not ours").unwrap();
        let names = || {
            let entries = fs::read_dir(&path).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let folder = SpillFolder::clean(path.clone());
        assert_eq!(names(), ["theirs"]);
        let file = folder.create().unwrap();
        file.write_at(b"partial", 0).unwrap();
        assert_eq!(names(), ["theirs"]);
        drop(folder);
        let mut read = [0; 4];
        file.read_at(&mut read, 3).unwrap();
        assert_eq!(&read, b"tial");
        assert!(file.read_at(&mut read, 4).is_err(), "the file ends before");
        assert_eq!(names(), ["theirs"]);
    }

    #[test]
    fn a_folder_that_was_made_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new/spill");
        let folder = SpillFolder::clean(path.clone());
        assert!(!path.exists(), "nothing was spilled");
        drop(folder.create().unwrap());
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }
}
