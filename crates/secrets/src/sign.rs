//! Signatures of AWS, version 4. What is signed, and by what clock, comes in as arguments.

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4::SigningParams,
};
use source::AwsKeys;
use std::time::{Duration, SystemTime};
use tracing::subscriber::{NoSubscriber, with_default};

/// Whom a signature is for, by which keys, and when.
pub(crate) struct Scope<'a> {
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) keys: &'a AwsKeys,
    pub(crate) now: SystemTime,
}

/// Names and values that a request is to be sent with, or a URL to go on with.
pub(crate) type Pairs = Vec<(String, String)>;

impl Scope<'_> {
    /// The headers that sign a POST of `body`; none when a header or the URL cannot be one.
    pub(crate) fn headers(&self, url: &str, headers: &[(&str, &str)], body: &str) -> Option<Pairs> {
        let body = SignableBody::Bytes(body.as_bytes());
        let request = SignableRequest::new("POST", url, headers.iter().copied(), body).ok()?;
        let (headers, _) = self.signed(request, SigningSettings::default())?;
        Some(headers)
    }

    /// The parameters that make the URL one that is good for so long; none when it is none.
    pub(crate) fn parameters(&self, url: &str, good_for: Duration) -> Option<Pairs> {
        let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(&[])).ok()?;
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(good_for);
        let (_, parameters) = self.signed(request, settings)?;
        Some(parameters)
    }

    fn signed(&self, request: SignableRequest<'_>, settings: SigningSettings) -> Option<(Pairs, Pairs)> {
        let AwsKeys { key_id, secret_key, session_token } = self.keys.clone();
        let identity = Credentials::new(key_id, secret_key, session_token, None, "topshelf").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(self.now)
            .settings(settings);
        let params = params.build().ok()?.into();
        // It would tell whoever wants to know all what it signs, session tokens among that.
        let signed = with_default(NoSubscriber::new(), || sign(request, &params)).ok()?;
        let (instructions, _) = signed.into_parts();
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let headers = instructions.headers().map(owned).collect();
        let parameters = instructions.params().iter().map(|(name, value)| owned((name, value))).collect();
        Some((headers, parameters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What botocore 1.44.8 signs with the same keys at the same moment:
    ///
    /// ```python
    /// request = AWSRequest('POST', 'https://secretsmanager.eu-west-1.amazonaws.com', data=body,
    ///     headers={'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'secretsmanager.GetSecretValue'})
    /// keys = Credentials('AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', token)
    /// with mock.patch('botocore.auth.get_current_datetime', lambda *_: datetime.datetime(2024, 11, 21, 2, 30)):
    ///     SigV4Auth(keys, 'secretsmanager', 'eu-west-1').add_auth(request)
    /// ```
    #[test]
    fn requests_are_signed_as_by_botocore() {
        let body = r#"{"SecretId":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-Ab12Cd"}"#;
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "secretsmanager.GetSecretValue"),
        ];
        let url = "https://secretsmanager.eu-west-1.amazonaws.com";
        for (token, expected) in [
            (
                None,
                "SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=3c7ddff50c92b99e9cd8df0c02b0f68da40bd6ba7713f2629462599ec4ad8e3b",
            ),
            (
                Some("session/token+with=signs"),
                "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=4d77e525ea9664274a53112aed2218446b494d6136c29e2e70829db5ce4c598e",
            ),
        ] {
            let keys = AwsKeys {
                key_id: "AKIDEXAMPLE".to_owned(),
                secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
                session_token: token.map(str::to_owned),
            };
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_732_156_200);
            let scope = Scope { service: "secretsmanager", region: "eu-west-1", keys: &keys, now };
            let signed = scope.headers(url, &headers, body).unwrap();
            let of = |name: &str| signed.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
            let scope = "AKIDEXAMPLE/20241121/eu-west-1/secretsmanager/aws4_request";
            assert_eq!(
                of("authorization"),
                Some(&*format!("AWS4-HMAC-SHA256 Credential={scope}, {expected}"))
            );
            assert_eq!((of("x-amz-date"), of("x-amz-security-token")), (Some("20241121T023000Z"), token));
        }
    }
}
