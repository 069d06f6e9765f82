//! What the binary tells the server.

use crate::{caller::Networks, limits::Limits, tls::TlsFiles};
use domain::{Day, ModelName};
use jiff::Timestamp;
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use store::{Database, Store, StoreError};

/// The published days that a server keeps unless told otherwise.
pub const HISTORY_DAYS_KEPT: usize = 30;

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// Host and port to listen on; port 0 takes a free one.
    pub listen: String,
    /// The models this program knows, so that a model that was never published is told from a typing
    /// error. Models found in what is published are known too.
    pub models: Vec<ModelName>,
    /// The most published days kept in memory, and so the most that `/history` and `?day=` reach.
    pub history_days_kept: usize,
    /// How often the store is asked for a new publication when it cannot tell by itself.
    pub poll: Duration,
    /// The most memory for answers kept ready, in bytes. Answers that find no room are written for each request.
    pub prepared_bytes_max: usize,
    /// Whether callers must send an API key.
    pub keys: Keys,
    /// A directory to keep what is served in, for a start without the database; none to keep nothing.
    pub snapshot_dir: Option<PathBuf>,
    /// Host and port of a listener for operators; then what only they ask is there alone.
    pub operator_listen: Option<String>,
    /// Certificate and key; none for HTTP without TLS.
    pub tls: Option<TlsFiles>,
    /// How much of the server one caller, and all of them together, may take.
    pub limits: Limits,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// The share of requests that the access log has a line of, 0 to 1; what failed by our fault it always has.
    pub access_log: f64,
    /// Lines of the log that nobody will read, as whoever writes the log counts them.
    pub dropped_lines: DroppedLines,
    /// Takes the spans of requests; none when nobody collects them.
    #[cfg(feature = "otel")]
    pub tracer: Option<opentelemetry_sdk::trace::SdkTracer>,
}

/// Lines of the log that were dropped because nobody read fast enough.
#[derive(Debug, Clone, Default)]
pub struct DroppedLines {
    /// Of the access log.
    pub of_access: Arc<AtomicU64>,
    /// All others.
    pub of_others: Arc<AtomicU64>,
}

impl Options {
    /// The defaults, listening on `listen` and knowing `models`.
    #[must_use]
    pub fn new(listen: impl Into<String>, models: Vec<ModelName>) -> Self {
        Self {
            listen: listen.into(),
            models,
            history_days_kept: HISTORY_DAYS_KEPT,
            poll: Duration::from_secs(2),
            prepared_bytes_max: 128 << 20,
            keys: Keys::Auto,
            snapshot_dir: None,
            access_log: 0.0,
            dropped_lines: DroppedLines::default(),
            operator_listen: None,
            tls: None,
            limits: Limits::default(),
            trusted_proxies: Networks::default(),
            #[cfg(feature = "otel")]
            tracer: None,
        }
    }
}

/// Whether callers must send an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keys {
    /// On every address but loopback.
    #[default]
    Auto,
    /// Yes.
    Required,
    /// No: whoever reaches the server may see all.
    Off,
}

impl Keys {
    /// Whether a server that listens there asks for keys.
    pub(crate) fn are_asked_for(self, listening: SocketAddr) -> bool {
        match self {
            Self::Auto => !listening.ip().to_canonical().is_loopback(),
            Self::Required => true,
            Self::Off => false,
        }
    }
}

/// What the schedule promises at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The newest day that should be published by now. When what is published is older, answers say
    /// `stale`.
    pub newest_day: Day,
    /// When something may be published next, and so how long an answer may be kept by caches: the next night's
    /// beginning, or now while one that has begun is not late yet.
    pub next_run_at: Timestamp,
    /// When the next night begins.
    pub next_night_at: Timestamp,
}

/// The store to serve from.
///
/// A server that shall start without its database is told where it is: it opens the store itself and goes
/// on trying until it can.
#[derive(Clone)]
pub enum ServedStore {
    /// A store that is open.
    Open(Box<Store>),
    /// A database that the server opens.
    Closed(Database),
}

impl From<Store> for ServedStore {
    fn from(store: Store) -> Self {
        Self::Open(Box::new(store))
    }
}

impl ServedStore {
    /// The database, without password or parameters; none when its URL is no database's.
    pub(crate) fn describe(&self) -> Option<String> {
        match self {
            Self::Open(store) => Some(store.description().to_owned()),
            Self::Closed(database) => database.describe().ok(),
        }
    }

    pub(crate) async fn open(&self) -> Result<Store, StoreError> {
        match self {
            Self::Open(store) => Ok(Store::clone(store)),
            Self::Closed(database) => Store::open(database).await,
        }
    }
}
