//! User and password of a database, kept as a secret that somebody may change at any moment.

use crate::{Secret, SecretError};
use futures::future::BoxFuture;
use serde_json::Value;
use std::time::Duration;
use store::{Credentials, Login, NoLogin};
use tokio::{sync::Mutex, time::Instant};

/// What was read is taken for what is kept for so long: of a file, and of AWS, which each question costs money.
const FILE_GOOD_FOR: Duration = Duration::from_secs(1);
const ANSWER_GOOD_FOR: Duration = Duration::from_secs(300);
/// The same after it could not be read again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// What a database is logged in to with, kept as a secret.
pub struct KeptLogin {
    secret: Secret,
    kept: Mutex<Option<Kept>>,
}

/// What was read last.
struct Kept {
    login: Login,
    look_again_at: Instant,
    /// Whether it could not be read again: a trouble is told when it begins and when it is over.
    is_in_trouble: bool,
}

impl KeptLogin {
    /// What the secret holds: a password, or JSON as RDS keeps it.
    #[must_use]
    pub fn of(secret: Secret) -> Self {
        Self { secret, kept: Mutex::default() }
    }

    fn good_for(&self) -> Duration {
        if self.secret.is_file() { FILE_GOOD_FOR } else { ANSWER_GOOD_FOR }
    }

    async fn first(&self) -> Result<Kept, SecretError> {
        let login = self.parse(&self.secret.read().await?)?;
        Ok(Kept { login, look_again_at: Instant::now() + self.good_for(), is_in_trouble: false })
    }

    /// Looks again; what was read last stays when that fails.
    async fn refresh(&self, kept: &mut Kept) {
        let read = self.secret.read_once().await.and_then(|text| self.parse(&text));
        let now = Instant::now();
        match read {
            Ok(login) => {
                let is_other = login != kept.login;
                if is_other || kept.is_in_trouble {
                    tracing::info!(is_other, "read {} again", self.secret);
                }
                *kept = Kept { login, look_again_at: now + self.good_for(), is_in_trouble: false };
            }
            Err(error) => {
                if !kept.is_in_trouble {
                    let (error, remedy) = (error.to_string(), error.remedy);
                    tracing::warn!(error, remedy, "using what was read before");
                }
                kept.is_in_trouble = true;
                kept.look_again_at = now + PAUSE_AFTER_FAILURE.min(self.good_for());
            }
        }
    }

    fn parse(&self, text: &str) -> Result<Login, SecretError> {
        if !text.trim_start().starts_with('{') {
            return Ok(Login { user: None, password: text.to_owned() });
        }
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
            return Err(self.unlike("begins like JSON, and is none"));
        };
        let of = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(password) = of("password") else {
            return Err(self.unlike("is JSON without a \"password\""));
        };
        Ok(Login { user: of("username").map(str::to_owned), password: password.to_owned() })
    }

    fn unlike(&self, says: &str) -> SecretError {
        self.secret.unlike(
            says,
            "it is another secret than the database's, or was written by hand",
            "it must be the password itself, or JSON as RDS keeps it: {\"username\": \"…\", \"password\": \"…\"}",
        )
    }
}

impl Credentials for KeptLogin {
    fn login<'s>(&'s self, refused: Option<&'s Login>) -> BoxFuture<'s, Result<Login, NoLogin>> {
        Box::pin(async move {
            let mut kept = self.kept.lock().await;
            match &mut *kept {
                None => *kept = Some(self.first().await?),
                Some(kept) => {
                    let is_refused = refused.is_some_and(|refused| *refused == kept.login);
                    if is_refused || Instant::now() >= kept.look_again_at {
                        self.refresh(kept).await;
                    }
                }
            }
            Ok(kept.as_ref().expect("it was read").login.clone())
        })
    }

    fn rotates(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use source::AwsSettings;
    use std::{fs, path::Path};

    fn kept(file: &Path) -> KeptLogin {
        let aws = AwsSettings::from_pairs::<String, String>([]);
        KeptLogin::of(Secret::named("store.secret", file.to_str().unwrap(), &aws).unwrap())
    }

    fn login(user: Option<&str>, password: &str) -> Login {
        Login { user: user.map(str::to_owned), password: password.to_owned() }
    }

    #[tokio::test]
    async fn a_file_has_the_password_or_what_rds_writes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let rds = r#"{"username":"night","password":"p\"w","engine":"postgres","host":"h","port":5432,"dbname":"d"}"#;
        for (text, expected) in [
            ("pass word \n", Ok(login(None, "pass word "))),
            ("p\r\n", Ok(login(None, "p"))),
            (rds, Ok(login(Some("night"), "p\"w"))),
            ("{\"password\":\"x\"}\n", Ok(login(None, "x"))),
            ("\n", Err("is empty")),
            ("{\"username\":\"night\"}", Err("JSON without a \"password\"")),
            ("{\"password\":\"\"}", Err("JSON without a \"password\"")),
            ("{hunter2", Err("begins like JSON, and is none")),
        ] {
            fs::write(&file, text).unwrap();
            match (kept(&file).login(None).await, expected) {
                (Ok(read), Ok(expected)) => assert!(read == expected, "{text}"),
                (Err(error), Err(expected)) => {
                    assert!(error.message.contains(expected), "{error}");
                    assert!(!format!("{error:?}").contains("hunter2"));
                }
                (read, expected) => panic!("{text}: {read:?} {expected:?}"),
            }
        }
        fs::remove_file(&file).unwrap();
        let error = kept(&file).login(None).await.unwrap_err();
        assert!(error.remedy.contains("check store.secret") && !error.is_transient, "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_read_at_once_and_else_when_it_is_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "old").unwrap();
        let kept = kept(&file);
        let old = kept.login(None).await.unwrap();
        fs::write(&file, "new").unwrap();
        assert_eq!(kept.login(None).await.unwrap().password, "old", "it is not time yet");
        assert_eq!(kept.login(Some(&old)).await.unwrap().password, "new");
        fs::write(&file, "newer").unwrap();
        // Somebody else was refused, with what is not kept any more.
        assert_eq!(kept.login(Some(&old)).await.unwrap().password, "new");
        tokio::time::advance(FILE_GOOD_FOR).await;
        assert_eq!(kept.login(None).await.unwrap().password, "newer");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_again_goes_on_being_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "old").unwrap();
        let kept = kept(&file);
        let old = kept.login(None).await.unwrap();
        fs::remove_file(&file).unwrap();
        assert!(kept.login(Some(&old)).await.unwrap() == old);
        fs::write(&file, "{").unwrap();
        tokio::time::advance(FILE_GOOD_FOR).await;
        assert!(kept.login(None).await.unwrap() == old);
        fs::write(&file, "new").unwrap();
        tokio::time::advance(FILE_GOOD_FOR).await;
        assert_eq!(kept.login(None).await.unwrap().password, "new");
    }
}
