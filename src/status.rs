//! What `status --table` and `status --json` tell: plain data, and its rendering.
//!
//! Moments are seconds since the epoch, so that a script can compare them.

mod columns;
mod filter;
mod page;
mod plan;
#[cfg(test)]
pub(crate) mod samples;
mod table;
mod watch;

pub use filter::{Filter, address_word};
pub use page::{Colours, printable};
pub use plan::{HookPlan, PlanChange, PlanReport, ServicePlan, render_plan};
pub use table::{age, counted, render_table};
pub use watch::{Scroll, Size, Watch};

use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// A moment: seconds since 1970-01-01 00:00:00 UTC.
pub type UnixTime = i64;

/// A moment of the clock on the wall; one before 1970 is 0.
pub fn unix(at: SystemTime) -> UnixTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::try_from(since.as_secs()).unwrap_or(UnixTime::MAX)
}

/// The state of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The instance's name, which is the configuration's file name.
    pub instance: String,
    /// The configuration's path.
    pub config: String,
    /// The daemon's process.
    pub pid: u32,
    /// When the daemon was started.
    pub since: UnixTime,
    /// What the daemon is doing.
    pub phase: Phase,
    /// `kernel` or `memory`.
    pub table: String,
    /// Why the table cannot be read or written at the moment.
    pub table_error: Option<String>,
    /// The last reload, if there was one.
    pub last_reload: Option<ReloadStatus>,
    /// What went wrong in the program itself.
    #[serde(default)]
    pub faults: Faults,
    /// The process that runs the checks; `None` if the daemon is older than it.
    #[serde(default)]
    pub prober: Option<ProberReport>,
    /// The virtual services in the order of the configuration.
    pub services: Vec<ServiceStatus>,
    /// What operators have said by command, oldest first.
    #[serde(default)]
    pub overrides: Vec<OverrideStatus>,
    /// When the last reload is taken back unless it is confirmed.
    #[serde(default)]
    pub unconfirmed: Option<UnixTime>,
}

/// What an operator has said of servers by command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverrideStatus {
    /// Of which: `10.0.0.2:80`, `10.0.0.2:80 of tcp:10.0.0.1:80`, `tcp:10.0.0.1:80`.
    pub target: String,
    /// `drain`, `disable` or `weight`.
    pub what: String,
    /// The weight in place of the configured one; `None` for `disable`.
    pub weight: Option<u32>,
    /// Since when.
    pub since: UnixTime,
    /// When it ends by itself.
    pub until: Option<UnixTime>,
    /// Who has said so.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

/// The process that runs the checks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProberReport {
    /// Its number; `None` if there is none at the moment.
    pub pid: Option<u32>,
    /// How often one was started; more than once only after one has ended.
    pub starts: u64,
    /// Why the last one is no more, or could not be started.
    pub last_reason: Option<String>,
    /// What it should be kept from and is not, one phrase each.
    pub missing_walls: Vec<String>,
}

/// Faults of the program itself since it was started. All are bugs, or a sign of a machine that is
/// out of memory, threads or descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// How often the program has started itself anew.
    pub restarts: u64,
    /// Why it did so the last time.
    pub last_restart: Option<String>,
    /// Checks that had no answer in time and were run again.
    pub unanswered_checks: u64,
    /// Reloads that did not come to an end.
    pub unanswered_reloads: u64,
}

/// What the daemon is doing; the words of `emailalertstatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The first round of checks is not complete.
    Starting,
    /// Ordinary work.
    Running,
    /// The first round of checks after a reload is not complete.
    Reloading,
    /// The services are being purged.
    Stopping,
}

impl Phase {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Running, Self::Reloading, Self::Stopping];

    /// Its word, in JSON as well.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Reloading => "reloading",
            Self::Stopping => "stopping",
        }
    }
}

/// The result of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// When.
    pub at: UnixTime,
    /// Why the old configuration is still in force; `None` if the new one is.
    pub error: Option<String>,
}

/// A virtual service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// `10.0.0.1:80`, `[fd00::1]:80`, or the mark.
    pub address: String,
    /// `tcp`, `udp` or `fwm`.
    pub protocol: String,
    /// The scheduler's name.
    pub scheduler: String,
    /// Whether the table lists the service.
    pub listed: bool,
    /// The first fallback server, if one is configured.
    pub fallback: Option<FallbackStatus>,
    /// All fallback servers in the order of the configuration, that of `fallback` first; empty if the
    /// daemon is older than this list.
    #[serde(default)]
    pub fallbacks: Vec<FallbackServerStatus>,
    /// `fallbackcommand`, if one is configured.
    pub hook: Option<HookStatus>,
    /// What the table lists otherwise than this program has put it, in words; one entry each.
    pub drift: Vec<String>,
    /// The real servers in the order of the configuration.
    pub servers: Vec<ServerStatus>,
}

/// A fallback server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackStatus {
    /// Its address as configured.
    pub address: String,
    /// Whether it is in service.
    pub on: bool,
}

/// One of the fallback servers, more of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackServerStatus {
    /// Its address as configured.
    pub address: String,
    /// `gate`, `masq` or `ipip`.
    pub forwarding: String,
    /// Its weight as configured.
    pub weight: u32,
    /// Whether it is in service.
    pub on: bool,
    /// The weight that the table lists; `None` if it does not list the server as a fallback.
    pub weight_listed: Option<u32>,
    /// Active connections, as the kernel counts them.
    pub active: u64,
    /// Inactive connections, as the kernel counts them.
    pub inactive: u64,
}

/// `fallbackcommand`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookStatus {
    /// The command as configured.
    pub command: String,
    /// Whether a run is under way or waiting.
    pub running: bool,
    /// The last run that has ended.
    pub last: Option<HookRun>,
}

/// A run of `fallbackcommand`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// `start` or `stop`.
    pub argument: String,
    /// When it ended.
    pub at: UnixTime,
    /// Whether it ended with status 0.
    pub succeeded: bool,
    /// How it ended, in words.
    pub result: String,
}

/// A real server of a virtual service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Address and port as configured.
    pub address: String,
    /// `gate`, `masq` or `ipip`.
    pub forwarding: String,
    /// Its health.
    pub state: ServerState,
    /// Since when it has this health.
    pub since: Option<UnixTime>,
    /// When the last check ended.
    pub checked: Option<UnixTime>,
    /// How long the last check took, in microseconds.
    pub check_duration_us: Option<u64>,
    /// Why it is down, or what the last check that is not yet a verdict found.
    pub why: Option<String>,
    /// Consecutive failures.
    pub failures: u32,
    /// The weight that the table should list; `None` if it should not list the server, or if it is
    /// left as it was found.
    pub weight_wanted: Option<u32>,
    /// The weight that the table lists; `None` if it does not list the server.
    pub weight_listed: Option<u32>,
    /// Active connections, as the kernel counts them.
    pub active: u64,
    /// Inactive connections, as the kernel counts them.
    pub inactive: u64,
    /// New connections per second, as the kernel estimates them.
    #[serde(default)]
    pub connections_per_second: u64,
    /// What an operator has said of it by command.
    #[serde(default, rename = "override")]
    pub operator: Option<OverrideStatus>,
    /// Its certificate, where `checkcertdays` asks for it and a check over TLS has seen it.
    #[serde(default)]
    pub certificate: Option<CertificateStatus>,
}

/// How long a real server's certificate is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// Its last second.
    pub ends: UnixTime,
    /// Whether that is within `checkcertdays`.
    pub soon: bool,
}

impl CertificateStatus {
    /// What there is to say, if it ends soon.
    pub fn words(&self, now: UnixTime) -> Option<String> {
        self.soon.then(|| certificate_words(self.ends.saturating_sub(now).div_euclid(86_400)))
    }
}

/// `the certificate ends in 12 days`
pub(crate) fn certificate_words(days: i64) -> String {
    match days {
        ..0 => "the certificate has ended".to_owned(),
        0 => "the certificate ends within a day".to_owned(),
        1 => "the certificate ends in 1 day".to_owned(),
        days => format!("the certificate ends in {days} days"),
    }
}

impl ServiceStatus {
    /// The name that no other service has: `tcp:10.0.0.1:80`, `fwm:7`, `fwm6:7`.
    pub fn id(&self) -> String {
        // A mark does not say its family; its servers do.
        let servers = self.servers.iter().map(|server| &server.address);
        let mut destinations = servers.chain(self.fallback.iter().map(|it| &it.address));
        let six = self.protocol == "fwm" && destinations.any(|address| address.starts_with('['));
        format!("{}{}:{}", self.protocol, if six { "6" } else { "" }, self.address)
    }

    /// Whether somebody who says `word` may mean this service: `10.0.0.1:80` or `tcp:10.0.0.1:80`.
    pub fn is_called(&self, word: &str) -> bool {
        word == self.address || word == self.id()
    }

    /// How many of its real servers serve: they pass their checks, or have none (`checktype=off`) and the
    /// table lists them.
    pub fn up(&self) -> usize {
        self.servers.iter().filter(|server| server.serves()).count()
    }

    /// How much it wants attention: 4 if nobody serves, 3 if less than all of it serves, 2 if something
    /// else is wrong, 1 if somebody wants it so, 0 if all is well.
    pub fn trouble(&self) -> u8 {
        let any = |state| self.servers.iter().any(|server| server.state == state);
        let last_run = self.hook.as_ref().and_then(|hook| hook.last.as_ref());
        if self.up() == 0 || self.is_weightless() {
            return 4;
        }
        if !self.listed || any(ServerState::Down) {
            return 3;
        }
        if last_run.is_some_and(|run| !run.succeeded) || !self.drift.is_empty() {
            return 2;
        }
        u8::from(any(ServerState::Maintenance) || self.servers.iter().any(ServerStatus::is_drained))
    }

    /// Whether servers are up and the table gives none of them a connection: the fallback is out, and
    /// nobody serves.
    pub fn is_weightless(&self) -> bool {
        let mut up =
            self.servers.iter().filter(|server| server.state == ServerState::Up).peekable();
        up.peek().is_some() && up.all(|server| server.weight_wanted == Some(0))
    }

    /// Whether the fallbacks are in the table, and none of them is given a connection.
    pub fn has_weightless_fallbacks(&self) -> bool {
        !self.fallbacks.is_empty() && self.fallbacks.iter().all(|it| it.on && it.weight == 0)
    }
}

impl ServerStatus {
    fn serves(&self) -> bool {
        match self.state {
            ServerState::Up => true,
            ServerState::Off => self.weight_listed.is_some_and(|weight| weight > 0),
            ServerState::Down | ServerState::Maintenance | ServerState::Unknown => false,
        }
    }

    /// Whether an operator keeps new connections from it.
    pub fn is_drained(&self) -> bool {
        self.operator.as_ref().is_some_and(|said| said.weight == Some(0))
    }

    /// The weight that the table lists, in a word, and the one that it should, if that is another. `None`
    /// if it lists what it should, or may.
    pub fn weights(&self) -> (String, Option<String>) {
        let listed = self.weight_listed.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let other = self.weight_wanted.filter(|_| self.weight_wanted != self.weight_listed);
        (listed, other.map(|wanted| wanted.to_string()))
    }

    /// Whether somebody who says `word` may mean this server: its address with or without its port.
    pub fn is_called(&self, word: &str) -> bool {
        let Some((ip, _)) = self.address.rsplit_once(':') else { return false };
        word == self.address || word == ip || ip.strip_prefix('[') == Some(&format!("{word}]"))
    }
}

/// Health of a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// It fails its checks.
    Down,
    /// Somebody has put a file into `maintenancedir`.
    Maintenance,
    /// `checktype=off`.
    Off,
    /// Not yet checked.
    Unknown,
    /// It passes its checks.
    Up,
}

impl ServerState {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Up, Self::Down, Self::Maintenance, Self::Unknown, Self::Off];

    /// Its word, in JSON as well.
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Maintenance => "maintenance",
            Self::Off => "off",
            Self::Unknown => "unknown",
            Self::Up => "up",
        }
    }
}
