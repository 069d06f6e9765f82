//! What a server is logged in to with, when it is not the URL that says so.
//!
//! Whoever keeps user and password is asked for them: before each call, so that what changed is used from then on,
//! and again when a server refused them. Never here: where they are kept, and how they come to change.

use crate::{backend::Backend, error::StoreError};
use futures::future::BoxFuture;
use std::{fmt, sync::Arc};

/// Who logs in, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user; none for the one of the URL.
    pub user: Option<String>,
    /// The password.
    pub password: String,
}

/// Keeps what a server is logged in to with.
pub trait Credentials: Send + Sync {
    /// What to log in with now. It is asked for before each call, and so is cheap unless it is time to look again. With
    /// what a server `refused` it is looked at once.
    fn login<'s>(&'s self, refused: Option<&'s Login>) -> BoxFuture<'s, Result<Login, NoLogin>>;

    /// Whether what is refused now may be taken in a moment: somebody changes it on both sides, one after the other.
    fn rotates(&self) -> bool;
}

/// Why there is nothing to log in with. Holds no secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct NoLogin {
    /// What was tried, and what came back.
    pub message: String,
    /// The likeliest cause.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether it may pass by itself.
    pub is_transient: bool,
}

/// A database: where it is, and what it is logged in to with.
#[derive(Clone)]
pub struct Database {
    pub(crate) url: String,
    pub(crate) credentials: Option<Arc<dyn Credentials>>,
}

impl Database {
    /// The same database, logged in to with what is kept there, whatever the URL says of user and password.
    #[must_use]
    pub fn with_credentials(self, credentials: Arc<dyn Credentials>) -> Self {
        Self { credentials: Some(credentials), ..self }
    }

    /// Who keeps what it is logged in to with; none when that is the URL.
    #[must_use]
    pub fn credentials(&self) -> Option<&Arc<dyn Credentials>> {
        self.credentials.as_ref()
    }

    /// The database in messages, as [`crate::Store::description`] tells it once it is open.
    ///
    /// # Errors
    /// [`StoreError::Url`] when the URL is no database's.
    pub fn describe(&self) -> Result<String, StoreError> {
        Backend::describe(self)
    }
}

impl From<&str> for Database {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), credentials: None }
    }
}

impl From<&String> for Database {
    fn from(url: &String) -> Self {
        url.as_str().into()
    }
}

impl From<String> for Database {
    fn from(url: String) -> Self {
        Self { url, credentials: None }
    }
}

impl From<&Database> for Database {
    fn from(database: &Database) -> Self {
        database.clone()
    }
}

/// No password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?})", self.user)
    }
}

/// Neither the URL, which may have a password, nor who keeps one.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.describe().unwrap_or_default())
    }
}
