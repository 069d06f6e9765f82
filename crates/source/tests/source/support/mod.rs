//! Where the tests' logs lie.

mod place;
mod proxy;
mod s3_server;

pub(crate) use place::{Place, on_both};
pub(crate) use proxy::{Asked, Fate, Proxy};
pub(crate) use s3_server::S3Server;

/// The settings to reach the server with, for a caller that does not wait long.
pub(crate) fn settings(server: &S3Server) -> source::AwsSettings {
    source::AwsSettings::from_pairs(server.environment()).with_patience(std::time::Duration::from_secs(2))
}
