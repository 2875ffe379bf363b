//! Addresses of the network namespace's interfaces, over rtnetlink.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, CacheInfo,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkHeader, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::failure::Failure;
use super::rtnetlink::{Assigned, Channel, Refusal};
use super::subnet::host_prefix_length;
use crate::model::Family;

/// The table that says which packets are for this machine.
const TABLE_LOCAL: u8 = 255;

/// Marks the routes of [`Kernel::hold`] as this program's (`ip route show table local proto 172`).
const OUR_PROTOCOL: RouteProtocol = RouteProtocol::Other(172);

/// Another metric than that of the kernel's own local routes, beside which IPv4 takes no second one
/// of the same metric.
const HELD_METRIC: u32 = 1024;

/// Valid for ever, in the kernel's seconds (`INFINITY_LIFE_TIME`).
const FOR_EVER: u32 = u32::MAX;

/// An interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    /// Administratively up (`IFF_UP`).
    pub(super) up: bool,
}

/// An address as the kernel lists it on one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    /// The interface.
    pub(super) index: u32,
    pub(super) prefix_length: u8,
    /// The address alone: `/32` or `/128` and no peer, as [`Kernel::add`] makes it.
    pub(super) alone: bool,
    /// Not held back by duplicate address detection.
    pub(super) usable: bool,
}

/// The network namespace of the calling thread.
#[derive(Debug)]
pub(super) struct Kernel {
    channel: Channel,
}

impl Kernel {
    /// Opens the namespace; needs no privilege.
    pub(super) fn open() -> Result<Self, Failure> {
        Ok(Self { channel: Channel::open().map_err(not_opened)? })
    }

    /// Finds an interface by its name.
    pub(super) fn interface(&mut self, name: &str) -> Result<Option<Interface>, Failure> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let mut found = None;
        let asked = self.channel.ask(RouteNetlinkMessage::GetLink(message), 0, |payload| {
            // Only the fixed header: what else an interface tells differs from kernel to kernel.
            let header = LinkHeader::parse(payload).map_err(|error| error.to_string())?;
            found =
                Some(Interface { index: header.index, up: header.flags.contains(LinkFlags::Up) });
            Ok(())
        });
        match asked {
            Ok(()) => Ok(found),
            Err(Refusal::Errno(Errno::ENODEV)) => Ok(None),
            Err(refusal) => Err(failed(format!("look up interface {name}"), refusal)),
        }
    }

    /// Lists where an address is. More than one interface may have it.
    pub(super) fn placements(&mut self, address: IpAddr) -> Result<Vec<Placement>, Failure> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        let listed = self
            .channel
            .list(&RouteNetlinkMessage::GetAddress(message), |payload| placement(payload, address))
            .map_err(|refusal| failed("list addresses".to_owned(), refusal))?;
        Ok(listed.into_iter().flatten().collect())
    }

    /// Adds an address to an interface, as `/32` or `/128`. Nothing happens if it is there.
    ///
    /// An IPv6 address is used at once, without duplicate address detection (`IFA_F_NODAD`), and is
    /// marked as deprecated, which keeps the kernel from choosing it as the source of the
    /// machine's own connections (RFC 6724, rule 3): replies would end at another site.
    pub(super) fn add(&mut self, address: IpAddr, index: u32) -> Result<(), Failure> {
        let mut message = address_message(address, index);
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_valid = FOR_EVER;
            message.attributes.push(AddressAttribute::CacheInfo(lifetime));
        }
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        match self.channel.ask(RouteNetlinkMessage::NewAddress(message), flags, ignore) {
            Ok(()) | Err(Refusal::Errno(Errno::EEXIST)) => Ok(()),
            Err(refusal) => Err(failed(format!("add {address}"), refusal)),
        }
    }

    /// Removes an address that [`Self::add`] made. Nothing happens if it is not there.
    pub(super) fn remove(&mut self, address: IpAddr, index: u32) -> Result<(), Failure> {
        let message = RouteNetlinkMessage::DelAddress(address_message(address, index));
        match self.channel.ask(message, 0, ignore) {
            Ok(()) | Err(Refusal::Errno(Errno::EADDRNOTAVAIL)) => Ok(()),
            Err(refusal) => Err(failed(format!("remove {address}"), refusal)),
        }
    }

    /// Makes the machine go on taking packets for an address that is about to be removed: a local
    /// route, which routing daemons do not announce.
    pub(super) fn hold(&mut self, address: IpAddr, loopback: u32) -> Result<(), Failure> {
        let message = RouteNetlinkMessage::NewRoute(held_route(address, loopback));
        match self.channel.ask(message, NLM_F_CREATE | NLM_F_EXCL, ignore) {
            Ok(()) | Err(Refusal::Errno(Errno::EEXIST)) => Ok(()),
            Err(refusal) => Err(failed(format!("hold {address}"), refusal)),
        }
    }

    /// The addresses of one family that [`Self::hold`] has not been ended for, by whomever.
    pub(super) fn held(family: Family) -> Result<Vec<IpAddr>, Failure> {
        let mut channel = Channel::open_strict().map_err(not_opened)?;
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: match family {
                Family::Inet => AddressFamily::Inet,
                Family::Inet6 => AddressFamily::Inet6,
            },
            table: TABLE_LOCAL,
            protocol: OUR_PROTOCOL,
            kind: RouteType::Local,
            ..RouteHeader::default()
        };
        match channel.list(&RouteNetlinkMessage::GetRoute(message), held) {
            Ok(held) => Ok(held.into_iter().flatten().collect()),
            // There is no such table yet, or no IPv6 at all.
            Err(Refusal::Errno(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT)) => {
                Ok(Vec::new())
            }
            Err(refusal) => Err(failed("list local routes".to_owned(), refusal)),
        }
    }

    /// Ends [`Self::hold`]. Nothing happens if the address is not held.
    pub(super) fn release(&mut self, address: IpAddr, loopback: u32) -> Result<(), Failure> {
        let message = RouteNetlinkMessage::DelRoute(held_route(address, loopback));
        match self.channel.ask(message, 0, ignore) {
            Ok(()) | Err(Refusal::Errno(Errno::ESRCH)) => Ok(()),
            Err(refusal) => Err(failed(format!("release {address}"), refusal)),
        }
    }
}

/// The name of an interface, or its number if it has gone meanwhile.
pub(super) fn interface_name(index: u32) -> String {
    nix::net::if_::if_indextoname(index)
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| format!("interface {index}"))
}

fn not_opened(error: io::Error) -> Failure {
    Failure::Kernel { operation: "open a netlink socket".to_owned(), cause: error.to_string() }
}

/// The address of a route that [`Kernel::hold`] has made; `None` for others, of which only the fixed
/// header is looked at.
fn held(payload: &[u8]) -> Result<Option<IpAddr>, String> {
    let header = RouteHeader::parse(payload).map_err(|error| error.to_string())?;
    if (header.table, header.protocol, header.kind) != (TABLE_LOCAL, OUR_PROTOCOL, RouteType::Local)
    {
        return Ok(None);
    }
    let message = RouteMessage::parse(payload).map_err(|error| error.to_string())?;
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    Ok(destination
        .filter(|address| message.header.destination_prefix_length == host_prefix_length(*address)))
}

fn ignore(_payload: &[u8]) -> Result<(), String> {
    Ok(())
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn address_message(address: IpAddr, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = host_prefix_length(address);
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

fn held_route(address: IpAddr, loopback: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family(address),
        destination_prefix_length: host_prefix_length(address),
        table: TABLE_LOCAL,
        protocol: OUR_PROTOCOL,
        scope: RouteScope::Host,
        kind: RouteType::Local,
        ..RouteHeader::default()
    };
    message.attributes = vec![
        RouteAttribute::Destination(address.into()),
        RouteAttribute::Oif(loopback),
        RouteAttribute::Priority(HELD_METRIC),
    ];
    message
}

/// Reads one listed address; `None` if it is another than `wanted`.
fn placement(payload: &[u8], wanted: IpAddr) -> Result<Option<Placement>, String> {
    let Assigned { index, address, peer, prefix_length, usable } = Assigned::parse(payload)?;
    let single = peer.is_none() || peer == address;
    Ok((address == Some(wanted)).then_some(Placement {
        index,
        prefix_length,
        alone: single && prefix_length == host_prefix_length(wanted),
        usable,
    }))
}

fn failed(operation: String, refusal: Refusal) -> Failure {
    let cause = match refusal {
        Refusal::Errno(Errno::EPERM) => {
            "not permitted; run as root or with CAP_NET_ADMIN".to_owned()
        }
        Refusal::Errno(errno) => format!("{} ({errno:?})", errno.desc()),
        Refusal::Broken(cause) => cause,
    };
    Failure::Kernel { operation, cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable;

    fn listed(
        address: &str,
        peer: Option<&str>,
        prefix_length: u8,
        flags: AddressFlags,
    ) -> Vec<u8> {
        let address: IpAddr = address.parse().unwrap();
        let mut message = address_message(address, 3);
        message.header.prefix_len = prefix_length;
        let peer = peer.map_or(address, |peer| peer.parse().unwrap());
        message.attributes = match address {
            IpAddr::V6(_) if peer == address => vec![AddressAttribute::Address(address)],
            _ => vec![AddressAttribute::Address(peer), AddressAttribute::Local(address)],
        };
        message.attributes.push(AddressAttribute::Flags(flags));
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    #[test]
    fn only_a_single_address_without_peer_counts_as_this_programs() {
        let plain = AddressFlags::Permanent;
        for (address, peer, prefix_length, flags, alone, usable) in [
            ("198.51.100.1", None, 32, plain, true, true),
            ("198.51.100.1", None, 24, plain, false, true),
            ("198.51.100.1", Some("198.51.100.2"), 32, plain, false, true),
            ("2001:db8::1", None, 128, plain, true, true),
            ("2001:db8::1", None, 64, plain, false, true),
            ("2001:db8::1", None, 128, AddressFlags::Dadfailed, true, false),
            ("2001:db8::1", None, 128, AddressFlags::Tentative, true, false),
            ("2001:db8::1", None, 128, AddressFlags::Deprecated, true, true),
        ] {
            let bytes = listed(address, peer, prefix_length, flags);
            let wanted = address.parse().unwrap();
            let expected = Placement { index: 3, prefix_length, alone, usable };
            assert_eq!(placement(&bytes, wanted), Ok(Some(expected)), "{address}/{prefix_length}");
            assert_eq!(placement(&bytes, "192.0.2.9".parse().unwrap()), Ok(None));
        }
    }

    #[test]
    fn only_this_programs_own_local_routes_are_held_addresses() {
        let bytes = |message: &RouteMessage| {
            let mut bytes = vec![0; message.buffer_len()];
            message.emit(&mut bytes);
            bytes
        };
        for address in ["198.51.100.1", "2001:db8::1"] {
            let address = address.parse().unwrap();
            let ours = held_route(address, 1);
            assert_eq!(held(&bytes(&ours)), Ok(Some(address)));
            for length in 0..bytes(&ours).len() {
                let _ = held(&bytes(&ours)[..length]);
            }
            let mut others = [ours.clone(), ours.clone(), ours.clone(), ours];
            others[0].header.protocol = RouteProtocol::Kernel;
            others[1].header.table = 254;
            others[2].header.kind = RouteType::Unicast;
            others[3].header.destination_prefix_length = 8;
            for other in others {
                assert_eq!(held(&bytes(&other)), Ok(None), "{other:?}");
            }
        }
    }

    #[test]
    fn a_listing_cut_anywhere_is_an_error_or_another_address_and_never_a_panic() {
        let bytes = listed("198.51.100.1", None, 32, AddressFlags::Permanent);
        for length in 0..bytes.len() {
            let _ = placement(&bytes[..length], "198.51.100.1".parse().unwrap());
        }
    }
}
