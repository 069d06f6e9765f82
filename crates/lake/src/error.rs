//! Why the lake could not be read or written.

use domain::Day;
use std::error::Error;

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

impl LakeError {
    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => may_pass(source),
            Self::Damaged { .. } | Self::Unwritable { .. } => false,
        }
    }
}

/// Whether the store was busy or broken, or out of reach. It tells its errors apart by types that are private
/// to it, so their text decides. The same errors of the input are sorted by the crate `source`, in the same way.
fn may_pass(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    let sources = || std::iter::successors(Some(error as &dyn Error), |error| (*error).source());
    let text = sources().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    if has(ROLES) && has(BUSY) {
        return true;
    }
    if has(ROLES)
        || has(NEVER)
        || matches!(error, E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::NotFound { .. })
    {
        return false;
    }
    has(BUSY) || sources().any(|source| source.is::<object_store::client::HttpError>())
}

/// What servers answer that are busy or broken.
const BUSY: &[&str] = &[
    "status code: 5",
    "status code: 429",
    "status code: 408",
    "SlowDown",
    "InternalError",
    "RequestTimeout",
    "OperationAborted",
    "ConditionalRequestConflict",
];

/// Where a machine's, a container's or a service account's role is asked: mostly there is none.
const ROLES: &[&str] = &["/latest/api/token", "/latest/meta-data/", "http://169.254.", "//sts."];

/// What waiting does not mend: wrong credentials, another region, no such bucket, another server.
const NEVER: &[&str] = &[
    "NoSuchBucket",
    "Received redirect",
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "<Region>",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "NotSignedUp",
    "invalid peer certificate",
    "other bytes than were asked for",
];

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

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::Error as E;

    #[test]
    fn what_may_pass_is_told_apart_from_what_stays() {
        let generic = |text: String| E::Generic { store: "S3", source: text.into() };
        let answered = |status: &str, code: &str| {
            generic(format!(
                "Server returned non-2xx status code: {status}: <Error><Code>{code}</Code></Error>"
            ))
        };
        let (path, source) = (|| "object".to_owned(), || "status code: 403".into());
        for (error, is_transient) in [
            (answered("500 Internal Server Error", "InternalError"), true),
            (answered("503 Service Unavailable", "SlowDown"), true),
            (answered("429 Too Many Requests", ""), true),
            (answered("408 Request Timeout", ""), true),
            (answered("400 Bad Request", "RequestTimeout"), true),
            (answered("409 Conflict", "OperationAborted"), true),
            (answered("400 Bad Request", "ExpiredToken"), false),
            (answered("404 Not Found", "NoSuchBucket"), false),
            (answered("405 Method Not Allowed", "MethodNotAllowed"), false),
            (generic("Got invalid list response".into()), false),
            (E::PermissionDenied { path: path(), source: source() }, false),
            (E::NotFound { path: path(), source: source() }, false),
        ] {
            let text = error.to_string();
            let error = LakeError::Write { url: "URL".into(), source: error };
            assert_eq!(error.is_transient(), is_transient, "{text}");
        }
    }
}
