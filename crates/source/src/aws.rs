//! The clients of one bucket, made of the usual AWS settings. No request is sent here.

use crate::{
    SourceError,
    credentials::{OfRole, is_named},
    exchange::{Connected, Connector},
};
use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// For how long failing requests are tried again.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest that a request takes whose answer is short, or which writes an object.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// The same for asking a machine's role for credentials where no setting names one: a laptop has none.
const CREDENTIALS_PATIENCE: Duration = Duration::from_secs(3);
/// What is asked for when it is no bucket, in messages.
const OF_CREDENTIALS: &str = "AWS credentials";

/// The AWS settings that say how buckets are reached: names as in the environment, with values. Clones share
/// connections and credentials.
#[derive(Clone)]
pub struct AwsSettings {
    values: BTreeMap<String, String>,
    patience: Duration,
    shared: Arc<Shared>,
}

/// What the clients of all buckets have in common. It is made once: to make a client is to read all certificates
/// that the machine trusts, and to ask for credentials is to ask the machine's role.
#[derive(Default)]
struct Shared {
    credentials: OnceLock<AwsCredentialProvider>,
    /// Of [`Clients::client`] and of [`Clients::reader`].
    client: Connected,
    reader: Connected,
}

/// Keys to sign a request with.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// The name of the access key, which is no secret.
    pub key_id: String,
    /// The secret key.
    pub secret_key: String,
    /// What goes with keys that end.
    pub session_token: Option<String>,
}

/// One bucket's clients, with the same credentials.
pub(crate) struct Clients {
    /// Tries failing requests again.
    pub(crate) client: AmazonS3,
    /// Sends each request once, and waits for its end as long as it takes.
    pub(crate) reader: AmazonS3,
}

impl AwsSettings {
    /// The settings in this process's environment: every variable whose name begins with `AWS_`.
    #[must_use]
    pub fn from_env() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::from_pairs(std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with("AWS_")))
    }

    /// Settings given one by one, instead of the environment's.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<String>,
    {
        let values = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        let values = values.filter(|(_, value)| !value.is_empty()).collect();
        Self { values, patience: PATIENCE, shared: Arc::default() }
    }

    /// Tries failing requests again for at most `patience`, instead of a minute.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, shared: Arc::default(), ..self }
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// What a setting says, by its name in the environment.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// How long a request may take, so that there is time left for another.
    fn request_max(&self) -> Duration {
        if self.patience.is_zero() { REQUEST_MAX } else { REQUEST_MAX.min(self.patience / 2) }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub(crate) fn endpoint(&self) -> Option<(&str, &str)> {
        ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
            .into_iter()
            .find_map(|name| Some((name, self.values.get(name)?.as_str())))
    }

    /// Profiles live in files that the client does not read.
    fn relies_on_profile(&self) -> bool {
        let others = [
            "AWS_ACCESS_KEY_ID",
            "AWS_SKIP_SIGNATURE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ];
        (self.has("AWS_PROFILE") || self.has("AWS_DEFAULT_PROFILE"))
            && !others.into_iter().any(|name| self.has(name))
    }

    /// The clients of `bucket`; `url` is for messages.
    pub(crate) fn clients(&self, url: &str, bucket: &str) -> Result<Clients, SourceError> {
        let build = |builder: AmazonS3Builder| builder.build().map_err(|error| refused(url, &error));
        let credentials = self.credentials(url, bucket)?;
        let Shared { client, reader, .. } = &*self.shared;
        let asked = ClientOptions::new().with_timeout(self.request_max());
        let client = self.builder(asked, bucket, self.patience).with_http_connector(Connector::new(client));
        let client = client.with_credentials(credentials.clone());
        // Who reads notices that nothing comes; how long a part takes as a whole says nothing.
        let read = ClientOptions::new().with_timeout_disabled();
        let reader = self.builder(read, bucket, Duration::ZERO).with_http_connector(Connector::new(reader));
        let reader = reader.with_credentials(credentials);
        Ok(Clients { client: build(client)?, reader: build(reader)? })
    }

    /// The first source of credentials that there is, checked.
    fn credentials(&self, url: &str, bucket: &str) -> Result<AwsCredentialProvider, SourceError> {
        self.check(url)?;
        if let Some(known) = self.shared.credentials.get() {
            return Ok(known.clone());
        }
        let source = self.credential_source();
        let patience =
            if is_named(&source) { self.patience } else { self.patience.min(CREDENTIALS_PATIENCE) };
        let asking = self.builder(ClientOptions::new(), bucket, patience).build();
        let asking = asking.map_err(|error| refused(url, &error))?;
        let of_role = || Arc::new(OfRole::new(asking.credentials().clone(), &source));
        Ok(self.shared.credentials.get_or_init(|| of_role()).clone())
    }

    /// Keys for a request that is not to a bucket, as requests to buckets are signed with at the moment.
    ///
    /// # Errors
    /// When the settings cannot work together, or no credentials are to be had.
    pub async fn keys(&self) -> Result<AwsKeys, SourceError> {
        // No bucket is asked: the client that asks for credentials wants to have one.
        let given = self.credentials(OF_CREDENTIALS, "none")?.get_credential().await;
        let given = given.map_err(|error| SourceError::failed("ask for", OF_CREDENTIALS, error))?;
        let AwsCredential { key_id, secret_key, token } = &*given;
        let (key_id, secret_key, session_token) = (key_id.clone(), secret_key.clone(), token.clone());
        Ok(AwsKeys { key_id, secret_key, session_token })
    }

    /// The region that is set, and not the one of a bucket.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| self.value(name))
    }

    /// The variable that says where a service of AWS is asked, such as `SECRETS_MANAGER`, and what it says; none when it
    /// is AWS itself.
    #[must_use]
    pub fn endpoint_of(&self, service: &str) -> Option<(String, &str)> {
        let names = [format!("AWS_ENDPOINT_URL_{service}"), "AWS_ENDPOINT_URL".to_owned()];
        names.into_iter().find_map(|name| self.value(&name).map(|url| (name.clone(), url)))
    }

    fn check(&self, url: &str) -> Result<(), SourceError> {
        let refuse =
            |reason: String, remedy| Err(SourceError::Settings { url: url.to_owned(), reason, remedy });
        if self.relies_on_profile() {
            return refuse(
                "AWS_PROFILE is set, but profiles are not read, and there are no keys".to_owned(),
                "put the profile's keys into the environment: eval \"$(aws configure export-credentials --format env)\"",
            );
        }
        if self.has("AWS_ACCESS_KEY_ID") != self.has("AWS_SECRET_ACCESS_KEY") {
            return refuse(
                "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set without the other".to_owned(),
                "set both, or neither where a role gives credentials",
            );
        }
        match self.endpoint() {
            Some((name, endpoint)) if !is_http_url(endpoint) => {
                refuse(format!("{name} is not an http:// or https:// URL"), "write it like https://host:port")
            }
            _ => Ok(()),
        }
    }

    fn builder(&self, options: ClientOptions, bucket: &str, patience: Duration) -> AmazonS3Builder {
        let mut builder = AmazonS3Builder::new().with_client_options(options);
        for (name, value) in &self.values {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        if let Some((_, endpoint)) = self.endpoint() {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        builder.with_bucket_name(bucket).with_retry(retry(patience))
    }
}

fn refused(url: &str, error: &object_store::Error) -> SourceError {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    SourceError::Settings { url: url.to_owned(), reason, remedy: "check the AWS_… environment variables" }
}

fn is_http_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A pause begun just before patience is over makes it last a quarter longer at most.
fn retry(patience: Duration) -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(10).min(patience / 4),
        base: 2.,
    };
    let max_retries = if patience.is_zero() { 0 } else { 20 };
    RetryConfig { backoff, max_retries, retry_timeout: patience }
}

/// No secret.
impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsKeys({:?})", self.key_id)
    }
}

/// Only names: values may be secrets.
impl fmt::Debug for AwsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
