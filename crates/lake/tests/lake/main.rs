//! The lake on a real directory and on a real S3 server.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod commit;
mod damage;
mod place;
#[allow(dead_code, reason = "the tests of reading logs use the rest of it")]
#[path = "../../../source/tests/source/support/s3_server.rs"]
mod s3_server;
mod same_again;
mod samples;
