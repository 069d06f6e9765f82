//! Whatever the database does during a night, the run ends published, or failed and recorded, never half; and
//! readers see the old or the new all the while.
//!
//! Servers are stopped and killed, disks are filled and connections are cut for real: by a proxy that understands as
//! much of PostgreSQL's protocol as it takes to cut at a message.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

#[path = "../support/cluster.rs"]
mod cluster;
mod commits;
#[path = "../kills/database.rs"]
mod database;
mod decisions;
mod dump;
#[path = "../kills/leftovers.rs"]
mod leftovers;
mod migrating;
#[path = "../kills/night.rs"]
#[expect(dead_code, reason = "shared with tests that kill the program")]
mod night;
mod nights;
mod onlookers;
mod place;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/proxy.rs"]
#[expect(dead_code, reason = "shared with tests in which all is silent for a while")]
mod proxy;
mod publisher;
#[path = "../kills/readers.rs"]
mod readers;
mod refusals;
mod restore;
#[path = "../cli/scene.rs"]
#[expect(dead_code, reason = "shared with tests of the command line, which spoil logs in more ways")]
mod scene;
mod server;
#[path = "../cli/service.rs"]
#[expect(dead_code, reason = "shared with tests of services, which stop them in more ways")]
mod service;
#[path = "../support/small_disk.rs"]
mod small_disk;
mod sqlite;
mod stage;
mod sweep;
#[path = "../kills/version.rs"]
mod version;
