//! `kill -9` in the middle of a night: readers see the old publication or the new one, never a mixture; the
//! next run needs no help; and nothing of the one that died is left.
//!
//! The program, its server, SQLite's file and PostgreSQL are the real ones. A run stops at a named step because
//! it waits there for something that the test holds: nothing in the program knows that it is tested.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

mod accept;
mod database;
mod leftovers;
mod night;
#[path = "../support/postgres.rs"]
mod postgres;
mod random;
mod readers;
#[path = "../night/s3.rs"]
#[expect(dead_code, reason = "shared with tests in which the server never waits")]
mod s3;
#[path = "../cli/scene.rs"]
#[expect(dead_code, reason = "shared with tests of the command line, which spoil logs in more ways")]
mod scene;
#[path = "../cli/service.rs"]
#[expect(dead_code, reason = "shared with tests of services, which stop them in more ways")]
mod service;
mod steps;
mod version;
mod writes;
