//! Whether an object is still the one that was planned.
//!
//! What a file's metadata or a bucket's answer says of an object enters, with what was planned; an
//! error leaves when they differ.

use crate::{Location, ObjectInfo, SourceError, location::Place};
use std::{io, sync::atomic::Ordering, time::SystemTime};

impl Location {
    /// Whether the object is still the one that was planned. Call it when all is read: a file that only
    /// grew looks the same to its reader.
    ///
    /// The store is asked only where reading proves nothing: see [`Location::proves_by_reading`].
    ///
    /// # Errors
    /// [`SourceError::Changed`] when it is not; others when the store cannot be asked.
    pub async fn verify_read(&self, object: &ObjectInfo) -> Result<(), SourceError> {
        if self.proves_by_reading(object) { Ok(()) } else { self.verify_unchanged(object).await }
    }

    /// Whether who has read all of the object knows that it was the planned one all the time: each of a
    /// bucket's answers carried the planned ETag, or was refused.
    #[must_use]
    pub fn proves_by_reading(&self, object: &ObjectInfo) -> bool {
        match self.place() {
            Place::Directory(_) => false,
            Place::Bucket(bucket) => {
                !bucket.lacks_etags.load(Ordering::Relaxed) && object.etag.as_deref().is_some_and(is_strong)
            }
        }
    }

    /// Whether the object is still the one that was planned, asked of the store.
    ///
    /// # Errors
    /// As [`Location::verify_read`].
    pub async fn verify_unchanged(&self, object: &ObjectInfo) -> Result<(), SourceError> {
        match self.place() {
            Place::Directory(root) => {
                let metadata = std::fs::metadata(root.join(&object.name));
                let metadata = metadata.map_err(|error| self.file_failed(object, error))?;
                self.check_file(object, &metadata)
            }
            Place::Bucket(_) => match self.head(&object.name).await {
                Ok(now) => self.check_object(object, now.size, now.etag.as_deref(), now.modified),
                Err(object_store::Error::NotFound { .. }) => Err(self.gone(object)),
                Err(error) => Err(SourceError::failed("read", self.object_url(&object.name), error)),
            },
        }
    }

    pub(super) fn check_object(
        &self,
        object: &ObjectInfo,
        size: u64,
        etag: Option<&str>,
        modified: SystemTime,
    ) -> Result<(), SourceError> {
        self.check_size(object, size)?;
        if let (None, Place::Bucket(bucket)) = (etag, self.place()) {
            bucket.lacks_etags.store(true, Ordering::Relaxed);
        }
        match (object.etag.as_deref(), etag) {
            (Some(was), Some(is)) if opaque_tag(was) == opaque_tag(is) => Ok(()),
            (Some(was), Some(is)) => {
                let (was, is) = (opaque_tag(was), opaque_tag(is));
                Err(self.changed(object, format!("its ETag was {was} and is {is}")))
            }
            _ if seconds(object.modified) == seconds(modified) => Ok(()),
            _ => Err(self.changed(object, "it was written again")),
        }
    }

    pub(super) fn check_file(
        &self,
        object: &ObjectInfo,
        metadata: &std::fs::Metadata,
    ) -> Result<(), SourceError> {
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

    pub(super) fn file_failed(&self, object: &ObjectInfo, error: io::Error) -> SourceError {
        match error.kind() {
            io::ErrorKind::NotFound => self.gone(object),
            _ => SourceError::failed("read", self.object_url(&object.name), error),
        }
    }

    pub(super) fn gone(&self, object: &ObjectInfo) -> SourceError {
        self.changed(object, "it is gone")
    }

    pub(super) fn truncated(&self, object: &ObjectInfo) -> SourceError {
        self.changed(object, format!("it ended before its {} bytes were read", object.size))
    }

    fn changed(&self, object: &ObjectInfo, change: impl Into<String>) -> SourceError {
        SourceError::Changed { url: self.object_url(&object.name), change: change.into() }
    }
}

/// Whether equal tags mean equal bytes; of a weak one (`W/"…"`) only the meaning is the same.
fn is_strong(etag: &str) -> bool {
    !etag.starts_with("W/")
}

/// An ETag without its quotes: some servers leave them out in one answer and not in another.
fn opaque_tag(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}

/// Whole seconds: listings tell fractions that HTTP headers leave out.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
