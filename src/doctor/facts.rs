//! What was read: plain data that the rules judge.

use crate::model::ServiceAddress;
use crate::status::{ServiceStatus, StatusReport};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Everything that the rules know beside the model.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Values below `/proc/sys`, by path: `net/ipv4/ip_forward`. One that the kernel does not have, or that
    /// could not be read, is missing.
    pub(super) sysctls: BTreeMap<String, i64>,
    pub(super) modules: Modules,
    pub(super) network: Network,
    /// Commands that the configuration names, by their first word.
    pub(super) programs: BTreeMap<String, Program>,
    /// What cannot be written, and why.
    pub(super) unwritable: BTreeMap<PathBuf, String>,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) routing: Routing,
    /// The services that ip_vs lists.
    pub(super) table: BTreeSet<ServiceAddress>,
    /// The services that keepalived's configuration has; empty if keepalived does not run.
    pub(super) keepalived: BTreeSet<ServiceAddress>,
    pub(super) surroundings: Surroundings,
    /// What could not be looked at, and why.
    pub(super) unread: Vec<String>,
}

/// Modules of the kernel.
#[derive(Debug, Clone, Default)]
pub(super) struct Modules {
    /// The kernel's version.
    pub(super) release: String,
    /// Whether ip_vs is there, as a module or built in.
    pub(super) ip_vs: bool,
    /// Those that are loaded, with the number of their users.
    pub(super) loaded: BTreeMap<String, u64>,
    /// Those of ip_vs that are built in or could be loaded; `None` if this kernel's modules are not here.
    pub(super) available: Option<BTreeSet<String>>,
}

/// The network of this namespace.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    /// By name.
    pub(super) interfaces: BTreeMap<String, Interface>,
    /// Where packets to the addresses of the configuration go; addresses that were not looked up are missing.
    pub(super) routes: BTreeMap<IpAddr, Route>,
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Interface {
    /// Administratively up.
    pub(super) up: bool,
    /// Whether packets of other machines can come in: no loopback, no dummy.
    pub(super) outward: bool,
    pub(super) addresses: Vec<IpAddr>,
}

/// The way of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// It stays here.
    Local,
    /// It leaves.
    Out {
        interface: String,
        /// The router; `None` if the address is on the link.
        gateway: Option<IpAddr>,
    },
    /// There is none, in the kernel's words.
    Nowhere(String),
}

/// A command that the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Missing,
    NotExecutable,
    Fine,
}

/// What the daemon may use at most.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// Descriptors of a process.
    pub(super) descriptors: Option<u64>,
    /// Bytes of the control group; `None` if there is no limit.
    pub(super) memory: Option<u64>,
}

/// What the clock can be held against.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    /// Seconds since 1970.
    pub(super) now: i64,
    /// When the configuration was last changed.
    pub(super) config_changed: Option<i64>,
    /// What systemd-timesyncd says; `None` if it does not run.
    pub(super) synchronised: Option<bool>,
}

/// The routing daemons.
#[derive(Debug, Clone, Default)]
pub(super) struct Routing {
    /// Those commands of FRR and BIRD that are installed.
    pub(super) installed: BTreeSet<&'static str>,
    /// Routing daemons that run, by the names of their processes.
    pub(super) running: BTreeSet<String>,
    /// FRR's configuration in force.
    pub(super) frr: Option<String>,
    /// BIRD's list of protocols.
    pub(super) bird: Option<String>,
}

/// What the caller knows of the configuration and of the daemons.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The configuration's file.
    pub config: PathBuf,
    /// The words of a command about this configuration: `ldirectord web.cf`.
    pub command: String,
    /// The pid file of its instance.
    pub pid_file: PathBuf,
    /// The directory of sockets and hook memory.
    pub runtime: PathBuf,
    /// The directory of what operators have said of servers.
    pub state: PathBuf,
    /// What the loader finds odd.
    pub doubts: Vec<Doubt>,
    /// Host names of the configuration, with the addresses that they have now.
    pub names: Vec<HostName>,
    /// The daemon of this configuration's instance, if it runs.
    pub daemon: Option<Daemon>,
    /// The daemons of other instances.
    pub others: Vec<Daemon>,
}

/// A line of the configuration that is legal and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// As `line 5`; `None` if it is about no line.
    pub line: Option<String>,
    /// What is odd.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A host name of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    /// As written.
    pub name: String,
    /// All addresses that it has now, the first one first.
    pub addresses: Vec<IpAddr>,
}

/// A daemon that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its instance's name.
    pub instance: String,
    /// Its process.
    pub pid: u32,
    /// What it tells of itself; `None` if it does not answer, as the original.
    pub status: Option<StatusReport>,
}

impl Facts {
    /// A value below `/proc/sys`.
    pub(super) fn sysctl(&self, path: &str) -> Option<i64> {
        self.sysctls.get(path).copied()
    }

    /// A setting of IPv4 for an interface, where the kernel takes the larger one of it and of `all`.
    pub(super) fn of_interface(&self, interface: &str, setting: &str) -> Option<i64> {
        let of = |name: &str| self.sysctl(&format!("net/ipv4/conf/{name}/{setting}"));
        of(interface).max(of("all"))
    }

    /// A switch of ip_vs; off, as the kernel has it, until ip_vs is loaded.
    pub(super) fn is_off(&self, switch: &str) -> bool {
        let value = self.sysctl(&format!("net/ipv4/vs/{switch}"));
        if self.modules.ip_vs { value == Some(0) } else { true }
    }
}

impl Daemon {
    /// All addresses of its services and servers; `None` if it does not answer.
    pub(crate) fn addresses(&self) -> Option<BTreeSet<IpAddr>> {
        let status = self.status.as_ref()?;
        let texts = status.services.iter().flat_map(|service| {
            let servers = service.servers.iter().map(|server| &server.address);
            let fallbacks = service.fallbacks.iter().map(|fallback| &fallback.address);
            std::iter::once(&service.address).chain(servers).chain(fallbacks)
        });
        // A mark is no address.
        let address = |text: &String| text.parse::<SocketAddr>().ok().map(|it| it.ip());
        Some(texts.filter_map(address).collect())
    }

    /// What it tells of its services, by [`key`]; none if it does not answer.
    pub(super) fn services(&self) -> BTreeMap<(&str, &str), &ServiceStatus> {
        let services = self.status.iter().flat_map(|status| &status.services);
        services.map(|it| ((it.protocol.as_str(), it.address.as_str()), it)).collect()
    }
}

/// A service as a status names it: protocol and address.
pub(super) fn key(service: ServiceAddress) -> (&'static str, String) {
    (service.protocol_word(), service.to_string())
}
