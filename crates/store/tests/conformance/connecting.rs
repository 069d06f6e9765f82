//! Opening a store, and what the user is told when that fails.

use crate::database::{Database, chain, server_url};
use futures::future::BoxFuture;
use std::{
    future::ready,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Credentials, Login, NoLogin, Store};

async fn refused(url: &str) -> String {
    chain(&Store::open(url).await.expect_err("does not open"))
}

#[tokio::test]
async fn urls_that_name_no_database_are_refused() {
    let cases = [
        ("", "it begins with neither sqlite: nor postgres:"),
        ("mysql://root:secret@db/x", "it begins with neither sqlite: nor postgres:"),
        ("sqlite:", "it names no file"),
        ("sqlite://?mode=rwc", "it names no file"),
        ("sqlite::memory:", "what is published outlives the process: name a file"),
        ("postgres://u:12/secret@db/x", "in a password, / ? # @ must be written %2F %3F %23 %40"),
        ("postgres://u:se#secret@db/x", "in a password, / ? # @ must be written %2F %3F %23 %40"),
        ("postgres://db/x", "it names no user, and neither does PGUSER"),
        ("postgres://:secret@db/x", "it names no user, and neither does PGUSER"),
        ("postgres:///x?host=/run/pg", "it names no user, and neither does PGUSER"),
        ("postgres://u@db/x?auth=iam", "auth=iam wants a token, and nobody makes one here"),
        ("postgres://u@db/x?auth=secret", "auth is \"iam\", or is left out"),
        ("postgres://u:secret@db:port/x", "error with configuration: invalid port number"),
    ];
    for (url, reason) in cases {
        assert_eq!(
            refused(url).await,
            format!(
                "the store's URL is not understood: {reason}; expected sqlite:PATH or postgres://USER@HOST:PORT/DATABASE"
            )
        );
    }
    let misspelt = refused("postgres://u:secret@db/x?sslmod=verify-full").await;
    let expected = "the store's URL is not understood: \"sslmod\" is no parameter of it; there are sslmode, ";
    assert!(misspelt.starts_with(expected), "{misspelt}");
}

#[test]
fn what_a_database_is_called_is_a_url_of_it() {
    for called in
        ["postgres://u@db:5433/x", "postgres:///x?host=/run/pg&port=5433&user=u", "sqlite:some/topshelf.db"]
    {
        assert_eq!(store::Database::from(called).describe().unwrap(), called);
    }
}

/// Keeps nothing.
struct Nothing;

impl Credentials for Nothing {
    fn login<'s>(&'s self, _: Option<&'s Login>) -> BoxFuture<'s, Result<Login, NoLogin>> {
        let [message, cause, remedy] = ["it is gone", "nobody knows", "look for it"].map(str::to_owned);
        Box::pin(ready(Err(NoLogin { message, cause, remedy, is_transient: false })))
    }

    fn rotates(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_url_need_name_no_user_where_one_is_kept() {
    let kept = |url: &str| store::Database::from(url).with_credentials(Arc::new(Nothing));
    for called in ["postgres://db:5433/x", "postgres:///x?host=/run/pg&port=5433", "postgres://u@db:5433/x"] {
        assert_eq!(kept(called).describe().unwrap(), called);
    }
    let error = kept("postgres://db:5433").describe().unwrap_err().to_string();
    assert!(error.contains("it names neither a user nor a database"), "{error}");
    let error = chain(&Store::open(kept("postgres://db:5433/x")).await.unwrap_err());
    assert_eq!(error, "could not log in to postgres://db:5433/x: it is gone");
}

#[tokio::test]
async fn a_closed_port_is_told_at_once_with_its_address() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let asked_at = Instant::now();
    let message = refused(&format!("postgres://night:s3cr3t@127.0.0.1:{port}/shelf")).await;
    assert!(asked_at.elapsed() < Duration::from_secs(5), "{:?}", asked_at.elapsed());
    assert!(
        message.starts_with(&format!("could not connect to postgres://night@127.0.0.1:{port}/shelf: ")),
        "{message}"
    );
    assert!(message.contains("Connection refused") && !message.contains("s3cr3t"), "{message}");
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    let server = server_url();
    let (_, address) = server.rsplit_once('@').unwrap();
    let message = refused(&format!("postgres://postgres:s3cr3t@{address}")).await;
    assert!(
        message.starts_with(&format!("could not connect to postgres://postgres@{address}: ")),
        "{message}"
    );
    assert!(message.contains("password authentication failed"), "{message}");
    assert!(!message.contains("s3cr3t"), "{message}");
}

#[tokio::test]
async fn a_description_and_debug_hold_no_password() {
    let database = Database::postgres().await;
    let store = Store::open(&format!("{}?application_name=test&sslmode=prefer", database.url)).await.unwrap();
    let (scheme_and_user, rest) = database.url.split_once('@').unwrap();
    let user = scheme_and_user.rsplit_once(':').unwrap().0;
    assert_eq!(store.description(), format!("{user}@{rest}"));
    assert_eq!(format!("{store:?}"), format!("Store({user}@{rest})"));
}

#[tokio::test]
async fn a_database_to_be_read_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mis/typed.db");
    let url = format!("sqlite:{}", path.display());
    let message = chain(&Store::open_existing(&url).await.unwrap_err());
    assert_eq!(message, format!("there is no database {url}"));
    assert!(!folder.path().join("mis").exists());

    Store::open(&url).await.unwrap();
    assert_eq!(Store::open_existing(&url).await.unwrap().description(), url);
}

#[tokio::test]
async fn sqlite_makes_its_folder_and_says_when_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/topshelf.db");
    let store = Store::open(&format!("sqlite:{}", path.display())).await.unwrap();
    assert_eq!(store.description(), format!("sqlite:{}", path.display()));
    assert!(path.exists());

    let below_a_file = format!("{}/below/x.db", path.display());
    let message = refused(&format!("sqlite:{below_a_file}")).await;
    let expected = format!("could not make the folder {}/below for sqlite:{below_a_file}: ", path.display());
    assert!(message.starts_with(&expected), "{message}");

    std::fs::write(folder.path().join("text.db"), "this is no database, just text, and long enough to tell")
        .unwrap();
    let not_a_database = format!("sqlite:{}/text.db", folder.path().display());
    let message = refused(&not_a_database).await;
    assert!(message.starts_with(&format!("could not connect to {not_a_database}: ")), "{message}");
    assert!(message.contains("file is not a database"), "{message}");
}
