//! What writes that were killed left behind: objects that no manifest names, because it was not written yet or
//! because there was no time to delete what the one before had named; in a directory also files that are no
//! objects yet. What a manifest names is never touched, and so is all beside one that cannot be told.

use crate::{Lake, LakeError, commit::MANIFEST};
use bytes::Bytes;
use domain::Day;
use object_store::{ObjectMeta, ObjectStoreExt, path::Path};
use serde::de::IgnoredAny;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    time::{Duration, SystemTime},
};

impl Lake {
    /// Deletes what no manifest of the day names and was last written before `until`, when whoever wrote it
    /// was gone. That something could not be deleted is no failure: the next commit of its folder tries again
    /// when it is a day old.
    ///
    /// # Errors
    /// When the day's objects cannot be listed, or a manifest cannot be read.
    pub async fn sweep(&self, day: Day, until: SystemTime) -> Result<(), LakeError> {
        for folder in [format!("counts/day={day}"), format!("rankings/day={day}")] {
            self.delete_unfinished(&folder, until);
            let mut objects: BTreeMap<Path, Vec<ObjectMeta>> = BTreeMap::new();
            for meta in self.list(&folder).await? {
                objects.entry(beside(&meta.location)).or_default().push(meta);
            }
            // Manifests are read after what lies beside them was listed: what is committed meanwhile is named.
            for (manifest, objects) in objects {
                let is_listed = objects.iter().any(|meta| meta.location == manifest);
                let Some(named) = names_of(self.get_at(&manifest).await?, is_listed) else { continue };
                for meta in objects.iter().filter(|meta| is_before(meta, until)) {
                    let name = meta.location.filename().unwrap_or_default();
                    if name != MANIFEST && !named.contains(name) {
                        let _ = self.store.delete(&meta.location).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Deletes files below the folder that never became objects and were last written before `until`.
    pub(crate) fn delete_unfinished(&self, folder: &str, until: SystemTime) {
        let Some(directory) = &self.directory else { return };
        let mut folders = vec![directory.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                let is_old = metadata.modified().is_ok_and(|modified| modified < until);
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else if is_old && is_unfinished(&entry.file_name()) {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }
}

/// The text in which what is named can be found; none of a manifest that was listed and is not there, or that did
/// not come whole: it names more than it tells.
fn names_of(manifest: Option<Bytes>, is_listed: bool) -> Option<String> {
    let Some(manifest) = manifest else { return (!is_listed).then(String::new) };
    serde_json::from_slice::<IgnoredAny>(&manifest).ok()?;
    String::from_utf8(manifest.into()).ok()
}

/// Whether the object was written before then for certain: a store that tells whole seconds rounds down.
fn is_before(meta: &ObjectMeta, until: SystemTime) -> bool {
    let slack = Duration::from_secs(u64::from(meta.last_modified.timestamp_subsec_nanos() == 0));
    SystemTime::from(meta.last_modified) + slack < until
}

/// Where the manifest lies that would name the object.
fn beside(object: &Path) -> Path {
    let parts: Vec<_> = object.parts().collect();
    parts[..parts.len() - 1].iter().cloned().chain([MANIFEST.into()]).collect()
}

/// Whether `object_store` was still writing the file: it is called NAME#NUMBER until it is whole.
fn is_unfinished(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let number = name.rsplit_once('#').map_or("", |(_, number)| number);
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}
