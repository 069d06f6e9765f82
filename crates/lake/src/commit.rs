//! The commit: data objects first, named by their bytes; the manifest last, in one put.

use crate::{DataObject, Lake, LakeError, manifest::Manifest};
use bytes::Bytes;
use domain::Day;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStoreExt, PutPayload, path::Path};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

pub(crate) const MANIFEST: &str = "manifest.json";

/// How old an object that no manifest names must be to be deleted: younger ones may belong to a
/// write under way.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What every manifest says first, whatever its format.
#[derive(Deserialize)]
struct Heading {
    format_version: u32,
    day: Day,
}

/// Bytes on their way into the lake.
pub(crate) struct NewObject {
    pub(crate) described: DataObject,
    bytes: Bytes,
}

impl NewObject {
    /// Names the bytes: `counts-0123456789abcdef.parquet`.
    pub(crate) fn new(kind: &str, bytes: Vec<u8>) -> Self {
        let sha256 = hex(&Sha256::digest(&bytes));
        let name = format!("{kind}-{}.parquet", &sha256[..16]);
        Self { described: DataObject { name, size: bytes.len() as u64, sha256 }, bytes: bytes.into() }
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder's objects on their way into the lake; what was committed before stays until
/// [`Commit::end`].
pub(crate) struct Commit<'a> {
    lake: &'a Lake,
    folder: String,
    /// The manifest that was there.
    before: Option<Bytes>,
    /// The objects that were there.
    there: Vec<ObjectMeta>,
    /// The objects that the manifest will name.
    named: Vec<String>,
}

impl Commit<'_> {
    /// Writes an object, unless it is there already.
    pub(crate) async fn put(&mut self, object: NewObject) -> Result<DataObject, LakeError> {
        let NewObject { described, bytes } = object;
        if !self.holds(&described, &bytes).await? {
            self.lake.put(&self.folder, &described.name, bytes).await?;
        }
        self.named.push(described.name.clone());
        Ok(described)
    }

    /// Names an object that another machine has put before this commit began.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn name(&mut self, object: &DataObject, remedy: &str) -> Result<(), LakeError> {
        if !self.is_listed(object) {
            let reason = "another machine has put it, and it is not there".to_owned();
            return Err(self.lake.damaged(&self.folder, &object.name, reason, remedy));
        }
        self.named.push(object.name.clone());
        Ok(())
    }

    fn is_listed(&self, object: &DataObject) -> bool {
        let is_it =
            |meta: &ObjectMeta| meta.location.filename() == Some(&object.name) && meta.size == object.size;
        self.there.iter().any(is_it)
    }

    /// Whether the object is there already, byte for byte: a damaged one must be written again.
    async fn holds(&self, object: &DataObject, bytes: &Bytes) -> Result<bool, LakeError> {
        Ok(self.is_listed(object) && self.lake.get(&self.folder, &object.name).await?.as_ref() == Some(bytes))
    }

    /// Commits: writes the manifest, unless it is there already, and deletes what the one before named
    /// and old orphans.
    pub(crate) async fn end(self, manifest: &impl Serialize) -> Result<(), LakeError> {
        let mut json = serde_json::to_vec_pretty(manifest).expect("a manifest is plain data");
        json.push(b'\n');
        if self.before.as_deref() != Some(&json[..]) {
            self.lake.put(&self.folder, MANIFEST, json.into()).await?;
        }
        self.clean().await;
        Ok(())
    }

    /// Deletes what is no longer named. That it could not be deleted is no failure: the next commit
    /// of the folder tries again.
    async fn clean(&self) {
        let named: HashSet<_> = self.named.iter().map(String::as_str).collect();
        let before = self.before.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let now = SystemTime::now();
        for meta in &self.there {
            let name = meta.location.filename().unwrap_or_default();
            if name == MANIFEST || named.contains(name) {
                continue;
            }
            let age = now.duration_since(meta.last_modified.into()).unwrap_or_default();
            if before.contains(name) || age > ORPHAN_AGE {
                let _ = self.lake.store.delete(&meta.location).await;
            }
        }
        self.lake.delete_unfinished(&self.folder, now - ORPHAN_AGE);
    }
}

fn read_manifest<M: Manifest>(bytes: &[u8], day: Day) -> Result<M, String> {
    let heading: Heading = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if heading.format_version != M::FORMAT_VERSION {
        let (theirs, ours) = (heading.format_version, M::FORMAT_VERSION);
        return Err(format!("its format is {theirs}, this program reads {ours}"));
    }
    if heading.day != day {
        return Err(format!("it is of {}", heading.day));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn as_committed(object: &DataObject, bytes: Option<Bytes>) -> Result<Bytes, String> {
    let bytes = bytes.ok_or("the manifest names it, but it is not there")?;
    if bytes.len() as u64 != object.size {
        return Err(format!("it has {} bytes, {} were committed", bytes.len(), object.size));
    }
    if hex(&Sha256::digest(&bytes)) != object.sha256 {
        return Err("its bytes are not those that were committed".to_owned());
    }
    Ok(bytes)
}

impl Lake {
    fn path(&self, folder: &str, name: &str) -> Path {
        let parts = self.prefix.parts().chain(folder.split('/').map(Into::into));
        parts.chain([name.into()]).collect()
    }

    pub(crate) fn object_url(&self, folder: &str, name: &str) -> String {
        format!("{}/{folder}/{name}", self.url())
    }

    /// The same of an object that was listed.
    fn listed_url(&self, path: &Path) -> String {
        let parts = path.prefix_match(&self.prefix).into_iter().flatten();
        let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
        format!("{}/{}", self.url(), parts.join("/"))
    }

    /// Begins to write what the folder will hold.
    pub(crate) async fn begin(&self, folder: String) -> Result<Commit<'_>, LakeError> {
        let before = self.get(&folder, MANIFEST).await?;
        let there = self.list(&folder).await?;
        Ok(Commit { lake: self, folder, before, there, named: Vec::new() })
    }

    /// The manifest in the folder, of that day; none when nothing was committed there.
    pub(crate) async fn manifest<M: Manifest>(
        &self,
        folder: &str,
        day: Day,
        remedy: &str,
    ) -> Result<Option<M>, LakeError> {
        let read = |bytes: Option<Bytes>| bytes.map(|bytes| read_manifest(&bytes, day)).transpose();
        self.get_sound(folder, MANIFEST, remedy, read).await
    }

    /// What `read` makes of an object's bytes. When it can make nothing of them they may have been changed on their
    /// way, and are asked for once more.
    async fn get_sound<T>(
        &self,
        folder: &str,
        name: &str,
        remedy: &str,
        read: impl Fn(Option<Bytes>) -> Result<T, String>,
    ) -> Result<T, LakeError> {
        if let Ok(sound) = read(self.get(folder, name).await?) {
            return Ok(sound);
        }
        let again = read(self.get(folder, name).await?);
        again.map_err(|reason| self.damaged(folder, name, reason, remedy))
    }

    /// What `read` makes of the manifest in the folder and the objects that it names. When another
    /// commit replaces them meanwhile, its manifest is read instead: the old or the new, never neither.
    pub(crate) async fn read_by_manifest<M: Manifest + PartialEq, T>(
        &self,
        folder: &str,
        day: Day,
        remedy: &str,
        read: impl AsyncFn(&M) -> Result<T, LakeError>,
    ) -> Result<Option<(T, M)>, LakeError> {
        let mut newest = self.manifest::<M>(folder, day, remedy).await?;
        while let Some(manifest) = newest {
            match read(&manifest).await {
                Ok(content) => return Ok(Some((content, manifest))),
                Err(error) => {
                    newest = self.manifest(folder, day, remedy).await?;
                    if newest.as_ref() == Some(&manifest) {
                        return Err(error);
                    }
                }
            }
        }
        Ok(None)
    }

    /// The bytes of an object that a manifest names, checked.
    pub(crate) async fn data(
        &self,
        folder: &str,
        object: &DataObject,
        remedy: &str,
    ) -> Result<Bytes, LakeError> {
        self.get_sound(folder, &object.name, remedy, |bytes| as_committed(object, bytes)).await
    }

    pub(crate) fn damaged(&self, folder: &str, name: &str, reason: String, remedy: &str) -> LakeError {
        LakeError::Damaged { url: self.object_url(folder, name), reason, remedy: remedy.to_owned() }
    }

    async fn get(&self, folder: &str, name: &str) -> Result<Option<Bytes>, LakeError> {
        self.get_at(&self.path(folder, name)).await
    }

    pub(crate) async fn get_at(&self, path: &Path) -> Result<Option<Bytes>, LakeError> {
        let failed = |source| LakeError::Read { url: self.listed_url(path), source };
        match self.store.get(path).await {
            Ok(object) => object.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// Puts an object that no manifest names yet.
    pub(crate) async fn put_new(&self, folder: &str, object: NewObject) -> Result<DataObject, LakeError> {
        let NewObject { described, bytes } = object;
        self.put(folder, &described.name, bytes).await?;
        Ok(described)
    }

    async fn put(&self, folder: &str, name: &str, bytes: Bytes) -> Result<(), LakeError> {
        let payload = PutPayload::from_bytes(bytes);
        let put = self.store.put(&self.path(folder, name), payload).await;
        put.map(drop).map_err(|source| LakeError::Write { url: self.object_url(folder, name), source })
    }

    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>, LakeError> {
        let path: Path = self.prefix.parts().chain(folder.split('/').map(Into::into)).collect();
        let listed = self.store.list(Some(&path)).try_collect().await;
        listed.map_err(|source| LakeError::Read { url: format!("{}/{folder}/", self.url()), source })
    }
}
