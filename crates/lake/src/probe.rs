//! Whether the lake can be written, tried on one tiny object that is gone afterwards.

use crate::{Lake, LakeError};
use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use std::{
    fs,
    time::{Duration, SystemTime},
};

/// What names of trial objects begin with.
const NAME: &str = "topshelf-doctor-";

/// How old a trial object must be for its process to be gone: a trial takes seconds.
const LEFT_BEHIND_AGE: Duration = Duration::from_secs(10 * 60);

/// What became of a put of an object that is there, on the condition that it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecondPut {
    /// It was refused, as it should be.
    Refused,
    /// It replaced the object: the condition is ignored.
    Accepted,
    /// No put with a condition is carried out, as the store says here; those without are.
    Unsupported(String),
}

/// An object that is put and deleted again, to see whether that works.
#[derive(Debug, Clone)]
pub struct Trial {
    lake: Lake,
    path: Path,
    name: String,
}

impl Lake {
    /// A trial that no other process makes at the same time; nothing is written yet.
    #[must_use]
    pub fn trial(&self, suffix: &str) -> Trial {
        let name = format!("{NAME}{suffix}");
        let path = self.prefix.parts().chain([name.as_str().into()]).collect();
        Trial { lake: self.clone(), path, name }
    }
}

impl Trial {
    /// The object's name, below the lake's place.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts the object twice on the condition that it is not there. It is there afterwards: see [`Trial::delete`].
    ///
    /// # Errors
    /// When it cannot be put, with the condition or without.
    pub async fn put_twice(&self) -> Result<SecondPut, LakeError> {
        if let Err(source) = self.put(PutMode::Create).await {
            return match self.put(PutMode::Overwrite).await {
                Ok(()) => Ok(SecondPut::Unsupported(source.to_string())),
                Err(_) => Err(LakeError::Write { url: self.url(), source }),
            };
        }
        Ok(match self.put(PutMode::Create).await {
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                SecondPut::Refused
            }
            Err(source) => SecondPut::Unsupported(source.to_string()),
            Ok(()) => SecondPut::Accepted,
        })
    }

    async fn put(&self, mode: PutMode) -> Result<(), object_store::Error> {
        let payload = PutPayload::from_bytes(Bytes::from_static(b"topshelf doctor: safe to delete\n"));
        let options = PutOptions { mode, ..PutOptions::default() };
        self.lake.store.put_opts(&self.path, payload, options).await.map(drop)
    }

    /// Deletes the object, if it is there.
    ///
    /// # Errors
    /// When it may still be there.
    pub async fn delete(&self) -> Result<(), LakeError> {
        match self.lake.store.delete(&self.path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(LakeError::Write { url: self.url(), source }),
        }
    }

    /// Deletes what trials left behind that were killed.
    pub async fn sweep(&self) {
        let now = SystemTime::now();
        let is_old =
            |modified: SystemTime| now.duration_since(modified).is_ok_and(|age| age > LEFT_BEHIND_AGE);
        if let Some(directory) = &self.lake.directory {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let modified = entry.metadata().and_then(|metadata| metadata.modified());
                if entry.file_name().to_string_lossy().starts_with(NAME) && modified.is_ok_and(is_old) {
                    let _ = fs::remove_file(entry.path());
                }
            }
            return;
        }
        let Ok(listed) = self.lake.store.list_with_delimiter(Some(&self.lake.prefix)).await else { return };
        let stale = listed.objects.into_iter().filter(|object| {
            object.location.filename().is_some_and(|name| name.starts_with(NAME))
                && is_old(object.last_modified.into())
        });
        for object in stale {
            let _ = self.lake.store.delete(&object.location).await;
        }
    }

    fn url(&self) -> String {
        format!("{}/{}", self.lake.url(), self.name)
    }
}
