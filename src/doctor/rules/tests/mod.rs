//! Every rule on made-up facts: where it finds something, and next to that, where it does not.

mod kernel;
mod machine;
mod network;
mod services;

use super::RULES;
use crate::config::parse;
use crate::doctor::facts::{
    Daemon, Doubt, Facts, HostName, Interface, Modules, Network, Program, Route, Surroundings,
};
use crate::doctor::finding::Finding;
use crate::model::{MemoryResolver, Model, ServiceAddress, build};
use crate::status::{Phase, ServerState, ServerStatus, ServiceStatus, StatusReport};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A service in which nothing is wrong on the machine of [`sound`].
const SOUND: &str = "virtual=192.0.2.1:80\n\treal=10.0.0.1:80 masq\n\treal=10.0.0.2:80 masq\n\
                     \tscheduler=wlc\n\tchecktype=connect\n";

/// The same with direct routing.
const GATE: &str = "virtual=192.0.2.1:80\n\treal=10.0.0.1:80 gate\n\treal=10.0.0.2:80 gate\n\
                    \tscheduler=mh\n\tchecktype=connect\n";

/// One that is announced.
const ANYCAST: &str = "virtual=198.51.100.1:53\n\treal=10.0.0.1:53 gate\n\tscheduler=wlc\n\
                       \tchecktype=connect\n\tprotocol=tcp\n\
                       \tfallbackcommand=\"/usr/sbin/ldirectord-anycast --subnet 198.51.100.0/24\"\n";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn model(text: &str) -> Model {
    let (ast, diagnostics) = parse(text);
    assert!(!diagnostics.has_errors(), "{diagnostics:?}");
    let (model, diagnostics) = build(&ast, &MemoryResolver::new("director"));
    model.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

/// A machine with a link to clients and one to servers.
fn sound() -> Facts {
    let interface = |addresses: &[&str], outward| Interface {
        up: true,
        outward,
        addresses: addresses.iter().map(|it| address(it)).collect(),
    };
    let out = |interface: &str| Route::Out { interface: interface.to_owned(), gateway: None };
    let sysctls = [
        ("net/ipv4/ip_forward", 1),
        ("net/ipv6/conf/all/forwarding", 1),
        ("net/ipv4/conf/all/accept_local", 0),
        ("net/ipv4/conf/eth1/accept_local", 0),
        ("net/ipv4/conf/all/rp_filter", 0),
        ("net/ipv4/conf/eth0/rp_filter", 0),
        ("net/ipv4/conf/eth1/rp_filter", 0),
        ("net/ipv4/vs/conntrack", 1),
        ("net/ipv4/vs/expire_quiescent_template", 1),
        ("net/ipv4/vs/expire_nodest_conn", 1),
        ("net/ipv4/vs/sloppy_tcp", 1),
        ("net/netfilter/nf_conntrack_count", 10),
        ("net/netfilter/nf_conntrack_max", 1000),
    ];
    Facts {
        sysctls: sysctls.into_iter().map(|(path, value)| (path.to_owned(), value)).collect(),
        modules: Modules {
            release: "6.1".to_owned(),
            ip_vs: true,
            loaded: BTreeMap::new(),
            available: Some(["ip_vs", "ip_vs_wlc", "ip_vs_mh"].map(str::to_owned).into()),
        },
        network: Network {
            interfaces: [
                ("lo", interface(&["127.0.0.1"], false)),
                ("eth0", interface(&["192.0.2.10", "192.0.2.1"], true)),
                ("eth1", interface(&["10.0.0.254"], true)),
            ]
            .map(|(name, it)| (name.to_owned(), it))
            .into(),
            routes: [
                (address("192.0.2.1"), Route::Local),
                (address("198.51.100.1"), Route::Local),
                (address("10.0.0.1"), out("eth1")),
                (address("10.0.0.2"), out("eth1")),
            ]
            .into(),
        },
        programs: [("/usr/sbin/ldirectord-anycast".to_owned(), Program::Fine)].into(),
        limits: crate::doctor::facts::Limits { descriptors: Some(4096), memory: Some(1 << 30) },
        clock: crate::doctor::facts::Clock {
            now: 1_000_000,
            config_changed: Some(900_000),
            synchronised: Some(true),
        },
        surroundings: Surroundings {
            config: "/etc/ha.d/web.cf".into(),
            command: "ldirectord web.cf".to_owned(),
            pid_file: "/var/run/ldirectord.web.cf.pid".into(),
            runtime: "/run/ldirectord-rs".into(),
            state: "/var/lib/ldirectord-rs".into(),
            ..Surroundings::default()
        },
        ..Facts::default()
    }
}

fn found(id: &str, config: &str, change: impl Fn(&mut Facts)) -> Vec<Finding> {
    let rule = RULES.iter().find(|rule| rule.id == id).unwrap_or_else(|| panic!("no rule {id}"));
    let mut facts = sound();
    change(&mut facts);
    rule.findings(&facts, &model(config))
}

/// Asserts that the rule finds one thing, about this service and server.
#[track_caller]
fn finds(id: &str, config: &str, about: [Option<&str>; 2], change: impl Fn(&mut Facts)) -> Finding {
    let mut found = found(id, config, change);
    assert_eq!(found.len(), 1, "{id}: {found:?}");
    let finding = found.remove(0);
    assert_eq!([finding.service.as_deref(), finding.server.as_deref()], about, "{id}");
    assert_eq!(finding.id, id);
    for text in [&finding.what, &finding.why, &finding.mend] {
        assert!(!text.is_empty() && !text.contains("  "), "{id}: {text}");
    }
    assert!(finding.what.ends_with('.') && finding.why.ends_with(['.', ')']), "{finding:?}");
    finding
}

#[track_caller]
fn quiet(id: &str, config: &str, change: impl Fn(&mut Facts)) {
    let found = found(id, config, change);
    assert!(found.is_empty(), "{found:?}");
}

fn set(facts: &mut Facts, path: &str, value: i64) {
    facts.sysctls.insert(path.to_owned(), value);
}

const NOBODY: [Option<&str>; 2] = [None, None];
const WEB: [Option<&str>; 2] = [Some("tcp:192.0.2.1:80"), None];
const RS1: [Option<&str>; 2] = [Some("tcp:192.0.2.1:80"), Some("10.0.0.1:80")];
const DNS: [Option<&str>; 2] = [Some("tcp:198.51.100.1:53"), None];

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    for rule in RULES {
        for config in [SOUND, GATE, ANYCAST] {
            quiet(rule.id, config, |_| {});
        }
    }
}

#[test]
fn names_are_distinct_and_plain_and_errors_come_first() {
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), RULES.len());
    let plain = |id: &&str| id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    assert!(ids.iter().all(plain));
    assert!(RULES.is_sorted_by_key(|rule| rule.severity));
}
