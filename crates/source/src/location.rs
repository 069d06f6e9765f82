//! A directory or a bucket prefix, from the text that names it.

use crate::{AwsSettings, SourceError, aws::Clients};
use object_store::{ObjectStore, aws::AmazonS3, local::LocalFileSystem, path::Path as ObjectPath};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

/// A directory or a bucket prefix; cheap to clone.
#[derive(Clone)]
pub struct Location(Arc<Opened>);

struct Opened {
    url: String,
    place: Place,
    object_store: Arc<dyn ObjectStore>,
}

pub(crate) enum Place {
    /// An absolute path.
    Directory(PathBuf),
    Bucket(Box<Bucket>),
}

/// A prefix of a bucket, and how it is asked.
pub(crate) struct Bucket {
    /// Tries failing requests again by itself.
    pub(crate) client: AmazonS3,
    /// Sends each request once: who reads through it tries again.
    pub(crate) reader: AmazonS3,
    /// For how long that is, without a byte.
    pub(crate) patience: Duration,
    /// It has no `/` at either end.
    pub(crate) prefix: ObjectPath,
    /// Whether an answer came without an ETag, so that answers prove nothing.
    pub(crate) lacks_etags: AtomicBool,
}

/// An object as it was when it was planned.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ObjectInfo {
    /// The name relative to the location, its parts separated by `/`.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The store's fingerprint of its content; files of a directory have none.
    pub etag: Option<String>,
    /// When it was written.
    pub modified: SystemTime,
}

impl Location {
    /// Opens what must be there: a plain path, `file:///…`, or `s3://bucket/prefix` with the usual
    /// AWS settings from the environment. A bucket is first asked when it is listed or read.
    ///
    /// # Errors
    /// [`SourceError`] when the text names no location or the directory is not there.
    pub fn open(url: &str) -> Result<Self, SourceError> {
        Self::open_in(url, false)
    }

    /// Like [`Location::open`]; with `create`, a directory that is missing is made.
    ///
    /// # Errors
    /// As [`Location::open`], and when the directory cannot be made.
    pub fn open_in(url: &str, create: bool) -> Result<Self, SourceError> {
        Self::open_with(url, create, &AwsSettings::from_env())
    }

    /// Like [`Location::open_in`], with AWS settings that need not come from the environment.
    ///
    /// # Errors
    /// As [`Location::open_in`].
    pub fn open_with(url: &str, create: bool, settings: &AwsSettings) -> Result<Self, SourceError> {
        match url.split_once("://") {
            Some(("s3" | "s3a", rest)) => Self::open_bucket(rest, settings),
            Some(("file", _)) => Self::open_directory(url, &file_url_path(url)?, create),
            Some((scheme, _)) => {
                Err(refused(&without_password(url), format!("{scheme}:// is not supported")))
            }
            None if url.is_empty() => Err(refused(url, "it is empty")),
            None => Self::open_directory(url, Path::new(url), create),
        }
    }

    fn open_directory(text: &str, path: &Path, create: bool) -> Result<Self, SourceError> {
        let failed = |error: io::Error| SourceError::failed("open", text, error);
        let path = std::path::absolute(path).map_err(failed)?;
        if create {
            std::fs::create_dir_all(&path).map_err(failed)?;
        }
        if !std::fs::metadata(&path).map_err(failed)?.is_dir() {
            return Err(refused(text, "it is a file: name the directory it lies in"));
        }
        let store = LocalFileSystem::new_with_prefix(&path)
            .map_err(|error| SourceError::failed("open", text, error))?
            // A folder is not left empty when what was in it is deleted.
            .with_automatic_cleanup(true);
        let url = match text.trim_end_matches('/') {
            "" | "file:" => text.to_owned(),
            trimmed => trimmed.to_owned(),
        };
        Ok(Self(Arc::new(Opened { url, place: Place::Directory(path), object_store: Arc::new(store) })))
    }

    fn open_bucket(rest: &str, settings: &AwsSettings) -> Result<Self, SourceError> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if bucket.is_empty() || !bucket.bytes().all(is_name) {
            return Err(refused(
                "s3://…",
                "a bucket's name has letters, digits, dots and hyphens, nothing else",
            ));
        }
        let url = format!("s3://{rest}").trim_end_matches('/').to_owned();
        let prefix = ObjectPath::parse(prefix).map_err(|error| refused(&url, error.to_string()))?;
        let Clients { client, reader } = settings.clients(&url, bucket)?;
        let object_store = Arc::new(client.clone());
        let (patience, lacks_etags) = (settings.patience(), AtomicBool::new(false));
        let place = Place::Bucket(Box::new(Bucket { client, reader, patience, prefix, lacks_etags }));
        Ok(Self(Arc::new(Opened { url, place, object_store })))
    }

    /// The location as text, without secrets and without a `/` at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The store that [`Location::prefix`] is a path in.
    #[must_use]
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.0.object_store)
    }

    /// Where the location's objects lie in [`Location::object_store`].
    #[must_use]
    pub fn prefix(&self) -> ObjectPath {
        match &self.0.place {
            Place::Directory(_) => ObjectPath::ROOT,
            Place::Bucket(bucket) => bucket.prefix.clone(),
        }
    }

    /// The directory; none when it is a bucket.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.0.place {
            Place::Directory(path) => Some(path),
            Place::Bucket { .. } => None,
        }
    }

    /// The object's URL, for messages.
    #[must_use]
    pub fn object_url(&self, name: &str) -> String {
        let url = self.url();
        if url.ends_with('/') { format!("{url}{name}") } else { format!("{url}/{name}") }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0.place
    }
}

/// The whole key of an object; names come from listings, and a key may hold what
/// [`ObjectPath::from`] would encode, so it is taken as it is.
pub(crate) fn object_key(prefix: &ObjectPath, name: &str) -> Result<ObjectPath, object_store::path::Error> {
    match prefix.as_ref() {
        "" => ObjectPath::parse(name),
        prefix => ObjectPath::parse(format!("{prefix}/{name}")),
    }
}

fn refused(text: &str, reason: impl Into<String>) -> SourceError {
    SourceError::NotALocation { text: text.to_owned(), reason: reason.into() }
}

pub(crate) fn file_url_path(text: &str) -> Result<PathBuf, SourceError> {
    let path = url::Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
    path.ok_or_else(|| refused(text, "a file URL has three slashes and an absolute path: file:///data/logs"))
}

fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme_end), Some(at)) if scheme_end < at => {
            format!("{}://…{}", &url[..scheme_end], &url[at..])
        }
        _ => url.to_owned(),
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Location").field(&self.url()).finish()
    }
}
