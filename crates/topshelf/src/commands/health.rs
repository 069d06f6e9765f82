//! `health`: whether the server that this configuration describes answers, asked where it listens.
//!
//! Container engines run it inside the container, where there is no other program. It reads the configuration and makes
//! one request; it opens no database and writes nothing.

use super::output::Output;
use crate::{
    cli::{Global, Health},
    config::{self, Serve},
    failure::{Exit, Failure},
};
use reqwest::{Client, StatusCode};
use serde::Serialize;
use std::time::Instant;

/// What is printed.
#[derive(Serialize)]
struct Told {
    url: String,
    is_healthy: bool,
    http_status: u16,
    elapsed_ms: u64,
    /// What the server says of itself.
    answer: serde_json::Value,
}

/// Asks, and fails unless the server answers with 200 in time.
pub(super) async fn health(flags: &Health, global: &Global, output: Output) -> Result<(), Failure> {
    let (config, _) = config::load(&global.flags())?;
    let path = if flags.ready { "/health/ready" } else { "/health/live" };
    let url = format!("{}{path}", origin(&config.serve)?);
    let asked = Instant::now();
    let (status, answer) = ask(&url, flags).await.map_err(|error| silent(&url, error))?;
    let elapsed_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
    let is_healthy = status == StatusCode::OK;
    let told = Told { url, is_healthy, http_status: status.as_u16(), elapsed_ms, answer };
    let line = format!("{} says {} ({status}) after {elapsed_ms} ms", told.url, word(&told.answer));
    if is_healthy {
        return output.either(&told, || line);
    }
    output.json_only(&told)?;
    Err(Failure::new(Exit::Failed, line))
}

async fn ask(url: &str, flags: &Health) -> Result<(StatusCode, serde_json::Value), reqwest::Error> {
    // The server is the one of this configuration, on this machine, whatever name its certificate was made for.
    let client = Client::builder()
        .tls_built_in_root_certs(false)
        .danger_accept_invalid_certs(true)
        .no_proxy()
        .timeout(flags.timeout)
        .build()?;
    let answer = client.get(url).send().await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    // Whatever else listens there may answer anything.
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

/// Scheme, host and port by which the server is reached from its own machine.
fn origin(serve: &Serve) -> Result<String, Failure> {
    let listen = &serve.listen;
    let (host, port) = listen.rsplit_once(':').unwrap_or((listen, ""));
    if port.parse().is_ok_and(|port: u16| port != 0) {
        let host = match host {
            "" | "0.0.0.0" => "127.0.0.1",
            "[::]" => "[::1]",
            host => host,
        };
        let scheme = if serve.tls_certificate.is_empty() { "http" } else { "https" };
        return Ok(format!("{scheme}://{host}:{port}"));
    }
    let failure = Failure::new(Exit::Usage, format!("where the server listens is not known from {listen:?}"));
    Err(failure.help("name its address: --listen 127.0.0.1:8080"))
}

fn word(answer: &serde_json::Value) -> &str {
    answer.get("status").and_then(serde_json::Value::as_str).unwrap_or("nothing that is known of topshelf")
}

fn silent(url: &str, error: reqwest::Error) -> Failure {
    let is_late = error.is_timeout();
    let failure = Failure::of(error.without_url()).within(format!("{url} does not answer"));
    failure.help(if is_late {
        "the server is there and silent: its log on stderr, and --timeout for more patience"
    } else {
        "is the server running, and does it listen there? `topshelf config` tells serve.listen"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_on_its_own_machine() {
        let origin = |listen: &str, tls_certificate: &str| {
            let serve =
                Serve { listen: listen.into(), tls_certificate: tls_certificate.into(), ..Serve::default() };
            super::origin(&serve).map_err(|failure| failure.to_string())
        };
        assert_eq!(origin("127.0.0.1:8080", ""), Ok("http://127.0.0.1:8080".into()));
        assert_eq!(origin("0.0.0.0:8080", "tls/crt.pem"), Ok("https://127.0.0.1:8080".into()));
        assert_eq!(origin("[::]:80", ""), Ok("http://[::1]:80".into()));
        assert_eq!(origin("10.1.2.3:80", ""), Ok("http://10.1.2.3:80".into()));
        assert_eq!(origin("shelf.internal:80", ""), Ok("http://shelf.internal:80".into()));
        for unknown in ["127.0.0.1:0", "127.0.0.1", "", "shelf:http"] {
            assert_eq!(
                origin(unknown, ""),
                Err(format!("where the server listens is not known from {unknown:?}"))
            );
        }
    }
}
