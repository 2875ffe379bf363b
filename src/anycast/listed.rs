//! The services that ip_vs lists.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use ipvs_rs::{Ipvs, ServiceKey};

use crate::model::{Family, Protocol, ServiceAddress};

/// Lists the services of this network namespace.
///
/// # Errors
/// The cause, where there is no ip_vs or it cannot be listed.
pub(crate) fn services() -> Result<Vec<ServiceAddress>, String> {
    // Asking generic netlink would load the module where nobody uses it.
    Path::new("/proc/net/ip_vs")
        .try_exists()
        .and_then(|exists| if exists { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) })
        .map_err(|error| format!("/proc/net/ip_vs: {error}"))?;
    let services =
        Ipvs::open().and_then(|mut ipvs| ipvs.services()).map_err(|error| error.to_string())?;
    Ok(services.iter().filter_map(|entry| service(entry.service.key)).collect())
}

/// A service in the words of the configuration, which knows no SCTP.
fn service(key: ServiceKey) -> Option<ServiceAddress> {
    let of_address = |protocol, address, port| {
        Some(ServiceAddress::Address { protocol, address: SocketAddr::new(address, port) })
    };
    match key {
        ServiceKey::Address { protocol: ipvs_rs::Protocol::Tcp, address, port } => {
            of_address(Protocol::Tcp, address, port)
        }
        ServiceKey::Address { protocol: ipvs_rs::Protocol::Udp, address, port } => {
            of_address(Protocol::Udp, address, port)
        }
        ServiceKey::Address { protocol: ipvs_rs::Protocol::Sctp, .. } => None,
        ServiceKey::Fwmark { family, mark } => {
            let family = match family {
                ipvs_rs::Family::Inet => Family::Inet,
                ipvs_rs::Family::Inet6 => Family::Inet6,
            };
            Some(ServiceAddress::Fwmark { family, mark })
        }
    }
}
