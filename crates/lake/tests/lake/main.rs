//! The lake on a real directory and on a real S3 server.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod commit;
mod damage;
mod place;
mod s3_server;
mod same_again;
mod samples;
mod sweep;
