//! The command line as a user meets it: the real program, its output, its exit codes.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

#[path = "../support/files.rs"]
mod files;
#[path = "../support/parquet_file.rs"]
mod parquet_file;
#[path = "../support/postgres.rs"]
mod postgres;

mod access_log;
mod bad_input;
mod configuration;
mod health;
mod help;
mod input;
mod json;
mod keys;
mod lease;
mod ledger;
mod moves;
mod process_one;
#[path = "../night/s3.rs"]
mod s3;
mod sample_logs;
mod scene;
mod secrets;
mod service;
mod services;
mod shell;
mod spill;
mod stages;
mod way_in;
