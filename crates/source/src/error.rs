//! What can go wrong between a location's name and an object's last byte, and what to do about it.

use crate::{
    credentials::NoCredentials,
    exchange::{OTHER_BYTES, OtherRegion},
};
use domain::{Day, Log};
use std::{error::Error, fmt, io, time::Duration};

/// Why logs could not be found or read. Each message is whole: it names the operation, the object
/// and the cause, so none has a source that would say the cause again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The text is neither a directory nor a bucket.
    #[error("{text:?} is not a location: {reason}")]
    NotALocation {
        /// What was given, without secrets.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The AWS settings cannot work together.
    #[error("could not open {url}: {reason}")]
    Settings {
        /// The location.
        url: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// No object holds a log of a day that was asked for.
    #[error("{0}")]
    NoObject(Box<NoObject>),
    /// The directory, the bucket or the network refused.
    #[error("could not {operation} {url}: {cause}")]
    Failed {
        /// `open`, `list` or `read`.
        operation: &'static str,
        /// The location or the object.
        url: String,
        /// Why.
        cause: Cause,
    },
    /// An object is not what its first bytes claim.
    #[error("{url} cannot be read as {format}: {reason}")]
    Damaged {
        /// The object.
        url: String,
        /// `gzip`, `zstd` or `Parquet`.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An object is sound, but not of a kind that can be read.
    #[error("{url} cannot be read: {reason}")]
    Unsupported {
        /// The object.
        url: String,
        /// What about it is not known here.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An object is not the one that was planned any more.
    #[error("{url} changed after the run began: {change}")]
    Changed {
        /// The object.
        url: String,
        /// What is different.
        change: String,
    },
}

/// Which log has no object, and what is there instead.
#[derive(Debug)]
pub struct NoObject {
    /// The log.
    pub log: Log,
    /// The pattern, filled with the day when just one lacks an object.
    pub pattern: String,
    /// The location.
    pub url: String,
    /// The days without an object, in the order they were asked for.
    pub days: Vec<Day>,
    /// Up to ten names that are there, in order; a folder ends with `/`.
    pub there: Vec<String>,
    /// Whether there are more names than [`NoObject::there`] holds.
    pub has_more: bool,
}

/// How many days and names a message spells out.
pub(crate) const SPELLED_OUT_MAX: usize = 10;

impl fmt::Display for NoObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log, pattern, url, .. } = self;
        write!(f, "no object of {log} matches {pattern:?} in {url} for ")?;
        let days: Vec<_> = self.days.iter().take(SPELLED_OUT_MAX).map(Day::to_string).collect();
        f.write_str(&days.join(", "))?;
        if self.days.len() > days.len() {
            write!(f, " and {} more days", self.days.len() - days.len())?;
        }
        match self.there.as_slice() {
            [] => f.write_str("; nothing is there"),
            there => {
                let ellipsis = if self.has_more { ", …" } else { "" };
                write!(f, "; there: {}{ellipsis}", there.join(", "))
            }
        }
    }
}

/// Why a store refused, said shortly, with the error it was made of.
pub struct Cause {
    message: String,
    trouble: Trouble,
    error: Box<dyn Error + Send + Sync>,
}

/// Kinds of refusal that have a remedy of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    NoCredentials,
    SilentRole,
    NoBucket,
    Denied,
    BadCredentials,
    WrongClock,
    Unreachable,
    Busy,
    WrongRegion,
    Untrusted,
    Missing,
    Other,
}

impl Trouble {
    fn likely_cause(self, is_bucket: bool) -> Option<&'static str> {
        Some(match self {
            Self::NoCredentials => {
                "no keys are set, and no role of this machine, container or service account answered"
            }
            Self::SilentRole => {
                "what gives this task, pod, service account or instance the credentials of its role did not answer"
            }
            Self::NoBucket => "the bucket's name is misspelt, or it is at another endpoint",
            Self::Denied if is_bucket => {
                "the credentials are good, but their policy, or the bucket's, does not allow this"
            }
            Self::Denied => "the file or folder belongs to another user, and its mode keeps this one out",
            Self::BadCredentials => {
                "the keys are mistyped, were deleted or have expired, or are of another endpoint"
            }
            Self::WrongClock => "this machine's clock is more than 15 minutes off",
            Self::Unreachable => "nothing, or something else than S3, answers at the endpoint",
            Self::Busy => "the server is overloaded or broken",
            Self::WrongRegion => "the bucket lies in another region than the one that is set",
            Self::Untrusted => {
                "the server's certificate is of an authority that this machine does not know, or of another server"
            }
            Self::Missing => "it was never made, or is called otherwise",
            Self::Other => return None,
        })
    }
}

/// What the TLS library says of a server whose certificate it does not accept.
pub(crate) const UNTRUSTED: &str = "invalid peer certificate";

impl Cause {
    /// A request that brought nothing for this long.
    pub(crate) fn stalled(stall: Duration) -> Self {
        let message = format!("nothing came for {stall:?}");
        Self { trouble: Trouble::Unreachable, error: message.clone().into(), message }
    }

    /// An answer that ended before its bytes had come.
    pub(crate) fn cut_short() -> Self {
        let message = "the answer ended too early";
        Self { message: message.into(), trouble: Trouble::Unreachable, error: message.into() }
    }

    /// A request that this program stopped waiting for.
    pub(crate) fn given_up() -> Self {
        let message = "the request was given up";
        Self { message: message.into(), trouble: Trouble::Other, error: message.into() }
    }

    /// An answer of more bytes than were asked for.
    pub(crate) fn too_long() -> Self {
        let message = "the answer is longer than what was asked for";
        Self { message: message.into(), trouble: Trouble::Other, error: message.into() }
    }

    /// The error as the operating system or the object store gave it.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        let trouble = match error.kind() {
            io::ErrorKind::NotFound => Trouble::Missing,
            io::ErrorKind::PermissionDenied => Trouble::Denied,
            _ => Trouble::Other,
        };
        Self { message: error.to_string(), trouble, error: error.into() }
    }
}

impl From<object_store::Error> for Cause {
    fn from(error: object_store::Error) -> Self {
        let text = chain_text(&error);
        let trouble = trouble_of(&error, &text);
        Self { message: short_message(&error, &text, trouble), trouble, error: error.into() }
    }
}

/// The store tells its errors apart by types that are private to it, so their text decides.
fn trouble_of(error: &object_store::Error, text: &str) -> Trouble {
    let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    let role = sources(error).find_map(|source| source.downcast_ref::<NoCredentials>());
    match error {
        _ if role.is_some() && has(&["status code: 5", "status code: 429"]) => Trouble::Busy,
        _ if role.is_some_and(|role| role.is_silent) => Trouble::SilentRole,
        _ if role.is_some() && has(&[UNTRUSTED]) => Trouble::Untrusted,
        _ if role.is_some() && (has(&["status code: "]) || is_network_failure(error)) => {
            Trouble::NoCredentials
        }
        // A token, say, whose file cannot be read.
        _ if role.is_some() => Trouble::Other,
        _ if has(&["NoSuchBucket"]) => Trouble::NoBucket,
        _ if other_region(error).is_some() => Trouble::WrongRegion,
        _ if has(&["Received redirect", "PermanentRedirect", "AuthorizationHeaderMalformed", "<Region>"]) => {
            Trouble::WrongRegion
        }
        _ if has(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "NotSignedUp"]) => {
            Trouble::BadCredentials
        }
        _ if has(&[UNTRUSTED]) => Trouble::Untrusted,
        _ if has(&[OTHER_BYTES]) => Trouble::Other,
        _ if has(&["RequestTimeTooSkewed"]) => Trouble::WrongClock,
        _ if has(&["AccessDenied"]) => Trouble::Denied,
        object_store::Error::PermissionDenied { .. } => Trouble::Denied,
        // As a refused listing comes.
        _ if has(&["status code: 403"]) => Trouble::Denied,
        object_store::Error::Unauthenticated { .. } => Trouble::BadCredentials,
        object_store::Error::NotFound { .. } => Trouble::Missing,
        _ if has(&[
            "status code: 5",
            "status code: 429",
            "status code: 408",
            "SlowDown",
            "InternalError",
            "RequestTimeout",
            "OperationAborted",
            "ConditionalRequestConflict",
        ]) =>
        {
            Trouble::Busy
        }
        _ if is_network_failure(error) => Trouble::Unreachable,
        _ => Trouble::Other,
    }
}

/// The region that a redirect names.
fn other_region<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    sources(error).find_map(|source| source.downcast_ref::<OtherRegion>()).map(|other| other.region.as_str())
}

fn is_network_failure(error: &object_store::Error) -> bool {
    sources(error).any(|source| source.is::<object_store::client::HttpError>())
}

pub(crate) fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

pub(crate) fn chain_text(error: &(dyn Error + 'static)) -> String {
    sources(error).map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn short_message(error: &object_store::Error, text: &str, trouble: Trouble) -> String {
    if trouble == Trouble::NoCredentials {
        return "no AWS credentials were found".to_owned();
    }
    if let Some(code) = element(text, "Code") {
        return match element(text, "Message") {
            Some(message) => format!("the server answered {code}: {message}"),
            None => format!("the server answered {code}"),
        };
    }
    match trouble {
        Trouble::SilentRole => {
            let why = sources(error).last().map_or_else(String::new, ToString::to_string);
            format!("no credentials came from the role: {why}")
        }
        Trouble::Missing => "it is not there".to_owned(),
        Trouble::Denied => "access denied".to_owned(),
        _ => match status(text) {
            Some(status) => format!("the server answered {status}"),
            None => sources(error).last().map_or_else(String::new, ToString::to_string),
        },
    }
}

/// The status of an answer that explains nothing: `503 Service Unavailable`.
fn status(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.split([':', '\n']).next()
}

/// The text of an element of the XML in which S3 explains an error.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    (!value.is_empty()).then_some(value)
}

impl SourceError {
    pub(crate) fn failed(operation: &'static str, url: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self::Failed { operation, url: url.into(), cause: cause.into() }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Failed { cause, .. } => {
                matches!(cause.trouble, Trouble::Busy | Trouble::Unreachable | Trouble::SilentRole)
            }
            _ => false,
        }
    }

    /// The error inside a failed read of a reader that [`Location::read_from`] made.
    ///
    /// [`Location::read_from`]: crate::Location::read_from
    #[must_use]
    pub fn of_read(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }

    /// An object whose decompression ended in `error`.
    pub(crate) fn damaged(url: String, format: &'static str, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it ends too early, or something else follows it".to_owned(),
            _ => error.to_string(),
        };
        Self::Damaged { url, format, reason }
    }

    /// The most likely cause, where the error tells.
    #[must_use]
    pub fn likely_cause(&self) -> Option<&'static str> {
        match self {
            Self::Failed { cause, url, .. } => cause.trouble.likely_cause(url.starts_with("s3://")),
            Self::NoObject(_) => {
                Some("nobody has written the log of that day yet, or its objects are called otherwise")
            }
            Self::NotALocation { .. } | Self::Settings { .. } => Some("a setting is not what it should be"),
            Self::Damaged { .. } => Some("whoever wrote the object did not end"),
            Self::Unsupported { .. } | Self::Changed { .. } => None,
        }
    }

    /// What to do about it, as one sentence, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::NotALocation { .. } => "give a directory, file:///… or s3://bucket/prefix",
            Self::Settings { remedy, .. } => remedy,
            Self::NoObject(missing) => {
                return Some(format!(
                    "set input.{} to a name, a glob, or a template with {{day}} that matches what is there",
                    missing.log
                ));
            }
            Self::Damaged { format: "Parquet", .. } => {
                "write the object again, whole: nothing of it was used; if it is another format, it must not begin with PAR1"
            }
            Self::Unsupported { remedy, .. } => remedy,
            Self::Damaged { .. } => {
                "write the object again, whole: nothing of it was used; `gzip -t` and `zstd -t` test a file"
            }
            Self::Changed { .. } => {
                "run the day again when nothing writes to its logs; better, write each object once under a final name"
            }
            Self::Failed { cause, url, .. } => return help_of(cause, url),
        };
        Some(help.to_owned())
    }
}

fn help_of(cause: &Cause, url: &str) -> Option<String> {
    let is_bucket = url.starts_with("s3://");
    let help = match cause.trouble {
        Trouble::NoCredentials => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role gives credentials; \
             for a profile: eval \"$(aws configure export-credentials --format env)\"; \
             for a public bucket: AWS_SKIP_SIGNATURE=true"
        }
        Trouble::SilentRole => {
            "see whether it is up, and what lies between this machine and it; `topshelf doctor` tells where credentials come from"
        }
        Trouble::BadCredentials => {
            "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN: the server does not accept them"
        }
        Trouble::WrongClock => "set this machine's clock, and let it follow a time server",
        Trouble::NoBucket => "check the bucket's name, and AWS_ENDPOINT_URL when it is not on AWS",
        Trouble::Denied if is_bucket => {
            "allow s3:ListBucket on the bucket and s3:GetObject on its objects for these credentials \
             (and s3:PutObject, s3:DeleteObject where the lake is)"
        }
        Trouble::Denied => "give this user permission to it",
        Trouble::Unreachable => {
            "check the network, and AWS_ENDPOINT_URL when the bucket is not on AWS; \
             set AWS_REGION to the bucket's region"
        }
        Trouble::Busy => "try again later: the server is too busy or broken",
        Trouble::WrongRegion => {
            let text = chain_text(cause.error());
            let region = other_region(cause.error()).or_else(|| element(&text, "Region"));
            return Some(format!("set AWS_REGION to {}", region.unwrap_or("the bucket's region")));
        }
        Trouble::Untrusted => {
            "this machine does not trust the server's certificate: install the authority that signed it, or check AWS_ENDPOINT_URL"
        }
        Trouble::Missing if !is_bucket => {
            "create the directory, or name another; relative paths start where the program does"
        }
        Trouble::Missing | Trouble::Other => return None,
    };
    Some(help.to_owned())
}

impl From<SourceError> for io::Error {
    fn from(error: SourceError) -> Self {
        Self::other(error)
    }
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
            let error = SourceError::failed("write", "URL", error);
            assert_eq!(error.is_transient(), is_transient, "{text}");
        }
    }
}
