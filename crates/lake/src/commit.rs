//! The commit: data objects first, named by their bytes; the manifest last, in one put.

use crate::{DataObject, Lake, LakeError, manifest::FORMAT_VERSION};
use bytes::Bytes;
use domain::Day;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStoreExt, PutPayload, path::Path};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};

const MANIFEST: &str = "manifest.json";

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

impl Lake {
    fn path(&self, folder: &str, name: &str) -> Path {
        let parts = self.prefix.parts().chain(folder.split('/').map(Into::into));
        parts.chain([name.into()]).collect()
    }

    pub(crate) fn object_url(&self, folder: &str, name: &str) -> String {
        format!("{}/{folder}/{name}", self.url())
    }

    /// Commits `objects` and the manifest that names them. When the manifest there is the same already,
    /// nothing is written. Afterwards what the manifest before named, and old orphans, are deleted.
    pub(crate) async fn commit(
        &self,
        folder: &str,
        objects: Vec<NewObject>,
        manifest: &impl Serialize,
    ) -> Result<(), LakeError> {
        let mut json = serde_json::to_vec_pretty(manifest).expect("a manifest is plain data");
        json.push(b'\n');
        let before = self.get(folder, MANIFEST).await?;
        let there = self.list(folder).await?;
        let names: Vec<_> = objects.iter().map(|object| object.described.name.clone()).collect();
        for object in objects {
            if !self.holds(folder, &there, &object).await? {
                self.put(folder, &object.described.name, object.bytes).await?;
            }
        }
        if before.as_deref() != Some(&json[..]) {
            self.put(folder, MANIFEST, json.into()).await?;
        }
        let before = before.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        self.clean(there, &names, &before).await;
        Ok(())
    }

    /// Whether the object is there already, byte for byte: a damaged one must be written again.
    async fn holds(&self, folder: &str, there: &[ObjectMeta], object: &NewObject) -> Result<bool, LakeError> {
        let DataObject { name, size, .. } = &object.described;
        let is_listed =
            there.iter().any(|meta| meta.location.filename() == Some(name.as_str()) && meta.size == *size);
        Ok(is_listed && self.get(folder, name).await? == Some(object.bytes.clone()))
    }

    /// Deletes what is no longer named. That it could not be deleted is no failure: the next commit
    /// of the folder tries again.
    async fn clean(&self, there: Vec<ObjectMeta>, named: &[String], manifest_before: &str) {
        let now = SystemTime::now();
        for meta in there {
            let name = meta.location.filename().unwrap_or_default();
            if name == MANIFEST || named.iter().any(|named| named == name) {
                continue;
            }
            let age = now.duration_since(meta.last_modified.into()).unwrap_or_default();
            if manifest_before.contains(name) || age > ORPHAN_AGE {
                let _ = self.store.delete(&meta.location).await;
            }
        }
    }

    /// The manifest in the folder, of that day; none when nothing was committed there.
    pub(crate) async fn manifest<M: DeserializeOwned>(
        &self,
        folder: &str,
        day: Day,
        remedy: &str,
    ) -> Result<Option<M>, LakeError> {
        let Some(bytes) = self.get(folder, MANIFEST).await? else { return Ok(None) };
        let damaged = |reason: String| self.damaged(folder, MANIFEST, reason, remedy);
        let heading: Heading = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if heading.format_version != FORMAT_VERSION {
            let version = heading.format_version;
            return Err(damaged(format!("its format is {version}, this program reads {FORMAT_VERSION}")));
        }
        if heading.day != day {
            return Err(damaged(format!("it is of {}", heading.day)));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// What `read` makes of the manifest in the folder and the objects that it names. When another
    /// commit replaces them meanwhile, its manifest is read instead: the old or the new, never neither.
    pub(crate) async fn read_by_manifest<M: DeserializeOwned + PartialEq, T>(
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
        let damaged = |reason: String| self.damaged(folder, &object.name, reason, remedy);
        let bytes = self.get(folder, &object.name).await?;
        let bytes = bytes.ok_or_else(|| damaged("the manifest names it, but it is not there".to_owned()))?;
        if bytes.len() as u64 != object.size {
            return Err(damaged(format!("it has {} bytes, {} were committed", bytes.len(), object.size)));
        }
        if hex(&Sha256::digest(&bytes)) != object.sha256 {
            return Err(damaged("its bytes are not those that were committed".to_owned()));
        }
        Ok(bytes)
    }

    pub(crate) fn damaged(&self, folder: &str, name: &str, reason: String, remedy: &str) -> LakeError {
        LakeError::Damaged { url: self.object_url(folder, name), reason, remedy: remedy.to_owned() }
    }

    async fn get(&self, folder: &str, name: &str) -> Result<Option<Bytes>, LakeError> {
        let failed = |source| LakeError::Read { url: self.object_url(folder, name), source };
        match self.store.get(&self.path(folder, name)).await {
            Ok(object) => object.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    async fn put(&self, folder: &str, name: &str, bytes: Bytes) -> Result<(), LakeError> {
        let payload = PutPayload::from_bytes(bytes);
        let put = self.store.put(&self.path(folder, name), payload).await;
        put.map(drop).map_err(|source| LakeError::Write { url: self.object_url(folder, name), source })
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>, LakeError> {
        let path: Path = self.prefix.parts().chain(folder.split('/').map(Into::into)).collect();
        let listed = self.store.list(Some(&path)).try_collect().await;
        listed.map_err(|source| LakeError::Read { url: format!("{}/{folder}/", self.url()), source })
    }
}
