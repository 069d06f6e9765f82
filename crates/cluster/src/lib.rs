//! A night's counting on a cluster of Apache DataFusion Ballista.
//!
//! Enters: a [`Job`], tasks as bytes that only a [`Worker`] understands. Each executor of the cluster has one, which
//! does a task and gives partial counts; the engine brings those of a range of keys together, in order, where they are
//! added up and may be kept. Leaves: the sums that were not kept, row by row, and the report of each task, once. What a
//! task is, this crate does not know; what the engine is, no other does.
//!
//! Tasks are rows of memory, one in each partition, below a node of ours ([`node`]). The engine tells each of its tasks
//! which partitions to take only where it knows the leaf: a leaf of ours would be taken whole by each of them, and
//! every sum come out too high. So that nothing depends on that, reports are counted like all else: one that comes out
//! twice is an error.

mod answers;
mod blocking;
mod codec;
mod connections;
mod ended;
mod executor;
mod job;
mod keep;
mod members;
mod named;
mod node;
mod outputs;
mod overview;
mod patience;
mod program;
mod ranges;
mod rows;
mod scheduler;
mod shuffled;
mod table;
mod tls;
mod transport;
mod trouble;
mod unreachable;
mod watch;
mod worker;

pub use bytes::Bytes;
pub use ended::ProcessError;
pub use executor::{ExecutorSettings, run_executor};
pub use job::{ClusterError, Job, JobFigures, Row, run_job};
pub use members::{Member, Members};
pub use overview::{ExecutorShare, Overview, StageOverview};
pub use program::PROGRAM;
pub use ranges::Ranges;
pub use scheduler::{SchedulerSettings, run_scheduler};
pub use tls::{TlsError, TlsFiles};
pub use transport::{Peer, Transport};
pub use trouble::Trouble;
pub use unreachable::Unreachable;
pub use watch::Seen;
pub use worker::{Give, Room, Sum, Sums, Worker};

/// Bytes of a message: a plan carries its tasks, and what they have in common.
const MESSAGE_BYTES_MAX: u32 = 256 << 20;
