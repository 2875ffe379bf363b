//! What this process holds: descriptors, threads, memory.

use std::fs;
use std::time::{Duration, Instant};

/// Descriptors and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    pub descriptors: usize,
    pub threads: usize,
}

pub fn census() -> Census {
    let count = |path| fs::read_dir(path).unwrap().count();
    Census { descriptors: count("/proc/self/fd"), threads: count("/proc/self/task") }
}

/// Waits until no more is held than before; ended threads take a moment to leave.
pub fn settles_at(before: Census) {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let now = census();
        if now.descriptors <= before.descriptors && now.threads <= before.threads {
            return;
        }
        assert!(Instant::now() < patience, "left behind: {before:?} before, {now:?} after");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Bytes resident at most since the last [`reset_peak`].
pub fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Makes the peak what is resident now.
pub fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}
