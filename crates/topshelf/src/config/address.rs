//! Where a process of a cluster is to be found: `host:port`.

use std::net::Ipv6Addr;

/// Host and port of `host:port`, an address of IPv6 in brackets; none of anything else, and of port 0.
pub(crate) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let is_of_digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_of_digits && *port != 0)?;
    is_host(host).then_some((host, port))
}

/// Whether it may stand for a host in a URL: a name, an address, one of IPv6 in brackets.
pub(crate) fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_of_name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_and_no_more() {
        assert_eq!(host_and_port("10.0.3.7:50050"), Some(("10.0.3.7", 50050)));
        assert_eq!(host_and_port("scheduler.internal:1"), Some(("scheduler.internal", 1)));
        assert_eq!(host_and_port("[::1]:50050"), Some(("[::1]", 50050)));
        for wrong in [
            "",
            "host",
            ":1",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "host:1/",
            "http://host:1",
            "::1:1",
            "a b:1",
            "me:pw@host:1",
            "[host]:1",
            " host:1",
        ] {
            assert_eq!(host_and_port(wrong), None, "{wrong}");
        }
    }
}
