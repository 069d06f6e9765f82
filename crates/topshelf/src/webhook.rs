//! The URL of `schedule.webhook`: itself, or a secret of AWS that holds it, read when it is wanted.

use crate::config::Webhook;
use reqwest::Url;
use secrets::{Secret, SecretError};
use serde_json::Value;
use source::AwsSettings;

const KEY: &str = "schedule.webhook";

/// Whether the text is a URL that can be posted to.
pub(crate) fn is_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()))
}

/// The secret that holds the URL; none when the configuration has it itself.
///
/// # Errors
/// When it is an ARN of nothing that could.
pub(crate) fn secret(webhook: &Webhook, aws: &AwsSettings) -> Result<Option<Secret>, SecretError> {
    let is_kept = secrets::is_arn(&webhook.0);
    is_kept.then(|| Secret::named(KEY, &webhook.0, aws)).transpose()
}

/// Where to post.
///
/// # Errors
/// When a secret holds the URL and cannot be read, or holds something else.
pub(crate) async fn url(webhook: &Webhook, aws: &AwsSettings) -> Result<String, SecretError> {
    let Some(secret) = secret(webhook, aws)? else { return Ok(webhook.0.clone()) };
    let text = secret.read().await?;
    let url = match serde_json::from_str(&text) {
        Ok(Value::Object(fields)) => fields.get("url").and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => text,
    };
    if is_url(&url) {
        return Ok(url);
    }
    Err(secret.unlike(
        "holds no http:// or https:// URL",
        "it is another secret than the webhook's, or was written by hand",
        "it must be the URL itself, or JSON: {\"url\": \"https://…\"}",
    ))
}
