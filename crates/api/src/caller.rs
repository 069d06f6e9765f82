//! Who asks: the address that a request comes from, and as whom it is counted.
//!
//! The address of the connection's other end and `X-Forwarded-For` enter; an address leaves. The header is
//! believed from the configured proxies alone, and of it only what such a proxy has written: the rightmost address that
//! is no proxy's. What cannot be understood leaves the address of the connection's other end. `Forwarded` (RFC 7239) and
//! `X-Real-IP` are not read.

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use store::KeyId;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// More proxies than that stand behind each other nowhere: such a header was made up.
const HOPS_MAX: usize = 32;

/// What of an IPv6 address names its network: a client chooses the rest at will.
const IPV6_NETWORK: u128 = !(u64::MAX as u128);

/// Networks of addresses, such as those of the proxies.
#[derive(Debug, Clone, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// The networks written as `10.0.0.0/8`, `2001:db8::/32`, or an address for itself alone.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, String> {
        let parse = |text: &T| {
            let text = text.as_ref();
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| text.to_owned())
        };
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// As whom a request is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// Whoever holds a key, from wherever.
    Key(KeyId),
    /// Whoever asks from an address, or, with IPv6, from its network of 64 bits.
    Address(IpAddr),
}

impl Caller {
    /// As whom an address is counted.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & IPV6_NETWORK).into(),
        })
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    address: IpAddr,
    is_proxy: bool,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, proxies: &Networks) -> Self {
        let address = address.to_canonical();
        Self { address, is_proxy: proxies.contain(address) }
    }

    pub(crate) fn address(self) -> IpAddr {
        self.address
    }

    /// As whom its connections are counted; a proxy's are not, since they are of many.
    pub(crate) fn caller(self) -> Option<Caller> {
        (!self.is_proxy).then(|| Caller::at(self.address))
    }

    /// The address that a request with `headers` comes from.
    pub(crate) fn address_of(self, headers: &HeaderMap, proxies: &Networks) -> IpAddr {
        if !self.is_proxy {
            return self.address;
        }
        forwarded_for(headers, proxies).unwrap_or(self.address)
    }
}

/// The rightmost address of `X-Forwarded-For` that is no proxy's, or the leftmost when all are: then a client stands among
/// them. None when there is none, or something else on the way to it.
fn forwarded_for(headers: &HeaderMap, proxies: &Networks) -> Option<IpAddr> {
    let mut leftmost = None;
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for (index, hop) in hops.enumerate() {
        let address = (index < HOPS_MAX).then_some(hop).and_then(parse_hop)?;
        if !proxies.contain(address) {
            return Some(address);
        }
        leftmost = Some(address);
    }
    leftmost
}

/// An address, which some proxies write with its port.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXIES: [&str; 3] = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"];

    /// The address of a request from `peer` with those lines of `X-Forwarded-For`.
    fn check(peer: &str, lines: &[&str], expected: &str) {
        let proxies = Networks::parse(&PROXIES).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let address = Peer::new(peer.parse().unwrap(), &proxies).address_of(&headers, &proxies);
        assert_eq!(address.to_string(), expected, "{peer} {lines:?}");
    }

    #[test]
    fn who_is_no_proxy_is_not_believed() {
        check("203.0.113.9", &[], "203.0.113.9");
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("192.0.2.8", &["198.51.100.1"], "192.0.2.8");
        check("::ffff:203.0.113.9", &["198.51.100.1"], "203.0.113.9");
    }

    #[test]
    fn of_a_proxys_header_the_rightmost_address_that_is_no_proxys_counts() {
        for proxy in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "192.0.2.7"] {
            check(proxy, &["198.51.100.1"], "198.51.100.1");
        }
        let proxy = "10.1.2.3";
        check(proxy, &["198.51.100.1, 203.0.113.9"], "203.0.113.9");
        check(proxy, &["198.51.100.1,203.0.113.9 , 10.9.9.9,2001:db8::5"], "203.0.113.9");
        check(proxy, &["198.51.100.1", "203.0.113.9, 10.9.9.9", "192.0.2.7"], "203.0.113.9");
        check(proxy, &["garbage, 203.0.113.9"], "203.0.113.9");
        check(proxy, &["2001:4860::8"], "2001:4860::8");
        check(proxy, &["::ffff:203.0.113.9"], "203.0.113.9");
        check(proxy, &["203.0.113.9:4711"], "203.0.113.9");
        check(proxy, &["[2001:4860::8]:4711, 10.9.9.9:80"], "2001:4860::8");
        check(proxy, &["[2001:4860::8]"], "2001:4860::8");
    }

    #[test]
    fn a_client_may_stand_among_the_proxies() {
        check("10.1.2.3", &["10.7.7.7, 10.9.9.9"], "10.7.7.7");
    }

    #[test]
    fn what_cannot_be_understood_leaves_the_proxys_own_address() {
        let proxy = "10.1.2.3";
        check(proxy, &[], proxy);
        for garbage in
            ["", ",", "unknown", "203.0.113.9,", "203.0.113.9, _hidden", "203.0.113.256", "1.2.3.4 5.6.7.8"]
        {
            check(proxy, &[garbage], proxy);
        }
        check(proxy, &["203.0.113.9, 10.9.9.9, x, 10.9.9.8"], proxy);
        let many = vec!["10.0.0.1"; HOPS_MAX + 1].join(",");
        check(proxy, &[&many], proxy);
        let proxies = Networks::parse(&PROXIES).unwrap();
        let headers = HeaderMap::from_iter([(FORWARDED_FOR, b"\xff\xfe"[..].try_into().unwrap())]);
        let peer = Peer::new(proxy.parse().unwrap(), &proxies);
        assert_eq!(peer.address_of(&headers, &proxies).to_string(), proxy);
    }

    #[test]
    fn of_ipv6_the_network_is_counted() {
        let caller = |text: &str| Caller::at(text.parse().unwrap());
        assert_eq!(caller("2001:4860:0:7::1"), caller("2001:4860:0:7:ffff::2"));
        assert_ne!(caller("2001:4860:0:7::1"), caller("2001:4860:0:8::1"));
        assert_ne!(caller("198.51.100.1"), caller("198.51.100.2"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        assert_eq!(Networks::parse(&["10.0.0.0/8", "10.0.0.0/33"]).unwrap_err(), "10.0.0.0/33");
        assert_eq!(Networks::parse(&["vpc"]).unwrap_err(), "vpc");
    }
}
