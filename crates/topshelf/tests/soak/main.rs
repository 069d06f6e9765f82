//! The chaos soak: servers under full load while a new publication comes every second and everything behind them
//! breaks. No question is left without an answer, and each answer is of one state of what is published, wholly.
//!
//! The program, PostgreSQL and the disks are the real ones; a proxy between server and database cuts and holds
//! back what a network would. `TOPSHELF_TEST_SOAK_SECONDS` is for how long (60), `TOPSHELF_TEST_SOAK_SEED` decides what happens
//! when; `cargo xtask soak` sets both.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

mod answers;
mod client;
#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../kills/database.rs"]
#[expect(dead_code, reason = "shared with tests that change what is in a database")]
mod database;
mod faults;
mod load;
mod memory;
mod place;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/proxy.rs"]
#[expect(dead_code, reason = "shared with tests that cut at a message")]
mod proxy;
mod publication;
mod publisher;
mod record;
#[path = "../cli/scene.rs"]
#[expect(dead_code, reason = "shared with tests of the command line, which spoil logs in more ways")]
mod scene;
#[path = "../cli/service.rs"]
#[expect(dead_code, reason = "shared with tests of services, which stop them in more ways")]
mod service;
#[path = "../support/small_disk.rs"]
#[expect(dead_code, reason = "shared with tests whose disks are not to be written")]
mod small_disk;
mod snapshot_files;
mod soak;
mod stops;
mod tally;
