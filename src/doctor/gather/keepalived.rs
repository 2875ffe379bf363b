//! The virtual servers of keepalived, which programs the same table.

use super::{processes, read};
use crate::model::{Family, Protocol, ServiceAddress};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// Where Debian and others have it.
const CONFIG: &str = "/etc/keepalived/keepalived.conf";

/// Nobody writes more.
const LIMIT: u64 = 16 << 20;

/// The services of a keepalived that runs, as far as they stand in its main file.
pub(super) fn services(unread: &mut Vec<String>) -> BTreeSet<ServiceAddress> {
    if !processes().any(|name| name == "keepalived") {
        return BTreeSet::new();
    }
    match read(CONFIG, LIMIT) {
        Ok(text) => parse(&text),
        Err(error) => {
            unread.push(format!("the services of keepalived: {CONFIG}: {error}"));
            BTreeSet::new()
        }
    }
}

/// `virtual_server ADDRESS PORT {` and `virtual_server fwmark MARK {`; within, `protocol UDP`.
fn parse(text: &str) -> BTreeSet<ServiceAddress> {
    let mut services = BTreeSet::new();
    let mut current = None;
    for line in text.lines() {
        let line = line.split(['#', '!']).next().unwrap_or_default();
        let words: Vec<&str> = line.split([' ', '\t', '{']).filter(|it| !it.is_empty()).collect();
        match words[..] {
            ["virtual_server", ..] => {
                services.extend(current.take());
                current = service(&words[1..]);
            }
            ["protocol", word] => {
                if let Some(ServiceAddress::Address { protocol, .. }) = &mut current
                    && word.eq_ignore_ascii_case("udp")
                {
                    *protocol = Protocol::Udp;
                }
            }
            _ => {}
        }
    }
    services.extend(current);
    services
}

fn service(words: &[&str]) -> Option<ServiceAddress> {
    match words {
        ["fwmark", mark, family @ ..] => {
            let family = if family.contains(&"inet6") { Family::Inet6 } else { Family::Inet };
            Some(ServiceAddress::Fwmark { family, mark: mark.parse().ok()? })
        }
        [address, port, ..] => {
            let address = SocketAddr::new(address.parse::<IpAddr>().ok()?, port.parse().ok()?);
            Some(ServiceAddress::Address { protocol: Protocol::Tcp, address })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_servers_are_found_with_their_protocol() {
        let text = "! a comment\nvrrp_instance V {\n  state MASTER\n}\n\
                    virtual_server 192.0.2.1 80 {\n  delay_loop 3\n  protocol TCP\n  real_server 10.0.0.1 80 {\n  }\n}\n\
                    virtual_server 192.0.2.1 53{\n  protocol UDP\n}\n\
                    virtual_server fwmark 7 {\n}\n#virtual_server 192.0.2.9 80 {\n\
                    virtual_server group web {\n}\nvirtual_server_group web {\n 192.0.2.8 80\n}\n\
                    virtual_server 2001:db8::1 80 {\n}\n";
        let ids: Vec<String> = parse(text).into_iter().map(ServiceAddress::id).collect();
        assert_eq!(ids, ["tcp:192.0.2.1:80", "tcp:[2001:db8::1]:80", "udp:192.0.2.1:53", "fwm:7"]);
    }
}
