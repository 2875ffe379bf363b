//! Addresses and routes.

use super::{Symptom, Target, hooks, set, targets};
use crate::doctor::facts::{Facts, Route};
use crate::model::{ForwardingMethod, Model, ServiceAddress};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(super) fn vip_missing(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let mut told = BTreeSet::new();
    let mut symptoms = Vec::new();
    for service in &model.services {
        let Some(address) = own_address(service.address) else { continue };
        // The hook brings the address when the service is up.
        if hooks::is_anycast(service) {
            continue;
        }
        let elsewhere = matches!(
            facts.network.routes.get(&address),
            Some(Route::Out { .. } | Route::Nowhere(_))
        );
        if !elsewhere || !told.insert(address) {
            continue;
        }
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        symptoms.push(
            Symptom::new(
                format!("{address} is on no interface."),
                "ip_vs takes only packets that are for this machine. (A standby gets it at takeover.)",
                format!("ip address add {address}/{prefix} dev lo, or have the cluster manager do it"),
            )
            .of(service.address),
        );
    }
    symptoms
}

fn own_address(service: ServiceAddress) -> Option<IpAddr> {
    match service {
        ServiceAddress::Address { address, .. } => Some(address.ip()),
        ServiceAddress::Fwmark { .. } => None,
    }
}

pub(super) fn no_route(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let of_target = |target: Target<'_>| {
        let address = target.address.ip();
        let Some(Route::Nowhere(why)) = facts.network.routes.get(&address) else { return None };
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let symptom = Symptom::new(
            format!("There is no route to {address}: {why}."),
            "Neither checks nor clients reach it.",
            format!("ip route add {address}/{prefix} via ROUTER"),
        );
        Some(symptom.of(target.service.address).at(target.address))
    };
    targets(model).filter_map(of_target).collect()
}

pub(super) fn gate_behind_router(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let of_target = |target: Target<'_>| {
        let address = target.address.ip();
        let Some(Route::Out { gateway: Some(gateway), .. }) = facts.network.routes.get(&address)
        else {
            return None;
        };
        let symptom = Symptom::new(
            format!("{address} is behind the router {gateway}."),
            "With gate, packets keep the service's address: the router sends them back here instead \
             of to the server.",
            "use ipip or masq for this server, or put it on a link of this machine",
        );
        Some(symptom.of(target.service.address).at(target.address))
    };
    let gate = |target: &Target<'_>| target.forwarding == ForwardingMethod::Gate;
    targets(model).filter(gate).filter_map(of_target).collect()
}

/// IPv4 only: IPv6 takes packets from an address of its own.
pub(super) fn accept_local_off(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let servers = model.services.iter().flat_map(|service| &service.real_servers);
    let paths = servers.filter_map(|server| server.check.way.path.as_ref());
    let mut told = BTreeSet::new();
    let mut symptoms = Vec::new();
    for path in paths.filter(|path| path.address.is_ipv4()) {
        let own = matches!(facts.network.routes.get(&path.address), Some(Route::Local));
        let Some(Route::Out { interface, .. }) = facts.network.routes.get(&path.server) else {
            continue;
        };
        if own && facts.of_interface(interface, "accept_local") == Some(0) && told.insert(interface)
        {
            let name = format!("net.ipv4.conf.{interface}.accept_local");
            symptoms.push(Symptom::new(
                format!("Checks go through a service (checkpath), and {name} is 0."),
                "Their answers come from the virtual address, which is this machine's own: the kernel \
                 drops them, and no check has a verdict.",
                set(&format!("net/ipv4/conf/{interface}/accept_local"), 1),
            ));
        }
    }
    symptoms
}

pub(super) fn masq_way_back(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let of_target = |target: Target<'_>| {
        let address = target.address.ip();
        let Some(Route::Out { interface, gateway }) = facts.network.routes.get(&address) else {
            return None;
        };
        let what = match gateway {
            Some(gateway) => format!("{address} is behind the router {gateway}."),
            None if clients_come_over(facts, interface, own_address(target.service.address)) => {
                format!("{address} and the service's address are on the same link, {interface}.")
            }
            None => return None,
        };
        let why = match gateway {
            Some(_) => {
                "Its answers have to come back through here: clients refuse one from its own address. \
                 Whether the router sends them here cannot be seen from here."
            }
            None => {
                "Answers have to come back through here. They do if this machine is the server's \
                 default router, and never for clients on this link."
            }
        };
        let mend = match (gateway, own_on(facts, interface, address)) {
            (None, Some(own)) => {
                format!("on the server: ip route replace default via {own}; or use gate")
            }
            _ => "route the server's answers to this machine, or use ipip".to_owned(),
        };
        Some(Symptom::new(what, why, mend).of(target.service.address).at(target.address))
    };
    let masq = |target: &Target<'_>| target.forwarding == ForwardingMethod::Masq;
    targets(model).filter(masq).filter_map(of_target).collect()
}

/// Whether the service's address is on this link, so that its clients come over it.
fn clients_come_over(facts: &Facts, interface: &str, vip: Option<IpAddr>) -> bool {
    let link = facts.network.interfaces.get(interface);
    link.zip(vip).is_some_and(|(link, vip)| link.outward && link.addresses.contains(&vip))
}

/// This machine's address on a link, of the same family as another.
fn own_on(facts: &Facts, interface: &str, like: IpAddr) -> Option<IpAddr> {
    let addresses = &facts.network.interfaces.get(interface)?.addresses;
    addresses.iter().find(|own| own.is_ipv4() == like.is_ipv4()).copied()
}
