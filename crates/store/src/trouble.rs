//! Troubles of a database that people can do something about, told from its answers.

use crate::error::StoreError;
use sqlx::{Error, migrate::MigrateError, sqlite::SqliteError};

/// What a database could not do, in the terms of whoever runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// PostgreSQL's `statement_timeout` ended a statement.
    StatementTimeout,
    /// Others held a lock for longer than a transaction waits.
    Locked,
    /// There is no room where the database lies.
    DiskFull,
    /// PostgreSQL takes no writes: a standby, or by a setting.
    ReadOnly,
    /// The SQLite file or its folder may not be written.
    ReadOnlyFile,
    /// The server ended, starts, or could not be reached any more.
    ConnectionLost,
    /// The server has no connection left for us.
    TooManyConnections,
    /// The role may not do it.
    MissingRight,
}

impl StoreError {
    /// The trouble that the database is in, where it is one of those that are known.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Connect { source: Error::Database(_), .. } | Self::Sql { .. } | Self::Migrate { .. } => {
                trouble(self.sql()?)
            }
            _ => None,
        }
    }

    /// What the database's driver says.
    pub(crate) fn sql(&self) -> Option<&Error> {
        match self {
            Self::Connect { source, .. }
            | Self::Sql { source, .. }
            | Self::OutcomeUnknown { source, .. }
            | Self::LoginRefused { source, .. }
            | Self::Migrate {
                source: MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _),
                ..
            } => Some(source),
            _ => None,
        }
    }

    /// What the database itself said, in its words; none when it said nothing.
    #[must_use]
    pub fn answer(&self) -> Option<&str> {
        Some(self.sql()?.as_database_error()?.message())
    }
}

fn trouble(error: &Error) -> Option<Trouble> {
    let Error::Database(error) = error else {
        let is_lost =
            matches!(error, Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::PoolTimedOut);
        return is_lost.then_some(Trouble::ConnectionLost);
    };
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<SqliteError>().is_some() {
        return match code.parse::<u32>().ok()? & 0xFF {
            5 => Some(Trouble::Locked),
            8 => Some(Trouble::ReadOnlyFile),
            13 => Some(Trouble::DiskFull),
            _ => None,
        };
    }
    match &*code {
        // Somebody may have cancelled it too, which the message alone tells apart, in the server's language.
        "57014" => Some(Trouble::StatementTimeout),
        "55P03" => Some(Trouble::Locked),
        "53100" => Some(Trouble::DiskFull),
        "25006" => Some(Trouble::ReadOnly),
        "42501" => Some(Trouble::MissingRight),
        "53300" => Some(Trouble::TooManyConnections),
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Some(Trouble::ConnectionLost),
        code => code.starts_with("08").then_some(Trouble::ConnectionLost),
    }
}
