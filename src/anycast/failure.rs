//! Why a run did not do what it was asked.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::subnet::{Subnet, host_prefix_length};

/// A failure of the program, printed as one line: what, why, and what to do about it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line cannot be understood.
    Usage(String),
    /// An address outside the subnets.
    OutsideSubnets { address: IpAddr, subnets: Vec<Subnet> },
    /// An address that is never announced, such as a loopback one.
    NotAnnounceable(IpAddr),
    /// A fwmark service has no address of its own.
    NoAddress { service: String },
    /// The interface does not exist.
    NoInterface { interface: String, address: IpAddr },
    /// The interface is down, and an address on it would not be announced.
    InterfaceDown { interface: String, address: IpAddr },
    /// The address is on the interface in a form that this program does not make.
    Foreign { address: IpAddr, interface: String, prefix_length: u8 },
    /// The address was removed, but another interface has it too.
    Elsewhere { address: IpAddr, interface: String, elsewhere: String },
    /// The kernel took a request, and what it lists afterwards is something else.
    Unverified { address: IpAddr, interface: String, found: &'static str },
    /// The kernel refused, or gave no answer in time.
    Kernel { operation: String, cause: String },
    /// The state directory or a file in it cannot be used.
    State { operation: &'static str, path: PathBuf, cause: String },
    /// Another run holds the lock.
    Busy { path: PathBuf, waited: Duration },
    /// `forget` without a service where ip_vs cannot be listed.
    NoTable { cause: String },
    /// `forget` for a service that the state does not have.
    Unknown { service: String },
    /// `status` found an address that is not as it was decided.
    Differs(String),
}

impl Failure {
    /// The exit status: 2 for what will be refused again, 1 for what another attempt may cure.
    pub(super) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::OutsideSubnets { .. }
            | Self::NotAnnounceable(_)
            | Self::NoAddress { .. } => 2,
            Self::NoInterface { .. }
            | Self::InterfaceDown { .. }
            | Self::Foreign { .. }
            | Self::Elsewhere { .. }
            | Self::Unverified { .. }
            | Self::Kernel { .. }
            | Self::State { .. }
            | Self::Busy { .. }
            | Self::NoTable { .. }
            | Self::Unknown { .. }
            | Self::Differs(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => write!(f, "{message}; see ldirectord-anycast --help"),
            Self::OutsideSubnets { address, subnets } => {
                write!(f, "refused {address}: outside of")?;
                for subnet in subnets {
                    write!(f, " {subnet}")?;
                }
                f.write_str("; correct the address of the virtual service, or --subnet")
            }
            Self::NotAnnounceable(address) => write!(
                f,
                "refused {address}: not an address to announce (loopback, link-local, multicast or \
                 IPv4-mapped); use one of the anycast subnet"
            ),
            Self::NoAddress { service } => write!(
                f,
                "refused {service}: a firewall mark has no address; say which one stands for it \
                 with --address"
            ),
            Self::NoInterface { interface, address } => write!(
                f,
                "cannot use {interface} for {address}: no such interface; create it, or correct \
                 --interface"
            ),
            Self::InterfaceDown { interface, address } => write!(
                f,
                "refused {address} on {interface}: the interface is down and the address would not \
                 be announced; ip link set {interface} up"
            ),
            Self::Foreign { address, interface, prefix_length } => write!(
                f,
                "refused {address} on {interface}: it is there with prefix length {prefix_length} \
                 or a peer, so it is the interface's own and not an anycast /{}; use another \
                 address or --interface",
                host_prefix_length(*address)
            ),
            Self::Elsewhere { address, interface, elsewhere } => write!(
                f,
                "{address} is gone from {interface} but still on {elsewhere}, and may still be \
                 announced; remove it there by hand"
            ),
            Self::Unverified { address, interface, found } => write!(
                f,
                "{address} on {interface}: {found}; see ip address show dev {interface}, something \
                 else may be changing it"
            ),
            Self::Kernel { operation, cause } => write!(f, "{operation}: {cause}"),
            Self::State { operation, path, cause } => {
                write!(f, "{operation} {}: {cause}", path.display())
            }
            Self::Busy { path, waited } => write!(
                f,
                "lock {}: still held after {} s by another run; fuser {} names it",
                path.display(),
                waited.as_secs(),
                path.display()
            ),
            Self::NoTable { cause } => write!(
                f,
                "list ip_vs: {cause}; without it nobody knows which services are gone, name one: \
                 forget VIP:PORT PROTOCOL"
            ),
            Self::Unknown { service } => write!(
                f,
                "forget {service}: no such service; ldirectord-anycast status lists those known"
            ),
            Self::Differs(what) => f.write_str(what),
        }
    }
}
