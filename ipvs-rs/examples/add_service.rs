//! Adds a virtual service with its real servers, or brings one that exists to just these:
//!
//!     add_service 'tcp 10.0.0.1:80' wlc masq 10.0.0.2:8080 10.0.0.3:8080
#![allow(missing_docs, clippy::print_stderr)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;

use ipvs_rs::{Destination, Error, Forwarding, Ipvs, Service, ServiceKey};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("add_service: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [key, scheduler, forwarding, servers @ ..] = arguments else {
        return Err("usage: add_service SERVICE SCHEDULER FORWARDING ADDRESS:PORT…".into());
    };
    let key: ServiceKey = key.parse()?;
    let forwarding: Forwarding = forwarding.parse()?;
    let mut destinations = Vec::new();
    for server in servers {
        let server: SocketAddr = server.parse()?;
        destinations.push(Destination::new(server.ip(), server.port(), forwarding));
    }
    apply(&mut Ipvs::open()?, &Service::new(key, scheduler), &destinations)?;
    Ok(())
}

/// Leaves alone what is right already, so that connections and counters are kept.
pub(crate) fn apply(
    ipvs: &mut Ipvs,
    service: &Service,
    destinations: &[Destination],
) -> Result<(), Error> {
    match ipvs.service(&service.key)? {
        None => ipvs.add_service(service)?,
        Some(entry) if entry.service != *service => ipvs.set_service(service)?,
        Some(_) => {}
    }
    let listed = ipvs.destinations(&service.key)?;
    let mut listed: HashMap<_, _> = listed
        .into_iter()
        .map(|entry| (entry.destination.socket_address(), entry.destination))
        .collect();
    for destination in destinations {
        match listed.remove(&destination.socket_address()) {
            None => ipvs.add_destination(&service.key, destination)?,
            Some(there) if there != *destination => {
                ipvs.set_destination(&service.key, destination)?;
            }
            Some(_) => {}
        }
    }
    for server in listed.keys() {
        ipvs.delete_destination(&service.key, server.ip(), server.port())?;
    }
    Ok(())
}
