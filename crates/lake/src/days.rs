//! Which days the lake holds anything of, and how a day leaves it.

use crate::{Lake, LakeError, commit::MANIFEST};
use domain::Day;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, path::Path};
use std::{collections::BTreeSet, time::SystemTime};

/// The folders that have one of each day.
const FOLDERS: [&str; 2] = ["counts", "rankings"];

impl Lake {
    /// The days of which there are counts or rankings, oldest first.
    ///
    /// # Errors
    /// [`LakeError::Read`].
    pub async fn days(&self) -> Result<Vec<Day>, LakeError> {
        let mut days = BTreeSet::new();
        for folder in FOLDERS {
            let path: Path = self.prefix.parts().chain([folder.into()]).collect();
            let listed = self.store.list_with_delimiter(Some(&path)).await;
            let listed = listed
                .map_err(|source| LakeError::Read { url: format!("{}/{folder}/", self.url()), source })?;
            let names = listed.common_prefixes.iter().filter_map(Path::filename);
            days.extend(names.filter_map(|name| name.strip_prefix("day=")?.parse::<Day>().ok()));
        }
        Ok(days.into_iter().collect())
    }

    /// Deletes what there is of the day, unless any of it was written since then: the manifests first, so that nobody
    /// finds one that names what is gone. Returns how many objects were deleted.
    ///
    /// # Errors
    /// [`LakeError::Read`] or [`LakeError::Write`]; what is left is deleted the next time.
    pub async fn remove_day(&self, day: Day, written_before: SystemTime) -> Result<usize, LakeError> {
        let mut there = Vec::new();
        for folder in FOLDERS {
            let folder = format!("{folder}/day={day}");
            there.push((self.list(&folder).await?, folder));
        }
        let is_fresh = |object: &ObjectMeta| SystemTime::from(object.last_modified) >= written_before;
        if there.iter().any(|(objects, _)| objects.iter().any(is_fresh)) {
            return Ok(0);
        }
        let mut deleted = 0;
        for (objects, folder) in there {
            let is_manifest = |object: &ObjectMeta| object.location.filename() == Some(MANIFEST);
            let (manifests, others): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_manifest);
            for objects in [manifests, others] {
                deleted += objects.len();
                let paths = futures::stream::iter(objects).map(|object| Ok(object.location)).boxed();
                let deleted = self.store.delete_stream(paths).try_for_each(|_| async { Ok(()) }).await;
                match deleted {
                    // Whoever else deletes the day was there first.
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(source) => {
                        return Err(LakeError::Write { url: format!("{}/{folder}/", self.url()), source });
                    }
                }
            }
        }
        Ok(deleted)
    }
}
