//! One secret: a file, or a secret of AWS Secrets Manager, read when it is asked for.

use crate::{
    SecretArn, SecretError,
    answer::{self, Unread},
    sign::Scope,
};
use reqwest::{Client, redirect::Policy};
use source::AwsSettings;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, SystemTime},
};

/// How long a connection and a whole request to AWS may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
const REQUEST_TIME_MAX: Duration = Duration::from_secs(3);
/// Pauses after requests that failed of what may pass by itself.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(600)];
/// No secret is longer, by the rules of Secrets Manager.
const BYTES_MAX: u64 = 64 << 10;

/// Whether a text is meant to name a secret of AWS by its ARN.
#[must_use]
pub fn is_arn(text: &str) -> bool {
    text.starts_with("arn:")
}

/// A secret, by where it is kept.
pub struct Secret {
    /// The key of the configuration that names it.
    key: &'static str,
    place: Place,
    aws: AwsSettings,
    client: OnceLock<Client>,
}

enum Place {
    File(PathBuf),
    Manager(SecretArn),
}

impl Secret {
    /// The secret that a key of the configuration names: by an ARN, or a file by its path.
    ///
    /// # Errors
    /// When it is an ARN that is none of a secret, or neither an ARN nor a path: then it may be the secret itself, and is
    /// not told.
    pub fn named(key: &'static str, text: &str, aws: &AwsSettings) -> Result<Self, SecretError> {
        let place = if is_arn(text) {
            Place::Manager(SecretArn::parse(text).map_err(|says| {
                SecretError::new(
                    format!("{key} is {text:?}, which {says}"),
                    "the ARN is mistyped, or not of a secret",
                    "`aws secretsmanager list-secrets` tells the ARNs: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME",
                )
            })?)
        } else if ["/", "./", "../"].iter().any(|start| text.starts_with(start)) {
            Place::File(text.into())
        } else {
            return Err(SecretError::new(
                format!("{key} is neither an ARN nor the path of a file, which begins with / or ./"),
                "it holds the secret itself, or its name",
                format!(
                    "{key} tells where the secret is kept: an ARN, or a file such as /run/secrets/password"
                ),
            ));
        };
        Ok(Self { key, place, aws: aws.clone(), client: OnceLock::new() })
    }

    /// Whether it is a file of this machine, which costs nothing to be read.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    /// Reads it, without the line's end that editors leave. What may pass by itself is tried again for seconds.
    ///
    /// # Errors
    /// When it cannot be read, or is empty.
    pub async fn read(&self) -> Result<String, SecretError> {
        for pause in PAUSES {
            match self.read_once().await {
                Err(error) if error.is_transient => tokio::time::sleep(pause).await,
                read => return read,
            }
        }
        self.read_once().await
    }

    /// The same without a second try.
    pub(crate) async fn read_once(&self) -> Result<String, SecretError> {
        let text = match &self.place {
            Place::File(path) => file(self.key, path),
            Place::Manager(arn) => self.ask(arn).await,
        }?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            let remedy = format!("write a value into it, or name another in {}", self.key);
            return Err(self.unlike("is empty", "nobody has written a value into it", remedy));
        }
        Ok(text.to_owned())
    }

    /// It was read, and is not what it should be.
    #[must_use]
    pub fn unlike(&self, says: &str, cause: &str, remedy: impl Into<String>) -> SecretError {
        SecretError::new(format!("{self} {says}"), cause, remedy)
    }

    async fn ask(&self, arn: &SecretArn) -> Result<String, SecretError> {
        let (set_by, url) = match self.aws.endpoint_of("SECRETS_MANAGER") {
            Some((name, url)) => (Some(name), url.to_owned()),
            None => (None, arn.endpoint()),
        };
        let unread = |unread: Unread| answer::explain(arn, self.key, &url, set_by.as_deref(), unread);
        let keys = self.aws.keys().await?;
        let body = serde_json::json!({ "SecretId": arn.to_string() }).to_string();
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "secretsmanager.GetSecretValue"),
        ];
        let scope =
            Scope { service: "secretsmanager", region: arn.region(), keys: &keys, now: SystemTime::now() };
        let signed = scope.headers(&url, &headers, &body).ok_or_else(|| unread(Unread::NoUrl))?;
        let mut request =
            self.client().map_err(|error| unread(Unread::Network(error)))?.post(&url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in signed {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| unread(Unread::Network(error)))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| unread(Unread::Network(error)))?;
        answer::secret_string(status, &text).map_err(unread)
    }

    fn client(&self) -> reqwest::Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(REQUEST_TIME_MAX)
            .redirect(Policy::none())
            .build()?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// Where it is kept.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "the file {}", path.display()),
            Place::Manager(arn) => write!(f, "the secret {arn}"),
        }
    }
}

/// The same: settings are secrets.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a file holds. Who changes it may do so by taking it away first, so what is missing may pass.
fn file(key: &'static str, path: &Path) -> Result<String, SecretError> {
    let failed = |error: io::Error| {
        let (cause, remedy) = match error.kind() {
            io::ErrorKind::NotFound => (
                "nothing is mounted there, or the path is misspelt".to_owned(),
                format!("check {key}; in a container, mount the secret there"),
            ),
            io::ErrorKind::PermissionDenied => (
                "the file or its folder belongs to another user, and its mode keeps this one out".to_owned(),
                format!("let the user that topshelf runs as read {}", path.display()),
            ),
            _ => (
                "it is no file of text".to_owned(),
                format!("check {key}: it names a file of {} KiB at most", BYTES_MAX >> 10),
            ),
        };
        SecretError::new(format!("could not read the file {}: {error}", path.display()), cause, remedy)
    };
    read_text(path).map_err(failed)
}

fn read_text(path: &Path) -> io::Result<String> {
    use io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}
