//! A file of a directory, read from an offset to its end.

use crate::{Location, ObjectInfo, SourceError};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// Tells when the file turns out shorter than it was planned, and never reads beyond its planned end.
pub(super) struct FileReader {
    file: File,
    remaining: u64,
    location: Location,
    object: ObjectInfo,
}

impl FileReader {
    pub(super) fn open(
        location: &Location,
        root: &Path,
        object: &ObjectInfo,
        offset: u64,
    ) -> Result<Self, SourceError> {
        let failed = |error| location.file_failed(object, error);
        let mut file = File::open(root.join(&object.name)).map_err(failed)?;
        location.check_file(object, &file.metadata().map_err(failed)?)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let remaining = object.size.saturating_sub(offset);
        Ok(Self { file, remaining, location: location.clone(), object: object.clone() })
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted =
            usize::try_from(self.remaining).map_or(buffer.len(), |remaining| buffer.len().min(remaining));
        if wanted == 0 {
            return Ok(0);
        }
        match self.file.read(&mut buffer[..wanted]) {
            Ok(0) => Err(self.location.truncated(&self.object).into()),
            Ok(read) => {
                self.remaining -= read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.location.file_failed(&self.object, error).into()),
        }
    }
}
