//! The bytes of a planned object, from any offset to its end.
//!
//! Every answer is compared with what was planned: an object that was replaced, truncated or deleted
//! meanwhile is [`SourceError::Changed`], never a silent end or a mixture. Memory is bounded: a few
//! parts of a bucket's object are on their way at a time.

use crate::{
    Location, ObjectInfo, SourceError,
    location::{Place, object_key},
};
use bytes::Bytes;
use object_store::GetOptions;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    time::SystemTime,
};
use tokio::{runtime::Handle, task::JoinHandle};

/// One request's share of an object that is read through.
const PART_BYTES: u64 = 4 << 20;
/// The same behind the end of a slice, where only the rest of a line is wanted.
const TAIL_PART_BYTES: u64 = 128 << 10;
/// How many parts are on their way while one is being used.
const PARTS_AHEAD: usize = 3;

impl Location {
    /// A blocking reader of `object` from `offset` to its end.
    ///
    /// It is for plain threads: reading inside an async task panics. Dropped early, it cancels the
    /// requests on their way. What it reports as [`io::Error`] holds a [`SourceError`], see
    /// [`SourceError::of_read`].
    ///
    /// # Errors
    /// [`SourceError`] when the object cannot be opened or is not the planned one any more.
    pub fn read_from(
        &self,
        object: &ObjectInfo,
        offset: u64,
        runtime: &Handle,
    ) -> Result<Box<dyn Read + Send>, SourceError> {
        self.read_slice(object, offset..object.size, runtime)
    }

    /// Like [`Location::read_from`] the slice's start, to the object's end as well, for a caller that
    /// wants little of what is behind the slice: less of that is requested ahead.
    ///
    /// # Errors
    /// As [`Location::read_from`].
    pub fn read_slice(
        &self,
        object: &ObjectInfo,
        slice: Range<u64>,
        runtime: &Handle,
    ) -> Result<Box<dyn Read + Send>, SourceError> {
        match self.place() {
            Place::Directory(root) => {
                let reader = FileReader::open(self, root, object, slice.start)?;
                Ok(Box::new(reader))
            }
            Place::Bucket { .. } => Ok(Box::new(BucketReader {
                location: self.clone(),
                object: object.clone(),
                runtime: runtime.clone(),
                position: slice.start,
                next: slice.start,
                slice_end: slice.end,
                ahead: VecDeque::new(),
                current: Bytes::new(),
            })),
        }
    }

    /// The first `n` bytes of an object, or all when it has fewer. Reads files on the calling thread.
    ///
    /// # Errors
    /// [`SourceError`] when it cannot be read or is not the planned one any more.
    pub async fn head_bytes(&self, object: &ObjectInfo, n: usize) -> Result<Bytes, SourceError> {
        self.range_bytes(object, 0..object.size.min(n as u64)).await
    }

    /// The bytes of a range that lies within the object. Reads files on the calling thread.
    ///
    /// # Errors
    /// As [`Location::head_bytes`].
    pub(crate) async fn range_bytes(
        &self,
        object: &ObjectInfo,
        range: Range<u64>,
    ) -> Result<Bytes, SourceError> {
        match self.place() {
            Place::Bucket { .. } => self.part(object, range).await,
            Place::Directory(root) => {
                let length = range.end - range.start;
                let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
                let reader = FileReader::open(self, root, object, range.start)?;
                reader.take(length).read_to_end(&mut bytes).map_err(|error| match error.downcast() {
                    Ok(error) => error,
                    Err(error) => self.file_failed(object, error),
                })?;
                Ok(bytes.into())
            }
        }
    }

    /// Whether the object is still the one that was planned, asked of the store. Call it when all is
    /// read: a file that only grew looks the same to its reader.
    ///
    /// # Errors
    /// [`SourceError::Changed`] when it is not; others when the store cannot be asked.
    pub async fn verify_unchanged(&self, object: &ObjectInfo) -> Result<(), SourceError> {
        match self.place() {
            Place::Directory(root) => {
                let metadata = std::fs::metadata(root.join(&object.name));
                let metadata = metadata.map_err(|error| self.file_failed(object, error))?;
                self.check_file(object, &metadata)
            }
            Place::Bucket { .. } => match self.head(&object.name).await {
                Ok(now) => self.check_object(object, now.size, now.etag.as_deref(), now.modified),
                Err(object_store::Error::NotFound { .. }) => Err(self.gone(object)),
                Err(error) => Err(SourceError::failed("read", self.object_url(&object.name), error)),
            },
        }
    }

    /// The bytes of one range of a bucket's object, all of them.
    async fn part(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes, SourceError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        match self.request_part(object, &range).await {
            Ok((now, bytes)) => {
                self.check_object(object, now.size, now.e_tag.as_deref(), now.last_modified.into())?;
                if bytes.len() as u64 != range.end - range.start {
                    return Err(self.truncated(object));
                }
                Ok(bytes)
            }
            Err(error) => Err(self.refused(object, error).await),
        }
    }

    async fn request_part(
        &self,
        object: &ObjectInfo,
        range: &Range<u64>,
    ) -> object_store::Result<(object_store::ObjectMeta, Bytes)> {
        let key = object_key(&self.prefix(), &object.name)?;
        let options = GetOptions {
            range: Some(range.clone().into()),
            if_match: object.etag.clone(),
            ..Default::default()
        };
        let answer = self.object_store().get_opts(&key, options).await?;
        Ok((answer.meta.clone(), answer.bytes().await?))
    }

    /// A refused request may mean that the object is another by now: its range is out of bounds, its
    /// ETag does not match.
    async fn refused(&self, object: &ObjectInfo, error: object_store::Error) -> SourceError {
        let error = match error {
            object_store::Error::NotFound { .. } => return self.gone(object),
            error => SourceError::failed("read", self.object_url(&object.name), error),
        };
        if error.is_transient() {
            return error;
        }
        match self.verify_unchanged(object).await {
            Err(changed @ SourceError::Changed { .. }) => changed,
            _ => error,
        }
    }

    fn check_object(
        &self,
        object: &ObjectInfo,
        size: u64,
        etag: Option<&str>,
        modified: SystemTime,
    ) -> Result<(), SourceError> {
        self.check_size(object, size)?;
        match (object.etag.as_deref().map(opaque_tag), etag.map(opaque_tag)) {
            (Some(was), Some(is)) if was == is => Ok(()),
            (Some(was), Some(is)) => Err(self.changed(object, format!("its ETag was {was} and is {is}"))),
            _ if seconds(object.modified) == seconds(modified) => Ok(()),
            _ => Err(self.changed(object, "it was written again")),
        }
    }

    fn check_file(&self, object: &ObjectInfo, metadata: &std::fs::Metadata) -> Result<(), SourceError> {
        self.check_size(object, metadata.len())?;
        match metadata.modified() {
            Ok(modified) if modified == object.modified => Ok(()),
            Ok(_) => Err(self.changed(object, "it was written again")),
            Err(error) => Err(self.file_failed(object, error)),
        }
    }

    fn check_size(&self, object: &ObjectInfo, size: u64) -> Result<(), SourceError> {
        if size == object.size {
            return Ok(());
        }
        Err(self.changed(object, format!("it had {} bytes and has {size}", object.size)))
    }

    fn file_failed(&self, object: &ObjectInfo, error: io::Error) -> SourceError {
        match error.kind() {
            io::ErrorKind::NotFound => self.gone(object),
            _ => SourceError::failed("read", self.object_url(&object.name), error),
        }
    }

    fn gone(&self, object: &ObjectInfo) -> SourceError {
        self.changed(object, "it is gone")
    }

    fn truncated(&self, object: &ObjectInfo) -> SourceError {
        self.changed(object, format!("it ended before its {} bytes were read", object.size))
    }

    fn changed(&self, object: &ObjectInfo, change: impl Into<String>) -> SourceError {
        SourceError::Changed { url: self.object_url(&object.name), change: change.into() }
    }
}

/// An ETag without its quotes: some servers leave them out in one answer and not in another.
fn opaque_tag(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}

/// Whole seconds: listings tell fractions that HTTP headers leave out.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

struct FileReader {
    file: File,
    remaining: u64,
    location: Location,
    object: ObjectInfo,
}

impl FileReader {
    fn open(location: &Location, root: &Path, object: &ObjectInfo, offset: u64) -> Result<Self, SourceError> {
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

struct BucketReader {
    location: Location,
    object: ObjectInfo,
    runtime: Handle,
    /// Where the first of the parts ahead begins.
    position: u64,
    /// Where the next request begins.
    next: u64,
    slice_end: u64,
    ahead: VecDeque<JoinHandle<Result<Bytes, SourceError>>>,
    current: Bytes,
}

impl BucketReader {
    fn request_ahead(&mut self) {
        while self.ahead.len() < PARTS_AHEAD && self.next < self.object.size {
            let range = part_range(self.next, self.slice_end, self.object.size);
            self.next = range.end;
            let (location, object) = (self.location.clone(), self.object.clone());
            let part = async move { location.part(&object, range).await };
            self.ahead.push_back(self.runtime.spawn(part));
        }
    }
}

/// Parts end at the slice's end, so that no big one reaches beyond it.
fn part_range(start: u64, slice_end: u64, size: u64) -> Range<u64> {
    let end = if start < slice_end { (start + PART_BYTES).min(slice_end) } else { start + TAIL_PART_BYTES };
    start..end.min(size)
}

impl BucketReader {
    /// Waits for the next part; none at the object's end.
    fn next_part(&mut self) -> Result<Option<Bytes>, io::Error> {
        self.request_ahead();
        let Some(mut part) = self.ahead.pop_front() else {
            return Ok(None);
        };
        let part = self.runtime.block_on(&mut part).map_err(io::Error::other)??;
        self.position += part.len() as u64;
        Ok(Some(part))
    }

    fn cancel(&mut self) {
        self.ahead.drain(..).for_each(|part| part.abort());
        self.next = self.position;
    }
}

impl Read for BucketReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.next_part() {
                Ok(Some(part)) => self.current = part,
                Ok(None) => return Ok(0),
                Err(error) => {
                    // Parts behind the lost one must not be taken for it by who reads on.
                    self.cancel();
                    return Err(error);
                }
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}

impl Drop for BucketReader {
    fn drop(&mut self) {
        self.cancel();
    }
}
