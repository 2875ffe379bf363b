//! What is not about one server: global settings, mail, the fallback command.

use super::User;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where log records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// A file, opened for each record; default `/var/log/ldirectord.log`.
    File(PathBuf),
    /// A syslog facility by name (`local0`, `daemon`).
    Syslog(String),
}

impl LogTarget {
    /// What the value of `logfile` means.
    pub fn of(text: &str) -> Self {
        if text.starts_with('/') {
            return Self::File(file_path(text).to_owned());
        }
        Self::Syslog(text.to_owned())
    }
}

/// The file that a path in the configuration means, for a file that is appended to.
// compat: blanks at its end are no part of it, as Perl opens files (125-paths-with-blanks)
pub(super) fn file_path(text: &str) -> &Path {
    Path::new(text.trim_ascii_end())
}

/// The global directives that are not inherited by virtual services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `checkinterval`; default 10 s.
    pub check_interval: Duration,
    /// `autoreload`; default no.
    pub auto_reload: bool,
    /// `callback`: run with the configuration's path when the file has changed.
    pub callback: Option<PathBuf>,
    /// `logfile`.
    pub log: LogTarget,
    /// `supervised`: stay in the foreground, log to standard output; default no.
    pub supervised: bool,
    /// `fork`: honours each service's own `checkinterval`; default no.
    pub fork: bool,
    /// `maintenancedir`.
    pub maintenance_dir: Option<PathBuf>,
    /// `execute`: configurations for which further instances are started.
    pub execute: Vec<String>,
    /// `startspread`: the time over which first checks are spread.
    pub start_spread: Option<Duration>,
    /// `jitter`, in percent; default 0.
    pub jitter: u32,
    /// `resolveinterval`: names of real servers and fallbacks are looked up again, and stand for all
    /// their addresses.
    pub resolve_interval: Option<Duration>,
    /// `controlgroup`: the number of the group that may change things by the control socket.
    pub control_group: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            check_interval: Duration::from_secs(10),
            auto_reload: false,
            callback: None,
            log: LogTarget::File(PathBuf::from("/var/log/ldirectord.log")),
            supervised: false,
            fork: false,
            maintenance_dir: None,
            execute: Vec::new(),
            start_spread: None,
            jitter: 0,
            resolve_interval: None,
            control_group: None,
        }
    }
}

/// What the daemon is doing when something is reported; mails are filtered by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Until the first round of checks is complete.
    Starting,
    /// Afterwards.
    Running,
    /// While the services are being purged.
    Stopping,
    /// From a reload until its first round of checks is complete.
    Reloading,
}

impl Status {
    /// The word of `emailalertstatus` and of the mail's `Daemon-Status` line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Reloading => "reloading",
        }
    }
}

/// `emailalertstatus`: in which states mail is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusSet {
    /// While starting.
    pub starting: bool,
    /// While running.
    pub running: bool,
    /// While stopping.
    pub stopping: bool,
    /// While reloading.
    pub reloading: bool,
}

impl StatusSet {
    /// `all`, the default.
    pub const ALL: Self = Self { starting: true, running: true, stopping: true, reloading: true };
    /// `none`.
    pub const NONE: Self =
        Self { starting: false, running: false, stopping: false, reloading: false };

    /// Whether mail is sent in this state.
    pub fn contains(self, status: Status) -> bool {
        match status {
            Status::Starting => self.starting,
            Status::Running => self.running,
            Status::Stopping => self.stopping,
            Status::Reloading => self.reloading,
        }
    }
}

/// Mail about one virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertPolicy {
    /// `emailalert`: the addresses; empty means no mail.
    pub to: Vec<String>,
    /// `emailalertfrom`.
    pub from: Option<String>,
    /// `emailalertfreq`: pause between reminders about a dead server; `None` for no reminders.
    pub frequency: Option<Duration>,
    /// `emailalertstatus`.
    pub statuses: StatusSet,
    /// `smtp`: the server to send through; without it, the local `sendmail`.
    pub smtp: Option<String>,
    /// `servicename`.
    pub service_name: Option<String>,
    /// `comment`.
    pub comment: Option<String>,
}

impl Default for AlertPolicy {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            from: None,
            frequency: None,
            statuses: StatusSet::ALL,
            smtp: None,
            service_name: None,
            comment: None,
        }
    }
}

/// `fallbackcommand` and the directives that go with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FallbackCommand {
    /// The command as written; `start|stop VIP:port protocol` is appended and the whole given to
    /// `/bin/sh -c`. The words appended are ours, never data from a server.
    pub command: String,
    /// `fallbackcommandretry`: repeat a failed run with growing pauses; default no.
    pub retry: bool,
    /// `fallbackcommandtimeout`: after it the run is ended; default 60 s.
    pub timeout: Duration,
    /// `fallbackcommanduser`: who runs it; without it, whoever runs the daemon.
    pub user: Option<Arc<User>>,
}

/// The first argument of `fallbackcommand`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HookArgument {
    /// The service is down: the fallback starts, the anycast address goes.
    Start,
    /// The service is up: the fallback stops, the anycast address comes.
    Stop,
}

impl HookArgument {
    /// `start` or `stop`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// `fallbackminimum`: fewer healthy real servers than this count as "all down" for the fallback
/// command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FallbackMinimum {
    /// A number of real servers, at least 1.
    Count(u32),
    /// A percentage of the configured real servers, 1 to 100, rounded up.
    Percent(u32),
}

impl Default for FallbackMinimum {
    fn default() -> Self {
        Self::Count(1)
    }
}

impl FallbackMinimum {
    /// The number of healthy servers needed among `configured`; at least 1.
    pub fn servers(self, configured: usize) -> usize {
        match self {
            Self::Count(count) => (count as usize).max(1),
            Self::Percent(percent) => (configured * percent as usize).div_ceil(100).max(1),
        }
    }
}
