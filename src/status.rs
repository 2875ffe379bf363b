//! What `status --table` and `status --json` tell: plain data, and its rendering.
//!
//! Moments are seconds since the epoch, so that a script can compare them.

mod table;

pub use table::render_table;

use serde::{Deserialize, Serialize};

/// A moment: seconds since 1970-01-01 00:00:00 UTC.
pub type UnixTime = i64;

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
    /// The virtual services in the order of the configuration.
    pub services: Vec<ServiceStatus>,
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
    /// The fallback server, if one is configured.
    pub fallback: Option<FallbackStatus>,
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
