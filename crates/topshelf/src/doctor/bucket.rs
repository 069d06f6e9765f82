//! From a bucket's URL to its first answer: name, connection, TLS, clock, credentials, the bucket itself.

use super::{
    clock, date,
    network::{self, Peer},
    step::{Answer, Examined, Tried},
    tls,
};
use crate::failure::Failure;
use source::{
    AwsSettings, Location, SourceError,
    probe::{BucketTarget, CredentialSource, Endpoint},
};
use tokio::{io, net::TcpStream};

/// The steps to a bucket, in order.
pub(super) const STEPS: [&str; 6] = ["resolve", "connect", "tls", "clock", "credentials", "bucket"];
/// Those of them that are about the endpoint, and so the same for all its buckets.
const STEPS_TO_ENDPOINT: usize = 4;

/// The steps to a bucket whose endpoint has answered before, or not.
pub(super) fn steps(target: &BucketTarget, answered: Option<&Endpoint>) -> Vec<&'static str> {
    let is_known = answered == Some(&target.endpoint);
    let mut steps = STEPS[if is_known { STEPS_TO_ENDPOINT } else { 0 }..].to_vec();
    steps.retain(|step| target.endpoint.is_tls || *step != "tls");
    steps
}

/// Takes the steps that [`steps`] tells; gives the bucket.
pub(super) async fn reach(
    examined: &mut Examined<'_>,
    url: &str,
    target: &BucketTarget,
    answered: Option<&Endpoint>,
    aws: &AwsSettings,
) -> Option<Location> {
    if answered != Some(&target.endpoint) {
        reach_endpoint(examined, target).await?;
    }
    let (url, settings, source) = (url.to_owned(), aws.clone(), target.credentials.clone());
    let tried = format!("ask for credentials: {source}");
    let location = examined.step("credentials", tried, credentials(url, settings, source)).await?;
    let region = match target.region_set_by {
        Some(variable) => format!("{} ({variable})", target.region),
        None => format!("{} (the default: AWS_REGION is not set)", target.region),
    };
    let tried = format!("list {} in region {region}", target.bucket);
    examined.step("bucket", tried, ask(location)).await
}

async fn reach_endpoint(examined: &mut Examined<'_>, target: &BucketTarget) -> Option<()> {
    let Endpoint { is_tls, host, port, set_by } = target.endpoint.clone();
    let named_by = set_by.clone().unwrap_or_else(|| "the region (AWS_REGION)".to_owned());
    let proxy = network::proxy(is_tls, &host);
    let through_proxy = proxy.as_ref().and_then(|(variable, url)| proxy_peer(variable, url));
    let peer = through_proxy.clone().unwrap_or(Peer { host: host.clone(), port, named_by, what: "S3" });
    let tried = match &proxy {
        Some((variable, _)) => format!("look up {}, the proxy of {variable}", peer.host),
        None => format!("look up {}", peer.host),
    };
    let addresses = examined.step("resolve", tried, network::resolve(peer.clone())).await?;
    let tried = format!("connect to port {}", peer.port);
    let socket = examined.step("connect", tried, network::connect(peer, addresses)).await?;
    if through_proxy.is_some() {
        // What lies behind a proxy is seen by the requests of the next steps.
        return Some(());
    }
    if is_tls {
        let shaken = tls::with_https(socket, host.clone(), set_by.is_none());
        let stream = examined.step("tls", format!("shake hands with {host}"), shaken).await?;
        tell_time(examined, stream, host).await;
    } else {
        tell_time::<TcpStream>(examined, socket, host).await;
    }
    Some(())
}

pub(super) fn proxy_peer(variable: &str, url: &str) -> Option<Peer> {
    let address = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    let address = address.rsplit_once('@').map_or(address, |(_, address)| address);
    let (host, port) = address.rsplit_once(':')?;
    Some(Peer {
        host: host.to_owned(),
        port: port.parse().ok()?,
        named_by: variable.to_owned(),
        what: "the proxy",
    })
}

/// A clock that is wrong is told, and nothing more: the next steps meet what comes of it.
async fn tell_time<S>(examined: &mut Examined<'_>, stream: S, host: String)
where
    S: io::AsyncRead + io::AsyncWrite + Unpin + Send + 'static,
{
    let asked = async move {
        match date::ask(stream, &host).await {
            Some(reading) => clock::judge("S3", reading).alone(),
            None => Ok((Answer::ok("the server tells no time"), ())),
        }
    };
    examined.step("clock", "ask for the server's time", asked).await;
}

async fn credentials(url: String, settings: AwsSettings, source: CredentialSource) -> Tried<Location> {
    let location = Location::open_with(&url, false, &settings).map_err(refused)?;
    if source == CredentialSource::Unsigned {
        return Ok((Answer::ok("none are wanted: requests are not signed"), location));
    }
    let key = location.access_key().await.map_err(refused)?.unwrap_or_default();
    // The name of a key is no secret, but need not be whole in a ticket.
    let shown = key.char_indices().rev().nth(3).map_or(key.as_str(), |(start, _)| &key[start..]);
    Ok((Answer::ok(format!("an access key that ends with {shown}")), location))
}

async fn ask(location: Location) -> Tried<Location> {
    let has_any = location.has_any_object().await.map_err(refused)?;
    let told = if has_any == Some(true) {
        "it is there, and may be listed"
    } else {
        "it is there, and nothing is in it below the prefix"
    };
    Ok((Answer::ok(told), location))
}

/// What a place refused, told as the night tells it, with the likeliest cause.
pub(super) fn refused(error: SourceError) -> Answer {
    let cause = error.likely_cause().unwrap_or("see what came back");
    Answer::of(&Failure::from(error), cause)
}
