//! A database of its own for each test.

use domain::{Day, RunId};
use sqlx::{AssertSqlSafe, Column, Connection, Executor, PgConnection, Row, SqliteConnection};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use store::{NewRun, Store};

static DATABASES: AtomicU32 = AtomicU32::new(0);
static RUNS: AtomicU32 = AtomicU32::new(0);

/// A new, empty database; an SQLite file goes with the last clone.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) url: String,
    _folder: Option<Arc<tempfile::TempDir>>,
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/new folder/topshelf.db", folder.path().display());
        Self { url, _folder: Some(folder.into()) }
    }

    pub(crate) async fn postgres() -> Self {
        let server = server_url();
        let name =
            format!("topshelf_store_{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&server).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        let (address, _) = server.rsplit_once('/').unwrap();
        Self { url: format!("{address}/{name}"), _folder: None }
    }

    /// Another process's view of the database: nothing is shared with other stores of it.
    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.url).await.unwrap()
    }

    pub(crate) async fn migrated(&self) -> Store {
        let store = self.open().await;
        store.migrate().await.unwrap();
        store
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite")
    }

    /// Runs SQL as someone with a prompt would; the rows' single column of text, a row a line.
    pub(crate) async fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).await.unwrap()
    }

    /// The same, or what the database says against it.
    pub(crate) async fn try_sql(&self, sql: &str) -> Result<String, String> {
        let rows = if self.is_sqlite() {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await
        };
        rows.map(|rows: Vec<String>| rows.join("\n")).map_err(|error| error.to_string())
    }

    /// The columns of a view or table that has rows.
    pub(crate) async fn columns(&self, name: &str) -> Vec<String> {
        let sql = AssertSqlSafe(format!("SELECT * FROM {name} LIMIT 1"));
        if self.url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            let row = connection.fetch_one(sql).await.unwrap();
            row.columns().iter().map(|column| column.name().to_owned()).collect()
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let row = connection.fetch_one(sql).await.unwrap();
            row.columns().iter().map(|column| column.name().to_owned()).collect()
        }
    }
}

pub(crate) fn server_url() -> String {
    std::env::var("TOPSHELF_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("TOPSHELF_TEST_POSTGRES is not set: run `cargo xtask test`, which starts a PostgreSQL")
    })
}

/// A run of `day` that no other has the name of.
pub(crate) fn new_run(day: Day) -> NewRun {
    let started_at = "2024-11-21T02:30:00Z".parse().unwrap();
    NewRun {
        run_id: RunId::new(started_at, RUNS.fetch_add(1, Ordering::Relaxed)),
        day,
        started_by: "hand".into(),
        program_version: "0.1.0".into(),
        config_hash: "c0ffee".into(),
        started_at,
        process: "here 1 2".into(),
        host: "here".into(),
        due_at: None,
        orchestrator: None,
    }
}

/// The causes of an error, outermost first, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Makes each function a test on PostgreSQL and a test on SQLite.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::database::Database::postgres().await).await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::database::Database::sqlite().await).await;
            })*
        }
    };
}
pub(crate) use on_both;
