//! A database of its own, and prompts of people who look into it.

use crate::postgres;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use std::path::Path;
use tokio::runtime::{Builder, Runtime};

/// What is published into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A database that no other test knows.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) kind: Kind,
    pub(crate) url: String,
}

impl Database {
    /// A new, empty database; an SQLite file lies in the folder.
    pub(crate) fn new(kind: Kind, folder: &Path) -> Self {
        let url = match kind {
            Kind::Sqlite => format!("sqlite:{}", folder.join("topshelf.db").display()),
            Kind::Postgres => runtime().block_on(postgres::new_database("topshelf_kills")),
        };
        Self { kind, url }
    }

    /// A connection; the database must be there.
    pub(crate) fn prompt(&self) -> Prompt {
        let runtime = runtime();
        let connection = match self.kind {
            Kind::Sqlite => {
                Connected::Sqlite(runtime.block_on(SqliteConnection::connect(&self.url)).unwrap())
            }
            Kind::Postgres => {
                Connected::Postgres(runtime.block_on(PgConnection::connect(&self.url)).unwrap())
            }
        };
        Prompt { runtime, connection }
    }
}

/// A connection at which SQL is typed, a statement at a time.
pub(crate) struct Prompt {
    runtime: Runtime,
    connection: Connected,
}

enum Connected {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Prompt {
    /// The rows of a statement that has a single column of text.
    #[track_caller]
    pub(crate) fn rows(&mut self, sql: &str) -> Vec<String> {
        let query = AssertSqlSafe(sql);
        let rows = match &mut self.connection {
            Connected::Sqlite(connection) => {
                self.runtime.block_on(sqlx::query_scalar(query).fetch_all(connection))
            }
            Connected::Postgres(connection) => {
                self.runtime.block_on(sqlx::query_scalar(query).fetch_all(connection))
            }
        };
        rows.unwrap_or_else(|error| panic!("{error} in {sql}"))
    }

    /// Runs statements, whatever they answer.
    #[track_caller]
    pub(crate) fn run(&mut self, sql: &str) {
        self.try_run(sql).unwrap_or_else(|error| panic!("{error} in {sql}"));
    }

    /// The same, or what the database says against it.
    pub(crate) fn try_run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql);
        match &mut self.connection {
            Connected::Sqlite(connection) => self.runtime.block_on(connection.execute(sql)).map(drop),
            Connected::Postgres(connection) => self.runtime.block_on(connection.execute(sql)).map(drop),
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
