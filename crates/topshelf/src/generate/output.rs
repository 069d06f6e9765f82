//! The files of a set on disk: all of them under temporary names until the last is complete.

use super::{GenerateError, layout::ADVERTISER_IDS};
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

/// A set being written. Dropped before [`Output::commit`], it takes its temporary files with it.
#[derive(Debug)]
pub(super) struct Output {
    folder: PathBuf,
    written: Vec<Unnamed>,
    current: Option<File>,
    bytes: u64,
}

/// A file that has not got its name yet.
#[derive(Debug)]
struct Unnamed {
    temporary: PathBuf,
    name: PathBuf,
}

impl Output {
    /// Makes the folder and sees that none of the files is there, unless they may be replaced.
    pub(super) fn prepare<'a>(
        folder: &Path,
        overwrite: bool,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Self, GenerateError> {
        if !overwrite {
            let paths = [ADVERTISER_IDS].into_iter().chain(names).map(|name| folder.join(name));
            for path in paths {
                if path.symlink_metadata().is_ok() {
                    return Err(GenerateError::Exists(path));
                }
            }
        }
        make_folder(folder)?;
        Ok(Self { folder: folder.to_owned(), written: Vec::new(), current: None, bytes: 0 })
    }

    /// Writes a whole small file.
    pub(super) fn write_file(&mut self, name: &str, content: &[u8]) -> Result<(), GenerateError> {
        self.begin(name)?;
        self.append(content)
    }

    /// Begins the next file; what is appended from here on is in it.
    pub(super) fn begin(&mut self, name: &str) -> Result<(), GenerateError> {
        let name = self.folder.join(name);
        let parent = name.parent().expect("a file in a folder has a parent");
        make_folder(parent)?;
        let file_name = name.file_name().expect("a log file has a name").display();
        let temporary = parent.join(format!(".{file_name}.partial"));
        let file = File::create(&temporary).map_err(|error| GenerateError::write(&temporary, error))?;
        self.written.push(Unnamed { temporary, name });
        self.current = Some(file);
        Ok(())
    }

    /// Appends to the file begun last.
    pub(super) fn append(&mut self, content: &[u8]) -> Result<(), GenerateError> {
        let file = self.current.as_mut().expect("a file is begun before it is appended to");
        let written = file.write_all(content);
        self.bytes += content.len() as u64;
        written.map_err(|error| {
            let path = self.written.last().map_or(&*self.folder, |file| &*file.name);
            GenerateError::write(path, error)
        })
    }

    /// Gives every file its name; says which files there are now and their bytes.
    pub(super) fn commit(mut self) -> Result<(Vec<PathBuf>, u64), GenerateError> {
        for Unnamed { temporary, name } in &self.written {
            fs::rename(temporary, name).map_err(|error| GenerateError::write(name, error))?;
        }
        let files = std::mem::take(&mut self.written).into_iter().map(|file| file.name).collect();
        Ok((files, self.bytes))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        for file in &self.written {
            // Whatever made the set fail is the error to tell, not that a temporary file stays.
            let _ = fs::remove_file(&file.temporary);
        }
    }
}

fn make_folder(path: &Path) -> Result<(), GenerateError> {
    fs::create_dir_all(path).map_err(|error| GenerateError::write(path, error))
}
