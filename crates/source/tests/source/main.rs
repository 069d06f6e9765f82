//! Logs on a real directory and on a real S3 server.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod ahead;
mod faults;
mod parquet;
mod plan;
mod read;
mod refusals;
mod support;
