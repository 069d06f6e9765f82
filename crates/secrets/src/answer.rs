//! What Secrets Manager answers to `GetSecretValue`, and what its errors mean
//! (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>).

use crate::{SecretArn, SecretError};
use serde_json::Value;
use std::error::Error;

/// Why there is no secret in what came back, or that nothing came.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The endpoint's URL is none.
    NoUrl,
    /// No answer, or not a whole one.
    Network(reqwest::Error),
    /// An error of AWS: its name, and its words.
    Refused { name: String, says: String, status: u16 },
    /// An answer that is none of Secrets Manager's.
    NoAnswer { status: u16 },
    /// The secret is bytes, not text.
    Binary,
}

/// The secret's text in an answer.
pub(crate) fn secret_string(status: u16, text: &str) -> Result<String, Unread> {
    let Ok(Value::Object(answer)) = serde_json::from_str(text) else {
        return Err(Unread::NoAnswer { status });
    };
    let of = |name: &str| answer.get(name).and_then(Value::as_str);
    if status == 200 {
        return match of("SecretString") {
            Some(secret) => Ok(secret.to_owned()),
            None if answer.contains_key("SecretBinary") => Err(Unread::Binary),
            None => Err(Unread::NoAnswer { status }),
        };
    }
    let Some(name) = of("__type") else { return Err(Unread::NoAnswer { status }) };
    // Some errors are named with their namespace before a #.
    let name = name.rsplit('#').next().unwrap_or(name).to_owned();
    let says = of("message").or_else(|| of("Message")).unwrap_or_default().to_owned();
    Err(Unread::Refused { name, says, status })
}

/// What a person is told.
pub(crate) fn explain(
    arn: &SecretArn,
    key: &str,
    url: &str,
    set_by: Option<&str>,
    unread: Unread,
) -> SecretError {
    let region = arn.region();
    let failed = |says: &str, cause: &str, remedy: String| {
        SecretError::new(format!("could not read the secret {arn}: {says}"), cause, remedy)
    };
    let check_endpoint = || match set_by {
        Some(variable) => format!("check {variable}: it says {url}"),
        None => "check what answers at that name in this network".to_owned(),
    };
    match unread {
        Unread::NoUrl => failed("its endpoint is no URL", "a setting is mistyped", check_endpoint()),
        Unread::NoAnswer { status } => failed(
            &format!("something answered {status}, which is not Secrets Manager"),
            "a proxy, or another service, answers at the endpoint",
            check_endpoint(),
        )
        .transient_if(status >= 500),
        Unread::Binary => failed(
            "it is binary",
            "it was stored as SecretBinary",
            format!(
                "store it as text: aws secretsmanager put-secret-value --secret-id {arn} --secret-string …"
            ),
        ),
        Unread::Network(error) => {
            let says = in_words(&error);
            if says.contains("invalid peer certificate") {
                return failed(
                    &says,
                    "the machine does not trust who answers at the endpoint: a proxy that looks into TLS, or another server",
                    format!("let this machine trust the authority (SSL_CERT_FILE), or {}", check_endpoint()),
                );
            }
            let remedy = match set_by {
                Some(_) => check_endpoint(),
                None => format!(
                    "in a VPC without NAT, make an interface endpoint com.amazonaws.{region}.secretsmanager with private DNS, whose security group lets this task in at 443; elsewhere, allow HTTPS to {url}"
                ),
            };
            failed(&says, "there is no way to Secrets Manager from here", remedy).transient_if(true)
        }
        Unread::Refused { name, says, status } => {
            let told = format!("{name}: {says}");
            let (cause, remedy) = refused(arn, key, &name, &says);
            let may_pass = status >= 500
                || [
                    "ThrottlingException",
                    "RequestTimeoutException",
                    "InternalServiceError",
                    "RequestLimitExceeded",
                ]
                .contains(&name.as_str());
            failed(&told, cause, remedy).transient_if(may_pass)
        }
    }
}

fn refused(arn: &SecretArn, key: &str, name: &str, says: &str) -> (&'static str, String) {
    let is_of_kms = name == "DecryptionFailure" || says.to_ascii_lowercase().contains("kms");
    match name {
        _ if is_of_kms => (
            "the secret is encrypted by a key of KMS that these credentials may not use",
            "allow kms:Decrypt on the secret's key to this role, in its policy and in the key's; `aws secretsmanager describe-secret` tells which key that is".to_owned(),
        ),
        "ResourceNotFoundException" if says.contains("staging label") => (
            "the secret was made and never given a value",
            format!("aws secretsmanager put-secret-value --secret-id {arn} --secret-string …"),
        ),
        "ResourceNotFoundException" => (
            "there is no such secret in that region and account: it is misspelt, or was deleted",
            format!("check {key}: `aws secretsmanager list-secrets --region {}` tells the ARNs", arn.region()),
        ),
        "InvalidRequestException" if says.contains("deleted") || says.contains("deletion") => (
            "the secret is marked for deletion",
            format!("aws secretsmanager restore-secret --secret-id {arn}; or name another in {key}"),
        ),
        "AccessDeniedException" => (
            "the credentials are good, but no policy allows them to read this secret",
            format!("allow secretsmanager:GetSecretValue on {arn} to this role (of a task of ECS: to its task role, not its execution role)"),
        ),
        _ if says.contains("Signature expired") || says.contains("not yet current") || name == "RequestExpired" => (
            "this machine's clock is more than 5 minutes off",
            "set the clock, and keep it right (chrony, systemd-timesyncd)".to_owned(),
        ),
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidSignatureException"
        | "SignatureDoesNotMatch" | "ExpiredTokenException" | "ExpiredToken" | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" | "IncompleteSignature" => (
            "the keys are mistyped, were deleted or have expired, or are of another endpoint",
            "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN anew, or take them away where a role gives credentials".to_owned(),
        ),
        "ThrottlingException" => (
            "more is asked of Secrets Manager in this account than it answers",
            "wait; whoever asks too often is told by CloudTrail".to_owned(),
        ),
        _ => ("see what came back", format!("check {key}, and the state of Secrets Manager in that region")),
    }
}

/// The error's last causes: its beginning repeats the URL.
fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut source: &dyn Error = error;
    while let Some(deeper) = source.source() {
        source = deeper;
    }
    source.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of an answer, whether it may pass included.
    fn check(status: u16, text: &str, expected: &[&str]) {
        let arn = SecretArn::parse("arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-Ab12Cd").unwrap();
        let unread = secret_string(status, text).unwrap_err();
        let error = explain(&arn, "store.secret", "https://endpoint", Some("AWS_ENDPOINT_URL"), unread);
        let told = format!("{error} / {} / {} / {}", error.cause, error.remedy, error.is_transient);
        for text in expected {
            assert!(told.contains(text), "{text}: {told}");
        }
    }

    fn refusal(name: &str, says: &str) -> String {
        serde_json::json!({ "__type": name, "Message": says }).to_string()
    }

    #[test]
    fn a_secret_is_its_string() {
        let text = r#"{"ARN":"x","SecretString":"{\"password\":\"a\"}","VersionStages":["AWSCURRENT"]}"#;
        assert_eq!(secret_string(200, text).unwrap(), "{\"password\":\"a\"}");
    }

    #[test]
    fn refusals_are_told_with_what_to_allow() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-Ab12Cd";
        let not_found =
            refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
        check(400, &not_found, &[arn, "no such secret", "check store.secret", "/ false"]);
        let unset = "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT";
        check(
            400,
            &refusal("ResourceNotFoundException", unset),
            &["never given a value", "put-secret-value"],
        );
        let denied = "User: arn:aws:sts::123456789012:assumed-role/night/x is not authorized to perform: secretsmanager:GetSecretValue";
        let allow = format!("allow secretsmanager:GetSecretValue on {arn}");
        check(400, &refusal("AccessDeniedException", denied), &["assumed-role/night", &allow, "task role"]);
        check(400, &refusal("AccessDeniedException", "Access to KMS is not allowed"), &["allow kms:Decrypt"]);
        check(400, &refusal("DecryptionFailure", "x"), &["allow kms:Decrypt"]);
        let deleted = "You can't perform this operation on the secret because it was marked for deletion.";
        check(400, &refusal("InvalidRequestException", deleted), &["marked for deletion", "restore-secret"]);
        let expired = "Signature expired: 20241121T023000Z is now earlier than 20241121T024000Z";
        check(400, &refusal("InvalidSignatureException", expired), &["clock", "chrony"]);
        check(
            400,
            &refusal("com.amazon.coral.service#UnrecognizedClientException", "x"),
            &["AWS_ACCESS_KEY_ID"],
        );
    }

    #[test]
    fn what_passes_is_told_apart() {
        check(400, &refusal("ThrottlingException", "Rate exceeded"), &["/ true"]);
        check(500, &refusal("InternalServiceError", "x"), &["/ true"]);
        check(
            503,
            "<html></html>",
            &["something answered 503", "AWS_ENDPOINT_URL: it says https://endpoint", "/ true"],
        );
        check(404, "{}", &["not Secrets Manager", "/ false"]);
        check(200, "{\"SecretBinary\":\"AA==\"}", &["it is binary", "--secret-string", "/ false"]);
    }
}
