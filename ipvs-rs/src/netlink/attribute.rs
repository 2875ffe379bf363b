//! The numbers of ip_vs's generic netlink interface.
//!
//! Source of all: Linux `include/uapi/linux/ip_vs.h`, from which each constant has its name. Which
//! attributes a command needs, and in which byte order, is in `net/netfilter/ipvs/ip_vs_ctl.c`
//! (`ip_vs_genl_parse_service`, `ip_vs_genl_parse_dest`, `ip_vs_genl_fill_service`,
//! `ip_vs_genl_fill_dest`). Numbers are in host byte order unless it says "network order".

/// An attribute: its number within its nest, and its name for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) number: u16,
    pub(crate) name: &'static str,
}

const fn attribute(number: u16, name: &'static str) -> Attribute {
    Attribute { number, name }
}

/// `IPVS_GENL_NAME`: name of the generic netlink family; its number is given at run time.
pub(crate) const FAMILY_NAME: &str = "IPVS";
/// `IPVS_GENL_VERSION`.
pub(crate) const FAMILY_VERSION: u8 = 1;

/// Commands: the `cmd` of the generic netlink header.
pub(crate) mod command {
    /// `IPVS_CMD_NEW_SERVICE`: add a service; also the command of listed services.
    pub(crate) const NEW_SERVICE: u8 = 1;
    /// `IPVS_CMD_SET_SERVICE`: change a service's options.
    pub(crate) const SET_SERVICE: u8 = 2;
    /// `IPVS_CMD_DEL_SERVICE`: delete a service with its destinations.
    pub(crate) const DEL_SERVICE: u8 = 3;
    /// `IPVS_CMD_GET_SERVICE`: read one service, or with NLM_F_DUMP all.
    pub(crate) const GET_SERVICE: u8 = 4;
    /// `IPVS_CMD_NEW_DEST`: add a destination; also the command of listed destinations.
    pub(crate) const NEW_DEST: u8 = 5;
    /// `IPVS_CMD_SET_DEST`: change a destination's options.
    pub(crate) const SET_DEST: u8 = 6;
    /// `IPVS_CMD_DEL_DEST`: delete a destination.
    pub(crate) const DEL_DEST: u8 = 7;
    /// `IPVS_CMD_GET_DEST`: list the destinations of a service; with NLM_F_DUMP only.
    pub(crate) const GET_DEST: u8 = 8;
    /// `IPVS_CMD_NEW_DAEMON`: start a synchronisation daemon; also the command of listed ones.
    pub(crate) const NEW_DAEMON: u8 = 9;
    /// `IPVS_CMD_DEL_DAEMON`: stop a synchronisation daemon.
    pub(crate) const DEL_DAEMON: u8 = 10;
    /// `IPVS_CMD_GET_DAEMON`: list the synchronisation daemons; with NLM_F_DUMP only.
    pub(crate) const GET_DAEMON: u8 = 11;
    /// `IPVS_CMD_SET_CONFIG`: set timeouts; also the command of the reply with them.
    pub(crate) const SET_CONFIG: u8 = 12;
    /// `IPVS_CMD_GET_CONFIG`: read timeouts.
    pub(crate) const GET_CONFIG: u8 = 13;
    /// `IPVS_CMD_SET_INFO`: command of the reply to `GET_INFO`.
    pub(crate) const SET_INFO: u8 = 14;
    /// `IPVS_CMD_GET_INFO`: read version and size of the connection table.
    pub(crate) const GET_INFO: u8 = 15;
    /// `IPVS_CMD_ZERO`: zero the counters of a service, or without one of all.
    pub(crate) const ZERO: u8 = 16;
    /// `IPVS_CMD_FLUSH`: delete all services.
    pub(crate) const FLUSH: u8 = 17;
}

/// First level: attributes of a command.
pub(crate) mod cmd {
    use super::{Attribute, attribute};
    /// Nest of [`super::svc`]: the service the command is about.
    pub(crate) const SERVICE: Attribute = attribute(1, "IPVS_CMD_ATTR_SERVICE");
    /// Nest of [`super::dest`]: the destination the command is about.
    pub(crate) const DEST: Attribute = attribute(2, "IPVS_CMD_ATTR_DEST");
    /// Nest of [`super::daemon`]: the synchronisation daemon the command is about.
    pub(crate) const DAEMON: Attribute = attribute(3, "IPVS_CMD_ATTR_DAEMON");
    /// u32 seconds: established TCP sessions.
    pub(crate) const TIMEOUT_TCP: Attribute = attribute(4, "IPVS_CMD_ATTR_TIMEOUT_TCP");
    /// u32 seconds: TCP sessions after a FIN.
    pub(crate) const TIMEOUT_TCP_FIN: Attribute = attribute(5, "IPVS_CMD_ATTR_TIMEOUT_TCP_FIN");
    /// u32 seconds: UDP.
    pub(crate) const TIMEOUT_UDP: Attribute = attribute(6, "IPVS_CMD_ATTR_TIMEOUT_UDP");
}

/// Attributes of a synchronisation daemon, in [`cmd::DAEMON`]. From [`daemon::SYNC_MAXLEN`] on since Linux 4.3.
pub(crate) mod daemon {
    use super::{Attribute, attribute};
    /// u32: [`MASTER`] or [`BACKUP`].
    pub(crate) const STATE: Attribute = attribute(1, "IPVS_DAEMON_ATTR_STATE");
    /// String ending in NUL, 16 bytes with it (`IP_VS_IFNAME_MAXLEN`): interface.
    pub(crate) const MCAST_IFN: Attribute = attribute(2, "IPVS_DAEMON_ATTR_MCAST_IFN");
    /// u32: id; eight bits of it go out.
    pub(crate) const SYNC_ID: Attribute = attribute(3, "IPVS_DAEMON_ATTR_SYNC_ID");
    /// u16: bytes of a datagram.
    pub(crate) const SYNC_MAXLEN: Attribute = attribute(4, "IPVS_DAEMON_ATTR_SYNC_MAXLEN");
    /// IPv4 address in network order: group.
    pub(crate) const MCAST_GROUP: Attribute = attribute(5, "IPVS_DAEMON_ATTR_MCAST_GROUP");
    /// IPv6 address: group.
    pub(crate) const MCAST_GROUP6: Attribute = attribute(6, "IPVS_DAEMON_ATTR_MCAST_GROUP6");
    /// u16: port.
    pub(crate) const MCAST_PORT: Attribute = attribute(7, "IPVS_DAEMON_ATTR_MCAST_PORT");
    /// u8: time to live.
    pub(crate) const MCAST_TTL: Attribute = attribute(8, "IPVS_DAEMON_ATTR_MCAST_TTL");
    /// `IP_VS_STATE_MASTER`.
    pub(crate) const MASTER: u32 = 1;
    /// `IP_VS_STATE_BACKUP`.
    pub(crate) const BACKUP: u32 = 2;
}

/// Attributes of a service, in [`cmd::SERVICE`].
pub(crate) mod svc {
    use super::{Attribute, attribute};
    /// u16: address family, [`super::AF_INET`] or [`super::AF_INET6`].
    pub(crate) const AF: Attribute = attribute(1, "IPVS_SVC_ATTR_AF");
    /// u16: IP protocol number. Not with [`FWMARK`].
    pub(crate) const PROTOCOL: Attribute = attribute(2, "IPVS_SVC_ATTR_PROTOCOL");
    /// Virtual address, network order, always 16 bytes; IPv4 in the first four. Not with [`FWMARK`].
    pub(crate) const ADDR: Attribute = attribute(3, "IPVS_SVC_ATTR_ADDR");
    /// u16 in network order: virtual port. Not with [`FWMARK`].
    pub(crate) const PORT: Attribute = attribute(4, "IPVS_SVC_ATTR_PORT");
    /// u32: firewall mark.
    pub(crate) const FWMARK: Attribute = attribute(5, "IPVS_SVC_ATTR_FWMARK");
    /// String ending in NUL, 16 bytes with it (`IP_VS_SCHEDNAME_MAXLEN`): scheduler.
    pub(crate) const SCHED_NAME: Attribute = attribute(6, "IPVS_SVC_ATTR_SCHED_NAME");
    /// `struct ip_vs_flags`: u32 flags, then u32 mask of those that the flags are to change.
    pub(crate) const FLAGS: Attribute = attribute(7, "IPVS_SVC_ATTR_FLAGS");
    /// u32 seconds: persistence timeout. Demanded even without persistence.
    pub(crate) const TIMEOUT: Attribute = attribute(8, "IPVS_SVC_ATTR_TIMEOUT");
    /// u32: persistence granularity. IPv4: a mask in network order. IPv6: a prefix length, 1 to
    /// 128. Demanded even without persistence.
    pub(crate) const NETMASK: Attribute = attribute(9, "IPVS_SVC_ATTR_NETMASK");
    /// Nest of [`super::stats`], 32 bits: counters from kernels before 4.1.
    pub(crate) const STATS: Attribute = attribute(10, "IPVS_SVC_ATTR_STATS");
    /// String ending in NUL, 16 bytes with it (`IP_VS_PENAME_MAXLEN`): persistence engine.
    pub(crate) const PE_NAME: Attribute = attribute(11, "IPVS_SVC_ATTR_PE_NAME");
    /// Nest of [`super::stats`], 64 bits: counters.
    pub(crate) const STATS64: Attribute = attribute(12, "IPVS_SVC_ATTR_STATS64");
}

/// Attributes of a destination, in [`cmd::DEST`].
pub(crate) mod dest {
    use super::{Attribute, attribute};
    /// Address, network order, always 16 bytes; IPv4 in the first four.
    pub(crate) const ADDR: Attribute = attribute(1, "IPVS_DEST_ATTR_ADDR");
    /// u16 in network order: port.
    pub(crate) const PORT: Attribute = attribute(2, "IPVS_DEST_ATTR_PORT");
    /// u32: forwarding method, see [`super::forwarding`].
    pub(crate) const FWD_METHOD: Attribute = attribute(3, "IPVS_DEST_ATTR_FWD_METHOD");
    /// u32, to the kernel an int: weight.
    pub(crate) const WEIGHT: Attribute = attribute(4, "IPVS_DEST_ATTR_WEIGHT");
    /// u32 connections: upper threshold, 0 for none.
    pub(crate) const U_THRESH: Attribute = attribute(5, "IPVS_DEST_ATTR_U_THRESH");
    /// u32 connections: lower threshold, 0 for three quarters of the upper one.
    pub(crate) const L_THRESH: Attribute = attribute(6, "IPVS_DEST_ATTR_L_THRESH");
    /// u32: active connections; listed only.
    pub(crate) const ACTIVE_CONNS: Attribute = attribute(7, "IPVS_DEST_ATTR_ACTIVE_CONNS");
    /// u32: inactive connections; listed only.
    pub(crate) const INACT_CONNS: Attribute = attribute(8, "IPVS_DEST_ATTR_INACT_CONNS");
    /// u32: persistent connections; listed only.
    pub(crate) const PERSIST_CONNS: Attribute = attribute(9, "IPVS_DEST_ATTR_PERSIST_CONNS");
    /// Nest of [`super::stats`], 32 bits: counters from kernels before 4.1.
    pub(crate) const STATS: Attribute = attribute(10, "IPVS_DEST_ATTR_STATS");
    /// u16: address family; without it (kernels before 3.18) the service's.
    pub(crate) const ADDR_FAMILY: Attribute = attribute(11, "IPVS_DEST_ATTR_ADDR_FAMILY");
    /// Nest of [`super::stats`], 64 bits: counters.
    pub(crate) const STATS64: Attribute = attribute(12, "IPVS_DEST_ATTR_STATS64");
    /// u8: kind of tunnel, see [`super::tunnel`]; without it plain IP in IP.
    pub(crate) const TUN_TYPE: Attribute = attribute(13, "IPVS_DEST_ATTR_TUN_TYPE");
    /// u16 in network order: UDP port of the tunnel.
    pub(crate) const TUN_PORT: Attribute = attribute(14, "IPVS_DEST_ATTR_TUN_PORT");
    /// u16: checksum flags of the tunnel, `IP_VS_TUNNEL_ENCAP_FLAG_*`.
    pub(crate) const TUN_FLAGS: Attribute = attribute(15, "IPVS_DEST_ATTR_TUN_FLAGS");
}

/// Counters, in the STATS and STATS64 nests. In STATS64 each is u64; in STATS the bytes are u64
/// and the others u32.
pub(crate) mod stats {
    use super::{Attribute, attribute};
    /// Connections scheduled.
    pub(crate) const CONNS: Attribute = attribute(1, "IPVS_STATS_ATTR_CONNS");
    /// Packets from clients.
    pub(crate) const INPKTS: Attribute = attribute(2, "IPVS_STATS_ATTR_INPKTS");
    /// Packets to clients.
    pub(crate) const OUTPKTS: Attribute = attribute(3, "IPVS_STATS_ATTR_OUTPKTS");
    /// Bytes from clients.
    pub(crate) const INBYTES: Attribute = attribute(4, "IPVS_STATS_ATTR_INBYTES");
    /// Bytes to clients.
    pub(crate) const OUTBYTES: Attribute = attribute(5, "IPVS_STATS_ATTR_OUTBYTES");
    /// Connections per second.
    pub(crate) const CPS: Attribute = attribute(6, "IPVS_STATS_ATTR_CPS");
    /// Packets per second from clients.
    pub(crate) const INPPS: Attribute = attribute(7, "IPVS_STATS_ATTR_INPPS");
    /// Packets per second to clients.
    pub(crate) const OUTPPS: Attribute = attribute(8, "IPVS_STATS_ATTR_OUTPPS");
    /// Bytes per second from clients.
    pub(crate) const INBPS: Attribute = attribute(9, "IPVS_STATS_ATTR_INBPS");
    /// Bytes per second to clients.
    pub(crate) const OUTBPS: Attribute = attribute(10, "IPVS_STATS_ATTR_OUTBPS");
}

/// Attributes of the reply to [`command::GET_INFO`].
pub(crate) mod info {
    use super::{Attribute, attribute};
    /// u32: version, one byte each for major, minor and patch, as in `IP_VS_VERSION_CODE`.
    pub(crate) const VERSION: Attribute = attribute(1, "IPVS_INFO_ATTR_VERSION");
    /// u32: buckets of the connection table.
    pub(crate) const CONN_TAB_SIZE: Attribute = attribute(2, "IPVS_INFO_ATTR_CONN_TAB_SIZE");
}

/// Flags of a service, in [`svc::FLAGS`]. The kernel's own `IP_VS_SVC_F_HASHED` (2) is listed too.
pub(crate) mod service_flag {
    /// `IP_VS_SVC_F_PERSISTENT`.
    pub(crate) const PERSISTENT: u32 = 0x01;
    /// `IP_VS_SVC_F_ONEPACKET`.
    pub(crate) const ONE_PACKET: u32 = 0x04;
    /// `IP_VS_SVC_F_SCHED1`; flags 2 and 3 of the scheduler are the next two bits.
    pub(crate) const SCHED1: u32 = 0x08;
    /// The scheduler's three flags.
    pub(crate) const SCHED: u32 = 0x38;
    /// All that [`crate::Service`] has: the mask in requests.
    pub(crate) const ALL: u32 = PERSISTENT | ONE_PACKET | SCHED;
}

/// Forwarding methods, in [`dest::FWD_METHOD`].
pub(crate) mod forwarding {
    /// `IP_VS_CONN_F_FWD_MASK`: the bits that hold the method.
    pub(crate) const MASK: u32 = 0x07;
    /// `IP_VS_CONN_F_MASQ`.
    pub(crate) const MASQ: u32 = 0;
    /// `IP_VS_CONN_F_LOCALNODE`.
    pub(crate) const LOCAL: u32 = 1;
    /// `IP_VS_CONN_F_TUNNEL`.
    pub(crate) const IPIP: u32 = 2;
    /// `IP_VS_CONN_F_DROUTE`.
    pub(crate) const GATE: u32 = 3;
    /// `IP_VS_CONN_F_BYPASS`.
    pub(crate) const BYPASS: u32 = 4;
}

/// Kinds of tunnel, in [`dest::TUN_TYPE`].
pub(crate) mod tunnel {
    /// `IP_VS_CONN_F_TUNNEL_TYPE_IPIP`.
    pub(crate) const IPIP: u8 = 0;
    /// `IP_VS_CONN_F_TUNNEL_TYPE_GUE`.
    pub(crate) const GUE: u8 = 1;
    /// `IP_VS_CONN_F_TUNNEL_TYPE_GRE`.
    pub(crate) const GRE: u8 = 2;
}

/// Longest name of a scheduler or persistence engine, without its NUL.
pub(crate) const NAME_MAX: usize = 15;

/// `AF_INET` of `include/linux/socket.h`.
pub(crate) const AF_INET: u16 = 2;
/// `AF_INET6`.
pub(crate) const AF_INET6: u16 = 10;

/// IP protocol numbers (`include/uapi/linux/in.h`), in [`svc::PROTOCOL`].
pub(crate) mod protocol {
    /// `IPPROTO_TCP`.
    pub(crate) const TCP: u16 = 6;
    /// `IPPROTO_UDP`.
    pub(crate) const UDP: u16 = 17;
    /// `IPPROTO_SCTP`.
    pub(crate) const SCTP: u16 = 132;
}
