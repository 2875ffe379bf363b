//! A fault on the owner's thread does not end the watch: the process starts itself anew in place.
//!
//! It keeps its number, its arguments and the lock on its pid file, adopts the table as it is and
//! remembers what the hooks were told, so that no connection and no route is lost. Each time it waits
//! longer before; after [`MOST`] times in a minute it ends instead, so that a supervisor sees it.

use super::pid_file::PidFile;
use super::serve::own_program;
use crate::model::ServiceAddress;
use crate::private_file;
use crate::process::Stat;
use crate::status::Faults;
use nix::sys::signal::SigSet;
use nix::sys::wait::waitpid;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The hidden option by which the process tells itself that it goes on.
pub const OPTION: &str = "resumed";

/// So often in [`WINDOW`] the process starts itself anew.
const MOST: usize = 5;

/// In which the starts are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Before the first start; each further one in a row waits twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of the list of services: a hundred thousand are below.
const SERVING: u64 = 16 << 20;

/// Characters of a fault's words.
const WORDS: usize = 300;

/// What a process that starts itself anew knows of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The configuration's file, absolute.
    pub(super) config: PathBuf,
    /// Whether standard input holds the lock on the pid file.
    pub(super) pid_file: bool,
    /// How often, and why the last time.
    restarts: u64,
    last_restart: String,
    /// When the starts of the last minute were, in seconds since the boot.
    recent: Vec<u64>,
}

impl Resumed {
    /// What the option says; `None` if it is not from us.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// For `status`.
    pub(super) fn faults(&self) -> Faults {
        let last_restart = (self.restarts > 0).then(|| self.last_restart.clone());
        Faults { restarts: self.restarts, last_restart, ..Faults::default() }
    }

    /// This, after one more fault; `None` if there were too many.
    fn after(&self, fault: &str, now: u64) -> Option<Self> {
        let is_recent = |&&at: &&u64| now.saturating_sub(at) < WINDOW.as_secs();
        let mut recent: Vec<u64> = self.recent.iter().filter(is_recent).copied().collect();
        if recent.len() >= MOST {
            return None;
        }
        recent.push(now);
        let restarts = self.restarts.saturating_add(1);
        let last_restart = fault.chars().filter(|c| !c.is_control()).take(WORDS).collect();
        Some(Self { restarts, last_restart, recent, ..self.clone() })
    }

    /// How long to wait before this start.
    fn pause(&self) -> Duration {
        let before = u32::try_from(self.recent.len()).unwrap_or(u32::MAX).saturating_sub(1);
        PAUSE.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX))
    }
}

/// Starts this process anew. Returns only if it may not, or cannot.
pub(super) fn start_anew(
    resumed: Option<&Resumed>,
    config: PathBuf,
    pid_file: Option<&PidFile>,
    fault: &str,
) {
    let before = resumed.cloned().unwrap_or_default();
    let Some(next) = before.after(fault, seconds()) else {
        let window = WINDOW.as_secs();
        log::error!(
            "internal fault for the {MOST}th time in {window} s; the daemon ends, the table stays as it is"
        );
        return;
    };
    let result = pid_file.map_or(Ok(()), PidFile::pass_on).and_then(|()| {
        let next = Resumed { config, pid_file: pid_file.is_some(), ..next };
        std::thread::sleep(next.pause());
        log::error!("internal fault: the daemon starts itself anew, the table stays as it is");
        Err(execute(&next))
    });
    if let Err::<(), io::Error>(error) = result {
        log::error!("cannot start anew: {error}");
    }
}

/// Leaves the services in force to the process that comes, their ids: meanwhile the file may have lost
/// some of them.
pub(super) fn leave_serving(path: &Path, services: &[ServiceAddress]) {
    let lines: String = services.iter().map(|service| service.id() + "\n").collect();
    if let Err(error) = private_file::replace(path, &lines) {
        log::error!("cannot save which services are in force to {}: {error}", path.display());
    }
}

/// Takes what [`leave_serving`] has left.
pub(super) fn take_serving(path: &Path) -> Vec<ServiceAddress> {
    let services = match private_file::read(path, SERVING) {
        Ok(text) => text.lines().filter_map(ServiceAddress::from_id).collect(),
        Err(error) => {
            log::error!("read {}: {error}", path.display());
            Vec::new()
        }
    };
    // An old one would be wrong, and the next fault writes it anew.
    let _ = fs::remove_file(path);
    services
}

fn execute(resumed: &Resumed) -> io::Error {
    let json = match serde_json::to_string(resumed) {
        Ok(json) => json,
        Err(error) => return error.into(),
    };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "ldirectord".into());
    let mut command = Command::new(own_program());
    command.arg0(name).arg(format!("--{OPTION}={json}")).args(without_option(arguments));
    command.exec()
}

/// The arguments without the option of an earlier start, which can only be the first.
fn without_option(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let prefix = format!("--{OPTION}=");
    let mut first = true;
    arguments.filter(move |argument| {
        let ours = std::mem::take(&mut first)
            && argument.as_encoded_bytes().starts_with(prefix.as_bytes());
        !ours
    })
}

/// The first thing in a process that was started anew: signals come through again, and the children
/// of the one before, which are still ours, are reaped when they end.
pub(super) fn take_over_children() {
    // Refused for a mask that makes no sense only.
    let _ = SigSet::empty().thread_set_mask();
    let own = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let number = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(number) = number else { continue };
        if parent(number) != Some(own) {
            continue;
        }
        let reap = move || {
            // However it ends, it is gone.
            let _ = waitpid(Pid::from_raw(number), None);
        };
        let reaper = std::thread::Builder::new().name("reaper".into()).stack_size(64 * 1024);
        if let Err(error) = reaper.spawn(reap) {
            log::warn!("cannot wait for process {number}: {error}");
        }
    }
}

fn parent(number: i32) -> Option<u32> {
    Stat::read(u32::try_from(number).ok()?)?.number(4)?.try_into().ok()
}

/// Since the boot, by a clock that nobody sets.
fn seconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME);
    now.map_or(0, |now| u64::try_from(now.tv_sec()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_anew_five_times_a_minute_each_time_after_a_longer_pause() {
        let mut resumed = Resumed::default();
        let mut pauses = Vec::new();
        for second in 1..=5 {
            resumed = resumed.after("out of\n luck", second).expect("not too often");
            pauses.push(resumed.pause().as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600]);
        assert_eq!(resumed.after("again", 60), None, "the first is not a minute ago");
        let later = resumed.after("again", 64).expect("four of them are over");
        assert_eq!((later.restarts, later.pause().as_millis()), (6, 200));
        let faults = resumed.faults();
        assert_eq!((faults.restarts, faults.last_restart.as_deref()), (5, Some("out of luck")));
    }

    #[test]
    fn the_option_is_read_as_it_was_written_and_replaces_itself() {
        let resumed = Resumed {
            config: "/etc/ha.d/a \"b\".cf".into(),
            pid_file: true,
            ..Resumed::default().after("why", 1).expect("the first")
        };
        let json = serde_json::to_string(&resumed).expect("json");
        assert_eq!(Resumed::parse(&json), Some(resumed));
        assert_eq!(Resumed::parse("nonsense"), None);
        let arguments = ["--resumed={}", "--table", "memory", "--resumed=x"].map(OsString::from);
        let kept: Vec<_> = without_option(arguments.into_iter()).collect();
        assert_eq!(kept, ["--table", "memory", "--resumed=x"].map(OsString::from));
    }
}
