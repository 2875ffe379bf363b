//! Real servers and fallbacks.

use super::{CheckPlan, DestinationAddress, ServiceAddress};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How the kernel passes a connection on to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ForwardingMethod {
    /// `gate`: direct routing; the packet goes out unchanged to the server's MAC address.
    #[default]
    Gate,
    /// `masq`: network address translation.
    Masq,
    /// `ipip`: tunnelled in IP.
    Ipip,
}

impl FromStr for ForwardingMethod {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "gate" => Ok(Self::Gate),
            "masq" => Ok(Self::Masq),
            "ipip" => Ok(Self::Ipip),
            _ => Err(()),
        }
    }
}

/// The configuration's word.
impl fmt::Display for ForwardingMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gate => "gate",
            Self::Masq => "masq",
            Self::Ipip => "ipip",
        })
    }
}

/// Connection thresholds of a real server (`l:N`, `u:N`); 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Thresholds {
    /// Connections below which a server that was full is used again.
    pub lower: u32,
    /// Connections at which no new one is sent to the server.
    pub upper: u32,
}

/// A real server of a virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealServer {
    /// Address and port as configured; port 0 if none was given.
    pub address: DestinationAddress,
    /// `gate`, `masq` or `ipip`.
    pub forwarding: ForwardingMethod,
    /// Weight while up; default 1.
    pub weight: u32,
    /// Connection thresholds; default none.
    pub thresholds: Thresholds,
    /// How to tell whether it is up. Equal plans share one [`Arc`] and one check.
    pub check: Arc<CheckPlan>,
}

/// A fallback server (`fallback`, `fallbackserver`): in the table while no real server is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fallback {
    /// Address and port; a port left out is the service's.
    pub address: DestinationAddress,
    /// Default `gate`.
    pub forwarding: ForwardingMethod,
    /// Default 1, and always 1 of `fallback`.
    pub weight: u32,
}

/// The address under which the kernel lists a destination.
///
/// With `gate` and `ipip` the packet keeps its port, so the kernel's entry has the port of the
/// virtual service whatever was configured (ip_vs; `ipvsadm` does the same). A fwmark service
/// keeps what was configured.
pub fn listed_address(
    service: ServiceAddress,
    configured: DestinationAddress,
    forwarding: ForwardingMethod,
) -> DestinationAddress {
    match (service, forwarding) {
        (
            ServiceAddress::Address { address, .. },
            ForwardingMethod::Gate | ForwardingMethod::Ipip,
        ) => DestinationAddress::new(configured.ip(), address.port()),
        _ => configured,
    }
}

impl RealServer {
    /// The address under which the kernel lists this server in `service`; see [`listed_address`].
    pub fn listed(&self, service: ServiceAddress) -> DestinationAddress {
        listed_address(service, self.address, self.forwarding)
    }
}

impl Fallback {
    /// The address under which the kernel lists this fallback in `service`; see [`listed_address`].
    pub fn listed(&self, service: ServiceAddress) -> DestinationAddress {
        listed_address(service, self.address, self.forwarding)
    }
}
