//! Why a secret is not to be had, and what to do about it. No message holds one.

use source::SourceError;
use store::NoLogin;

/// Why a secret is not to be had.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SecretError {
    /// What was tried, and what came back.
    pub message: String,
    /// The likeliest cause.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether it may pass by itself.
    pub is_transient: bool,
}

impl SecretError {
    /// One that somebody has to do something about.
    pub(crate) fn new(
        message: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { message: message.into(), cause: cause.into(), remedy: remedy.into(), is_transient: false }
    }

    /// The same, which passes by itself or not.
    pub(crate) fn transient_if(self, is_transient: bool) -> Self {
        Self { is_transient, ..self }
    }
}

/// AWS gave no credentials to sign with.
impl From<SourceError> for SecretError {
    fn from(error: SourceError) -> Self {
        let cause = error.likely_cause().unwrap_or("see what came back");
        let remedy = error.help().unwrap_or_else(|| "check the AWS_… environment variables".to_owned());
        Self::new(error.to_string(), cause, remedy).transient_if(error.is_transient())
    }
}

impl From<SecretError> for NoLogin {
    fn from(error: SecretError) -> Self {
        let SecretError { message, cause, remedy, is_transient } = error;
        Self { message, cause, remedy, is_transient }
    }
}
