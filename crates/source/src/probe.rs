//! How a bucket is reached, told one thing at a time: its endpoint, whose credentials are used, whether it answers.
//!
//! What a [`Location`] decides from its text and the AWS settings is told here as it is decided there. Nothing is
//! written.

use crate::{
    AwsSettings, Location, SourceError,
    location::{Place, file_url_path},
};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use std::{fmt, path::PathBuf};
use url::Url;

/// A bucket, and how requests about it travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketTarget {
    /// Its name.
    pub bucket: String,
    /// Where requests go.
    pub endpoint: Endpoint,
    /// The region that they are signed for.
    pub region: String,
    /// The variable that sets the region; none when it is the default.
    pub region_set_by: Option<&'static str>,
    /// Where the credentials come from.
    pub credentials: CredentialSource,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// A host's name or IP address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The variable that sets it; none when it is AWS itself.
    pub set_by: Option<String>,
}

/// Where AWS credentials come from, in the order in which the sources are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// Nowhere: requests are not signed.
    Unsigned,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, with `AWS_SESSION_TOKEN` or without.
    Keys {
        /// Whether there is a session token: such keys end.
        is_temporary: bool,
    },
    /// The role of a service account, as Kubernetes gives it.
    WebIdentity {
        /// The role.
        role: String,
    },
    /// The role of an ECS or Fargate task.
    Task,
    /// The role of a pod, as EKS gives it.
    Pod,
    /// The role of an EC2 instance.
    Instance,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("none (AWS_SKIP_SIGNATURE)"),
            Self::Keys { is_temporary: false } => {
                f.write_str("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment")
            }
            Self::Keys { is_temporary: true } => {
                f.write_str("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN of the environment")
            }
            Self::WebIdentity { role } => {
                write!(f, "web identity: the token in AWS_WEB_IDENTITY_TOKEN_FILE, for the role {role}")
            }
            Self::Task => {
                f.write_str("the container's task role (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, as ECS and Fargate set it)")
            }
            Self::Pod => {
                f.write_str("the pod's role (AWS_CONTAINER_CREDENTIALS_FULL_URI, as EKS sets it)")
            }
            Self::Instance => {
                f.write_str("the EC2 instance's role, from its metadata (no AWS_ variable names another source)")
            }
        }
    }
}

/// The directory that the text names, without looking whether it is there.
///
/// # Errors
/// [`SourceError::NotALocation`] when it names none, but a bucket or something unknown.
pub fn directory_of(url: &str) -> Result<PathBuf, SourceError> {
    match url.split_once("://") {
        Some(("file", _)) => file_url_path(url),
        Some((scheme, _)) => Err(SourceError::NotALocation {
            text: format!("{scheme}://…"),
            reason: format!("{scheme}:// names no directory"),
        }),
        None => Ok(url.into()),
    }
}

impl AwsSettings {
    /// How the bucket of `s3://bucket/…` is reached; none when the text names no bucket.
    #[must_use]
    pub fn target(&self, url: &str) -> Option<BucketTarget> {
        let (_, rest) = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "s3" | "s3a"))?;
        let bucket = rest.split('/').next().unwrap_or_default().to_owned();
        let set_by = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find(|name| self.has(name));
        let region = set_by.and_then(|name| self.value(name)).unwrap_or("us-east-1").to_owned();
        let endpoint = match self.endpoint() {
            Some((name, text)) => endpoint(name, text)?,
            None => {
                let host = format!("s3.{region}.amazonaws.com");
                let is_in_host = self.value("AWS_VIRTUAL_HOSTED_STYLE_REQUEST").is_some_and(is_true);
                let host = if is_in_host { format!("{bucket}.{host}") } else { host };
                Endpoint { is_tls: true, host, port: 443, set_by: None }
            }
        };
        let credentials = self.credential_source();
        Some(BucketTarget { bucket, endpoint, region, region_set_by: set_by, credentials })
    }

    /// Where credentials come from.
    #[must_use]
    pub fn credential_source(&self) -> CredentialSource {
        let role = || self.value("AWS_ROLE_ARN").filter(|_| self.has("AWS_WEB_IDENTITY_TOKEN_FILE"));
        if self.value("AWS_SKIP_SIGNATURE").is_some_and(is_true) {
            CredentialSource::Unsigned
        } else if self.has("AWS_ACCESS_KEY_ID") {
            CredentialSource::Keys { is_temporary: self.has("AWS_SESSION_TOKEN") }
        } else if let Some(role) = role() {
            CredentialSource::WebIdentity { role: role.to_owned() }
        } else if self.has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            CredentialSource::Task
        } else if self.has("AWS_CONTAINER_CREDENTIALS_FULL_URI")
            && self.has("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        {
            CredentialSource::Pod
        } else {
            CredentialSource::Instance
        }
    }
}

fn endpoint(name: &str, text: &str) -> Option<Endpoint> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default()?;
    Some(Endpoint { is_tls: url.scheme() == "https", host, port, set_by: Some(name.to_owned()) })
}

fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "on" | "yes" | "y")
}

impl Location {
    /// Asks the source of the credentials for them; gives the name of the access key, which is no secret. None in
    /// a directory.
    ///
    /// # Errors
    /// When none are to be had.
    pub async fn access_key(&self) -> Result<Option<String>, SourceError> {
        let Place::Bucket(bucket) = self.place() else { return Ok(None) };
        let credential = bucket.client.credentials().get_credential().await;
        let credential = credential.map_err(|error| SourceError::failed("open", self.url(), error))?;
        Ok(Some(credential.key_id.clone()))
    }

    /// Whether the bucket gives an answer when it is asked what is in it, and whether anything is. None in a directory.
    ///
    /// # Errors
    /// When it is not there, or may not be listed.
    pub async fn has_any_object(&self) -> Result<Option<bool>, SourceError> {
        let Place::Bucket(bucket) = self.place() else { return Ok(None) };
        let prefix = bucket.prefix.as_ref();
        let options = PaginatedListOptions { max_keys: Some(1), ..Default::default() };
        let listed =
            bucket.client.list_paginated(Some(prefix).filter(|text| !text.is_empty()), options).await;
        let listed = listed.map_err(|error| SourceError::failed("list", self.url(), error))?;
        Ok(Some(!listed.result.objects.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(settings: &[(&str, &str)]) -> BucketTarget {
        AwsSettings::from_pairs(settings.iter().copied()).target("s3://logs/night").unwrap()
    }

    #[test]
    fn requests_go_to_the_region_or_to_the_endpoint() {
        let of = target(&[("AWS_REGION", "eu-west-1")]);
        assert_eq!(of.endpoint.to_string(), "https://s3.eu-west-1.amazonaws.com:443");
        assert_eq!((of.bucket.as_str(), of.region_set_by), ("logs", Some("AWS_REGION")));
        let of = target(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")]);
        assert_eq!(of.endpoint.to_string(), "http://127.0.0.1:9000");
        assert_eq!((of.region.as_str(), of.region_set_by), ("us-east-1", None));
        assert_eq!(AwsSettings::from_pairs([("AWS_REGION", "x")]).target("logs"), None);
    }

    #[test]
    fn the_first_source_of_credentials_is_told() {
        let told = |settings: &[(&str, &str)]| target(settings).credentials.to_string();
        let task = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2");
        let identity = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn:x")];
        assert!(told(&[("AWS_SKIP_SIGNATURE", "true")]).starts_with("none"));
        assert!(told(&[("AWS_ACCESS_KEY_ID", "A"), task]).starts_with("AWS_ACCESS_KEY_ID"));
        assert!(told(&[identity[0], identity[1], task]).contains("arn:x"));
        assert!(told(&[identity[0], task]).contains("task role"));
        assert!(told(&[]).contains("EC2"));
    }
}
