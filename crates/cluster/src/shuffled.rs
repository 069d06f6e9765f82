//! The folder of shuffled rows: a folder for each job, which others fetch from.

use ballista_executor::executor_process::satisfy_dir_ttl;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How often it is looked at, and for how long a job's rows are kept that nobody wrote to and nobody said to remove: its
/// scheduler is gone.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder, which nothing but an executor that is alive has anything in.
#[derive(Debug)]
pub(crate) struct Shuffled(PathBuf);

impl Shuffled {
    /// The folder without what an executor before this one left behind.
    pub(crate) fn empty(path: PathBuf) -> io::Result<Self> {
        remove(&path)?;
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// Again and again, removes what was left behind.
    pub(crate) async fn tidy(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.remove_old().await {
                tracing::warn!(%error, folder = self.path(), "what jobs left behind could not be removed");
            }
        }
    }

    async fn remove_old(&self) -> io::Result<()> {
        let mut entries = tokio::fs::read_dir(&self.0).await?;
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            let is_old = !satisfy_dir_ttl(entry, KEPT_FOR.as_secs()).await.unwrap_or(true);
            if is_old {
                tracing::info!(folder = %path.display(), "what a job left behind is removed");
                tokio::fs::remove_dir_all(path).await?;
            }
        }
        Ok(())
    }
}

impl Drop for Shuffled {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, folder = self.path(), "what tasks gave could not be removed");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
