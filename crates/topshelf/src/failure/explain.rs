//! Failures of the store and the lake, with what to do next.

use super::{Exit, Failure};
use lake::LakeError;
use store::StoreError;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (exit, help) = match &error {
            StoreError::Url { .. } => {
                (Exit::Usage, "set store.url (--store, TOPSHELF_STORE__URL or DATABASE_URL)")
            }
            StoreError::Folder { .. } => {
                (Exit::Failed, "make the folder, or keep the database elsewhere with store.url (--store)")
            }
            StoreError::Connect { .. } => (
                Exit::Failed,
                "check store.url (--store, TOPSHELF_STORE__URL or DATABASE_URL): its host and port, user, password and database; \
                 for SQLite, that it is a file that this user may write",
            ),
            StoreError::Migrate { .. } => (
                Exit::Failed,
                "the user needs the right to create tables; a database of a newer topshelf needs that topshelf",
            ),
            StoreError::Sql { .. } => {
                (Exit::Failed, "check that the database is up, has space left, and lets this user write")
            }
            _ => return Self::of(error),
        };
        Self::explained(exit, error).help(help)
    }
}

impl From<LakeError> for Failure {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Damaged { url, reason, remedy } => {
                Self::new(Exit::Failed, format!("{url} is damaged: {reason}")).help(remedy)
            }
            error @ (LakeError::Read { .. } | LakeError::Write { .. }) => Self::of(error)
                .help("check lake.url (--lake): the place must be there, be writable and have space left"),
            error => Self::of(error),
        }
    }
}
