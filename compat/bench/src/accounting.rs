//! What a process and its children have used, from `/proc`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::Duration;

/// A clock tick of `/proc/PID/stat`: 1/100 s on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// What a tree of processes has used and is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time of the processes, their threads, and the children that have ended.
    pub(crate) cpu: Duration,
    /// Threads that run now.
    pub(crate) threads: usize,
    /// Resident memory now, in bytes.
    pub(crate) resident: u64,
    /// The highest that resident memory has been, in bytes.
    pub(crate) peak: u64,
}

/// The usage of a process and all that descend from it.
pub(crate) fn usage(root: u32) -> Usage {
    let mut total = Usage::default();
    for pid in tree(root) {
        let Some(fields) = stat(pid) else { continue };
        // 14 to 17 in proc(5): user, system, and the same of children that were waited for.
        let ticks: u32 = fields[11..15].iter().map(|field| field.parse().unwrap_or(0)).sum();
        total.cpu += TICK * ticks;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        total.threads += field(&status, "Threads:") as usize;
        total.resident += field(&status, "VmRSS:") * 1024;
        total.peak += field(&status, "VmHWM:") * 1024;
    }
    total
}

/// Whether a process is there and no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z")
}

fn tree(root: u32) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = stat(pid).and_then(|fields| fields[1].parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (HashSet::new(), vec![root]);
    while let Some(pid) = next.pop() {
        if found.insert(pid) {
            next.extend(children.remove(&pid).unwrap_or_default());
        }
    }
    found
}

/// The fields of `/proc/PID/stat` from the third, the state, on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<String> = rest.split(' ').map(str::to_owned).collect();
    (fields.len() > 15).then_some(fields)
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|value| value.parse().ok()).unwrap_or(0)
}
