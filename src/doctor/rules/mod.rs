//! The table of rules: facts and model in, symptoms out. Pure.

mod daemons;
mod hooks;
mod kernel;
mod machine;
mod network;
mod routing;
mod servers;
#[cfg(test)]
mod tests;

pub(super) use hooks::{anycast_words, commands};
pub(super) use machine::{log_file, state_directories};
pub(super) use routing::SPEAKERS;

use super::facts::Facts;
use super::finding::{Finding, Severity};
use crate::model::{ForwardingMethod, Model, ServiceAddress, VirtualService};
use Severity::{Error, Warning};
use std::net::SocketAddr;

/// A rule; its name and what it finds are an interface.
pub struct Rule {
    /// The name of its findings.
    pub id: &'static str,
    /// How bad its findings are.
    pub severity: Severity,
    /// When it finds something, for the manual.
    pub about: &'static str,
    look: fn(&Facts, &Model) -> Vec<Symptom>,
}

/// All rules, in the order in which their findings are told.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    rule("ip-vs-missing", Error, "the kernel has no ip_vs and no module of it", kernel::ip_vs_missing),
    rule("scheduler-missing", Error, "the kernel has no module for a service's scheduler", kernel::scheduler_missing),
    rule("two-daemons", Error, "another daemon, or keepalived, has the same virtual service", daemons::two_daemons),
    rule("pid-unwritable", Error, "the pid file cannot be written", machine::pid_unwritable),
    rule("vip-missing", Error, "the address of a service is on no interface", network::vip_missing),
    rule("no-route", Error, "there is no route to a real server", network::no_route),
    rule("gate-behind-router", Error, "a server of gate is on another link", network::gate_behind_router),
    rule("ip-forward-off", Error, "servers of masq, and the machine forwards no packets", kernel::ip_forward_off),
    rule("accept-local-off", Error, "checks go through a service (checkpath), and accept_local is off where their answers come in", network::accept_local_off),
    rule("weights-all-zero", Error, "every real server of a service has weight 0", servers::weights_all_zero),
    rule("only-weight-zero-up", Error, "the servers that are up have weight 0, the others are down", servers::only_weight_zero_up),
    rule("hook-missing", Error, "a command of the configuration is not there", hooks::hook_missing),
    rule("hook-not-executable", Error, "a command of the configuration is no executable file", hooks::hook_not_executable),
    rule("anycast-refused", Error, "ldirectord-anycast would refuse the service, as when its subnets exclude the address", hooks::anycast_refused),
    rule("anycast-interface", Error, "the interface of ldirectord-anycast is not there or down", hooks::anycast_interface),
    rule("state-unwritable", Error, "the state directory of ldirectord-anycast cannot be written", machine::state_unwritable),
    rule("routing-daemon-down", Error, "an anycast hook, FRR or BIRD is installed, and no routing daemon runs", routing::daemon_down),
    rule("routing-announces-nothing", Warning, "the configuration of FRR or the protocols of BIRD announce no address of the hook's interface", routing::announces_nothing),
    rule("masq-way-back", Warning, "the answers of a server of masq may not come back through here", network::masq_way_back),
    rule("rp-filter-strict", Warning, "strict rp_filter on several links, with gate, ipip or anycast", kernel::rp_filter_strict),
    rule("conntrack-off", Warning, "servers of masq and rules of connection tracking, which does not see connections of ip_vs", kernel::conntrack_off),
    rule("conntrack-full", Warning, "the table of connection tracking is nine tenths full", kernel::conntrack_full),
    rule("quiescent-persistent", Warning, "quiescent and persistent, and expire_quiescent_template is off", kernel::quiescent_persistent),
    rule("expire-nodest-conn", Warning, "dead servers are removed, and expire_nodest_conn is off", kernel::expire_nodest_conn),
    rule("sloppy-tcp", Warning, "mh, or sh with ldirectord-anycast, and sloppy_tcp is off", kernel::sloppy_tcp),
    rule("weight-zero", Warning, "a server of weight 0 beside others, and no fallback", servers::weight_zero),
    rule("weights-apart", Warning, "one weight of a service is a hundred times another or more", servers::weights_apart),
    rule("configuration-warning", Warning, "what --check warns of, such as a lower threshold above the upper one", servers::configuration_warning),
    rule("log-unwritable", Warning, "the log cannot be written", machine::log_unwritable),
    rule("run-unwritable", Warning, "the directory of sockets and hook memory cannot be written", machine::run_unwritable),
    rule("overrides-unwritable", Warning, "the directory of what operators have said of servers cannot be written", machine::overrides_unwritable),
    rule("clock-behind", Warning, "the clock is a day or more behind the last change of the configuration", machine::clock_behind),
    rule("clock-unsynchronised", Warning, "systemd-timesyncd runs and has not set the clock yet", machine::clock_unsynchronised),
    rule("descriptors-few", Warning, "fewer descriptors than the checks may need at a time", machine::descriptors_few),
    rule("memory-little", Warning, "the control group allows less memory than the daemon is likely to need", machine::memory_little),
    rule("table-unwatched", Warning, "the table has a service, and no ldirectord runs that has it", daemons::table_unwatched),
    rule("name-changed", Warning, "a name has other addresses than the daemon uses", daemons::name_changed),
];

const fn rule(
    id: &'static str,
    severity: Severity,
    about: &'static str,
    look: fn(&Facts, &Model) -> Vec<Symptom>,
) -> Rule {
    Rule { id, severity, about, look }
}

impl Rule {
    pub(super) fn findings(&self, facts: &Facts, model: &Model) -> Vec<Finding> {
        let symptoms = (self.look)(facts, model);
        symptoms.into_iter().map(|symptom| self.finding(symptom)).collect()
    }

    fn finding(&self, symptom: Symptom) -> Finding {
        let Symptom { service, server, what, why, mend } = symptom;
        Finding { id: self.id, severity: self.severity, service, server, what, why, mend }
    }
}

/// What a rule has to say; the rest of a finding is the rule's own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Symptom {
    service: Option<String>,
    server: Option<String>,
    what: String,
    why: String,
    mend: String,
}

impl Symptom {
    fn new(what: impl Into<String>, why: impl Into<String>, mend: impl Into<String>) -> Self {
        let (what, why, mend) = (what.into(), why.into(), mend.into());
        Self { service: None, server: None, what, why, mend }
    }

    fn of(self, service: ServiceAddress) -> Self {
        Self { service: Some(service.id()), ..self }
    }

    fn at(self, server: SocketAddr) -> Self {
        Self { server: Some(server.to_string()), ..self }
    }
}

/// A real server, or a fallback, of a service.
#[derive(Debug, Clone, Copy)]
struct Target<'m> {
    service: &'m VirtualService,
    address: SocketAddr,
    forwarding: ForwardingMethod,
}

/// All real servers and fallbacks.
fn targets(model: &Model) -> impl Iterator<Item = Target<'_>> {
    model.services.iter().flat_map(|service| {
        let servers = service.real_servers.iter().map(|it| (it.address, it.forwarding));
        let fallbacks = service.fallbacks.iter().map(|it| (it.address, it.forwarding));
        servers.chain(fallbacks).map(move |(address, forwarding)| Target {
            service,
            address,
            forwarding,
        })
    })
}

/// `3 services`, `1 service`.
fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// The command that sets a value below `/proc/sys`.
fn set(path: &str, value: impl std::fmt::Display) -> String {
    // In the name of an interface a dot is a dot.
    let name = if path.contains('.') { path.to_owned() } else { path.replace('/', ".") };
    format!("sysctl -w {name}={value}")
}
