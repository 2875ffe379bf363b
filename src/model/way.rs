//! How a check's packets leave this machine.

use super::ForwardingMethod;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// `checkfrom` and `checkpath`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Way {
    /// `checkfrom`; without it the kernel chooses.
    pub source: Option<CheckSource>,
    /// `checkpath=service`; without it the check goes to the real server's own address.
    pub path: Option<ServicePath>,
}

impl Way {
    /// The path, for packets to its address: a redirect may lead elsewhere.
    pub fn path_to(&self, target: SocketAddr) -> Option<&ServicePath> {
        self.path.as_ref().filter(|path| path.address == target.ip())
    }
}

/// `checkfrom`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CheckSource {
    /// An address of this machine.
    Address(IpAddr),
    /// An interface, or a VRF.
    Interface(String),
}

impl fmt::Display for CheckSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Interface(name) => f.write_str(name),
        }
    }
}

/// `checkpath=service`: packets go to the virtual address, and ip_vs forwards those that bear the
/// mark to one real server, as it forwards a client's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServicePath {
    /// The virtual address.
    pub address: IpAddr,
    /// The real server.
    pub server: IpAddr,
    /// `gate` or `ipip`.
    pub forwarding: ForwardingMethod,
    /// Of the firewall-mark service that has this real server only; one of [`MARKS`].
    pub mark: u32,
}

/// The firewall marks of checks. Whoever sets marks with netfilter had better use others.
pub const MARKS: std::ops::RangeInclusive<u32> = 0x4c00_0000..=0x4cff_ffff;

impl ServicePath {
    /// The mark that this text leads to, the same in every process: FNV-1a.
    pub fn mark_of(text: &str) -> u32 {
        let hash = text
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        MARKS.start() | (hash ^ (hash >> 24)) & 0x00ff_ffff
    }
}
