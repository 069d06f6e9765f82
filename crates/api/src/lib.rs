//! The HTTP side of topshelf: what is published goes in, answers go out.
//!
//! A [`Server`] keeps an immutable [`Snapshot`] of what the store publishes and replaces it whole when
//! a publication moves. A request reads one snapshot from start to end: no lock, no database, so an
//! answer is wholly old or wholly new. Nothing here counts, ranks or writes to the store, and nothing
//! knows the schedule: the binary says what should be published by now through a [`Promise`].

mod access;
mod access_log;
mod answer;
mod body;
mod caller;
mod coding;
mod disk;
mod door;
mod entity_tag;
mod entrance;
mod follow_keys;
mod front;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzed;
mod held;
mod kept_keys;
mod limits;
mod nights;
mod options;
mod prepared;
mod problem;
mod pulse;
mod refresh;
mod request;
mod request_id;
mod response;
mod room;
mod routes;
mod sealed;
mod served_day;
mod server;
mod serving;
mod snapshot;
mod stats;
mod telemetry;
mod tls;
#[cfg(feature = "otel")]
mod trace;
mod watch;
mod wire;

pub use access_log::TARGET as ACCESS_LOG_TARGET;
pub use caller::Networks;
pub use limits::Limits;
pub use options::{DroppedLines, HISTORY_DAYS_KEPT, Keys, Options, Promise, ServedStore};
pub use problem::{Code, Problem, ProblemBody};
pub use refresh::{LoadError, load};
pub use routes::openapi_json;
pub use server::{Server, ServerError};
pub use snapshot::{Refusal, Snapshot};
pub use stats::LIMIT_MAX;
pub use tls::{TlsError, TlsFiles};
pub use wire::{
    Advertisers, AgreeingAdvertiser, Answer, Answers, Health, History, HistoryDay, Liveness, LivenessStatus,
    ModelAgreement, ModelStats, Page, Question, Questions, Readiness, ReadinessStatus, Recommendation,
    Recommendations, RunSeen, RunsSeen, SnapshotSource, Stats, Unanswered, VariableAdvertiser,
};
