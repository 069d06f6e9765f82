//! What can go wrong, in terms of the operation and its object. No message holds a password.

use crate::{
    grants::NoGrant,
    keys::{KeyId, KeyName},
    login::NoLogin,
    postgres::is_login_refused,
    transient,
};
use domain::{AdvertiserId, Day, RunId};
use jiff::Timestamp;
use std::{io, path::PathBuf};

/// Why the store did not do what it was asked. The cause is the error's source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL does not name a database.
    #[error(
        "the store's URL is not understood: {reason}; expected sqlite:PATH or postgres://USER@HOST:PORT/DATABASE"
    )]
    Url {
        /// What is wrong with it; never the URL itself, which may hold a password.
        reason: String,
    },
    /// No database is there to be read.
    #[error("there is no database {database}")]
    Missing {
        /// The database.
        database: String,
    },
    /// The folder of an SQLite file could not be made.
    #[error("could not make the folder {} for {database}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The database, without password.
        database: String,
        /// The cause.
        source: io::Error,
    },
    /// The database did not let us in.
    #[error("could not connect to {database}")]
    Connect {
        /// The database, without password.
        database: String,
        /// The cause.
        source: sqlx::Error,
    },
    /// There is nothing to log in to the database with.
    #[error("could not log in to {database}")]
    NoLogin {
        /// The database.
        database: String,
        /// Why there is nothing.
        source: NoLogin,
    },
    /// The database refused what is kept to log in to it with.
    #[error("could not log in to {database}: it refused what is kept for that")]
    LoginRefused {
        /// The database.
        database: String,
        /// Whether it may be taken in a moment, when it is changed on both sides.
        may_rotate: bool,
        /// Its answer.
        source: sqlx::Error,
    },
    /// The tables could not be created or brought up to date.
    #[error("could not migrate {database}")]
    Migrate {
        /// The database, without password.
        database: String,
        /// The cause.
        source: sqlx::migrate::MigrateError,
    },
    /// The role can be granted nothing.
    #[error("could not grant rights to {role:?} in {database}")]
    NotGranted {
        /// The role.
        role: String,
        /// The database, without password.
        database: String,
        /// Why.
        source: NoGrant,
    },
    /// The database refused or broke off an operation.
    #[error("could not {operation} in {database}")]
    Sql {
        /// What was asked, with its object.
        operation: String,
        /// The database, without password.
        database: String,
        /// The cause.
        source: sqlx::Error,
    },
    /// COMMIT was sent and its answer did not come: what was asked is done, or it is not.
    #[error("it is not known whether {database} did {operation}: the connection was lost while it committed")]
    OutcomeUnknown {
        /// What was asked, with its object.
        operation: String,
        /// The database, without password.
        database: String,
        /// What was heard last.
        source: sqlx::Error,
    },
    /// An earlier version has made the tables, and nothing has brought them up to date.
    #[error("{database} is of an earlier version of topshelf")]
    Older {
        /// The database, without password.
        database: String,
    },
    /// A row holds what this program never writes.
    #[error("{database} holds {what}")]
    Corrupt {
        /// The database, without password.
        database: String,
        /// The value and what is wrong with it.
        what: String,
    },
    /// What is published of a day could not be served as it is.
    #[error("{database} holds of {day} what cannot be served: {what}")]
    Invalid {
        /// The database, without password.
        database: String,
        /// The day.
        day: Day,
        /// What is wrong with it, with names, and what to do about it.
        what: String,
    },
    /// A run of that name is in the ledger.
    #[error("run {run_id} is already in the ledger")]
    RunExists {
        /// The run.
        run_id: RunId,
    },
    /// Other work has a run of the day under way.
    #[error("{day} is being worked on by run {run_id}")]
    DayTaken {
        /// The day.
        day: Day,
        /// The run.
        run_id: RunId,
    },
    /// The night that the run is for has been, or somebody has made its day since it was due.
    #[error("run {run_id} has made the night of {day}, or was to")]
    NightOver {
        /// The day.
        day: Day,
        /// The run.
        run_id: RunId,
    },
    /// No run of that name is in the ledger.
    #[error("run {run_id} is not in the ledger: begin it first")]
    RunUnknown {
        /// The run.
        run_id: RunId,
    },
    /// The run has ended, so nothing about it changes any more.
    #[error("run {run_id} has ended ({status}) and cannot change: begin a new run")]
    RunEnded {
        /// The run.
        run_id: RunId,
        /// Its status.
        status: String,
    },
    /// The run has published before, other rankings or for readers who have moved on since.
    #[error("run {run_id} has already published: begin a new run")]
    RunPublished {
        /// The run.
        run_id: RunId,
    },
    /// Nothing of the run waits to be accepted.
    #[error("nothing of run {run_id} is held back{}", of_advertiser(advertiser.as_ref()))]
    NothingHeld {
        /// The run.
        run_id: RunId,
        /// The advertiser, when it was about one.
        advertiser: Option<AdvertiserId>,
    },
    /// Readers see nothing that could be taken back.
    #[error("readers see nothing of {day}{}", of_advertiser(advertiser.as_ref()))]
    NothingSeen {
        /// The day.
        day: Day,
        /// The advertiser, when it was about one.
        advertiser: Option<AdvertiserId>,
    },
    /// Readers never saw the run, so they cannot be taken back to it.
    #[error("readers never saw run {run_id}{}", of_advertiser(advertiser.as_ref()))]
    NeverSeen {
        /// The run.
        run_id: RunId,
        /// The advertiser, when it was about one.
        advertiser: Option<AdvertiserId>,
    },
    /// Nothing would move.
    #[error("readers of {day} see {} already", run_id.as_ref().map_or("nothing".to_owned(), |run| format!("run {run}")))]
    SeenAlready {
        /// The day.
        day: Day,
        /// The run.
        run_id: Option<RunId>,
    },
    /// What readers saw then has been deleted.
    #[error("what readers saw of run {run_id} is not kept")]
    NotKept {
        /// The run.
        run_id: RunId,
    },
    /// No rollback is in force, or something has come after it.
    #[error("there is no rollback to undo{}", day.map(|day| format!(": something else has happened to {day} since, or nothing was taken back")).unwrap_or_default())]
    NothingToUndo {
        /// The day that was asked about, or whose rollback was the last.
        day: Option<Day>,
    },
    /// The advertiser is not pinned.
    #[error("advertiser {advertiser:?} is not pinned")]
    NotPinned {
        /// The advertiser.
        advertiser: AdvertiserId,
    },
    /// An API key in force has the name, or it is the id of a key.
    #[error("the name {name:?} is taken by API key {key_id}, which was made at {created_at}", name = name.as_str())]
    KeyNameTaken {
        /// The name.
        name: KeyName,
        /// The key that has it.
        key_id: KeyId,
        /// When that was made.
        created_at: Timestamp,
    },
    /// No API key has the id or the name.
    #[error("there is no API key {key:?}")]
    KeyUnknown {
        /// What was asked for.
        key: String,
    },
    /// The run was begun for another day.
    #[error("run {run_id} is of {run_day} and cannot publish {day}")]
    RunOfOtherDay {
        /// The run.
        run_id: RunId,
        /// The day it was begun for.
        run_day: Day,
        /// The day of the rankings.
        day: Day,
    },
    /// The rankings contradict what `DayRankings` promises: a fault of the program.
    #[error("the rankings of {day} cannot be published: {what}")]
    Inconsistent {
        /// The day.
        day: Day,
        /// What is wrong, with names.
        what: String,
    },
    /// An id holds U+0000. Refused by every store, so that all behave the same.
    #[error("the id of {what} holds a NUL character, which PostgreSQL cannot store")]
    NulCharacter {
        /// Whose id, with the id.
        what: String,
    },
    /// A count is past what a 64-bit signed column holds.
    #[error(
        "{column} of product {product_id:?} of advertiser {advertiser_id:?} is {count}, more than a database column holds"
    )]
    CountTooLarge {
        /// `impressions`, `clicks` or `views`.
        column: &'static str,
        /// The count.
        count: u64,
        /// The advertiser.
        advertiser_id: AdvertiserId,
        /// The product.
        product_id: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody doing anything: connections that broke or were
    /// refused, servers that start or end, locks and room that others have for the moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { source, .. } => transient::is_transient_when_connecting(source),
            Self::Sql { source, .. } => transient::is_transient(source),
            Self::Migrate { source, .. } => transient::is_transient_migration(source),
            Self::NoLogin { source, .. } => source.is_transient,
            Self::LoginRefused { may_rotate, .. } => *may_rotate,
            _ => false,
        }
    }

    pub(crate) fn no_login(database: &str, source: NoLogin) -> Self {
        Self::NoLogin { database: database.to_owned(), source }
    }

    /// The same failure of a call that may have been done all the same.
    pub(crate) fn in_doubt(self, operation: impl FnOnce() -> String) -> Self {
        match self {
            Self::Sql { database, source, .. } | Self::LoginRefused { database, source, .. } => {
                Self::OutcomeUnknown { operation: operation(), database, source }
            }
            Self::NoLogin { database, source } => {
                let source = sqlx::Error::Io(io::Error::other(source));
                Self::OutcomeUnknown { operation: operation(), database, source }
            }
            error => error,
        }
    }

    /// Whether waiting cannot help: the URL is no database's, or its SQLite file is none or cannot be
    /// opened. A server elsewhere may come back, and so may its answer change.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Url { .. } | Self::Missing { .. } | Self::Folder { .. } => true,
            Self::Connect { source: sqlx::Error::Database(error), .. } => {
                let is_sqlite = error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
                let code = error.code().and_then(|code| code.parse::<u32>().ok());
                // SQLITE_CANTOPEN and SQLITE_NOTADB, https://www.sqlite.org/rescode.html; above the
                // lowest byte stands what they are in detail.
                is_sqlite && matches!(code.map(|code| code & 0xFF), Some(14 | 26))
            }
            _ => false,
        }
    }
}

fn of_advertiser(advertiser: Option<&AdvertiserId>) -> String {
    advertiser.map(|id| format!(" of advertiser {id:?}")).unwrap_or_default()
}

/// What a backend answers when it fails; [`crate::Store`] adds the operation and the database.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database's own error.
    Sql(sqlx::Error),
    /// COMMIT was sent without an answer: the same call again finds out what became of it.
    InDoubt(sqlx::Error),
    /// The same of a call that does not find out, and must not be made again.
    Unknown(sqlx::Error),
    /// A stored value that cannot be read.
    Corrupt(String),
    /// What is kept of a day and cannot be served.
    Invalid { day: Day, what: String },
    /// A refusal that needs nothing added.
    Refused(StoreError),
}

impl Failure {
    /// A stored `value` that is not the `kind` it should be.
    pub(crate) fn corrupt(kind: &str, value: &str) -> Self {
        Self::Corrupt(format!("{value:?} where {kind} should be"))
    }

    /// The failure of the COMMIT of a call that finds out what it did before.
    pub(crate) fn of_commit(error: sqlx::Error) -> Self {
        if transient::is_unanswered(&error) { Self::InDoubt(error) } else { Self::Sql(error) }
    }

    /// The failure of the COMMIT of a call that does not.
    pub(crate) fn of_decision(error: sqlx::Error) -> Self {
        if transient::is_unanswered(&error) { Self::Unknown(error) } else { Self::Sql(error) }
    }

    /// Whether it is the server's refusal to log us in.
    pub(crate) fn is_login_refused(&self) -> bool {
        match self {
            Self::Sql(error) | Self::InDoubt(error) => is_login_refused(error),
            Self::Refused(error) => error.sql().is_some_and(is_login_refused),
            _ => false,
        }
    }

    /// Whether the database has not been migrated yet.
    pub(crate) fn is_missing_table(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return false };
        error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
    }

    /// Whether the tables lack what a later migration adds.
    pub(crate) fn is_missing_column(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return false };
        error.code().as_deref() == Some("42703") || error.message().starts_with("no such column")
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}
