//! The credentials of a role, and what it means when none come.
//!
//! A task, a pod and a service account are told where to ask: who does not answer there will. Whether a machine has a
//! role is only known once it gave credentials. Requests are the client's own; here it is noted where their errors
//! happened, which they do not tell.

use crate::{
    error::{UNTRUSTED, chain_text, sources},
    probe::CredentialSource,
};
use futures::future::BoxFuture;
use object_store::{
    CredentialProvider,
    aws::{AwsCredential, AwsCredentialProvider},
    client::HttpError,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// A role that gave no credentials.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub(crate) struct NoCredentials {
    /// Whether there is a role, which did not answer.
    pub(crate) is_silent: bool,
    source: object_store::Error,
}

/// Whether the role is named by the settings.
pub(crate) fn is_named(source: &CredentialSource) -> bool {
    use CredentialSource as S;
    matches!(source, S::WebIdentity { .. } | S::Task | S::Pod)
}

/// Asks for credentials, and tells whose they are when there are none.
#[derive(Debug)]
pub(crate) struct OfRole {
    asked: AwsCredentialProvider,
    is_named: bool,
    has_answered: AtomicBool,
}

impl OfRole {
    pub(crate) fn new(asked: AwsCredentialProvider, source: &CredentialSource) -> Self {
        Self { asked, is_named: is_named(source), has_answered: AtomicBool::new(false) }
    }

    async fn ask(&self) -> object_store::Result<Arc<AwsCredential>> {
        let given = self.asked.get_credential().await;
        self.has_answered.fetch_or(given.is_ok(), Relaxed);
        given.map_err(|source| {
            let has_role = self.is_named || self.has_answered.load(Relaxed);
            let source = NoCredentials { is_silent: has_role && is_unanswered(&source), source };
            object_store::Error::Generic { store: "S3", source: source.into() }
        })
    }
}

/// Whether no whole answer came; a server that is not who it should be is none to wait for.
fn is_unanswered(error: &object_store::Error) -> bool {
    sources(error).any(|source| source.is::<HttpError>()) && !chain_text(error).contains(UNTRUSTED)
}

impl CredentialProvider for OfRole {
    type Credential = AwsCredential;

    fn get_credential<'s, 'f>(&'s self) -> BoxFuture<'f, object_store::Result<Arc<AwsCredential>>>
    where
        's: 'f,
    {
        Box::pin(self.ask())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceError;
    use object_store::client::HttpErrorKind;
    use std::{io, sync::Mutex};

    /// What a role answers, one after the other.
    #[derive(Debug)]
    struct Answers(Mutex<Vec<Result<(), String>>>);

    impl CredentialProvider for Answers {
        type Credential = AwsCredential;

        fn get_credential<'s, 'f>(&'s self) -> BoxFuture<'f, object_store::Result<Arc<AwsCredential>>>
        where
            's: 'f,
        {
            let (key_id, secret_key) = ("key".to_owned(), "secret".to_owned());
            let given = self.0.lock().unwrap().remove(0);
            let refused = |text: String| match text.starts_with("status code: ") {
                true => object_store::Error::Generic { store: "S3", source: text.into() },
                false => {
                    let error = HttpError::new(HttpErrorKind::Connect, io::Error::other(text));
                    object_store::Error::Generic { store: "S3", source: error.into() }
                }
            };
            let given = given.map_err(refused);
            Box::pin(async move { given.map(|()| AwsCredential { key_id, secret_key, token: None }.into()) })
        }
    }

    /// Whether the last of the answers is one that may pass.
    async fn may_pass(source: &CredentialSource, answers: &[Result<(), &str>]) -> bool {
        let given = answers.iter().map(|answer| answer.map_err(str::to_owned)).collect();
        let role = OfRole::new(Arc::new(Answers(Mutex::new(given))), source);
        let mut last = None;
        for _ in answers {
            last = Some(role.get_credential().await);
        }
        let error = last.unwrap().unwrap_err();
        SourceError::failed("list", "s3://logs", error).is_transient()
    }

    #[tokio::test]
    async fn a_role_that_is_there_is_waited_for() {
        use CredentialSource as S;
        let silent = [Err("connection refused")];
        assert!(may_pass(&S::Task, &silent).await && may_pass(&S::Pod, &silent).await);
        assert!(may_pass(&S::WebIdentity { role: "arn:x".into() }, &silent).await);
        assert!(!may_pass(&S::Instance, &silent).await, "a laptop has none");
        assert!(may_pass(&S::Instance, &[Ok(()), silent[0]]).await, "it gave some before");
        assert!(may_pass(&S::Instance, &[Err("status code: 503 Busy")]).await);
        assert!(!may_pass(&S::Task, &[Err("status code: 403 Forbidden")]).await);
        assert!(!may_pass(&S::Task, &[Err("invalid peer certificate: UnknownIssuer")]).await);
    }
}
