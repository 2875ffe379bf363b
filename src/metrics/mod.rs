//! What programs that watch the daemon are told: counters, gauges, and their text for Prometheus.
//!
//! `counters.rs` is what the owner counts; `text.rs` is the one table of metrics, which `status --metrics`
//! and the exporter share.

mod counters;
mod text;

pub use counters::{Counters, Histogram, HookCounters, ServerCounters, ServiceCounters};
pub use text::{Format, Instance, render};

use crate::process::Stat;
use crate::status::StatusReport;
use serde::{Deserialize, Serialize};
use std::fs;

/// The version of [`MetricsReport`]: another one means other fields, not only more of them.
pub const VERSION: u32 = 1;

/// The answer to the request `metrics`: everything that is known, and what was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsReport {
    /// [`VERSION`].
    pub version: u32,
    /// The daemon's own version.
    pub program: String,
    /// As `status --json` has it.
    pub status: StatusReport,
    /// What was counted.
    pub counters: Counters,
    /// The checks.
    pub checks: Checks,
    /// Services of which the table is owed changes that it has refused.
    pub owed: u64,
    /// The daemon's processes.
    #[serde(default)]
    pub processes: Vec<Process>,
}

/// The checks at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checks {
    /// Checks that run again and again.
    pub scheduled: u64,
    /// Those that wait for their outcome.
    pub in_flight: u64,
    /// Those that should have begun more than a second ago.
    pub overdue: u64,
}

/// A process, as the kernel describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// `director` or `prober`.
    pub name: String,
    /// Its threads.
    pub threads: u64,
    /// Processor time, in milliseconds.
    pub cpu_ms: u64,
    /// Memory that is in use, in bytes.
    pub resident_bytes: u64,
    /// Open file descriptors; `None` if they may not be counted.
    pub open_files: Option<u64>,
}

impl Process {
    /// Reads it from /proc (proc_pid_stat(5)); `None` if there is no such process.
    pub fn read(name: &str, pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        let open_files = fs::read_dir(format!("/proc/{pid}/fd")).ok();
        let open_files = open_files.and_then(|it| u64::try_from(it.count()).ok());
        Some(Self { open_files, ..Self::of(name, &stat, ticks(), page_size())? })
    }

    fn of(name: &str, stat: &Stat, ticks: u64, page: u64) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            threads: stat.number(20)?,
            cpu_ms: stat.number(14)?.saturating_add(stat.number(15)?).saturating_mul(1000) / ticks,
            resident_bytes: stat.number(24)?.saturating_mul(page),
            open_files: None,
        })
    }
}

fn ticks() -> u64 {
    system(nix::unistd::SysconfVar::CLK_TCK, 100)
}

fn page_size() -> u64 {
    system(nix::unistd::SysconfVar::PAGE_SIZE, 4096)
}

fn system(variable: nix::unistd::SysconfVar, usual: u64) -> u64 {
    let value = nix::unistd::sysconf(variable).ok().flatten();
    value.and_then(|value| u64::try_from(value).ok()).filter(|&value| value > 0).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_program_is_called() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 12 0 99 1000 25 0";
        let process = Process::of("prober", &stat.into(), 100, 4096).expect("all fields");
        assert_eq!((process.threads, process.cpu_ms), (12, 3000));
        assert_eq!(process.resident_bytes, 25 * 4096);
        assert_eq!(Process::of("prober", &"7 (a) S 1".into(), 100, 4096), None);
        assert_eq!(Process::of("prober", &"".into(), 100, 4096), None);
    }

    #[test]
    fn this_process_is_there_and_another_is_not() {
        let own = Process::read("director", std::process::id()).expect("this process");
        assert!(own.threads > 0 && own.resident_bytes > 0 && own.open_files > Some(0), "{own:?}");
        assert_eq!(Process::read("director", u32::MAX), None);
    }
}
