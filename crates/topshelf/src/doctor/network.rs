//! From a host's name to an open connection: which addresses it has, and what each of them does.

use super::step::{Answer, Tried};
use futures::future;
use std::{
    env, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// How long an address may take to answer: further away than the moon is nobody.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(4);
/// Addresses that are tried; names with more have as many that are alike.
const ADDRESSES_MAX: usize = 8;

/// Whom a connection is for, in the words of a remedy.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) host: String,
    pub(super) port: u16,
    /// The setting that names it: `store.url`.
    pub(super) named_by: String,
    /// What stands there: `PostgreSQL`.
    pub(super) what: &'static str,
}

/// Looks the host's addresses up.
pub(super) async fn resolve(peer: Peer) -> Tried<Vec<SocketAddr>> {
    let Peer { host, port, named_by, .. } = &peer;
    let found = match lookup_host((host.as_str(), *port)).await {
        Ok(found) => found.collect::<Vec<_>>(),
        Err(error) => return Err(unresolved(&error.to_string(), host, named_by)),
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(unresolved("no address", host, named_by));
    }
    let told: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    Ok((Answer::ok(told.join(", ")), addresses))
}

fn unresolved(error: &str, host: &str, named_by: &str) -> Answer {
    let (cause, remedy) = if host.ends_with(".amazonaws.com") {
        (
            "the name is misspelt, or this machine's name server cannot tell names of AWS",
            "check it in the AWS console; in a VPC, turn on enableDnsSupport and enableDnsHostnames",
        )
    } else {
        (
            "the name is misspelt, or known only to another network's name server",
            "look the name up from this machine (`getent hosts`)",
        )
    };
    Answer::failed(error, cause, format!("check the host {host:?} of {named_by}; {remedy}"))
}

/// Connects to each of the addresses at once; gives the first connection.
pub(super) async fn connect(peer: Peer, addresses: Vec<SocketAddr>) -> Tried<TcpStream> {
    let attempts = addresses.into_iter().take(ADDRESSES_MAX).map(|address| async move {
        let began = Instant::now();
        let connected = timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        (address, connected, began.elapsed())
    });
    let ended = future::join_all(attempts).await;
    let told: Vec<_> =
        ended.iter().map(|(address, result, took)| attempt_in_words(*address, result, *took)).collect();
    let told = told.join("; ");
    let failed =
        ended.iter().find_map(|(address, result, _)| Some((*address, result.as_ref().err()?.kind())));
    if let Some(socket) = ended.iter().position(|(_, result, _)| result.is_ok()) {
        let (_, socket, _) = ended.into_iter().nth(socket).expect("it was found there");
        return Ok((Answer::ok(told), socket.expect("it is connected")));
    }
    let (address, kind) = failed.expect("a name has an address");
    let (cause, remedy) = unconnected(&peer, address, kind);
    Err(Answer::failed(told, cause, remedy))
}

fn attempt_in_words(address: SocketAddr, result: &io::Result<TcpStream>, took: Duration) -> String {
    let took = took.as_secs_f64() * 1e3;
    match result {
        Ok(_) => format!("{address} connected in {took:.1} ms"),
        Err(error) => match error.kind() {
            io::ErrorKind::TimedOut => {
                format!("{address} did not answer within {} s", CONNECT_TIME_MAX.as_secs())
            }
            io::ErrorKind::ConnectionRefused => format!("{address} refused"),
            _ => format!("{address}: {error}"),
        },
    }
}

fn unconnected(peer: &Peer, address: SocketAddr, kind: io::ErrorKind) -> (String, String) {
    let Peer { host, port, named_by, what } = peer;
    match kind {
        io::ErrorKind::TimedOut => (
            "packets are dropped in silence: by a security group, a firewall or a missing route".to_owned(),
            format!(
                "allow TCP {port} from {} to {host}: on AWS in the inbound rules of its security group, for this \
                 machine's address or security group; then check network ACLs and routes between the two subnets",
                own_address(address)
            ),
        ),
        io::ErrorKind::ConnectionRefused => {
            let own = if address.ip().is_loopback() {
                "; inside a container, this host is the container itself: name the other one"
            } else {
                ""
            };
            (
                format!(
                    "the machine is there, but nothing listens at its port {port}: {what} is down, listens elsewhere, or the port is wrong"
                ),
                format!(
                    "check the port in {named_by}, and that {what} runs and listens at that address{own}"
                ),
            )
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => (
            "there is no way to that network from here".to_owned(),
            format!(
                "check this machine's routes (`ip route get {}`): a VPN, a peering or a NAT gateway is missing",
                address.ip()
            ),
        ),
        _ => (
            "the system refused to connect".to_owned(),
            format!("check host and port in {named_by}, and what this machine may connect to"),
        ),
    }
}

/// The address that this machine would send from, which rules of firewalls name. Nothing is sent.
fn own_address(to: SocketAddr) -> String {
    let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(to)?;
        socket.local_addr()
    });
    socket.map_or_else(|_| "this machine".to_owned(), |address| format!("{} (this machine)", address.ip()))
}

/// The proxy that requests to the host take, as the environment says: the variable, and the proxy's URL.
pub(super) fn proxy(is_tls: bool, host: &str) -> Option<(String, String)> {
    let variable = |name: &str| {
        [name.to_owned(), name.to_lowercase()].into_iter().find_map(|name| {
            env::var(&name).ok().filter(|value| !value.is_empty()).map(|value| (name, value))
        })
    };
    let (_, exceptions) = variable("NO_PROXY").unwrap_or_default();
    if is_exception(&exceptions, host) {
        return None;
    }
    variable(if is_tls { "HTTPS_PROXY" } else { "HTTP_PROXY" }).or_else(|| variable("ALL_PROXY"))
}

fn is_exception(exceptions: &str, host: &str) -> bool {
    exceptions.split(',').map(str::trim).any(|exception| {
        let exception = exception.trim_start_matches('.');
        exception == "*"
            || (!exception.is_empty()
                && host.strip_suffix(exception).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_hosts_and_what_is_below_them() {
        assert!(is_exception("db, .amazonaws.com", "s3.eu-west-1.amazonaws.com"));
        assert!(is_exception("amazonaws.com", "amazonaws.com"));
        assert!(is_exception("*", "x"));
        assert!(!is_exception("azonaws.com", "s3.amazonaws.com"));
        assert!(!is_exception("", "s3"));
    }

    #[test]
    fn a_remedy_names_the_port_and_where_packets_come_from() {
        let peer = Peer { host: "db".into(), port: 5432, named_by: "store.url".into(), what: "PostgreSQL" };
        let (cause, remedy) = unconnected(&peer, "127.0.0.1:5432".parse().unwrap(), io::ErrorKind::TimedOut);
        assert!(cause.contains("security group"), "{cause}");
        assert!(remedy.starts_with("allow TCP 5432 from 127.0.0.1 (this machine) to db"), "{remedy}");
    }
}
