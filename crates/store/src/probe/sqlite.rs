//! An SQLite file, read without a trace.

use super::{Migrations, Refusal, migrations::Row};
use crate::{StoreError, migrations, sqlite};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::path::{Path, PathBuf};
use url::Url;

/// A file that is or will be a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteTarget {
    /// Its path, which may be relative.
    pub path: PathBuf,
}

impl SqliteTarget {
    pub(super) fn of(url: &str) -> Result<Self, StoreError> {
        Ok(Self { path: sqlite::options(url)?.get_filename().to_owned() })
    }

    /// Which migrations the file has had. An empty file is a database without any.
    ///
    /// # Errors
    /// When it is no database or cannot be read.
    pub async fn migrations(&self) -> Result<Migrations, Refusal> {
        let mut connection = self.open().await?;
        let rows = rows(&mut connection).await;
        connection.close().await?;
        Ok(Migrations::compare(&migrations::of_sqlite(), &rows?))
    }

    /// A reader writes to the index that lies beside the database, or makes it, unless it is told not to, or may
    /// believe that nobody writes.
    async fn open(&self) -> Result<SqliteConnection, sqlx::Error> {
        let options = SqliteConnectOptions::new().read_only(true).disable_statement_logging();
        let is_written_to = ["-wal", "-shm"].iter().all(|ending| beside(&self.path, ending).exists());
        let url = std::path::absolute(&self.path).ok().and_then(|path| Url::from_file_path(path).ok());
        match url.filter(|_| is_written_to) {
            Some(url) => options.filename(format!("{url}?readonly_shm=1")).connect().await,
            None => options.filename(&self.path).immutable(true).connect().await,
        }
    }
}

/// A file that SQLite keeps beside a database while somebody writes, and after somebody was killed.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

async fn rows(connection: &mut SqliteConnection) -> Result<Vec<Row>, sqlx::Error> {
    let table = migrations::TABLE;
    let is_there = sqlx::query_scalar("SELECT count(*) > 0 FROM sqlite_master WHERE name = ?").bind(table);
    let is_there: bool = is_there.fetch_one(&mut *connection).await?;
    if !is_there {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT version, checksum, success FROM {table} ORDER BY version");
    sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[tokio::test]
    async fn what_lies_in_the_log_alone_is_read_and_nothing_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let written = folder.path().join("written.db");
        let store = Store::open(&format!("sqlite:{}", written.display())).await.unwrap();
        // A connection that stays open keeps the log, and in it what comes next.
        store.runs(1, None).await.unwrap();
        store.migrate().await.unwrap();
        // As a process leaves them that was killed.
        let path = folder.path().join("left #1?.db");
        for ending in ENDINGS {
            std::fs::copy(beside(&written, ending), beside(&path, ending)).unwrap();
        }
        let files = || ENDINGS.map(|ending| std::fs::read(beside(&path, ending)).unwrap());
        let before = files();
        assert!(!before[1].is_empty(), "the log holds what was written last");
        let migrations = SqliteTarget { path: path.clone() }.migrations().await.unwrap();
        assert_eq!((migrations.applied.first(), migrations.pending), (Some(&1), vec![]));
        assert!(files() == before);
        drop(store);
    }

    const ENDINGS: [&str; 3] = ["", "-wal", "-shm"];
}
