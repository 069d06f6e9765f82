//! What a bucket that cannot be reached says, and what to do about it.

use crate::support::{S3Server, settings};
use domain::Log;
use source::{AwsSettings, Location, LogPattern, SourceError};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// The error of planning from `url` with these settings.
async fn refusal(url: &str, settings: &[(&str, &str)]) -> SourceError {
    let settings = AwsSettings::from_pairs(settings.iter().copied()).with_patience(Duration::from_secs(1));
    match Location::open_with(url, false, &settings) {
        Err(error) => error,
        Ok(location) => plan(&location).await.unwrap_err(),
    }
}

async fn plan(location: &Location) -> Result<usize, SourceError> {
    let pattern = LogPattern::parse("ads_views*").unwrap();
    let days = ["2024-11-20".parse().unwrap()];
    Ok(source::plan(location, Log::AdsViews, &pattern, &days, "date").await?.len())
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "hidden")];

#[tokio::test]
async fn an_endpoint_that_nobody_listens_on() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let error = refusal("s3://logs/x", &[KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL", &endpoint)]).await;
    assert_eq!(error.to_string(), "could not list s3://logs/x: Connection refused (os error 111)");
    assert!(error.is_transient());
    assert!(error.help().unwrap().contains("AWS_ENDPOINT_URL"));
}

#[tokio::test]
async fn a_bucket_that_does_not_exist() {
    let server = S3Server::start().await;
    let location = Location::open_with("s3://no-such-bucket", false, &settings(&server)).unwrap();
    let error = plan(&location).await.unwrap_err();
    assert_eq!(error.to_string(), "could not list s3://no-such-bucket: the server answered NoSuchBucket");
    assert!(error.help().unwrap().contains("bucket's name") && !error.is_transient());
}

/// A server that gives one answer to all; its endpoint.
async fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    endpoint
}

#[tokio::test]
async fn a_bucket_in_another_region_is_told_with_that() {
    let moved =
        "HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: eu-west-3\r\nContent-Length: 0\r\n\r\n";
    let error = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message><Region>eu-west-3</Region></Error>";
    let length = error.len();
    let malformed: &'static str =
        format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {length}\r\n\r\n{error}").leak();
    for (answer, told) in
        [(moved, "the bucket lies in the region eu-west-3"), (malformed, "AuthorizationHeaderMalformed")]
    {
        let endpoint = answering(answer).await;
        let error = refusal("s3://logs", &[KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL", &endpoint)]).await;
        assert!(error.to_string().contains(told), "{error}");
        assert_eq!(error.help().unwrap(), "set AWS_REGION to eu-west-3");
        assert!(error.likely_cause().unwrap().contains("another region") && !error.is_transient());
    }
}

#[tokio::test]
async fn keys_that_are_not_accepted() {
    let server = S3Server::start().await;
    let endpoint = server.environment()[0].1.clone();
    for key in ["key", "AKIDTOPSHELF"] {
        let settings = [("AWS_ACCESS_KEY_ID", key), KEYS[1], ("AWS_ENDPOINT_URL_S3", endpoint.as_str())];
        let error = refusal("s3://logs", &settings).await;
        assert!(error.to_string().starts_with("could not list s3://logs: the server answered "), "{error}");
        assert!(error.help().unwrap().contains("AWS_SECRET_ACCESS_KEY"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hidden"));
    }
}

#[tokio::test]
async fn a_public_bucket_needs_no_keys() {
    let server = S3Server::start_public().await;
    std::fs::write(server.bucket_directory().join("ads_views.csv"), "header\n").unwrap();
    let endpoint = server.environment()[0].1.clone();
    let settings =
        [("AWS_SKIP_SIGNATURE", "true"), ("AWS_PROFILE", "ignored"), ("AWS_ENDPOINT_URL", &endpoint)];
    let location = Location::open_with("s3://logs", false, &AwsSettings::from_pairs(settings)).unwrap();
    assert_eq!(plan(&location).await.unwrap(), 1);
    assert_eq!(location.url(), "s3://logs");
}

#[tokio::test]
async fn settings_that_cannot_work_are_told_before_any_request() {
    let check = async |settings: &[(&str, &str)], message: &str| {
        let error = refusal("s3://logs", settings).await;
        assert!(matches!(error, SourceError::Settings { .. }), "{error}");
        assert_eq!(error.to_string(), format!("could not open s3://logs: {message}"));
        error.help().unwrap()
    };
    let help = check(
        &[("AWS_PROFILE", "prod"), ("AWS_REGION", "eu-west-1")],
        "AWS_PROFILE is set, but profiles are not read, and there are no keys",
    );
    assert!(help.await.contains("aws configure export-credentials"));
    check(&KEYS[..1], "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set without the other").await;
    check(
        &[KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL", "localhost:9000")],
        "AWS_ENDPOINT_URL is not an http:// or https:// URL",
    )
    .await;
    check(&[KEYS[0], KEYS[1], ("AWS_SKIP_SIGNATURE", "maybe")], "failed to parse \"maybe\" as boolean").await;
}

#[tokio::test]
async fn no_credentials_anywhere() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metadata = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let server = S3Server::start().await;
    let endpoint = server.environment()[0].1.clone();
    let settings = [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_METADATA_ENDPOINT", metadata.as_str())];
    let error = refusal("s3://logs", &settings).await;
    assert_eq!(error.to_string(), "could not list s3://logs: no AWS credentials were found");
    assert!(error.help().unwrap().contains("AWS_ACCESS_KEY_ID"));
}
