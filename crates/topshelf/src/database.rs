//! The database of the configuration, with what it is logged in to with.
//!
//! `store.url` and `store.secret` enter, a [`store::Database`] leaves. No server is asked, and no secret read: that is
//! done when a connection is made.

use crate::{
    config,
    failure::{Exit, Failure},
};
use secrets::{KeptLogin, RdsToken, Secret};
use source::AwsSettings;
use std::sync::{Arc, Mutex, PoisonError};
use store::{
    Database,
    probe::{Address, PasswordSource, PostgresTarget, Target, TlsMode},
};

/// The database, made once: whoever opens it shares what was read, so that each opening asks for no secret again.
#[derive(Clone, Default)]
pub struct SharedDatabase(Arc<Mutex<Option<(config::Store, Database)>>>);

impl SharedDatabase {
    /// The database of this configuration.
    ///
    /// # Errors
    /// As [`of`].
    pub(crate) fn of(&self, store: &config::Store, aws: &AwsSettings) -> Result<Database, Failure> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, database)) = &*made
            && of == store
        {
            return Ok(database.clone());
        }
        let database = of(store, aws)?;
        *made = Some((store.clone(), database.clone()));
        Ok(database)
    }
}

/// The database of a configuration. What is no URL of a database is told when it is opened.
///
/// # Errors
/// Exit code 2, when `store.secret` or `auth=iam` do not go with the URL.
pub(crate) fn of(store: &config::Store, aws: &AwsSettings) -> Result<Database, Failure> {
    let database = Database::from(&store.url);
    let is_kept = !store.secret.is_empty();
    let database = match is_kept {
        true => {
            let secret = Secret::named("store.secret", &store.secret, aws);
            let secret = secret.map_err(|error| usage(error.message, error.remedy))?;
            database.with_credentials(Arc::new(KeptLogin::of(secret)))
        }
        false => database,
    };
    match Target::of(&database) {
        Ok(Target::Postgres(target)) if target.is_by_token => {
            if is_kept {
                return Err(usage(
                    "store.secret is set, and store.url says auth=iam",
                    "take one of them away: a token takes a password's place",
                ));
            }
            Ok(database.with_credentials(Arc::new(token(&target, aws)?)))
        }
        Ok(Target::Postgres(target)) if is_kept && target.password == Some(PasswordSource::Url) => {
            Err(usage(
                "store.secret is set, and store.url has a password",
                "take the password out of store.url: the secret's is used",
            ))
        }
        Ok(Target::Sqlite(_)) if is_kept => Err(usage(
            "store.secret is set, and store.url is an SQLite file, which has no password",
            "take store.secret away, or name a PostgreSQL in store.url",
        )),
        _ => Ok(database),
    }
}

/// Who makes tokens for the database.
pub(crate) fn token(target: &PostgresTarget, aws: &AwsSettings) -> Result<RdsToken, Failure> {
    let Address::Host(host, port) = &target.address else {
        return Err(usage(
            "store.url says auth=iam, and names a socket of this machine",
            "name the host of RDS in store.url, or take auth=iam away",
        ));
    };
    if target.password == Some(PasswordSource::Url) {
        return Err(usage(
            "store.url says auth=iam, and has a password",
            "take the password out of store.url: a token takes its place; or take auth=iam away",
        ));
    }
    if target.tls != TlsMode::VerifyFull {
        return Err(usage(
            format!("store.url says auth=iam with sslmode={}", target.tls.name()),
            "set sslmode=verify-full, and sslrootcert=FILE with the authorities of RDS (https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem): a token is sent as it is, so whoever answers must be who it is for",
        ));
    }
    RdsToken::of(host, *port, &target.user, aws).map_err(|error| {
        usage(format!("store.url says auth=iam, but {error}"), "name the host as RDS does, or set AWS_REGION")
    })
}

fn usage(message: impl Into<String>, help: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message).help(help)
}
