//! Whole nights whose input and lake lie in a bucket, on a real S3 server behind a proxy that does what networks
//! and object stores do at their worst. Whatever it is, a night ends with exactly the right counts and rankings,
//! or as a failed run that names the object and leaves readers what they had; and the next night is well.
//!
//! What no reader can see over plain HTTP is left out: bytes of an object's text that are changed on their way
//! and nothing else, see `docs/decisions/2026-11-26-bytes-are-trusted-as-they-come.md`.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

#[path = "../night/logs.rs"]
mod logs;
#[path = "../support/parquet_file.rs"]
mod parquet_file;

mod asked;
mod changed;
mod each;
mod fate;
mod input;
mod message;
mod proxy;
mod random;
mod scene;
mod server;
mod swept;
mod weather;
