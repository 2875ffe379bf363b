//! Whether the original has done whole rounds of checks since something last changed.
//!
//! Seconds without a change prove nothing on a loaded machine. The original sleeps between two rounds, which the
//! kernel's stack of the process shows, and each sleep ends with a voluntary context switch.

use std::collections::BTreeMap;
use std::fs;

/// Rounds that a quiet daemon must have gone through.
const ROUNDS: u32 = 3;

/// Of each sleeping process: context switches when it was last seen asleep, and rounds since the last change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rhythm(BTreeMap<i32, (u64, u32)>);

impl Rhythm {
    /// Something changed: counts from here.
    pub(crate) fn restart(&mut self) {
        self.0.clear();
    }

    /// Looks once; often enough that no sleep is missed.
    pub(crate) fn look(&mut self, processes: &[i32]) {
        self.0.retain(|pid, _| processes.contains(pid));
        for &pid in processes {
            let Some(switches) = asleep(pid) else { continue };
            let (last, rounds) = self.0.entry(pid).or_insert((switches, 0));
            if *last != switches {
                *last = switches;
                *rounds += 1;
            }
        }
    }

    /// Without a process there is nothing to wait for.
    pub(crate) fn is_quiet(&self, processes: &[i32]) -> bool {
        processes.is_empty()
            || (!self.0.is_empty() && self.0.values().all(|(_, rounds)| *rounds >= ROUNDS))
    }
}

/// Voluntary context switches of a process that sleeps for a time.
fn asleep(pid: i32) -> Option<u64> {
    let stack = fs::read_to_string(format!("/proc/{pid}/stack")).ok()?;
    if !stack.contains("nanosleep") {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok())
}
