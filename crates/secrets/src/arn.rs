//! The name of a secret in AWS Secrets Manager: `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME`.

use std::fmt;

/// Such a name. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretArn {
    text: String,
    partition: String,
    region: String,
}

impl SecretArn {
    /// Reads it; what is wrong with it when it is none.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence about it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.splitn(7, ':').collect();
        let &[arn, partition, service, region, account, kind, name] = parts.as_slice() else {
            return Err("has too few parts".to_owned());
        };
        let is_word = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if arn != "arn" || !partition.starts_with("aws") || !is_word(partition) {
            return Err("does not begin with arn:aws:".to_owned());
        }
        if service != "secretsmanager" {
            return Err(format!("is of {service:?}, not of secretsmanager"));
        }
        if !is_word(region) {
            return Err("names no region".to_owned());
        }
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("names no account, which has 12 digits".to_owned());
        }
        if kind != "secret" || name.is_empty() {
            return Err("names no secret".to_owned());
        }
        // As ECS takes them, a key and a version may follow: here the whole secret is read.
        if name.contains(':') {
            return Err("goes on after the secret's name, which is its end here".to_owned());
        }
        if name.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("has a character that no name has".to_owned());
        }
        Ok(Self { text: text.to_owned(), partition: partition.to_owned(), region: region.to_owned() })
    }

    /// The region that it lies in.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where Secrets Manager is asked for it, when no setting says otherwise.
    pub(crate) fn endpoint(&self) -> String {
        let suffix = if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://secretsmanager.{}.{suffix}", self.region)
    }
}

impl fmt::Display for SecretArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_secrets_are_read() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-0a1b-Ab/Cd";
        let read = SecretArn::parse(arn).unwrap();
        assert_eq!((read.region(), read.to_string().as_str()), ("eu-west-1", arn));
        assert_eq!(read.endpoint(), "https://secretsmanager.eu-west-1.amazonaws.com");
        let read = SecretArn::parse("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x").unwrap();
        assert_eq!(read.endpoint(), "https://secretsmanager.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn what_is_none_is_refused_with_what_is_wrong() {
        for (text, expected) in [
            ("arn:aws:secretsmanager:eu-west-1", "too few parts"),
            ("arn:gcp:secretsmanager:eu-west-1:123456789012:secret:x", "arn:aws:"),
            ("arn:aws:ssm:eu-west-1:123456789012:parameter:x", "not of secretsmanager"),
            ("arn:aws:secretsmanager::123456789012:secret:x", "no region"),
            ("arn:aws:secretsmanager:eu.evil/:123456789012:secret:x", "no region"),
            ("arn:aws:secretsmanager:eu-west-1:123:secret:x", "12 digits"),
            ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:", "no secret"),
            ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:x:password::", "goes on"),
            ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:x y", "no name has"),
        ] {
            let says = SecretArn::parse(text).unwrap_err();
            assert!(says.contains(expected), "{text}: {says}");
        }
    }
}
