//! A table in the form of `ipvsadm -Ln`.

use super::{Dataplane, TableError};
use ipvs_rs::{Forwarding, Netmask, Service, ServiceKey};
use std::fmt::Write;

/// The table as text: a heading, then each service with its destinations indented.
///
/// # Errors
/// When the table cannot be read.
pub fn listing(table: &mut dyn Dataplane) -> Result<String, TableError> {
    let mut text = String::from(
        "Prot LocalAddress:Port Scheduler Flags\n  \
         -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n",
    );
    for service in table.services()? {
        text.push_str(&service_line(&service));
        for entry in table.destinations(&service.key)? {
            let destination = entry.destination;
            let forward = match destination.forwarding {
                Forwarding::Masq => "Masq",
                Forwarding::Local => "Local",
                Forwarding::Gate => "Route",
                Forwarding::Ipip => "Tunnel",
                Forwarding::Bypass => "Bypass",
            };
            let _ = writeln!(
                text,
                "  -> {:<28} {:<7} {:<6} {:<10} {}",
                destination.socket_address().to_string(),
                forward,
                destination.weight,
                entry.active_connections,
                entry.inactive_connections,
            );
        }
    }
    Ok(text)
}

fn service_line(service: &Service) -> String {
    let name = match service.key {
        ServiceKey::Address { protocol, address, port } => {
            let protocol = protocol.to_string().to_uppercase();
            format!("{protocol}  {}", std::net::SocketAddr::new(address, port))
        }
        ServiceKey::Fwmark { family: ipvs_rs::Family::Inet, mark } => format!("FWM  {mark}"),
        ServiceKey::Fwmark { family: ipvs_rs::Family::Inet6, mark } => format!("FWM  {mark} IPv6"),
    };
    let mut line = format!("{name} {}", service.scheduler);
    if let Some(persistence) = service.persistence {
        let _ = write!(line, " persistent {}", persistence.timeout_seconds);
        match persistence.netmask {
            Netmask::V4(mask) if mask.is_broadcast() => {}
            Netmask::V6(128) => {}
            Netmask::V4(mask) => {
                let _ = write!(line, " mask {mask}");
            }
            Netmask::V6(prefix) => {
                let _ = write!(line, " mask {prefix}");
            }
        }
    }
    if service.one_packet {
        line.push_str(" ops");
    }
    line.push('\n');
    line
}
