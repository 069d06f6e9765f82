//! Why the lake could not be read or written.

use domain::Day;

/// A failed operation on the lake; each names the object.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// An object could not be read.
    #[error("could not read {url}")]
    Read {
        /// The object.
        url: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// An object could not be written.
    #[error("could not write {url}")]
    Write {
        /// The object.
        url: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// An object is not what was committed.
    #[error("{url} is damaged: {reason}; {remedy}")]
    Damaged {
        /// The object.
        url: String,
        /// What is wrong with it.
        reason: String,
        /// The command that makes it anew.
        remedy: String,
    },
    /// A value does not fit the lake's columns.
    #[error("the {what} of {day} cannot be written to the lake: {reason}")]
    Unwritable {
        /// Counts or rankings.
        what: &'static str,
        /// Their day.
        day: Day,
        /// What does not fit.
        reason: String,
    },
}

/// Why the counts of a day were not committed.
#[derive(Debug, thiserror::Error)]
pub enum WriteCountsError<E> {
    /// There were no counts to write: whoever gives them says why.
    #[error(transparent)]
    Counts(E),
    /// They could not be written.
    #[error(transparent)]
    Lake(#[from] LakeError),
}
