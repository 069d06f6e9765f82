//! Who a cluster is: its scheduler, and the executors that it knows of.

use prost::Message;

/// A cluster, as its scheduler knows it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Members {
    /// The scheduler's program and its version, as [`PROGRAM`](crate::PROGRAM).
    #[prost(string, tag = "1")]
    pub program: String,
    /// The executors, in order of their addresses.
    #[prost(message, repeated, tag = "2")]
    pub executors: Vec<Member>,
}

/// An executor, as it has told the scheduler of itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub struct Member {
    /// Host and port where what its tasks gave is fetched.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Tasks that it does at a time.
    #[prost(uint32, tag = "2")]
    pub slots: u32,
}
