//! What lies between the store's URL and a night's first transaction, looked at one thing at a time.
//!
//! A URL enters, a [`Target`] leaves: where its database is and how it is to be reached. From there on each
//! call asks one question. Nothing here makes a file, a folder or a table, or changes a row.

mod migrations;
mod postgres;
pub(crate) mod privileges;
mod sqlite;

pub use migrations::Migrations;
pub use postgres::{Address, PasswordSource, Pem, PostgresSession, PostgresTarget, Server, TlsMode};
pub use privileges::{Lacking, Schema};
pub use sqlite::SqliteTarget;

use crate::{Database, StoreError};

/// The database that a URL names.
#[derive(Debug)]
pub enum Target {
    /// A server, or a socket of one on this machine.
    Postgres(Box<PostgresTarget>),
    /// A file.
    Sqlite(SqliteTarget),
}

impl Target {
    /// Reads the database's URL as [`crate::Store::open`] does. Nothing is asked yet.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub fn of(database: impl Into<Database>) -> Result<Self, StoreError> {
        let Database { url, credentials } = database.into();
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => {
                Ok(Self::Postgres(Box::new(PostgresTarget::of(&url, credentials.is_some(), |name| {
                    std::env::var(name).ok()
                })?)))
            }
            Some("sqlite") => SqliteTarget::of(&url).map(Self::Sqlite),
            _ => Err(StoreError::Url { reason: "it begins with neither sqlite: nor postgres:".into() }),
        }
    }
}

/// What a database, or the driver, said instead of an answer. Holds no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The SQLSTATE of PostgreSQL, the result code of SQLite; none when no database answered.
    pub code: Option<String>,
    /// Its words.
    pub message: String,
}

impl Refusal {
    /// Whether the refusal has this code.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(answer) => {
                Self { code: answer.code().map(Into::into), message: answer.message().to_owned() }
            }
            None => Self { code: None, message: error.to_string() },
        }
    }
}
