//! Daemons on one table, and what the running one knows.

use super::Symptom;
use crate::doctor::facts::{Daemon, Facts, key};
use crate::model::{Model, VirtualService};

pub(super) fn two_daemons(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let why =
        "Each takes what the other puts into the table for a mistake, or removes it at its end.";
    let others: Vec<_> =
        facts.surroundings.others.iter().map(|other| (other, other.services())).collect();
    let mut symptoms = Vec::new();
    for service in model.services.iter().map(|service| service.address) {
        let (protocol, address) = key(service);
        for (other, services) in &others {
            if !services.contains_key(&(protocol, address.as_str())) {
                continue;
            }
            let Daemon { instance, pid, .. } = other;
            let what = format!("The instance {instance} (process {pid}) has this service too.");
            let mend = format!("{}, or take the service out of one of the two files", stop(other));
            symptoms.push(Symptom::new(what, why, mend).of(service));
        }
        if facts.keepalived.contains(&service) {
            let what = "keepalived runs, and its configuration has this service too.";
            let mend = "take the virtual_server out of keepalived.conf, and reload keepalived";
            symptoms.push(Symptom::new(what, why, mend).of(service));
        }
    }
    symptoms
}

pub(super) fn table_unwatched(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let surroundings = &facts.surroundings;
    // Those that do not answer may have anything.
    let silent = |it: &Daemon| it.status.is_none();
    if surroundings.daemon.is_some() || surroundings.others.iter().any(silent) {
        return Vec::new();
    }
    let elsewhere: Vec<_> = surroundings.others.iter().map(Daemon::services).collect();
    let symptom = |service: &VirtualService| {
        let (protocol, address) = key(service.address);
        let key = (protocol, address.as_str());
        let watched = elsewhere.iter().any(|services| services.contains_key(&key));
        if watched || !facts.table.contains(&service.address) {
            return None;
        }
        let symptom = Symptom::new(
            "The table has this service, and no ldirectord runs that has it.",
            "Nobody takes a dead server out. (If another program does, both would change the table.)",
            format!("{} start", surroundings.command),
        );
        Some(symptom.of(service.address))
    };
    model.services.iter().filter_map(symptom).collect()
}

pub(super) fn name_changed(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let surroundings = &facts.surroundings;
    let Some(daemon) = &surroundings.daemon else { return Vec::new() };
    let Some(used) = daemon.addresses() else { return Vec::new() };
    let mut symptoms = Vec::new();
    for name in &surroundings.names {
        let [first, ..] = name.addresses[..] else { continue };
        if name.addresses.iter().any(|address| used.contains(address)) {
            continue;
        }
        symptoms.push(Symptom::new(
            format!("{} is {first} now, and the daemon does not use this address.", name.name),
            match model.settings.resolve_interval {
                None => "Names are looked up when the configuration is read, and not again.",
                Some(_) => {
                    "Names of servers are looked up again after resolveinterval, others are not."
                }
            },
            format!("{} reload", surroundings.command),
        ));
    }
    symptoms
}

/// The command that stops a daemon.
fn stop(daemon: &Daemon) -> String {
    match &daemon.status {
        _ if daemon.instance == "ldirectord" => "ldirectord stop".to_owned(),
        Some(status) => format!("ldirectord {} stop", status.config),
        None => format!("kill {}", daemon.pid),
    }
}
