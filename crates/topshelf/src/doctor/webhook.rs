//! The webhook that people are told by: can it be reached. Nothing is posted to it, and its path, which is a secret, is
//! not shown; a night is held without it too, so nothing here fails.

use super::{
    bucket::proxy_peer,
    network::{self, Peer},
    step::{Answer, Examined, Outcome, STEP_TIME_MAX, Section, Tell, Tried, no_answer},
    tls::{self, Handshake, Trust, Unshaken},
};
use reqwest::Url;
use std::{future::Future, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// Less than a step may take: what takes longer is told as a warning too.
const ANSWER_TIME_MAX: Duration = STEP_TIME_MAX.saturating_sub(Duration::from_secs(1));

/// Looks at the webhook; none when there is none, or when it is no URL, which the configuration tells.
pub(super) async fn examine(url: &str, tell: Tell<'_>) -> Option<(Section, bool)> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (port, is_tls) = (url.port_or_known_default()?, url.scheme() == "https");
    let mut steps = vec!["resolve", "connect"];
    let proxy = network::proxy(is_tls, &host).and_then(|(variable, url)| proxy_peer(&variable, &url));
    // What lies behind a proxy is seen when something is posted.
    steps.extend((is_tls && proxy.is_none()).then_some("tls"));
    let about = format!("{}://{host}:{port}/…", url.scheme());
    let mut examined = Examined::begin("webhook", about, steps, tell);
    let named_by = "schedule.webhook".to_owned();
    let is_direct = proxy.is_none();
    let peer = proxy.unwrap_or(Peer { host: host.clone(), port, named_by, what: "the webhook" });
    reach(&mut examined, peer, (is_tls && is_direct).then_some(host)).await;
    Some(examined.end())
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
