//! Tokens that RDS takes for a password: a request to connect, signed by the credentials of AWS, good for 15 minutes
//! (<https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html>).

use crate::{SecretError, sign::Scope};
use futures::future::BoxFuture;
use source::{AwsKeys, AwsSettings};
use std::time::{Duration, SystemTime};
use store::{Credentials, Login, NoLogin};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// For how long RDS takes a token, and after which time another is made.
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
const RENEWED_AFTER: Duration = Duration::from_secs(10 * 60);
/// Longer is not waited for credentials while there is a token that is good.
const KEYS_TIME_MAX: Duration = Duration::from_secs(5);

/// Makes tokens for one user of one database server.
pub struct RdsToken {
    aws: AwsSettings,
    host: String,
    port: u16,
    user: String,
    region: String,
    made: Mutex<Option<Made>>,
}

struct Made {
    login: Login,
    at: Instant,
    keys: AwsKeys,
}

/// Why no token can be made for a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Neither its name nor a setting tells its region.
    #[error(
        "the region is not known: the host is no name of RDS, which ends with .REGION.rds.amazonaws.com, and AWS_REGION is not set"
    )]
    NoRegion,
}

impl RdsToken {
    /// Tokens for the user at the server, in the region that its name tells, else in the one that is set.
    ///
    /// # Errors
    /// When neither tells one.
    pub fn of(host: &str, port: u16, user: &str, aws: &AwsSettings) -> Result<Self, Unfit> {
        let region = region_of(host).or(aws.region()).ok_or(Unfit::NoRegion)?.to_owned();
        let (host, user) = (host.to_owned(), user.to_owned());
        Ok(Self { aws: aws.clone(), host, port, user, region, made: Mutex::default() })
    }

    /// The region that tokens are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    fn sign(&self, keys: &AwsKeys, now: SystemTime) -> Option<String> {
        let user: String = self.user.bytes().map(encoded).collect();
        let url = format!("https://{}:{}/?Action=connect&DBUser={user}", self.host, self.port);
        let scope = Scope { service: "rds-db", region: &self.region, keys, now };
        let mut parameters = scope.parameters(&url, GOOD_FOR)?;
        // The order is of no weight to RDS; this is that of AWS's own tools.
        parameters.sort_by_key(|(name, _)| name == "X-Amz-Signature");
        let encode = |text: &str| text.bytes().map(encoded).collect::<String>();
        let parameters =
            parameters.iter().map(|(name, value)| format!("&{}={}", encode(name), encode(value)));
        Some(url.strip_prefix("https://")?.to_owned() + &parameters.collect::<String>())
    }

    async fn keys(&self) -> Result<AwsKeys, SecretError> {
        match timeout(KEYS_TIME_MAX, self.aws.keys()).await {
            Ok(given) => Ok(given?),
            Err(_) => Err(SecretError::new(
                format!("no AWS credentials within {} s", KEYS_TIME_MAX.as_secs()),
                "what gives this task, pod, service account or instance the credentials of its role did not answer",
                "check that the task, pod or instance has a role, and can reach what gives its credentials",
            )
            .transient_if(true)),
        }
    }

    fn make(&self, keys: AwsKeys) -> Result<Made, SecretError> {
        let password = self.sign(&keys, SystemTime::now()).ok_or_else(|| {
            SecretError::new(
                "no token could be made for the database",
                "its host, or the name of the user, cannot be in a URL",
                "name the host in store.url as RDS does",
            )
        })?;
        let login = Login { user: Some(self.user.clone()), password };
        Ok(Made { login, at: Instant::now(), keys })
    }
}

impl Credentials for RdsToken {
    fn login<'s>(&'s self, refused: Option<&'s Login>) -> BoxFuture<'s, Result<Login, NoLogin>> {
        Box::pin(async move {
            let mut made = self.made.lock().await;
            match (self.keys().await, &*made) {
                (Ok(keys), Some(last))
                    if keys == last.keys
                        && last.at.elapsed() < RENEWED_AFTER
                        && refused.is_none_or(|refused| *refused != last.login) => {}
                (Ok(keys), _) => *made = Some(self.make(keys)?),
                // One that is good yet may be taken.
                (Err(error), Some(last)) if last.at.elapsed() < GOOD_FOR && refused.is_none() => {
                    tracing::warn!(error = error.to_string(), "using the token made before");
                }
                (Err(error), _) => return Err(error.into()),
            }
            Ok(made.as_ref().expect("it was made").login.clone())
        })
    }

    /// A token that was just made is refused by whoever does not want it.
    fn rotates(&self) -> bool {
        false
    }
}

/// The region in a name such as `night.abc123.eu-west-1.rds.amazonaws.com`, which in China goes on the other way round.
fn region_of(host: &str) -> Option<&str> {
    let of_china = host.strip_suffix(".amazonaws.com.cn").and_then(|rest| rest.rsplit_once(".rds."));
    if let Some((_, region)) = of_china {
        return Some(region);
    }
    let rest = host.strip_suffix(".rds.amazonaws.com")?;
    rest.rsplit_once('.').map(|(_, region)| region)
}

/// A byte as a signature wants it in a query.
fn encoded(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "topshelf.abc123xyz.eu-west-1.rds.amazonaws.com";

    fn keys(token: Option<&str>) -> AwsKeys {
        AwsKeys {
            key_id: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: token.map(str::to_owned),
        }
    }

    /// What botocore 1.44.8 signs with the same keys at the same moment:
    ///
    /// ```python
    /// when = datetime.datetime(2024, 11, 21, 2, 30)
    /// client = botocore.session.get_session().create_client('rds', region_name='eu-west-1',
    ///     aws_access_key_id='AKIDEXAMPLE', aws_secret_access_key='wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
    ///     aws_session_token=token)
    /// with mock.patch('botocore.auth.get_current_datetime', lambda *_: when):
    ///     client.generate_db_auth_token('topshelf.abc123xyz.eu-west-1.rds.amazonaws.com', 5432, user)
    /// ```
    #[test]
    fn tokens_are_those_of_botocore() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_732_156_200);
        let aws = AwsSettings::from_pairs::<String, String>([]);
        for (user, token, in_url, after) in [
            (
                "night_user",
                None,
                "night_user",
                "&X-Amz-Signature=9823e60d50d24973e1c571fbea08933dee8b1984955d0d0c6ae126cebf185650",
            ),
            (
                "night+user@x y",
                None,
                "night%2Buser%40x%20y",
                "&X-Amz-Signature=5be9cf1e92c70f5be071224952538bf77720096ff163c727fb7ff7a661fed86e",
            ),
            (
                "night_user",
                Some("session/token+with=signs"),
                "night_user",
                "&X-Amz-Security-Token=session%2Ftoken%2Bwith%3Dsigns&X-Amz-Signature=ae842616eb4f1ed818d7356e17ddfa801e435c99a9ed630d1c2e5da7a762a6ce",
            ),
            (
                "night+user@x y",
                Some("session/token+with=signs"),
                "night%2Buser%40x%20y",
                "&X-Amz-Security-Token=session%2Ftoken%2Bwith%3Dsigns&X-Amz-Signature=0d4e164922c82540a50ae4f79063e17e1e8e54f26d0ea3f92eab2ece885df578",
            ),
        ] {
            let expected = format!(
                "{HOST}:5432/?Action=connect&DBUser={in_url}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20241121%2Feu-west-1%2Frds-db%2Faws4_request&X-Amz-Date=20241121T023000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host{after}"
            );
            let tokens = RdsToken::of(HOST, 5432, user, &aws).unwrap();
            assert_eq!(tokens.sign(&keys(token), now).unwrap(), expected);
        }
    }

    #[test]
    fn the_region_is_that_of_the_host_before_that_of_the_settings() {
        let region = |host: &str, settings: &[(&str, &str)]| {
            let aws = AwsSettings::from_pairs(settings.iter().copied());
            RdsToken::of(host, 5432, "night", &aws).map(|tokens| tokens.region)
        };
        let set = [("AWS_REGION", "us-east-2")];
        assert_eq!(region(HOST, &set).unwrap(), "eu-west-1");
        assert_eq!(region("a.proxy-b.eu-west-3.rds.amazonaws.com", &set).unwrap(), "eu-west-3");
        assert_eq!(region("a.b.rds.cn-north-1.amazonaws.com.cn", &set).unwrap(), "cn-north-1");
        assert_eq!(region("localhost", &set).unwrap(), "us-east-2");
        assert_eq!(region("localhost", &[("AWS_DEFAULT_REGION", "x")]).unwrap(), "x");
        assert_eq!(region("localhost", &[]), Err(Unfit::NoRegion));
    }

    fn tokens() -> RdsToken {
        let aws = AwsSettings::from_pairs([
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "EXAMPLEKEY"),
        ]);
        RdsToken::of(HOST, 5432, "night", &aws).unwrap()
    }

    async fn made_at(tokens: &RdsToken) -> Instant {
        tokens.made.lock().await.as_ref().unwrap().at
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_made_anew_before_its_end_and_when_it_is_refused() {
        let tokens = tokens();
        let first = tokens.login(None).await.unwrap();
        let began = made_at(&tokens).await;
        tokio::time::advance(RENEWED_AFTER - Duration::from_secs(1)).await;
        assert!(tokens.login(None).await.unwrap() == first && made_at(&tokens).await == began);
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = tokens.login(None).await.unwrap();
        assert_eq!(made_at(&tokens).await - began, RENEWED_AFTER);
        tokio::time::advance(Duration::from_secs(7)).await;
        tokens.login(Some(&second)).await.unwrap();
        assert_eq!(made_at(&tokens).await - began, RENEWED_AFTER + Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_made_anew_when_the_credentials_are_others() {
        let tokens = tokens();
        tokens.login(None).await.unwrap();
        let began = made_at(&tokens).await;
        tokens.made.lock().await.as_mut().unwrap().keys.session_token = Some("before".to_owned());
        tokio::time::advance(Duration::from_secs(1)).await;
        tokens.login(None).await.unwrap();
        assert_eq!(made_at(&tokens).await - began, Duration::from_secs(1));
    }
}
