//! A virtual service with everything that was inherited from the global directives.

use super::{AlertPolicy, Fallback, FallbackCommand, FallbackMinimum, RealServer, ServiceAddress};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// Persistence: connections of one client (or of one client network) stay with one real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistence {
    /// `persistent`, in seconds.
    pub timeout: u32,
    /// `netmask`; default a single client.
    pub netmask: Netmask,
}

/// Granularity of persistence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Netmask {
    /// IPv4: a dotted quad; default 255.255.255.255.
    Inet(Ipv4Addr),
    /// IPv6: a prefix length, 1 to 128; default 128.
    Inet6(u8),
}

/// `schedflags`, as `ipvsadm -b` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedFlags {
    /// `flag-1`, `sh-fallback`, `mh-fallback`
    pub flag1: bool,
    /// `flag-2`, `sh-port`, `mh-port`
    pub flag2: bool,
    /// `flag-3`
    pub flag3: bool,
}

impl SchedFlags {
    /// Those that are set, by the names that this scheduler has for them.
    pub fn names(self, scheduler: &str) -> impl Iterator<Item = &'static str> {
        let [first, second] = match scheduler {
            "sh" => ["sh-fallback", "sh-port"],
            "mh" => ["mh-fallback", "mh-port"],
            _ => ["flag-1", "flag-2"],
        };
        let flags = [(self.flag1, first), (self.flag2, second), (self.flag3, "flag-3")];
        flags.into_iter().filter_map(|(set, name)| set.then_some(name))
    }
}

/// A virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualService {
    /// Its identity.
    pub address: ServiceAddress,
    /// Where its section begins: `line 5`, or `line 5 of conf.d/web.cf`.
    pub origin: String,
    /// `scheduler`; default `wrr`. Lower-case letters only; the kernel knows which exist.
    pub scheduler: String,
    /// `slowstart`: how long the weight of a server that has come back rises.
    pub slow_start: Option<Duration>,
    /// `schedflags`.
    pub sched_flags: SchedFlags,
    /// `persistent` and `netmask`.
    pub persistence: Option<Persistence>,
    /// `ops`: one-packet scheduling; only ever set for udp.
    pub one_packet: bool,
    /// The real servers in the order of the file, ranges expanded.
    pub real_servers: Vec<RealServer>,
    /// `fallback` and the `fallbackserver`s, its own or the global ones of its family.
    pub fallbacks: Vec<Fallback>,
    /// `fallbackcommand`, its own or the global one, with the directives that go with it.
    pub fallback_command: Option<FallbackCommand>,
    /// `fallbackminimum`; default one real server.
    pub fallback_minimum: FallbackMinimum,
    /// `fallbackholddown`; default zero.
    pub fallback_hold_down: Duration,
    /// `fallbackcommandonstop`; default no.
    pub fallback_command_on_stop: bool,
    /// `quiescent`: a dead server stays listed with weight 0; default no.
    pub quiescent: bool,
    /// `readdquiescent` (global): list a quiesced server again that somebody removed; default no.
    pub readd_quiescent: bool,
    /// `cleanstop`: remove the service when the program stops; default yes.
    pub clean_stop: bool,
    /// `failurecount`: consecutive failures that make a server dead; default 1.
    pub failure_count: u32,
    /// `risecount`: consecutive successes that bring a dead server back; default 1.
    pub rise_count: u32,
    /// `checkinterval`; the service's own only with `fork=yes`; default 10 s.
    pub check_interval: Duration,
    /// `fastinterval`: while a verdict is open; default as `checkinterval`.
    pub fast_interval: Option<Duration>,
    /// `reconcile`: put right at the next round what others change in the table; default no.
    pub reconcile: bool,
    /// Mail about this service.
    pub alert: AlertPolicy,
    /// `monitorfile`: every check result is appended to it.
    pub monitor_file: Option<PathBuf>,
}

impl VirtualService {
    /// A service without real servers, every directive at its default.
    pub fn new(address: ServiceAddress) -> Self {
        Self {
            address,
            origin: String::new(),
            slow_start: None,
            scheduler: "wrr".to_owned(),
            sched_flags: SchedFlags::default(),
            persistence: None,
            one_packet: false,
            real_servers: Vec::new(),
            fallbacks: Vec::new(),
            fallback_command: None,
            fallback_minimum: FallbackMinimum::default(),
            fallback_hold_down: Duration::ZERO,
            fallback_command_on_stop: false,
            quiescent: false,
            readd_quiescent: false,
            clean_stop: true,
            failure_count: 1,
            rise_count: 1,
            check_interval: Duration::from_secs(10),
            fast_interval: None,
            reconcile: false,
            alert: AlertPolicy::default(),
            monitor_file: None,
        }
    }

    /// Whether its fallback command is to be told `start` when the service is removed.
    pub fn starts_on_stop(&self) -> bool {
        self.fallback_command_on_stop && self.clean_stop && self.fallback_command.is_some()
    }
}
