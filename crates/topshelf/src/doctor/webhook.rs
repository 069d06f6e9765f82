//! The webhook that people are told by: can it be reached. Nothing is posted to it, and its path, which is a secret, is
//! not shown; a night is held without it too, so nothing here fails.

use super::{
    bucket::proxy_peer,
    network::{self, Peer},
    step::{Answer, Examined, Outcome, STEP_TIME_MAX, Section, Tell, Tried, no_answer},
    tls::{self, Handshake, Trust, Unshaken},
};
use crate::{config::Webhook, webhook};
use reqwest::Url;
use source::AwsSettings;
use std::{future::Future, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// Less than a step may take: what takes longer is told as a warning too.
const ANSWER_TIME_MAX: Duration = STEP_TIME_MAX.saturating_sub(Duration::from_secs(1));

/// Looks at the webhook; none when there is none, or when it is no URL, which the configuration tells.
pub(super) async fn examine(webhook: &Webhook, aws: &AwsSettings, tell: Tell<'_>) -> Option<(Section, bool)> {
    let steps = Vec::from(["resolve", "connect", "tls"]);
    let (url, mut examined) = match webhook::secret(webhook, aws).ok()? {
        None => (webhook.0.clone(), None),
        Some(secret) => {
            let mut steps = steps.clone();
            steps.insert(0, "secret");
            let mut examined = Examined::begin("webhook", webhook.hidden(), steps, tell);
            let tried = format!("read {secret}, with credentials of {}", aws.credential_source());
            match examined.step("secret", tried, softly(read(webhook.clone(), aws.clone()))).await {
                Some(url) => (url, Some(examined)),
                None => return Some(examined.end()),
            }
        }
    };
    let url = Url::parse(&url).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (port, is_tls) = (url.port_or_known_default()?, url.scheme() == "https");
    let proxy = network::proxy(is_tls, &host).and_then(|(variable, url)| proxy_peer(&variable, &url));
    // What lies behind a proxy is seen when something is posted.
    let is_looked_into = is_tls && proxy.is_none();
    let about = format!("{}://{host}:{port}/…", url.scheme());
    let mut examined = match examined.take() {
        Some(examined) => examined,
        None => Examined::begin("webhook", about, steps, tell),
    };
    if !is_looked_into {
        examined.leave_out("tls");
    }
    let named_by = "schedule.webhook".to_owned();
    let is_direct = proxy.is_none();
    let peer = proxy.unwrap_or(Peer { host: host.clone(), port, named_by, what: "the webhook" });
    reach(&mut examined, peer, (is_tls && is_direct).then_some(host)).await;
    Some(examined.end())
}

/// The URL that a secret holds; it is not told.
async fn read(webhook: Webhook, aws: AwsSettings) -> Tried<String> {
    match webhook::url(&webhook, &aws).await {
        Ok(url) => Ok((Answer::ok("it holds a URL"), url)),
        Err(error) => Err(Answer::failed(error.message, error.cause, error.remedy)),
    }
}

async fn reach(examined: &mut Examined<'_>, peer: Peer, with_tls: Option<String>) -> Option<()> {
    let tried = format!("look up {}", peer.host);
    let addresses = examined.step("resolve", tried, softly(network::resolve(peer.clone()))).await?;
    let tried = format!("connect to port {}", peer.port);
    let socket = examined.step("connect", tried, softly(network::connect(peer, addresses))).await?;
    let host = with_tls?;
    let tried = format!("shake hands with {host}");
    examined.step("tls", tried, softly(shake_hands(socket, host))).await
}

/// What fails is a warning.
async fn softly<T>(work: impl Future<Output = Tried<T>>) -> Tried<T> {
    let ended = timeout(ANSWER_TIME_MAX, work).await.unwrap_or_else(|_| Err(no_answer(ANSWER_TIME_MAX)));
    ended.map_err(|answer| Answer { outcome: Outcome::Warning, ..answer })
}

async fn shake_hands(socket: TcpStream, host: String) -> Tried<()> {
    let shown = match tls::shake_hands(socket, &host, &Trust::default()).await {
        Ok(Handshake { shown, .. }) => shown,
        Err(Unshaken::Broken(error)) => return Err(tls::broken(&error, "the webhook")),
        Err(Unshaken::Pem(error)) => return Err(tls::bad_machine_roots(&error)),
    };
    let told = shown.in_words();
    let Some(flaw) = &shown.flaw else { return Answer::ok(told).alone() };
    let (text, cause) = flaw.in_words(&shown.chain, &host);
    let remedy = "name the host in schedule.webhook as its certificate does, and let this machine trust its authority (SSL_CERT_FILE)";
    Err(Answer::failed(format!("{text}; shown: {told}"), cause, remedy))
}
