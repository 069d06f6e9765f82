//! What the program is told of secrets, and where they are: in files, in AWS Secrets Manager, or made for the moment.
//!
//! The name of a place enters, what is kept there leaves; [`KeptLogin`] and [`RdsToken`] are what a database is logged
//! in to with, and see to it that this is what is kept, or good, at the moment. Requests to AWS are signed with the
//! credentials that buckets are asked with. Never here: what a secret is for beyond that, and a secret in a message or a log.

mod answer;
mod arn;
mod error;
mod kept_login;
mod rds_token;
mod secret;
mod sign;

pub use arn::SecretArn;
pub use error::SecretError;
pub use kept_login::KeptLogin;
pub use rds_token::{RdsToken, Unfit};
pub use secret::{Secret, is_arn};
