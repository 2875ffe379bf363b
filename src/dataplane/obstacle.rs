//! What keeps the answers to checks through a service from this machine.
//!
//! They come from the virtual address, which is this machine's own in most setups. IPv4 drops a
//! packet from an address of the machine itself unless `accept_local` is on, and a strict `rp_filter`
//! where the way to the address is another interface (Linux's ip-sysctl.rst). IPv6 asks neither.

use crate::model::ServicePath;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address and the interface of it.
type Own = (IpAddr, String);

/// Why an answer cannot come back along a path, as the machine is now; `None` if it can.
pub fn obstacle(path: &ServicePath) -> Option<String> {
    let sources = match source_towards(path.address) {
        Ok(source) => [source, source_towards(path.server).ok()?],
        Err(error) => return Some(format!("no route to {}: {error}", path.address)),
    };
    let IpAddr::V4(_) = path.address else { return None };
    find(path.address, sources, &own_addresses(), |interface, name| {
        let setting = format!("/proc/sys/net/ipv4/conf/{interface}/{name}");
        fs::read_to_string(setting).ok()?.trim().parse().ok()
    })
}

/// `sources`: the addresses that packets to the virtual address and to the server leave from.
fn find(
    address: IpAddr,
    sources: [IpAddr; 2],
    own: &[Own],
    setting: impl Fn(&str, &str) -> Option<u8>,
) -> Option<String> {
    let on = |address| own.iter().find(|(it, _)| *it == address).map(|(_, name)| name.as_str());
    let towards = on(sources[1])?;
    let effective = |name| Some(setting("all", name)?.max(setting(towards, name)?));
    if on(address).is_some() && effective("accept_local")? == 0 {
        return Some(format!(
            "answers from {address} are dropped: net.ipv4.conf.{towards}.accept_local is 0"
        ));
    }
    let at = on(address).or_else(|| on(sources[0]))?;
    if at != towards && effective("rp_filter")? == 1 {
        return Some(format!(
            "answers from {address} are dropped: net.ipv4.conf.{towards}.rp_filter is 1"
        ));
    }
    None
}

/// The address that packets to another leave from.
fn source_towards(other: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match other {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((other, 9))?;
    Ok(socket.local_addr()?.ip())
}

fn own_addresses() -> Vec<Own> {
    let entries = getifaddrs().into_iter().flatten();
    let address = |storage: SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|it| SocketAddr::V4((*it).into()).ip());
        v4.or_else(|| storage.as_sockaddr_in6().map(|it| SocketAddr::V6((*it).into()).ip()))
    };
    let of = |entry: nix::ifaddrs::InterfaceAddress| {
        Some((entry.address.and_then(address)?, entry.interface_name))
    };
    entries.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_drops_answers_from_its_own_address() {
        let [vip, own, elsewhere, other] = ["192.0.2.1", "10.0.2.1", "192.0.2.9", "10.0.3.1"]
            .map(|it| it.parse::<IpAddr>().unwrap());
        let on = |at: &str| {
            [(vip, at), (own, "eth0"), (other, "eth1")].map(|(it, name)| (it, name.to_owned()))
        };
        let told = |address, at: &str, settings: &[(&str, &str, u8)]| {
            find(address, [other, own], &on(at), |interface, name| {
                let found = settings.iter().find(|it| (it.0, it.1) == (interface, name));
                Some(found.map_or(0, |it| it.2))
            })
        };
        let local = |at| (at, "accept_local", 1);
        let strict = |at| (at, "rp_filter", 1);
        let loose = |at| (at, "rp_filter", 2);
        assert_eq!(told(elsewhere, "lo", &[]), None, "not ours");
        assert!(told(elsewhere, "lo", &[strict("eth0")]).is_some(), "its way is eth1");
        let text = told(vip, "lo", &[local("eth1")]).unwrap();
        assert!(text.ends_with("net.ipv4.conf.eth0.accept_local is 0"), "{text}");
        for at in ["all", "eth0"] {
            assert_eq!(told(vip, "lo", &[local(at)]), None);
            let text = told(vip, "lo", &[local("all"), strict(at)]).unwrap();
            assert!(text.ends_with("net.ipv4.conf.eth0.rp_filter is 1"), "{text}");
            assert_eq!(told(vip, "eth0", &[local("all"), strict(at)]), None, "the same interface");
        }
        assert_eq!(told(vip, "lo", &[local("all"), strict("all"), loose("eth0")]), None);
    }
}
