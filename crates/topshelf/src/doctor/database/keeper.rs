//! Who keeps what the database is logged in to with, where that is not `store.url`.

use crate::{
    database,
    doctor::step::{Answer, Tried},
    pipeline::Night,
};
use std::sync::Arc;
use store::{Credentials, Database, Login, probe::PostgresTarget};

/// Who keeps it, in words, and who to ask.
pub(super) struct Keeper {
    credentials: Arc<dyn Credentials>,
    /// What is done to have it.
    pub(super) tried: String,
    /// What it is then: `the password of the file /run/secrets/db`.
    pub(super) kept: String,
}

impl Keeper {
    /// None when `store.url` says all.
    pub(super) fn of(database: &Database, night: &Night, target: &PostgresTarget) -> Option<Self> {
        let credentials = Arc::clone(database.credentials()?);
        let source = night.aws.credential_source();
        let secret = &night.config.store.secret;
        let (tried, kept) = if target.is_by_token {
            let tokens = database::token(target, &night.aws).ok();
            let region = tokens.as_ref().map_or("its region", |tokens| tokens.region()).to_owned();
            let tried = format!("make an IAM token for {region}, signed with credentials of {source}");
            (tried, format!("an IAM token for {region}"))
        } else if secrets::is_arn(secret) {
            let tried = format!("read the secret {secret}, with credentials of {source}");
            (tried, format!("the password of the secret {secret}"))
        } else {
            (format!("read the file {secret}"), format!("the password of the file {secret}"))
        };
        Some(Self { credentials, tried, kept })
    }

    /// Asks for it; what came is not told.
    pub(super) async fn ask(credentials: Arc<dyn Credentials>) -> Tried<Login> {
        match credentials.login(None).await {
            Ok(login) => {
                let told = match &login.user {
                    Some(user) => format!("there is one, for {user}"),
                    None => "there is one".to_owned(),
                };
                Ok((Answer::ok(told), login))
            }
            Err(error) => Err(Answer::failed(error.message, error.cause, error.remedy)),
        }
    }

    pub(super) fn credentials(&self) -> Arc<dyn Credentials> {
        Arc::clone(&self.credentials)
    }
}
