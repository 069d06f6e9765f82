//! An SQLite file, read without a trace.

use super::{Migrations, Refusal, migrations::Row};
use crate::{StoreError, migrations, sqlite};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::path::PathBuf;

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

    /// The file of what was written and is not in the database's own file yet; it is there while somebody writes,
    /// and after somebody was killed.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        path.into()
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

    /// A reader makes files beside the database unless it may believe that nobody writes.
    async fn open(&self) -> Result<SqliteConnection, sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(&self.path).read_only(true);
        options.immutable(!self.log_path().exists()).disable_statement_logging().connect().await
    }
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
