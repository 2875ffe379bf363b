//! Virtual services: what ip_vs accepts connections for, and how it spreads them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::Stats;
use crate::netlink::encode;

/// Transport protocol of a virtual service with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP (`ipvsadm -t`).
    Tcp,
    /// UDP (`ipvsadm -u`).
    Udp,
    /// SCTP (`ipvsadm --sctp-service`).
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// Address family of a virtual service or destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl From<IpAddr> for Family {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Inet,
            IpAddr::V6(_) => Self::Inet6,
        }
    }
}

/// What identifies a virtual service in the kernel's table.
///
/// Written and parsed as `tcp 10.0.0.1:80`, `udp [2001:db8::1]:53`, `fwm 7` and `fwm6 7`:
///
/// ```
/// # use ipvs_rs::{Family, Protocol, ServiceKey};
/// let web = ServiceKey::Address { protocol: Protocol::Tcp, address: [10, 0, 0, 1].into(), port: 80 };
/// assert_eq!(web.to_string(), "tcp 10.0.0.1:80");
/// assert_eq!("tcp 10.0.0.1:80".parse(), Ok(web));
/// assert_eq!("fwm6 7".parse(), Ok(ServiceKey::Fwmark { family: Family::Inet6, mark: 7 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceKey {
    /// Packets to this address and port.
    Address {
        /// Transport protocol.
        protocol: Protocol,
        /// Virtual address.
        address: IpAddr,
        /// Virtual port; 0 means every port, where the kernel schedules persistent services only.
        port: u16,
    },
    /// Packets that netfilter has given this mark.
    Fwmark {
        /// Family of the marked packets. The same mark may have a service of each family.
        family: Family,
        /// Firewall mark; never 0.
        mark: u32,
    },
}

impl ServiceKey {
    /// Address family of the service's packets.
    pub fn family(&self) -> Family {
        match *self {
            Self::Address { address, .. } => address.into(),
            Self::Fwmark { family, .. } => family,
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address { protocol, address, port } => {
                write!(f, "{protocol} {}", SocketAddr::new(address, port))
            }
            Self::Fwmark { family: Family::Inet, mark } => write!(f, "fwm {mark}"),
            Self::Fwmark { family: Family::Inet6, mark } => write!(f, "fwm6 {mark}"),
        }
    }
}

/// The text is no [`ServiceKey`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseServiceKeyError(String);

impl fmt::Display for ParseServiceKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is no virtual service: expected a form like 'tcp 10.0.0.1:80' or 'fwm 7'",
            self.0
        )
    }
}

impl std::error::Error for ParseServiceKeyError {}

impl FromStr for ServiceKey {
    type Err = ParseServiceKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseServiceKeyError(text.to_owned());
        let (kind, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(error)?;
        let rest = rest.trim_start();
        let fwmark = |family| match rest.parse() {
            Ok(mark) if mark != 0 => Ok(Self::Fwmark { family, mark }),
            _ => Err(error()),
        };
        let address = |protocol| match rest.parse::<SocketAddr>() {
            Ok(socket) => Ok(Self::Address { protocol, address: socket.ip(), port: socket.port() }),
            Err(_) => Err(error()),
        };
        match kind {
            "tcp" => address(Protocol::Tcp),
            "udp" => address(Protocol::Udp),
            "sctp" => address(Protocol::Sctp),
            "fwm" => fwmark(Family::Inet),
            "fwm6" => fwmark(Family::Inet6),
            _ => Err(error()),
        }
    }
}

/// A virtual service with its scheduling options.
///
/// [`Service::new`] gives the defaults; set the rest with struct update syntax.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// Which service.
    pub key: ServiceKey,
    /// Name of the scheduler (`rr`, `wrr`, `lc`, `wlc`, `sh`, …), at most 15 bytes; the kernel
    /// loads its module. `none` is a service without a scheduler.
    pub scheduler: String,
    /// Flags that the scheduler interprets. Default none.
    pub scheduler_flags: SchedulerFlags,
    /// Keeps a client on its destination. Default `None`.
    pub persistence: Option<Persistence>,
    /// Schedules each UDP datagram on its own (`ipvsadm --ops`). Default no.
    pub one_packet: bool,
    /// Name of the persistence engine (`sip`), at most 15 bytes. Default none.
    pub persistence_engine: Option<String>,
}

impl Service {
    /// A service without persistence and flags.
    pub fn new(key: ServiceKey, scheduler: impl Into<String>) -> Self {
        Self {
            key,
            scheduler: scheduler.into(),
            scheduler_flags: SchedulerFlags::default(),
            persistence: None,
            one_packet: false,
            persistence_engine: None,
        }
    }

    /// What in this service the kernel would take for something else or never schedule, in one
    /// phrase; `None` if it is sound. The operations refuse such a service before they send it.
    pub fn problem(&self) -> Option<&'static str> {
        encode::check_service(self).err()
    }
}

/// Persistence of a virtual service: connections of one client (network) stay together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Persistence {
    /// Seconds that a client is remembered after its last connection has ended.
    pub timeout_seconds: u32,
    /// Which clients are one: those equal under this mask. Of the service's family.
    pub netmask: Netmask,
}

/// Granularity of persistence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Netmask {
    /// Mask of IPv4 client addresses; `255.255.255.255` is each client on its own.
    V4(Ipv4Addr),
    /// Prefix length of IPv6 client addresses, 1 to 128; 128 is each client on its own.
    V6(u8),
}

impl Netmask {
    /// Each client on its own: `255.255.255.255` or 128.
    pub fn host(family: Family) -> Self {
        match family {
            Family::Inet => Self::V4(Ipv4Addr::BROADCAST),
            Family::Inet6 => Self::V6(128),
        }
    }

    /// The family of client addresses this mask is for.
    pub fn family(&self) -> Family {
        match self {
            Self::V4(_) => Family::Inet,
            Self::V6(_) => Family::Inet6,
        }
    }
}

/// `255.255.255.0` or `64`.
impl fmt::Display for Netmask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(mask) => mask.fmt(f),
            Self::V6(prefix_length) => prefix_length.fmt(f),
        }
    }
}

/// Flags of a service that its scheduler interprets (`ipvsadm -b`).
///
/// ```
/// # use ipvs_rs::SchedulerFlags;
/// let flags = SchedulerFlags::SH_FALLBACK | SchedulerFlags::SH_PORT;
/// assert!(flags.contains(SchedulerFlags::FLAG_1));
/// assert!(!flags.contains(SchedulerFlags::FLAG_3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SchedulerFlags(u8);

impl SchedulerFlags {
    /// `flag-1`.
    pub const FLAG_1: Self = Self(1);
    /// `flag-2`.
    pub const FLAG_2: Self = Self(2);
    /// `flag-3`.
    pub const FLAG_3: Self = Self(4);
    /// `sh-fallback`: `sh` takes another destination when the hashed one is not available.
    pub const SH_FALLBACK: Self = Self::FLAG_1;
    /// `sh-port`: `sh` hashes the client's port too.
    pub const SH_PORT: Self = Self::FLAG_2;
    /// `mh-fallback`: as [`Self::SH_FALLBACK`], for `mh`.
    pub const MH_FALLBACK: Self = Self::FLAG_1;
    /// `mh-port`: as [`Self::SH_PORT`], for `mh`.
    pub const MH_PORT: Self = Self::FLAG_2;

    /// The flags of these bits, flag 1 being the lowest. Bits above the third are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 7)
    }

    /// The flags as bits, flag 1 being the lowest.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether no flag is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for SchedulerFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for SchedulerFlags {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// A virtual service as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry {
    /// The service and its options.
    pub service: Service,
    /// Its counters.
    pub stats: Stats,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_key_is_parsed_from_what_it_prints() {
        for text in [
            "tcp 10.0.0.1:80",
            "udp [2001:db8::1]:53",
            "sctp 0.0.0.0:0",
            "fwm 7",
            "fwm6 4294967295",
        ] {
            assert_eq!(text.parse::<ServiceKey>().map(|key| key.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn other_texts_are_no_service_key() {
        for text in [
            "",
            "tcp",
            "tcp 10.0.0.1",
            "icmp 10.0.0.1:80",
            "fwm 0",
            "fwm -1",
            "fwm x",
            "tcp www:80",
        ] {
            assert!(text.parse::<ServiceKey>().is_err(), "{text}");
        }
    }
}
