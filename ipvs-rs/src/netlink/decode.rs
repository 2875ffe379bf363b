//! Replies: attributes back to the crate's types. Every length and value is checked, since the
//! sender is another program, even if it is the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLA_HEADER_SIZE, NlasIterator};
use netlink_packet_generic::GenlHeader;
use netlink_packet_generic::constants::{CTRL_ATTR_FAMILY_ID, GENL_HDRLEN};

use super::attribute::{
    AF_INET, AF_INET6, Attribute, cmd, command, daemon, dest, forwarding, info, protocol,
    service_flag, stats, svc, tunnel,
};
use crate::{
    Destination, DestinationEntry, Family, Forwarding, Info, Netmask, Persistence, Protocol,
    SchedulerFlags, Service, ServiceEntry, ServiceKey, Stats, SyncDaemon, SyncRole, Timeouts,
    Tunnel, TunnelFlags, TunnelKind, Version,
};

/// What is wrong with a reply, in words.
pub(crate) type Malformed = String;

/// The number of a generic netlink family, from the controller's reply.
pub(crate) fn family(payload: &[u8]) -> Result<u16, Malformed> {
    const FAMILY_ID: Attribute =
        Attribute { number: CTRL_ATTR_FAMILY_ID, name: "CTRL_ATTR_FAMILY_ID" };
    // Read by hand, since netlink_packet_generic's parser refuses attributes of newer kernels.
    Attributes::parse(payload.get(GENL_HDRLEN..).ok_or("no generic netlink header")?)?
        .u16(FAMILY_ID)
}

/// A listed service.
pub(crate) fn service(payload: &[u8]) -> Result<ServiceEntry, Malformed> {
    let attributes = body(payload, command::NEW_SERVICE)?.nest(cmd::SERVICE)?;
    let family = family_of(attributes.u16(svc::AF)?)?;
    let flags = attributes.array::<8>(svc::FLAGS)?;
    let flags = u32::from_ne_bytes([flags[0], flags[1], flags[2], flags[3]]);
    let service = Service {
        key: key(&attributes, family)?,
        scheduler: attributes.text(svc::SCHED_NAME)?,
        scheduler_flags: SchedulerFlags::from_bits(
            ((flags & service_flag::SCHED) / service_flag::SCHED1) as u8,
        ),
        persistence: match flags & service_flag::PERSISTENT {
            0 => None,
            _ => Some(persistence(&attributes, family)?),
        },
        one_packet: flags & service_flag::ONE_PACKET != 0,
        persistence_engine: match attributes.has(svc::PE_NAME) {
            true => Some(attributes.text(svc::PE_NAME)?),
            false => None,
        },
    };
    Ok(ServiceEntry { service, stats: stats(&attributes, svc::STATS64, svc::STATS)? })
}

fn key(attributes: &Attributes<'_>, family: Family) -> Result<ServiceKey, Malformed> {
    if attributes.has(svc::FWMARK) {
        return Ok(ServiceKey::Fwmark { family, mark: attributes.u32(svc::FWMARK)? });
    }
    let protocol = match attributes.u16(svc::PROTOCOL)? {
        protocol::TCP => Protocol::Tcp,
        protocol::UDP => Protocol::Udp,
        protocol::SCTP => Protocol::Sctp,
        other => return Err(format!("{}: unknown protocol {other}", svc::PROTOCOL.name)),
    };
    Ok(ServiceKey::Address {
        protocol,
        address: attributes.address(svc::ADDR, family)?,
        port: attributes.port(svc::PORT)?,
    })
}

fn persistence(attributes: &Attributes<'_>, family: Family) -> Result<Persistence, Malformed> {
    let netmask = match family {
        Family::Inet => Netmask::V4(Ipv4Addr::from(attributes.array::<4>(svc::NETMASK)?)),
        Family::Inet6 => match u8::try_from(attributes.u32(svc::NETMASK)?) {
            Ok(length @ 1..=128) => Netmask::V6(length),
            _ => return Err(format!("{}: not a prefix length of IPv6", svc::NETMASK.name)),
        },
    };
    Ok(Persistence { timeout_seconds: attributes.u32(svc::TIMEOUT)?, netmask })
}

/// A listed destination of a service of `service_family`.
pub(crate) fn destination(
    payload: &[u8],
    service_family: Family,
) -> Result<DestinationEntry, Malformed> {
    let attributes = body(payload, command::NEW_DEST)?.nest(cmd::DEST)?;
    let family = match attributes.has(dest::ADDR_FAMILY) {
        true => family_of(attributes.u16(dest::ADDR_FAMILY)?)?,
        false => service_family,
    };
    let destination = Destination {
        address: attributes.address(dest::ADDR, family)?,
        port: attributes.port(dest::PORT)?,
        forwarding: match attributes.u32(dest::FWD_METHOD)? & forwarding::MASK {
            forwarding::MASQ => Forwarding::Masq,
            forwarding::LOCAL => Forwarding::Local,
            forwarding::GATE => Forwarding::Gate,
            forwarding::IPIP => Forwarding::Ipip,
            forwarding::BYPASS => Forwarding::Bypass,
            other => return Err(format!("{}: unknown method {other}", dest::FWD_METHOD.name)),
        },
        weight: attributes.u32(dest::WEIGHT)?,
        upper_threshold: attributes.u32(dest::U_THRESH)?,
        lower_threshold: attributes.u32(dest::L_THRESH)?,
        tunnel: tunnel(&attributes)?,
    };
    Ok(DestinationEntry {
        destination,
        active_connections: attributes.u32(dest::ACTIVE_CONNS)?,
        inactive_connections: attributes.u32(dest::INACT_CONNS)?,
        persistent_connections: attributes.u32(dest::PERSIST_CONNS)?,
        stats: stats(&attributes, dest::STATS64, dest::STATS)?,
    })
}

fn tunnel(attributes: &Attributes<'_>) -> Result<Tunnel, Malformed> {
    let mut tunnel = Tunnel::default();
    if attributes.has(dest::TUN_TYPE) {
        let [kind] = attributes.array::<1>(dest::TUN_TYPE)?;
        tunnel.kind = match kind {
            tunnel::IPIP => TunnelKind::Ipip,
            tunnel::GUE => TunnelKind::Gue,
            tunnel::GRE => TunnelKind::Gre,
            other => return Err(format!("{}: unknown kind {other}", dest::TUN_TYPE.name)),
        };
    }
    if attributes.has(dest::TUN_PORT) {
        tunnel.port = attributes.port(dest::TUN_PORT)?;
    }
    if attributes.has(dest::TUN_FLAGS) {
        tunnel.flags = TunnelFlags::from_bits(attributes.u16(dest::TUN_FLAGS)?);
    }
    Ok(tunnel)
}

/// A listed synchronisation daemon.
pub(crate) fn daemon(payload: &[u8]) -> Result<SyncDaemon, Malformed> {
    let attributes = body(payload, command::NEW_DAEMON)?.nest(cmd::DAEMON)?;
    let role = match attributes.u32(daemon::STATE)? {
        daemon::MASTER => SyncRole::Master,
        daemon::BACKUP => SyncRole::Backup,
        other => return Err(format!("{}: unknown role {other}", daemon::STATE.name)),
    };
    let sync_id = attributes.u32(daemon::SYNC_ID)?;
    let group = if attributes.has(daemon::MCAST_GROUP6) {
        Some(Ipv6Addr::from(attributes.array::<16>(daemon::MCAST_GROUP6)?).into())
    } else if attributes.has(daemon::MCAST_GROUP) {
        Some(Ipv4Addr::from(attributes.array::<4>(daemon::MCAST_GROUP)?).into())
    } else {
        None
    };
    let number = |attribute: Attribute| match attributes.has(attribute) {
        true => attributes.u16(attribute).map(Some),
        false => Ok(None),
    };
    let ttl = match attributes.has(daemon::MCAST_TTL) {
        true => Some(attributes.array::<1>(daemon::MCAST_TTL)?[0]),
        false => None,
    };
    Ok(SyncDaemon {
        role,
        interface: attributes.text(daemon::MCAST_IFN)?,
        sync_id: u8::try_from(sync_id)
            .map_err(|_| format!("{}: {sync_id}", daemon::SYNC_ID.name))?,
        max_length: number(daemon::SYNC_MAXLEN)?,
        group,
        port: number(daemon::MCAST_PORT)?,
        ttl,
    })
}

/// Counters of 64 bits if the kernel gives them, else of 32, else zeroes.
fn stats(
    attributes: &Attributes<'_>,
    wide: Attribute,
    narrow: Attribute,
) -> Result<Stats, Malformed> {
    let counters = match (attributes.has(wide), attributes.has(narrow)) {
        (true, _) => attributes.nest(wide)?,
        (false, true) => attributes.nest(narrow)?,
        (false, false) => return Ok(Stats::default()),
    };
    Ok(Stats {
        connections: counters.counter(stats::CONNS)?,
        incoming_packets: counters.counter(stats::INPKTS)?,
        outgoing_packets: counters.counter(stats::OUTPKTS)?,
        incoming_bytes: counters.counter(stats::INBYTES)?,
        outgoing_bytes: counters.counter(stats::OUTBYTES)?,
        connections_per_second: counters.counter(stats::CPS)?,
        incoming_packets_per_second: counters.counter(stats::INPPS)?,
        outgoing_packets_per_second: counters.counter(stats::OUTPPS)?,
        incoming_bytes_per_second: counters.counter(stats::INBPS)?,
        outgoing_bytes_per_second: counters.counter(stats::OUTBPS)?,
    })
}

/// The reply to a request for info.
pub(crate) fn info(payload: &[u8]) -> Result<Info, Malformed> {
    let attributes = body(payload, command::SET_INFO)?;
    let [_, major, minor, patch] = attributes.u32(info::VERSION)?.to_be_bytes();
    Ok(Info {
        version: Version { major, minor, patch },
        connection_table_size: attributes.u32(info::CONN_TAB_SIZE)?,
    })
}

/// The reply to a request for timeouts. A protocol that the kernel is built without is 0.
pub(crate) fn timeouts(payload: &[u8]) -> Result<Timeouts, Malformed> {
    let attributes = body(payload, command::SET_CONFIG)?;
    let seconds = |attribute| match attributes.has(attribute) {
        true => attributes.u32(attribute),
        false => Ok(0),
    };
    Ok(Timeouts {
        tcp_seconds: seconds(cmd::TIMEOUT_TCP)?,
        tcp_fin_seconds: seconds(cmd::TIMEOUT_TCP_FIN)?,
        udp_seconds: seconds(cmd::TIMEOUT_UDP)?,
    })
}

/// The attributes of a reply, which must be to that command.
fn body(payload: &[u8], expected: u8) -> Result<Attributes<'_>, Malformed> {
    let header = GenlHeader::parse(payload).map_err(|_| "no generic netlink header")?;
    if header.cmd != expected {
        return Err(format!("command {} where {expected} was expected", header.cmd));
    }
    Attributes::parse(payload.get(GENL_HDRLEN..).unwrap_or_default())
}

fn family_of(number: u16) -> Result<Family, Malformed> {
    match number {
        AF_INET => Ok(Family::Inet),
        AF_INET6 => Ok(Family::Inet6),
        other => Err(format!("unknown address family {other}")),
    }
}

/// Above the highest number in [`super::attribute`].
const KNOWN: usize = 16;

/// One nest of attributes. Unknown ones, of newer kernels, are left out; of equal ones the last
/// counts, as in the kernel.
struct Attributes<'a> {
    values: [Option<&'a [u8]>; KNOWN],
}

impl<'a> Attributes<'a> {
    fn parse(buffer: &'a [u8]) -> Result<Self, Malformed> {
        let mut values = [None; KNOWN];
        for attribute in NlasIterator::new(buffer) {
            let attribute = attribute.map_err(|error| format!("attribute cut short: {error}"))?;
            let (kind, length) = (attribute.kind(), attribute.length());
            if let Some(value) = values.get_mut(usize::from(kind)) {
                *value = attribute.into_inner().get(NLA_HEADER_SIZE..usize::from(length));
            }
        }
        Ok(Self { values })
    }

    fn has(&self, attribute: Attribute) -> bool {
        self.value(attribute).is_some()
    }

    fn value(&self, attribute: Attribute) -> Option<&'a [u8]> {
        self.values.get(usize::from(attribute.number)).copied().flatten()
    }

    fn required(&self, attribute: Attribute) -> Result<&'a [u8], Malformed> {
        self.value(attribute).ok_or_else(|| format!("{} is missing", attribute.name))
    }

    fn nest(&self, attribute: Attribute) -> Result<Self, Malformed> {
        Self::parse(self.required(attribute)?)
            .map_err(|error| format!("{}: {error}", attribute.name))
    }

    fn array<const N: usize>(&self, attribute: Attribute) -> Result<[u8; N], Malformed> {
        let value = self.required(attribute)?;
        value.try_into().map_err(|_| {
            format!("{}: {} bytes where {N} were expected", attribute.name, value.len())
        })
    }

    fn u16(&self, attribute: Attribute) -> Result<u16, Malformed> {
        self.array(attribute).map(u16::from_ne_bytes)
    }

    fn u32(&self, attribute: Attribute) -> Result<u32, Malformed> {
        self.array(attribute).map(u32::from_ne_bytes)
    }

    fn port(&self, attribute: Attribute) -> Result<u16, Malformed> {
        self.array(attribute).map(u16::from_be_bytes)
    }

    /// A counter of either width.
    fn counter(&self, attribute: Attribute) -> Result<u64, Malformed> {
        match self.required(attribute)?.len() {
            4 => self.u32(attribute).map(u64::from),
            _ => self.array(attribute).map(u64::from_ne_bytes),
        }
    }

    fn address(&self, attribute: Attribute, family: Family) -> Result<IpAddr, Malformed> {
        let value = self.array::<16>(attribute)?;
        Ok(match family {
            Family::Inet => IpAddr::V4(Ipv4Addr::new(value[0], value[1], value[2], value[3])),
            Family::Inet6 => IpAddr::V6(Ipv6Addr::from(value)),
        })
    }

    fn text(&self, attribute: Attribute) -> Result<String, Malformed> {
        let value = self.required(attribute)?;
        let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8(text.to_vec()).map_err(|_| format!("{}: not UTF-8", attribute.name))
    }
}
