//! The files of a set on disk: all of them under temporary names until the last is complete.

use super::{GenerateError, GenerateOptions, compressed::CompressedFile};
use source::Compression;
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// A set being written. Dropped before [`Output::commit`], it takes its temporary files with it.
#[derive(Debug)]
pub(super) struct Output {
    folder: PathBuf,
    compression: Compression,
    written: Vec<Unnamed>,
    current: Option<CompressedFile>,
    /// Of the files that are complete.
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
        options: &GenerateOptions,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Self, GenerateError> {
        let folder = options.out.clone();
        let there = names.map(|name| folder.join(name)).find(|path| path.symlink_metadata().is_ok());
        if let Some(there) = there.filter(|_| !options.overwrite) {
            return Err(GenerateError::Exists(there));
        }
        make_folder(&folder)?;
        Ok(Self { folder, compression: options.compression, written: Vec::new(), current: None, bytes: 0 })
    }

    /// Completes the file begun last and begins the next; what is appended from here on is in it.
    pub(super) fn begin(&mut self, name: &str) -> Result<(), GenerateError> {
        self.complete()?;
        let name = self.folder.join(name);
        let parent = name.parent().expect("a file in a folder has a parent");
        make_folder(parent)?;
        let file_name = name.file_name().expect("a log file has a name").display();
        let temporary = parent.join(format!(".{file_name}.partial"));
        let file = CompressedFile::create(&temporary, self.compression)
            .map_err(|error| GenerateError::write(&temporary, error))?;
        self.written.push(Unnamed { temporary, name });
        self.current = Some(file);
        Ok(())
    }

    /// Appends to the file begun last.
    pub(super) fn append(&mut self, content: &[u8]) -> Result<(), GenerateError> {
        let file = self.current.as_mut().expect("a file is begun before it is appended to");
        let written = file.write_all(content);
        written.map_err(|error| self.unwritten(error))
    }

    /// Writes out the file begun last, if there is one.
    fn complete(&mut self) -> Result<(), GenerateError> {
        if let Some(file) = self.current.take() {
            self.bytes += file.finish().map_err(|error| self.unwritten(error))?;
        }
        Ok(())
    }

    /// Why the file begun last could not be written.
    fn unwritten(&self, error: io::Error) -> GenerateError {
        let path = self.written.last().map_or(&*self.folder, |file| &*file.name);
        GenerateError::write(path, error)
    }

    /// Gives every file its name; says which files there are now and their bytes.
    pub(super) fn commit(mut self) -> Result<(Vec<PathBuf>, u64), GenerateError> {
        self.complete()?;
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
