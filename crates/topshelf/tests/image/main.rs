//! The image, run as a user would run it: by podman, as its own user, on a root that cannot be written, in a network of
//! the test's own.
//!
//! `cargo xtask test` builds the image and says where it is; these tests are no part of `cargo test` without it. They
//! need root, for the network.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

#[path = "../support/authority.rs"]
#[expect(dead_code, reason = "shared with tests of the doctor, who is shown more certificates")]
mod authority;
#[path = "../secrets/aws.rs"]
#[expect(dead_code, reason = "shared with tests of a program outside any image")]
mod aws;
#[path = "../support/cluster.rs"]
#[expect(dead_code, reason = "shared with tests whose server stops and starts")]
mod cluster;
mod compose;
mod compose_cluster;
mod content;
mod engine;
#[path = "../support/files.rs"]
mod files;
mod health;
mod names;
mod network;
mod night;
mod place;
mod registry;
#[path = "../night/s3.rs"]
#[expect(dead_code, reason = "shared with tests whose bucket answers late")]
mod s3;
#[path = "../cli/scene.rs"]
#[expect(dead_code, reason = "what stands in for AWS tells programs of it that are called in a scene")]
mod scene;
mod secrets;
mod stopping;
#[path = "../support/tls_cluster.rs"]
#[expect(dead_code, reason = "shared with tests whose password stays")]
mod tls_cluster;
