//! Destinations: the real servers of a virtual service, as the kernel lists them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::Stats;

/// How packets get to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Forwarding {
    /// Network address translation (`ipvsadm -m`); the only method that can change the port.
    Masq,
    /// Delivery on this machine. The kernel's own choice in old versions; listed, seldom set.
    Local,
    /// Direct routing: same packet, the destination's link-layer address (`ipvsadm -g`).
    Gate,
    /// Tunnel (`ipvsadm -i`); see [`Tunnel`] for the encapsulation.
    Ipip,
    /// Past ip_vs to the address the client meant: transparent caches.
    Bypass,
}

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Masq => "masq",
            Self::Local => "local",
            Self::Gate => "gate",
            Self::Ipip => "ipip",
            Self::Bypass => "bypass",
        })
    }
}

/// The text names no [`Forwarding`] method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseForwardingError(String);

impl fmt::Display for ParseForwardingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is no forwarding method: expected masq, gate, ipip, local or bypass",
            self.0
        )
    }
}

impl std::error::Error for ParseForwardingError {}

impl FromStr for Forwarding {
    type Err = ParseForwardingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Masq, Self::Local, Self::Gate, Self::Ipip, Self::Bypass]
            .into_iter()
            .find(|method| method.to_string() == text)
            .ok_or_else(|| ParseForwardingError(text.to_owned()))
    }
}

/// Encapsulation of [`Forwarding::Ipip`], since Linux 5.2. Default plain IP in IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tunnel {
    /// Kind of encapsulation.
    pub kind: TunnelKind,
    /// UDP port of [`TunnelKind::Gue`], where it must not be 0. Default 0.
    pub port: u16,
    /// Checksum options of [`TunnelKind::Gue`] and [`TunnelKind::Gre`]. Default none.
    pub flags: TunnelFlags,
}

/// Kind of encapsulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TunnelKind {
    /// IP in IP.
    #[default]
    Ipip,
    /// Generic UDP Encapsulation.
    Gue,
    /// Generic Routing Encapsulation.
    Gre,
}

impl fmt::Display for TunnelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ipip => "ipip",
            Self::Gue => "gue",
            Self::Gre => "gre",
        })
    }
}

/// Checksum options of a tunnel; none is `ipvsadm --tun-nocsum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TunnelFlags(u16);

impl TunnelFlags {
    /// Checksums (`ipvsadm --tun-csum`).
    pub const CHECKSUM: Self = Self(1);
    /// Remote checksum offload (`ipvsadm --tun-remcsum`), for [`TunnelKind::Gue`].
    pub const REMOTE_CHECKSUM: Self = Self(2);

    /// The flags of the kernel's bits, `IP_VS_TUNNEL_ENCAP_FLAG_*`, unknown ones included.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The flags as the kernel's bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl std::ops::BitOr for TunnelFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A real server of a virtual service, identified by its address and port.
///
/// [`Destination::new`] gives the defaults; set the rest with struct update syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Its address. One of the other family than the service's needs [`Forwarding::Ipip`].
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// How packets get there.
    pub forwarding: Forwarding,
    /// Share of connections; 0 means none but those that are there already. Default 1.
    pub weight: u32,
    /// No new connections at this number of them; 0 (the default) means no limit.
    pub upper_threshold: u32,
    /// New connections again below this number; 0 (the default) means three quarters of
    /// `upper_threshold`. Not above it.
    pub lower_threshold: u32,
    /// Encapsulation of [`Forwarding::Ipip`].
    pub tunnel: Tunnel,
}

impl Destination {
    /// A destination of weight 1 without thresholds.
    pub fn new(address: IpAddr, port: u16, forwarding: Forwarding) -> Self {
        Self {
            address,
            port,
            forwarding,
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel: Tunnel::default(),
        }
    }

    /// Address and port, which identify it within its service.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// A destination as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DestinationEntry {
    /// The destination and its options.
    pub destination: Destination,
    /// Established connections.
    pub active_connections: u32,
    /// Other connections (closing, or of protocols without states).
    pub inactive_connections: u32,
    /// Clients held here by persistence.
    pub persistent_connections: u32,
    /// Its counters.
    pub stats: Stats,
}
