//! Identities: the address of a virtual service and of a destination.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Transport protocol of a virtual service given by address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// `protocol=tcp`
    Tcp,
    /// `protocol=udp`
    Udp,
}

/// Address family; of a fwmark service it cannot be told from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4: `virtual`, `real`, `fallback`
    Inet,
    /// IPv6: `virtual6`, `real6`, `fallback6`
    Inet6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Inet } else { Self::Inet6 }
    }
}

/// What makes a virtual service itself: two services of one model never have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceAddress {
    /// An address, a port and a protocol.
    Address {
        /// `tcp` or `udp`.
        protocol: Protocol,
        /// The virtual IP address and port; port 0 takes every port and needs `persistent`.
        address: SocketAddr,
    },
    /// A firewall mark.
    Fwmark {
        /// `virtual=7` is IPv4, `virtual6=7` is IPv6; one mark may serve both.
        family: Family,
        /// The mark that netfilter sets.
        mark: u32,
    },
}

impl ServiceAddress {
    /// The address family of the service's real servers.
    pub fn family(self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(address.ip()),
            Self::Fwmark { family, .. } => family,
        }
    }

    /// The port of the service; 0 for a fwmark.
    pub fn port(self) -> u16 {
        match self {
            Self::Address { address, .. } => address.port(),
            Self::Fwmark { .. } => 0,
        }
    }

    /// `tcp`, `udp` or `fwm`: the word that `fallbackcommand` is given.
    pub fn protocol_word(self) -> &'static str {
        match self {
            Self::Address { protocol: Protocol::Tcp, .. } => "tcp",
            Self::Address { protocol: Protocol::Udp, .. } => "udp",
            Self::Fwmark { .. } => "fwm",
        }
    }

    /// The identity used in messages about a service: `tcp:10.0.0.1:80`, `fwm:7`, `fwm6:7`.
    pub fn id(self) -> String {
        match self {
            Self::Fwmark { family: Family::Inet6, mark } => format!("fwm6:{mark}"),
            _ => format!("{}:{self}", self.protocol_word()),
        }
    }

    /// The service that has this id.
    pub fn from_id(id: &str) -> Option<Self> {
        let (word, rest) = id.split_once(':')?;
        let at = |protocol| Some(Self::Address { protocol, address: rest.parse().ok()? });
        let mark = |family| Some(Self::Fwmark { family, mark: rest.parse().ok()? });
        match word {
            "tcp" => at(Protocol::Tcp),
            "udp" => at(Protocol::Udp),
            "fwm" => mark(Family::Inet),
            "fwm6" => mark(Family::Inet6),
            _ => None,
        }
    }

    /// The second argument of `fallbackcommand`: `10.0.0.1:80`, `[fd00::1]:80`, and `7:0` for a
    /// mark, where the original has only `:0`.
    pub fn hook_argument(self) -> String {
        match self {
            Self::Address { address, .. } => address.to_string(),
            Self::Fwmark { mark, .. } => format!("{mark}:0"),
        }
    }
}

/// The form of log messages and of `ipvsadm`: `10.0.0.1:80`, `[fd00::1]:80`, or the bare mark.
impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, .. } => address.fmt(f),
            Self::Fwmark { mark, .. } => mark.fmt(f),
        }
    }
}

/// As its id.
impl Serialize for ServiceAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.id())
    }
}

impl<'de> Deserialize<'de> for ServiceAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::from_id(&id).ok_or_else(|| D::Error::custom("not the id of a virtual service"))
    }
}

/// A real server's or fallback's address and port; port 0 where the configuration gives none.
pub type DestinationAddress = SocketAddr;
