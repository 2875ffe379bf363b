//! Requests: what the crate's types are as attributes.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NetlinkHeader, NetlinkMessage};
use netlink_packet_generic::{GenlFamily, GenlMessage};

use super::attribute::{
    AF_INET, AF_INET6, Attribute, FAMILY_NAME, FAMILY_VERSION, NAME_MAX, cmd, daemon, dest,
    forwarding, protocol, service_flag, svc, tunnel,
};
use crate::{
    Destination, Family, Forwarding, Netmask, Protocol, Service, ServiceKey, SyncDaemon, SyncRole,
    Timeouts, Tunnel, TunnelKind,
};

/// A command to ip_vs with its attributes.
#[derive(Debug)]
pub(crate) struct Request {
    command: u8,
    attributes: Vec<DefaultNla>,
}

impl Request {
    /// A command without attributes.
    pub(crate) fn new(command: u8) -> Self {
        Self { command, attributes: Vec::new() }
    }

    /// About the service of that key.
    pub(crate) fn key(self, key: &ServiceKey) -> Self {
        self.with(nest(cmd::SERVICE, key_attributes(key)))
    }

    /// About a service with its options. See [`check_service`] for what must hold.
    pub(crate) fn service(self, service: &Service) -> Self {
        self.with(nest(cmd::SERVICE, service_attributes(service)))
    }

    /// About the destination of that address and port.
    pub(crate) fn destination_key(self, address: IpAddr, port: u16) -> Self {
        self.with(nest(cmd::DEST, destination_key_attributes(address, port)))
    }

    /// About a destination with its options.
    pub(crate) fn destination(self, destination: &Destination) -> Self {
        self.with(nest(cmd::DEST, destination_attributes(destination)))
    }

    /// About a synchronisation daemon with its options. See [`check_daemon`] for what must hold.
    pub(crate) fn daemon(self, wanted: &SyncDaemon) -> Self {
        self.with(nest(cmd::DAEMON, daemon_attributes(wanted)))
    }

    /// About the synchronisation daemon in that role.
    pub(crate) fn daemon_role(self, role: SyncRole) -> Self {
        self.with(nest(cmd::DAEMON, vec![u32(daemon::STATE, role_number(role))]))
    }

    /// With timeouts; zeroes are left out, which leaves the timeout alone.
    pub(crate) fn timeouts(self, timeouts: &Timeouts) -> Self {
        [
            (cmd::TIMEOUT_TCP, timeouts.tcp_seconds),
            (cmd::TIMEOUT_TCP_FIN, timeouts.tcp_fin_seconds),
            (cmd::TIMEOUT_UDP, timeouts.udp_seconds),
        ]
        .into_iter()
        .filter(|(_, seconds)| *seconds != 0)
        .fold(self, |request, (attribute, seconds)| request.with(u32(attribute, seconds)))
    }

    fn with(mut self, attribute: DefaultNla) -> Self {
        self.attributes.push(attribute);
        self
    }

    /// The whole message to the family of that number.
    pub(crate) fn into_message(self, family: u16) -> NetlinkMessage<GenlMessage<Self>> {
        let mut message = GenlMessage::from_payload(self);
        message.set_resolved_family_id(family);
        NetlinkMessage::new(NetlinkHeader::default(), message.into())
    }
}

impl GenlFamily for Request {
    fn family_name() -> &'static str {
        FAMILY_NAME
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        FAMILY_VERSION
    }
}

impl Emitable for Request {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

/// What in a service the kernel would take for something else or never schedule, if anything.
pub(crate) fn check_service(service: &Service) -> Result<(), &'static str> {
    check_key(&service.key)?;
    let names = [Some(&service.scheduler), service.persistence_engine.as_ref()];
    for name in names.into_iter().flatten() {
        // An empty persistence engine would be none.
        if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
            return Err(
                "the name of a scheduler or persistence engine has 1 to 15 bytes and no NUL",
            );
        }
    }
    let Some(persistence) = service.persistence else {
        return match service.key {
            // The kernel takes it and schedules nothing (`ip_vs_schedule`).
            ServiceKey::Address { port: 0, .. } => Err("a service for every port is persistent"),
            _ => Ok(()),
        };
    };
    if persistence.netmask.family() != service.key.family() {
        return Err("the netmask of the persistence is of the other address family");
    }
    Ok(())
}

/// What in a key the kernel would take for something else, if anything.
pub(crate) fn check_key(key: &ServiceKey) -> Result<(), &'static str> {
    match key {
        // Mark 0 would be the service tcp 0.0.0.0:0.
        ServiceKey::Fwmark { mark: 0, .. } => Err("a firewall mark is not 0"),
        _ => Ok(()),
    }
}

/// What in a synchronisation daemon the kernel would take for something else, if anything.
pub(crate) fn check_daemon(wanted: &SyncDaemon) -> Result<(), &'static str> {
    let name = &wanted.interface;
    if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
        return Err("the name of an interface has 1 to 15 bytes and no NUL");
    }
    // To the kernel, zeroes are the defaults.
    if wanted.max_length == Some(0) || wanted.port == Some(0) || wanted.ttl == Some(0) {
        return Err("length, port and time to live are not 0");
    }
    if wanted.group.is_some_and(|group| !group.is_multicast()) {
        return Err("the group is no multicast address");
    }
    Ok(())
}

fn daemon_attributes(wanted: &SyncDaemon) -> Vec<DefaultNla> {
    let SyncDaemon { role, interface, sync_id, max_length, group, port, ttl } = wanted;
    let mut attributes = vec![
        u32(daemon::STATE, role_number(*role)),
        text(daemon::MCAST_IFN, interface),
        u32(daemon::SYNC_ID, u32::from(*sync_id)),
    ];
    attributes.extend(max_length.map(|length| u16(daemon::SYNC_MAXLEN, length)));
    attributes.extend(group.map(|group| match group {
        IpAddr::V4(group) => bytes(daemon::MCAST_GROUP, &group.octets()),
        IpAddr::V6(group) => bytes(daemon::MCAST_GROUP6, &group.octets()),
    }));
    attributes.extend(port.map(|port| u16(daemon::MCAST_PORT, port)));
    attributes.extend(ttl.map(|ttl| bytes(daemon::MCAST_TTL, &[ttl])));
    attributes
}

fn role_number(role: SyncRole) -> u32 {
    match role {
        SyncRole::Master => daemon::MASTER,
        SyncRole::Backup => daemon::BACKUP,
    }
}

fn key_attributes(key: &ServiceKey) -> Vec<DefaultNla> {
    let family = u16(svc::AF, family_number(key.family()));
    match *key {
        ServiceKey::Address { protocol, address, port } => vec![
            family,
            u16(svc::PROTOCOL, protocol_number(protocol)),
            bytes(svc::ADDR, &address_bytes(address)),
            bytes(svc::PORT, &port.to_be_bytes()),
        ],
        ServiceKey::Fwmark { mark, .. } => vec![family, u32(svc::FWMARK, mark)],
    }
}

fn service_attributes(service: &Service) -> Vec<DefaultNla> {
    let mut flags = u32::from(service.scheduler_flags.bits()) * service_flag::SCHED1;
    if service.persistence.is_some() {
        flags |= service_flag::PERSISTENT;
    }
    if service.one_packet {
        flags |= service_flag::ONE_PACKET;
    }
    let (timeout, netmask) = match service.persistence {
        Some(persistence) => (persistence.timeout_seconds, persistence.netmask),
        None => (0, Netmask::host(service.key.family())),
    };
    let netmask = match netmask {
        Netmask::V4(mask) => mask.octets(),
        Netmask::V6(prefix_length) => u32::from(prefix_length).to_ne_bytes(),
    };

    let mut attributes = key_attributes(&service.key);
    attributes.extend([
        text(svc::SCHED_NAME, &service.scheduler),
        bytes(svc::FLAGS, &[flags.to_ne_bytes(), service_flag::ALL.to_ne_bytes()].concat()),
        u32(svc::TIMEOUT, timeout),
        bytes(svc::NETMASK, &netmask),
    ]);
    attributes
        .extend(service.persistence_engine.as_deref().map(|engine| text(svc::PE_NAME, engine)));
    attributes
}

fn destination_key_attributes(address: IpAddr, port: u16) -> Vec<DefaultNla> {
    vec![
        u16(dest::ADDR_FAMILY, family_number(address.into())),
        bytes(dest::ADDR, &address_bytes(address)),
        bytes(dest::PORT, &port.to_be_bytes()),
    ]
}

fn destination_attributes(destination: &Destination) -> Vec<DefaultNla> {
    let mut attributes = destination_key_attributes(destination.address, destination.port);
    attributes.extend([
        u32(dest::FWD_METHOD, forwarding_number(destination.forwarding)),
        u32(dest::WEIGHT, destination.weight),
        u32(dest::U_THRESH, destination.upper_threshold),
        u32(dest::L_THRESH, destination.lower_threshold),
    ]);
    // Absent means the default, also to kernels that do not know these attributes.
    if destination.tunnel != Tunnel::default() {
        attributes.extend([
            bytes(dest::TUN_TYPE, &[tunnel_number(destination.tunnel.kind)]),
            bytes(dest::TUN_PORT, &destination.tunnel.port.to_be_bytes()),
            u16(dest::TUN_FLAGS, destination.tunnel.flags.bits()),
        ]);
    }
    attributes
}

fn family_number(family: Family) -> u16 {
    match family {
        Family::Inet => AF_INET,
        Family::Inet6 => AF_INET6,
    }
}

fn protocol_number(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => protocol::TCP,
        Protocol::Udp => protocol::UDP,
        Protocol::Sctp => protocol::SCTP,
    }
}

fn forwarding_number(method: Forwarding) -> u32 {
    match method {
        Forwarding::Masq => forwarding::MASQ,
        Forwarding::Local => forwarding::LOCAL,
        Forwarding::Gate => forwarding::GATE,
        Forwarding::Ipip => forwarding::IPIP,
        Forwarding::Bypass => forwarding::BYPASS,
    }
}

fn tunnel_number(kind: TunnelKind) -> u8 {
    match kind {
        TunnelKind::Ipip => tunnel::IPIP,
        TunnelKind::Gue => tunnel::GUE,
        TunnelKind::Gre => tunnel::GRE,
    }
}

/// `union nf_inet_addr`.
fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut padded = [0; 16];
            padded[..4].copy_from_slice(&address.octets());
            padded
        }
        IpAddr::V6(address) => address.octets(),
    }
}

fn bytes(attribute: Attribute, value: &[u8]) -> DefaultNla {
    DefaultNla::new(attribute.number, value.to_vec())
}

fn u16(attribute: Attribute, value: u16) -> DefaultNla {
    bytes(attribute, &value.to_ne_bytes())
}

fn u32(attribute: Attribute, value: u32) -> DefaultNla {
    bytes(attribute, &value.to_ne_bytes())
}

fn text(attribute: Attribute, value: &str) -> DefaultNla {
    bytes(attribute, &[value.as_bytes(), b"\0"].concat())
}

fn nest(attribute: Attribute, children: Vec<DefaultNla>) -> DefaultNla {
    let mut value = vec![0; children.as_slice().buffer_len()];
    children.as_slice().emit(&mut value);
    DefaultNla::new(attribute.number | NLA_F_NESTED, value)
}
