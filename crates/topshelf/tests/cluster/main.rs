//! A night counted on a cluster of real processes is the night that one machine counts, byte for byte; or it fails, and
//! says why.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

#[path = "../support/authority.rs"]
mod authority;
#[path = "../doctor/call.rs"]
mod call;
#[path = "../support/data_set.rs"]
mod data_set;
mod doctor;
mod elsewhere;
mod failures;
#[path = "../support/files.rs"]
mod files;
mod group;
#[path = "../support/parquet_file.rs"]
mod parquet_file;
mod processes;
#[path = "../night/s3.rs"]
mod s3;
mod same;
#[path = "../cli/scene.rs"]
#[expect(dead_code, reason = "shared with tests of the command line, which spoil logs in more ways")]
mod scene;
#[path = "../cli/service.rs"]
#[expect(dead_code, reason = "shared with tests of services, which stop them in more ways")]
mod service;
mod tls;
mod versions;
mod watched;
