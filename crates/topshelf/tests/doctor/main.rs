//! `topshelf doctor` in front of real failures: servers that refuse, drop, lie or do not let us in, full disks, wrong
//! files. Each test breaks one thing and reads what the doctor says of it, and that it says nothing else.
//!
//! No address outside this machine is contacted.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

#[path = "../support/authority.rs"]
mod authority;
mod buckets;
mod call;
mod certificates;
#[path = "../support/cluster.rs"]
#[expect(dead_code, reason = "shared with tests that kill servers")]
mod cluster;
mod configuration;
mod databases;
mod disks;
mod grants;
mod inputs;
mod networks;
#[path = "../support/postgres.rs"]
mod postgres;
mod roles;
#[path = "../night/s3.rs"]
mod s3;
#[path = "../cli/scene.rs"]
#[expect(dead_code, reason = "shared with tests of the command line, which spoil logs in more ways")]
mod scene;
mod servers;
#[path = "../cli/service.rs"]
#[expect(dead_code, reason = "shared with tests of services, which stop them in more ways")]
mod service;
#[path = "../support/tls_cluster.rs"]
#[expect(dead_code, reason = "shared with tests whose password changes")]
mod tls_cluster;
mod tls_postgres;
mod unchanged;
mod well;
