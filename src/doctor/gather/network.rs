//! Interfaces, addresses and routes, over rtnetlink.

use crate::anycast::rtnetlink::{Assigned, Channel, Refusal};
use crate::doctor::facts::{Interface, Network, Route};
use crate::model::Model;
use netlink_packet_core::Parseable;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

/// More addresses than this are not looked up: it would take a while, and a finding for each helps nobody.
const LOOK_UPS: usize = 50_000;

/// The network as far as the configuration has to do with it.
pub(super) fn network(model: &Model, unread: &mut Vec<String>) -> Network {
    let mut network = Network::default();
    if let Err(cause) = read(model, &mut network, unread) {
        unread.push(format!("interfaces and routes: {cause}"));
    }
    network
}

fn read(model: &Model, network: &mut Network, unread: &mut Vec<String>) -> Result<(), String> {
    let mut channel = Channel::open().map_err(|error| error.to_string())?;
    network.interfaces = interfaces(&mut channel)?;
    let wanted = addresses(model);
    if wanted.len() > LOOK_UPS {
        unread.push(format!("routes to {} of the addresses", wanted.len() - LOOK_UPS));
    }
    for address in wanted.into_iter().take(LOOK_UPS) {
        if let Some(route) = route(&mut channel, address)? {
            network.routes.insert(address, route);
        }
    }
    Ok(())
}

/// All addresses of services, then of servers, that have a route without naming a link.
fn addresses(model: &Model) -> Vec<IpAddr> {
    use crate::model::ServiceAddress;
    let of_service = |service: ServiceAddress| match service {
        ServiceAddress::Address { address, .. } => Some(address.ip()),
        ServiceAddress::Fwmark { .. } => None,
    };
    let services = model.services.iter().filter_map(|service| of_service(service.address));
    let servers = model.services.iter().flat_map(|service| {
        let fallbacks = service.fallbacks.iter().map(|it| it.address.ip());
        service.real_servers.iter().map(|it| it.address.ip()).chain(fallbacks)
    });
    let needs_link =
        |it: &IpAddr| matches!(it, IpAddr::V6(address) if address.is_unicast_link_local());
    let mut seen = HashSet::new();
    services.chain(servers).filter(|it| !needs_link(it) && seen.insert(*it)).collect()
}

fn interfaces(channel: &mut Channel) -> Result<BTreeMap<String, Interface>, String> {
    let links = channel
        .list(&RouteNetlinkMessage::GetLink(LinkMessage::default()), |payload| {
            // Only the fixed header: what else an interface tells differs from kernel to kernel.
            let header = LinkHeader::parse(payload).map_err(|error| error.to_string())?;
            Ok((header.index, header.flags))
        })
        .map_err(words)?;
    let mut addresses: BTreeMap<u32, Vec<IpAddr>> = BTreeMap::new();
    let listed = channel
        .list(&RouteNetlinkMessage::GetAddress(AddressMessage::default()), usable_address)
        .map_err(words)?;
    for (index, address) in listed.into_iter().flatten() {
        addresses.entry(index).or_default().push(address);
    }
    let interface = |(index, flags): (u32, LinkFlags)| {
        // One that has gone meanwhile has no name.
        let name = nix::net::if_::if_indextoname(index).ok()?.into_string().ok()?;
        let interface = Interface {
            up: flags.contains(LinkFlags::Up),
            // A dummy is not asked for addresses of the link, a tunnel is not either.
            outward: !flags.contains(LinkFlags::Loopback)
                && (!flags.contains(LinkFlags::Noarp) || flags.contains(LinkFlags::Pointopoint)),
            addresses: addresses.remove(&index).unwrap_or_default(),
        };
        Some((name, interface))
    };
    Ok(links.into_iter().filter_map(interface).collect())
}

/// An address, and the interface that has it; `None` if duplicate address detection holds it back.
fn usable_address(payload: &[u8]) -> Result<Option<(u32, IpAddr)>, String> {
    let Assigned { index, address, usable, .. } = Assigned::parse(payload)?;
    Ok(address.filter(|_| usable).map(|address| (index, address)))
}

/// The way that a packet to this address would take; `None` if the kernel's answer is not understood.
fn route(channel: &mut Channel, address: IpAddr) -> Result<Option<Route>, String> {
    let mut message = RouteMessage::default();
    message.header.address_family =
        if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
    message.attributes.push(RouteAttribute::Destination(address.into()));
    let mut found = None;
    let asked = channel.ask(RouteNetlinkMessage::GetRoute(message), 0, |payload| {
        found = way(&RouteMessage::parse(payload).map_err(|error| error.to_string())?);
        Ok(())
    });
    match asked {
        Ok(()) => Ok(found),
        Err(Refusal::Errno(errno)) => Ok(Some(Route::Nowhere(errno.desc().to_owned()))),
        Err(Refusal::Broken(cause)) => Err(cause),
    }
}

fn way(message: &RouteMessage) -> Option<Route> {
    match message.header.kind {
        RouteType::Local | RouteType::Anycast => return Some(Route::Local),
        RouteType::Unicast => {}
        RouteType::BlackHole => return Some(Route::Nowhere("a blackhole route".to_owned())),
        RouteType::Unreachable => return Some(Route::Nowhere("an unreachable route".to_owned())),
        RouteType::Prohibit => return Some(Route::Nowhere("a prohibit route".to_owned())),
        _ => return None,
    }
    let (mut interface, mut gateway) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = nix::net::if_::if_indextoname(*index).ok(),
            RouteAttribute::Gateway(RouteAddress::Inet(address))
            | RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some(IpAddr::V4(*address)),
            RouteAttribute::Gateway(RouteAddress::Inet6(address))
            | RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some(IpAddr::V6(*address)),
            _ => {}
        }
    }
    Some(Route::Out { interface: interface?.into_string().ok()?, gateway })
}

fn words(refusal: Refusal) -> String {
    match refusal {
        Refusal::Errno(errno) => errno.desc().to_owned(),
        Refusal::Broken(cause) => cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every machine that runs tests has a loopback interface.
    #[test]
    fn the_loopback_address_stays_here() {
        let mut channel = Channel::open().unwrap();
        let interfaces = interfaces(&mut channel).unwrap();
        assert!(!interfaces["lo"].outward);
        let local = route(&mut channel, "127.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(local, Some(Route::Local));
    }

    #[test]
    fn a_way_is_here_over_a_link_or_by_a_router_or_nowhere() {
        let of = |kind, attributes: Vec<RouteAttribute>| {
            let mut message = RouteMessage::default();
            message.header.kind = kind;
            message.attributes = attributes;
            way(&message)
        };
        let lo = || RouteAttribute::Oif(nix::net::if_::if_nametoindex("lo").unwrap());
        let gateway: IpAddr = "10.0.0.1".parse().unwrap();
        let out = |gateway| Some(Route::Out { interface: "lo".to_owned(), gateway });
        assert_eq!(of(RouteType::Local, vec![]), Some(Route::Local));
        assert_eq!(of(RouteType::Unicast, vec![lo()]), out(None));
        let by_router = vec![RouteAttribute::Gateway(gateway.into()), lo()];
        assert_eq!(of(RouteType::Unicast, by_router), out(Some(gateway)));
        assert!(matches!(of(RouteType::BlackHole, vec![]), Some(Route::Nowhere(_))));
        assert_eq!(of(RouteType::Multicast, vec![lo()]), None);
        assert_eq!(of(RouteType::Unicast, vec![]), None);
    }
}
