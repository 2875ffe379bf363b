//! Modules and switches of the kernel.

use super::{Symptom, count, hooks, set, targets};
use crate::doctor::facts::{Facts, Route};
use crate::model::{Family, ForwardingMethod, Model, Protocol, ServiceAddress, VirtualService};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(super) fn ip_vs_missing(facts: &Facts, _: &Model) -> Vec<Symptom> {
    let modules = &facts.modules;
    if modules.ip_vs {
        return Vec::new();
    }
    let why = "Without it there is no table, and the daemon does not start.";
    let release = &modules.release;
    match &modules.available {
        // The first who asks for it loads it.
        Some(available) if available.contains("ip_vs") => Vec::new(),
        Some(_) => vec![Symptom::new(
            format!("The kernel {release} has no ip_vs, and its modules have none either."),
            why,
            "apt-get install linux-image-amd64, and boot it (kernels for clouds may lack ip_vs)",
        )],
        None => vec![Symptom::new(
            format!("ip_vs is not loaded, and the modules of the kernel {release} are not here."),
            why,
            "modprobe ip_vs, on the host if this is a container",
        )],
    }
}

pub(super) fn scheduler_missing(facts: &Facts, model: &Model) -> Vec<Symptom> {
    // Where modules cannot be seen, nothing is known; where ip_vs is missing, that is enough.
    let Some(available) = &facts.modules.available else { return Vec::new() };
    if !facts.modules.ip_vs && !available.contains("ip_vs") {
        return Vec::new();
    }
    let is_missing = |scheduler: &str| {
        let module = format!("ip_vs_{scheduler}");
        !facts.modules.loaded.contains_key(&module) && !available.contains(&module)
    };
    let of_service = |service: &VirtualService| {
        let scheduler = &service.scheduler;
        is_missing(scheduler).then(|| {
            Symptom::new(
                format!("The kernel has no scheduler {scheduler}: no module ip_vs_{scheduler}."),
                "The kernel refuses the service.",
                format!(
                    "install the module ip_vs_{scheduler}, or write another scheduler, such as wrr"
                ),
            )
            .of(service.address)
        })
    };
    model.services.iter().filter_map(of_service).collect()
}

/// Services, by family, with a server of masq that is not on this machine.
fn masquerading(facts: &Facts, model: &Model, family: Family) -> BTreeSet<ServiceAddress> {
    targets(model)
        .filter(|target| target.forwarding == ForwardingMethod::Masq)
        .filter(|target| Family::of(target.address.ip()) == family)
        .filter(|target| facts.network.routes.get(&target.address.ip()) != Some(&Route::Local))
        .map(|target| target.service.address)
        .collect()
}

pub(super) fn ip_forward_off(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let switches =
        [(Family::Inet, "net/ipv4/ip_forward"), (Family::Inet6, "net/ipv6/conf/all/forwarding")];
    let of_family = |(family, switch)| {
        let services = masquerading(facts, model, family).len();
        (services > 0 && facts.sysctl(switch) == Some(0)).then(|| {
            let name = switch.replace('/', ".");
            Symptom::new(
                format!("{name} is 0, and {} by masq.", uses(services)),
                "Answers of real servers come here to be sent on to the client, and are dropped.",
                set(switch, 1),
            )
        })
    };
    switches.into_iter().filter_map(of_family).collect()
}

fn uses(services: usize) -> String {
    if services == 1 {
        "1 service forwards".to_owned()
    } else {
        format!("{services} services forward")
    }
}

pub(super) fn rp_filter_strict(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let asymmetric = |service: &VirtualService| {
        let past_us = service
            .real_servers
            .iter()
            .any(|it| matches!(it.forwarding, ForwardingMethod::Gate | ForwardingMethod::Ipip));
        service.address.family() == Family::Inet && (past_us || hooks::is_anycast(service))
    };
    if !model.services.iter().any(asymmetric) {
        return Vec::new();
    }
    let strict = |name: &str| facts.of_interface(name, "rp_filter") == Some(1);
    let outward: Vec<&String> = facts
        .network
        .interfaces
        .iter()
        .filter(|(_, it)| it.up && it.outward && it.addresses.iter().any(IpAddr::is_ipv4))
        .map(|(name, _)| name)
        .collect();
    // With one link there is one way, and no packet comes in by another.
    if outward.len() < 2 {
        return Vec::new();
    }
    let of_interface = |name: &&String| {
        strict(name).then(|| {
            Symptom::new(
                format!("rp_filter is strict (1) on {name}."),
                "A packet of a client whose way back leads over another link is dropped in silence.",
                set(&format!("net/ipv4/conf/{name}/rp_filter"), 2),
            )
        })
    };
    outward.iter().filter_map(of_interface).collect()
}

/// Modules that look at connections of connection tracking: rules of nftables and iptables.
const OBSERVERS: [&str; 6] =
    ["nft_ct", "nft_masq", "xt_conntrack", "xt_state", "xt_MASQUERADE", "xt_nat"];

pub(super) fn conntrack_off(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let masquerades = [Family::Inet, Family::Inet6]
        .into_iter()
        .any(|family| !masquerading(facts, model, family).is_empty());
    if !masquerades || !facts.is_off("conntrack") {
        return Vec::new();
    }
    let in_use = |name: &&&str| facts.modules.loaded.get(**name).is_some_and(|users| *users > 0);
    let observers: Vec<&str> = OBSERVERS.iter().filter(in_use).copied().collect();
    if observers.is_empty() {
        return Vec::new();
    }
    vec![Symptom::new(
        format!(
            "net.ipv4.vs.conntrack is 0, and there are packet filter rules about connections ({}).",
            observers.join(", ")
        ),
        "Connections of ip_vs are untracked: rules for established connections, and masquerading, \
         do not apply to them.",
        set("net/ipv4/vs/conntrack", 1),
    )]
}

pub(super) fn conntrack_full(facts: &Facts, _: &Model) -> Vec<Symptom> {
    let switch = "net/netfilter/nf_conntrack_max";
    let (Some(count), Some(max)) =
        (facts.sysctl("net/netfilter/nf_conntrack_count"), facts.sysctl(switch))
    else {
        return Vec::new();
    };
    // 0 is no limit.
    if max <= 0 || count < max - max / 10 {
        return Vec::new();
    }
    vec![Symptom::new(
        format!("Connection tracking has {count} of {max} entries."),
        "When it is full, the kernel drops the packets of new connections.",
        set(switch, count.max(max).saturating_mul(2)),
    )]
}

pub(super) fn quiescent_persistent(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let sticks = |it: &&VirtualService| it.quiescent && it.persistence.is_some();
    let services = model.services.iter().filter(sticks).count();
    if services == 0 || !facts.is_off("expire_quiescent_template") {
        return Vec::new();
    }
    vec![Symptom::new(
        format!(
            "{} quiescent and persistent, and net.ipv4.vs.expire_quiescent_template is 0.",
            count(services, "service") + if services == 1 { " is" } else { " are" }
        ),
        "Clients of a dead server are sent to it again and again, until persistent is over.",
        set("net/ipv4/vs/expire_quiescent_template", 1),
    )]
}

pub(super) fn expire_nodest_conn(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let removes = |it: &&VirtualService| !it.quiescent && !it.one_packet;
    if model.services.iter().filter(removes).count() == 0 || !facts.is_off("expire_nodest_conn") {
        return Vec::new();
    }
    vec![Symptom::new(
        "Dead servers are removed (quiescent=no), and net.ipv4.vs.expire_nodest_conn is 0.",
        "Clients of a removed server get no answer until they give up; with 1 they are told at once, \
         or, with udp, served by another server.",
        set("net/ipv4/vs/expire_nodest_conn", 1),
    )]
}

pub(super) fn sloppy_tcp(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let hashes = |service: &VirtualService| {
        let many = match service.scheduler.as_str() {
            "mh" => true,
            "sh" => hooks::is_anycast(service),
            _ => false,
        };
        let is_udp =
            matches!(service.address, ServiceAddress::Address { protocol: Protocol::Udp, .. });
        many && !is_udp
    };
    if !model.services.iter().any(hashes) || !facts.is_off("sloppy_tcp") {
        return Vec::new();
    }
    vec![Symptom::new(
        "Services are spread by hash, as for several directors, and net.ipv4.vs.sloppy_tcp is 0.",
        "A connection that the network moves here from another director breaks: only a SYN opens one.",
        set("net/ipv4/vs/sloppy_tcp", 1),
    )]
}
