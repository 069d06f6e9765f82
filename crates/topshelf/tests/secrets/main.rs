//! Passwords that change while the program runs, and tokens that take their place: from files, from what stands in for AWS
//! Secrets Manager, and made for a database that asks for them as RDS does.
//!
//! The databases are real servers of the tests' own; before the one that wants tokens stands a server that speaks as much
//! of PostgreSQL's protocol as it takes to ask for a password in clear, over TLS with a certificate of a private authority,
//! as RDS does, and hands on what follows.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

#[path = "../support/authority.rs"]
#[expect(dead_code, reason = "shared with tests that sign for more servers")]
mod authority;
mod aws;
mod aws_secrets;
#[path = "../support/cluster.rs"]
#[expect(dead_code, reason = "shared with tests that kill servers")]
mod cluster;
mod database;
mod iam;
mod rds;
mod rotation;
#[path = "../cli/scene.rs"]
#[expect(dead_code, reason = "shared with tests of the command line, which spoil logs in more ways")]
mod scene;
#[path = "../cli/service.rs"]
#[expect(dead_code, reason = "shared with tests of services, which stop them in more ways")]
mod service;
