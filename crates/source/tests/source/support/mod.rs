//! Where the tests' logs lie.

mod place;
mod s3_server;

pub(crate) use place::{Place, on_both};
pub(crate) use s3_server::S3Server;
