//! Weights, and what the loader finds odd.

use super::Symptom;
use crate::doctor::facts::{Doubt, Facts, key};
use crate::model::{Model, RealServer, VirtualService};
use crate::status::ServerState;

pub(super) fn weights_all_zero(_: &Facts, model: &Model) -> Vec<Symptom> {
    let all_zero = |it: &&VirtualService| {
        !it.real_servers.is_empty() && it.real_servers.iter().all(is_weightless)
    };
    let symptom = |service: &VirtualService| {
        let what = match service.real_servers.len() {
            1 => "Its only real server has weight 0.".to_owned(),
            servers => format!("All {servers} real servers have weight 0."),
        };
        Symptom::new(
            what,
            "ip_vs sends no connection to a server of weight 0: nobody is served.",
            "leave the weights out, or give one server at least 1",
        )
        .of(service.address)
    };
    model.services.iter().filter(all_zero).map(symptom).collect()
}

fn is_weightless(server: &RealServer) -> bool {
    server.weight == 0
}

/// With a fallback, the loader has said it.
pub(super) fn weight_zero(_: &Facts, model: &Model) -> Vec<Symptom> {
    let mut symptoms = Vec::new();
    for service in &model.services {
        let servers = &service.real_servers;
        let has_fallback = !service.fallbacks.is_empty() || service.fallback_command.is_some();
        if has_fallback || servers.iter().all(is_weightless) {
            continue;
        }
        symptoms.extend(servers.iter().filter(|it| is_weightless(it)).map(|server| {
            Symptom::new(
                "It has weight 0, and others of the service do not.",
                "It is checked and listed, and gets no connection, not even when all others are down.",
                "give it a weight, or leave it out",
            )
            .of(service.address)
            .at(server.address)
        }));
    }
    symptoms
}

pub(super) fn only_weight_zero_up(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let Some(daemon) = &facts.surroundings.daemon else { return Vec::new() };
    let statuses = daemon.services();
    let mut symptoms = Vec::new();
    for service in &model.services {
        let (protocol, address) = key(service.address);
        let Some(now) = statuses.get(&(protocol, address.as_str())) else { continue };
        let mut up = now.servers.iter().filter(|it| it.state == ServerState::Up).peekable();
        let some_down = now.servers.iter().any(|it| it.state == ServerState::Down);
        if some_down && up.peek().is_some() && up.all(|it| it.weight_wanted == Some(0)) {
            symptoms.push(
                Symptom::new(
                    "Only servers of weight 0 are up; the others are down.",
                    "Nobody is served, and no fallback comes in, since a server is up.",
                    "give a server that is up a weight and reload, or enable one that is drained",
                )
                .of(service.address),
            );
        }
    }
    symptoms
}

/// Weights so far apart are a slip, or two scales mixed.
const APART: u32 = 100;

/// Schedulers that share by weight. To rr, lc and dh a weight is yes or no, to fo and ovf a rank.
const SHARING: [&str; 9] = ["wrr", "wlc", "lblc", "lblcr", "sh", "mh", "sed", "nq", "twos"];

pub(super) fn weights_apart(_: &Facts, model: &Model) -> Vec<Symptom> {
    let of_service = |service: &VirtualService| {
        let weights = service.real_servers.iter().map(|it| it.weight).filter(|weight| *weight > 0);
        let (least, most) = (weights.clone().min()?, weights.max()?);
        if most / least < APART || !SHARING.contains(&service.scheduler.as_str()) {
            return None;
        }
        let symptom = Symptom::new(
            format!("Weights are from {least} to {most}."),
            format!(
                "A server of weight {least} gets one connection where another gets {}.",
                most / least
            ),
            "write all weights of a service in the same scale",
        );
        Some(symptom.of(service.address))
    };
    model.services.iter().filter_map(of_service).collect()
}

pub(super) fn configuration_warning(facts: &Facts, _: &Model) -> Vec<Symptom> {
    let config = facts.surroundings.config.display();
    let symptom = |doubt: &Doubt| {
        let place = doubt.line.as_ref().map_or(String::new(), |line| format!(", {line}"));
        let hint = doubt.hint.as_deref().unwrap_or("look at the line");
        Symptom::new(
            format!("{config}{place}: {}.", doubt.text),
            "It is legal, and probably not meant.",
            format!("{hint}; then ldirectord --check {config}"),
        )
    };
    facts.surroundings.doubts.iter().map(symptom).collect()
}
