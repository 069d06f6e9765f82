//! The whole night on real parts: logs in, counts and rankings in the lake, rankings in a database,
//! answers over HTTP, and each of them compared with a computation that shares no code with ours.
//!
//! Logs lie in a directory or on an S3 server in this process; the database is SQLite or PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

#[path = "../support/data_set.rs"]
mod data_set;
#[path = "../support/parquet_file.rs"]
mod parquet_file;
#[path = "../support/postgres.rs"]
mod postgres;

mod again;
mod changed;
mod check;
mod compared;
mod data_sets;
mod dates;
mod generated;
mod held;
mod logs;
mod many_objects;
mod naive;
mod place;
mod reading;
mod s3;
mod scheduled;
mod simulated;
mod site;
mod together;
