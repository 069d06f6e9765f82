//! Which objects are there: a walk of a directory, a listing of a bucket.
//!
//! A pattern enters, the objects it takes leave, in byte order of their names. Only what begins with
//! the pattern's literal beginning is looked at.

use crate::{
    Location, ObjectInfo, SourceError,
    error::SPELLED_OUT_MAX,
    location::{Bucket, Place, object_key},
    pattern::NamePattern,
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    ObjectMeta, ObjectStoreExt,
    aws::AmazonS3,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
    path::Path as ObjectPath,
};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Objects that are looked at by themselves at a time.
const LOOKS_AT_A_TIME: usize = 32;

impl Location {
    /// The objects that `names` takes, in byte order of their names.
    pub(crate) async fn find(&self, names: &NamePattern) -> Result<Vec<ObjectInfo>, SourceError> {
        let mut found = match self.place() {
            Place::Directory(root) => {
                let mut walk = Walk { location: self, names, found: Vec::new(), open: Vec::new() };
                walk.folder(root, "")?;
                walk.found
            }
            Place::Bucket(bucket) => self.find_in_bucket(bucket, names).await?,
        };
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    async fn find_in_bucket(
        &self,
        bucket: &Bucket,
        names: &NamePattern,
    ) -> Result<Vec<ObjectInfo>, SourceError> {
        let root = folder_key(&bucket.prefix, "");
        let beginning = format!("{root}{}", names.literal_prefix());
        let mut listed = Vec::new();
        let mut page_token = None;
        loop {
            let options = PaginatedListOptions { page_token, ..Default::default() };
            let page = self.list_page(&bucket.client, &beginning, options).await?;
            let named = page.result.objects.into_iter().map(|meta| {
                (meta.location.as_ref().strip_prefix(&root).unwrap_or_default().to_owned(), meta)
            });
            listed.extend(named.filter(|(name, _)| names.takes(name)));
            page_token = page.page_token;
            if page_token.is_none() {
                break;
            }
        }
        let complete = listed.into_iter().map(|(name, meta)| self.complete(&bucket.client, name, meta));
        let found = stream::iter(complete).buffered(LOOKS_AT_A_TIME).try_collect::<Vec<_>>().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn list_page(
        &self,
        client: &AmazonS3,
        beginning: &str,
        options: PaginatedListOptions,
    ) -> Result<PaginatedListResult, SourceError> {
        let beginning = Some(beginning).filter(|text| !text.is_empty());
        let page = client.list_paginated(beginning, options).await;
        page.map_err(|error| SourceError::failed("list", self.url(), error))
    }

    /// Asks once more about an object whose listing leaves a doubt: an empty one may be the marker
    /// of a folder, which consoles make and which cannot be read, and some servers list no ETag.
    async fn complete(
        &self,
        client: &AmazonS3,
        name: String,
        listed: ObjectMeta,
    ) -> Result<Option<ObjectInfo>, SourceError> {
        if listed.size > 0 && listed.e_tag.is_some() {
            return Ok(Some(object_info(name, listed)));
        }
        match client.head(&listed.location).await {
            Ok(meta) => Ok(Some(object_info(name, meta))),
            Err(object_store::Error::NotFound { .. }) if listed.size == 0 => Ok(None),
            Err(error) => Err(SourceError::failed("read", self.object_url(&name), error)),
        }
    }

    /// The first names directly inside `folder` (empty: the location itself), in order, with the
    /// folder before them; folders end with `/`. At most one more than a message spells out.
    pub(crate) async fn entries(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let entries = match self.place() {
            Place::Directory(root) => self.directory_entries(&root.join(folder), folder)?,
            Place::Bucket(bucket) => self.bucket_entries(bucket, folder).await?,
        };
        Ok(entries.into_iter().take(SPELLED_OUT_MAX + 1).collect())
    }

    fn directory_entries(&self, path: &Path, folder: &str) -> Result<BTreeSet<String>, SourceError> {
        let read = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            read => read,
        };
        let name_of = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let slash = if entry.path().is_dir() { "/" } else { "" };
            Ok(format!("{}{slash}", joined(folder, &entry.file_name().to_string_lossy())))
        };
        read.and_then(|entries| entries.map(name_of).collect())
            .map_err(|error| SourceError::failed("list", path.display().to_string(), error))
    }

    async fn bucket_entries(&self, bucket: &Bucket, folder: &str) -> Result<BTreeSet<String>, SourceError> {
        let Bucket { client, prefix, .. } = bucket;
        let root = folder_key(prefix, "");
        let options = PaginatedListOptions {
            delimiter: Some("/".into()),
            max_keys: Some(SPELLED_OUT_MAX + 2),
            ..Default::default()
        };
        let listed = self.list_page(client, &folder_key(prefix, folder), options).await?.result;
        let relative = |path: &ObjectPath| path.as_ref().strip_prefix(&root).map(str::to_owned);
        let objects = listed.objects.iter().filter_map(|meta| relative(&meta.location));
        let folders = listed.common_prefixes.iter().filter_map(|path| Some(relative(path)? + "/"));
        Ok(objects.chain(folders).filter(|name| name != folder).collect())
    }

    /// What the bucket says of an object now.
    pub(crate) async fn head(&self, name: &str) -> Result<ObjectInfo, object_store::Error> {
        let key = object_key(&self.prefix(), name)?;
        Ok(object_info(name.to_owned(), self.object_store().head(&key).await?))
    }
}

pub(crate) fn object_info(name: String, meta: ObjectMeta) -> ObjectInfo {
    ObjectInfo { name, size: meta.size, etag: meta.e_tag, modified: meta.last_modified.into() }
}

/// What the keys in a folder of the location begin with.
fn folder_key(prefix: &ObjectPath, folder: &str) -> String {
    let parts = [prefix.as_ref(), folder].into_iter().filter(|part| !part.is_empty());
    parts.map(|part| format!("{part}/")).collect()
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A walk through a directory that follows symbolic links.
struct Walk<'a> {
    location: &'a Location,
    names: &'a NamePattern,
    found: Vec<ObjectInfo>,
    /// The real paths of the folders from the root to here, to notice a link to one of them.
    open: Vec<PathBuf>,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, folder: &str) -> Result<(), SourceError> {
        let failed =
            |location: &Location, error| SourceError::failed("list", location.object_url(folder), error);
        let real = fs::canonicalize(path).map_err(|error| failed(self.location, error))?;
        if self.open.contains(&real) {
            let error = io::Error::other("a symbolic link in it points back to a folder above it");
            return Err(failed(self.location, error));
        }
        self.open.push(real);
        for entry in fs::read_dir(path).map_err(|error| failed(self.location, error))? {
            let entry = entry.map_err(|error| failed(self.location, error))?;
            let name = joined(folder, &entry.file_name().to_string_lossy());
            self.entry(&entry.path(), &name)?;
        }
        self.open.pop();
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &str) -> Result<(), SourceError> {
        let beginning = self.names.literal_prefix();
        if !name.starts_with(beginning) && !beginning.starts_with(&format!("{name}/")) {
            return Ok(());
        }
        let metadata = fs::metadata(path);
        if metadata.as_ref().is_ok_and(fs::Metadata::is_dir) {
            return self.folder(path, name);
        }
        if !self.names.takes(name) {
            return Ok(());
        }
        let object = metadata.and_then(|metadata| file_info(path, name, &metadata));
        let object =
            object.map_err(|error| SourceError::failed("read", self.location.object_url(name), error))?;
        self.found.push(object);
        Ok(())
    }
}

/// A file as an object; only a regular file whose name is text can be one.
fn file_info(path: &Path, name: &str, metadata: &fs::Metadata) -> io::Result<ObjectInfo> {
    if path.file_name().and_then(|name| name.to_str()).is_none() {
        return Err(io::Error::other("its name is not UTF-8"));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(ObjectInfo { name: name.to_owned(), size: metadata.len(), etag: None, modified: metadata.modified()? })
}
