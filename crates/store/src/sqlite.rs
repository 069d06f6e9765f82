//! Publications and the ledger in an SQLite file.
//!
//! Writers take turns from their first statement (`BEGIN IMMEDIATE`), across processes; readers go on
//! beside them (write-ahead log).

mod accept;
mod history;
mod insert;
mod keys;
mod moves;
mod pins;
mod publish;
mod published;
mod read;
mod trim;

use crate::{
    backend::CONNECT_TIMEOUT,
    error::{Failure, StoreError},
    ledger::{self, NewRun, Obstacle, RunEnd, storable_error},
    migrations, time,
};
use domain::RunId;
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    error::DatabaseError,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    path::Path,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Connections a process holds at most: readers beside a writer.
const CONNECTIONS_MAX: u32 = 4;

/// The pause before a locked new file is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How long a writer waits for its turn: longer than the largest publication takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) struct Sqlite {
    pool: SqlitePool,
    options: SqliteConnectOptions,
    description: Arc<str>,
}

impl Sqlite {
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        let options = options(url)?;
        let path = options.get_filename();
        let description: Arc<str> = describe(path).into();
        make_folder(path, &description)?;
        let pool = connect_in_turn(&options).await;
        let pool =
            pool.map_err(|source| StoreError::Connect { database: description.to_string(), source })?;
        Ok(Self { pool, options, description })
    }

    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    pub(crate) async fn migrate(&self) -> Result<(), MigrateError> {
        let migrator = migrations::of_sqlite();
        let mut connection = self.options.connect().await?;
        let migrated = migrate_in_turn(&migrator, &mut connection).await;
        connection.close().await?;
        migrated
    }

    /// All of the runs or none.
    pub(crate) async fn begin_runs(&self, runs: &[NewRun]) -> Result<(), Failure> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for run in runs {
            if let Some(obstacle) = obstacle(&mut transaction, run).await? {
                return Err(obstacle.refusal(run.day)?);
            }
            insert_run(&mut transaction, run).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Of how many runs under way it was said.
    pub(crate) async fn sign_of_life(&self, process: &str) -> Result<u64, sqlx::Error> {
        let said = sqlx::query(
            "UPDATE runs SET seen_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
             WHERE status = 'running' AND process = ?",
        )
        .bind(process)
        .execute(&self.pool)
        .await?;
        Ok(said.rows_affected())
    }

    /// The first note stays.
    pub(crate) async fn note_nights_held(&self, since: &str) -> Result<(), sqlx::Error> {
        let noted =
            sqlx::query("INSERT INTO nights_held (only_row, since) VALUES (1, ?) ON CONFLICT DO NOTHING");
        noted.bind(since).execute(&self.pool).await?;
        Ok(())
    }

    /// Whether the run was still running, and not heard of since `seen_at`.
    pub(crate) async fn end_dead_run(
        &self,
        run_id: &RunId,
        seen_at: Option<&str>,
        end: &RunEnd,
    ) -> Result<bool, sqlx::Error> {
        let ended = sqlx::query(
            "UPDATE runs SET status = ?, ended_at = ?, error = ?
             WHERE run_id = ? AND status = 'running' AND seen_at IS ?",
        )
        .bind(end.outcome.name())
        .bind(time::to_text(end.ended_at))
        .bind(storable_error(end))
        .bind(run_id.as_str())
        .bind(seen_at)
        .execute(&self.pool)
        .await?;
        Ok(ended.rows_affected() == 1)
    }

    /// Whether the run has published.
    pub(crate) async fn has_published(&self, run_id: &RunId) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let published = sqlx::query_scalar("SELECT rankings_digest IS NOT NULL FROM runs WHERE run_id = ?")
            .bind(run_id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        Ok(published.unwrap_or(false))
    }

    /// Whether a running run of that name was there to end.
    pub(crate) async fn end_run(&self, run_id: &RunId, end: &RunEnd) -> Result<bool, sqlx::Error> {
        let ended = sqlx::query(
            "UPDATE runs SET status = ?, ended_at = ?, error = ?, report = ?
             WHERE run_id = ? AND status = 'running'",
        )
        .bind(end.outcome.name())
        .bind(time::to_text(end.ended_at))
        .bind(storable_error(end))
        .bind(end.report.to_string())
        .bind(run_id.as_str())
        .execute(&self.pool)
        .await?;
        Ok(ended.rows_affected() == 1)
    }
}

/// What keeps the run from being begun: a run under way of other work; and a run for a moment of the schedule, another
/// for it that came to an end of its own, or one that made the day since.
async fn obstacle(connection: &mut SqliteConnection, run: &NewRun) -> Result<Option<Obstacle>, sqlx::Error> {
    sqlx::query_as(
        "SELECT run_id, status FROM runs
         WHERE day = ?
           AND (status = 'running' AND process IS NOT ?
                OR due_at = ? AND status IN ('succeeded', 'held', 'failed')
                OR started_at >= ? AND status IN ('succeeded', 'held'))
         ORDER BY status <> 'running', run_id LIMIT 1",
    )
    .bind(run.day.to_string())
    .bind(&run.process)
    .bind(run.due_at.map(time::to_text))
    .bind(run.due_at.map(time::to_text))
    .fetch_optional(connection)
    .await
}

async fn insert_run(connection: &mut SqliteConnection, run: &NewRun) -> Result<(), Failure> {
    let inserted = sqlx::query(
        "INSERT INTO runs
            (run_id, day, status, started_by, orchestrator, program_version, config_hash, started_at, process, host, due_at,
             seen_at)
         VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
    )
    .bind(run.run_id.as_str())
    .bind(run.day.to_string())
    .bind(&run.started_by)
    .bind(&run.orchestrator)
    .bind(&run.program_version)
    .bind(&run.config_hash)
    .bind(time::to_text(run.started_at))
    .bind(&run.process)
    .bind(&run.host)
    .bind(run.due_at.map(time::to_text))
    .execute(connection)
    .await;
    inserted.map(drop).map_err(|error| ledger::not_inserted(run, error))
}

/// Connects, again and again while another process makes the new file one with a write-ahead log: for
/// that alone SQLite waits no turn but answers that the file is locked.
async fn connect_in_turn(options: &SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(CONNECT_TIMEOUT)
            .after_release(|connection, _| Box::pin(is_reusable(connection)));
        match pool.connect_with(options.clone()).await {
            Err(sqlx::Error::Database(error)) if is_busy(&*error) && Instant::now() < deadline => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            connected => return connected,
        }
    }
}

/// Whether the connection that is given back may be lent again. Where the disk is full SQLite ends the transaction by
/// itself; sqlx fails to end it once more, takes it for open ever after and would begin no other.
async fn is_reusable(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // The end of a transaction that was dropped is still on its way to the connection, in order.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// The primary result code SQLITE_BUSY, with any extension in the higher bits.
fn is_busy(error: &dyn DatabaseError) -> bool {
    error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xFF == 5)
}

pub(crate) fn options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let refused = |reason: String| StoreError::Url { reason };
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    if path.is_empty() || path.starts_with('?') {
        return Err(refused("it names no file".into()));
    }
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(refused("what is published outlives the process: name a file".into()));
    }
    let options = SqliteConnectOptions::from_str(url).map_err(|error| refused(error.to_string()))?;
    Ok(options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A night writes thousands of rows at once, and readers take them all: few large pages.
        .page_size(16 << 10)
        // A run commits three times a night: waiting for the disk each time costs nothing, and what was
        // reported as published survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // What SQLite would put into a temporary file stays behind when the process is killed before the file
        // has lost its name; a statement changes little enough for memory.
        .pragma("temp_store", "memory")
        // sqlx would log whole statements; what matters is logged by callers, once.
        .disable_statement_logging())
}

pub(crate) fn describe_url(url: &str) -> Result<String, StoreError> {
    Ok(describe(options(url)?.get_filename()))
}

fn describe(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// Refuses a URL whose file is not there.
pub(crate) fn expect_file(url: &str) -> Result<(), StoreError> {
    let options = options(url)?;
    let path = options.get_filename();
    if path.exists() { Ok(()) } else { Err(StoreError::Missing { database: describe(path) }) }
}

fn make_folder(path: &Path, database: &str) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|source| StoreError::Folder {
        folder: folder.to_owned(),
        database: database.to_owned(),
        source,
    })
}

/// sqlx has no lock for migrations on SQLite; a writer's transaction around them all is one.
async fn migrate_in_turn(migrator: &Migrator, connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    migrator.run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}

/// One more than the highest number so far.
macro_rules! next_seq_sql {
    () => {
        "max((SELECT coalesce(max(seq), 0) FROM publication_events), (SELECT coalesce(max(seq), 0) FROM holds)) + 1"
    };
}
use next_seq_sql;

/// The next number of what readers may notice. Taken before holds are deleted: it must rise.
async fn next_seq(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(concat!("SELECT ", next_seq_sql!())).fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_connection_begins_anew_after_a_disk_was_full() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(&format!("sqlite:{}/full.db", folder.path().display())).await.unwrap();
        let mut publication = sqlite.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        for statement in ["CREATE TABLE t (b BLOB)", "PRAGMA max_page_count = 10"] {
            sqlx::query(statement).execute(&mut *publication).await.unwrap();
        }
        let fill = sqlx::query("INSERT INTO t VALUES (zeroblob(10 << 20))");
        let full = fill.execute(&mut *publication).await.unwrap_err();
        assert!(full.to_string().contains("disk is full"), "{full}");
        drop(publication);

        let mut all = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            all.push(sqlite.pool.begin_with("BEGIN").await.unwrap());
        }
    }
}
