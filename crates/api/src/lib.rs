//! The HTTP side of topshelf: what is published goes in, answers go out.
//!
//! A [`Server`] keeps an immutable [`Snapshot`] of what the store publishes and replaces it whole when
//! a publication moves. A request reads one snapshot from start to end: no lock, no database, so an
//! answer is wholly old or wholly new. Nothing here counts, ranks or writes to the store, and nothing
//! knows the schedule: the binary says what should be published by now through a [`Promise`].

mod answer;
mod coding;
mod disk;
mod entity_tag;
mod front;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzed;
mod held;
mod nights;
mod options;
mod prepared;
mod problem;
mod refresh;
mod request;
mod response;
mod routes;
mod served_day;
mod server;
mod serving;
mod snapshot;
mod stats;
mod telemetry;
mod wire;

pub use options::{HISTORY_DAYS_KEPT, Options, Promise, ServedStore};
pub use problem::{Code, Problem, ProblemBody};
pub use refresh::{LoadError, load};
pub use routes::openapi_json;
pub use server::{Server, ServerError};
pub use snapshot::{Refusal, Snapshot};
pub use stats::LIMIT_MAX;
pub use wire::{
    Advertisers, AgreeingAdvertiser, Answer, Answers, Health, History, HistoryDay, Liveness, LivenessStatus,
    ModelAgreement, ModelStats, Page, Question, Questions, Readiness, ReadinessStatus, Recommendation,
    Recommendations, RunSeen, RunsSeen, SnapshotSource, Stats, Unanswered, VariableAdvertiser,
};
