//! Prints the table as `ipvsadm -Ln` does.
#![allow(missing_docs)]

use std::io::{self, Write};

use ipvs_rs::{
    DestinationEntry, Error, Family, Forwarding, Ipvs, Netmask, Protocol, SchedulerFlags, Service,
    ServiceKey,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    print(&mut Ipvs::open()?, &mut io::stdout().lock())
}

pub(crate) fn print(
    ipvs: &mut Ipvs,
    out: &mut impl Write,
) -> Result<(), Box<dyn std::error::Error>> {
    let info = ipvs.info()?;
    writeln!(
        out,
        "IP Virtual Server version {} (size={})",
        info.version, info.connection_table_size
    )?;
    writeln!(out, "Prot LocalAddress:Port Scheduler Flags")?;
    writeln!(out, "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn")?;
    for service in services(ipvs)? {
        writeln!(out, "{}", service_line(&service))?;
        let mut entries = ipvs.destinations(&service.key)?;
        entries.sort_by_key(|entry| entry.destination.socket_address());
        for entry in entries {
            writeln!(out, "{}", destination_line(&entry))?;
        }
    }
    Ok(())
}

/// In the order of `ipvsadm`: by mark (none first), family, protocol, address and port.
fn services(ipvs: &mut Ipvs) -> Result<Vec<Service>, Error> {
    let mut services: Vec<_> = ipvs.services()?.into_iter().map(|entry| entry.service).collect();
    services.sort_by_key(|service| match service.key {
        ServiceKey::Address { .. } => (0, service.key.family(), service.key),
        ServiceKey::Fwmark { mark, family } => (mark, family, service.key),
    });
    Ok(services)
}

fn service_line(service: &Service) -> String {
    let mut line = match service.key {
        ServiceKey::Address { protocol, address, port } => {
            let protocol = match protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
                Protocol::Sctp => "SCTP",
            };
            format!("{protocol:<4} {}", std::net::SocketAddr::new(address, port))
        }
        ServiceKey::Fwmark { family: Family::Inet, mark } => format!("FWM  {mark}"),
        ServiceKey::Fwmark { family: Family::Inet6, mark } => format!("FWM  {mark} IPv6"),
    };
    line += &format!(" {}", service.scheduler);
    if !service.scheduler_flags.is_empty() {
        line += &format!(" ({})", flag_names(&service.scheduler, service.scheduler_flags));
    }
    if let Some(persistence) = service.persistence {
        line += &format!(" persistent {}", persistence.timeout_seconds);
        if persistence.netmask != Netmask::host(service.key.family()) {
            line += &format!(" mask {}", persistence.netmask);
        }
    }
    if let Some(engine) = &service.persistence_engine {
        line += &format!(" pe {engine}");
    }
    if service.one_packet {
        line += " ops";
    }
    line
}

fn flag_names(scheduler: &str, flags: SchedulerFlags) -> String {
    let names = match scheduler {
        "sh" => ["sh-fallback", "sh-port", "flag-3"],
        "mh" => ["mh-fallback", "mh-port", "flag-3"],
        _ => ["flag-1", "flag-2", "flag-3"],
    };
    let all = [SchedulerFlags::FLAG_1, SchedulerFlags::FLAG_2, SchedulerFlags::FLAG_3];
    let set = all.into_iter().zip(names).filter(|(flag, _)| flags.contains(*flag));
    set.map(|(_, name)| name).collect::<Vec<_>>().join(",")
}

fn destination_line(entry: &DestinationEntry) -> String {
    let destination = &entry.destination;
    let forwarding = match destination.forwarding {
        Forwarding::Masq => "Masq",
        Forwarding::Local => "Local",
        Forwarding::Gate => "Route",
        Forwarding::Ipip => "Tunnel",
        Forwarding::Bypass => "Bypass",
    };
    format!(
        "  -> {:<28} {forwarding:<7} {:<6} {:<10} {:<10}",
        destination.socket_address().to_string(),
        destination.weight,
        entry.active_connections,
        entry.inactive_connections
    )
}
