//! What the daemon may use, and the clock.

use super::read;
use crate::doctor::facts::{Clock, Limits};
use std::path::{Component, Path};
use std::time::SystemTime;

/// The limits of a daemon that runs; else of this process, which the daemon inherits if it is started
/// here.
pub(super) fn limits(daemon: Option<u32>) -> Limits {
    let process = daemon.map_or("self".to_owned(), |pid| pid.to_string());
    let of_process = |name: &str| read(format!("/proc/{process}/{name}"), 64 << 10).ok();
    Limits {
        descriptors: of_process("limits").and_then(|text| descriptors(&text)),
        memory: of_process("cgroup").and_then(|text| memory(&text, Path::new("/sys/fs/cgroup"))),
    }
}

/// The hard limit, to which the daemon raises its own.
fn descriptors(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The least `memory.max` of the group (`0::/system.slice/x.service`) and of those it is in.
fn memory(groups: &str, root: &Path) -> Option<u64> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A group outside of the namespace begins with dots.
    if Path::new(own).components().any(|it| !matches!(it, Component::Normal(_))) {
        return None;
    }
    let group = root.join(own);
    let groups = group.ancestors().take_while(|it| it.starts_with(root));
    let limit = |group: &Path| read(group.join("memory.max"), 64).ok()?.trim().parse().ok();
    groups.filter_map(limit).min()
}

/// The clock, and what it can be held against.
pub(super) fn clock(config: &Path) -> Clock {
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    };
    let timesyncd = Path::new("/run/systemd/timesync");
    Clock {
        now: seconds(SystemTime::now()),
        config_changed: config.metadata().and_then(|it| it.modified()).ok().map(seconds),
        // systemd-timesyncd.service(8): made when the clock has been set from a server.
        synchronised: timesyncd.is_dir().then(|| timesyncd.join("synchronized").exists()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_hard_limit_of_descriptors_counts() {
        let text = "Limit        Soft Limit   Hard Limit   Units\n\
                    Max open files            1024                 4096                 files\n";
        assert_eq!(descriptors(text), Some(4096));
        assert_eq!(descriptors("Max open files            1024  unlimited  files\n"), None);
        assert_eq!(descriptors(""), None);
    }

    #[test]
    fn the_least_limit_of_all_groups_on_the_way_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a/b");
        fs::create_dir_all(&group).unwrap();
        let of = |groups: &str| memory(groups, root.path());
        assert_eq!(of("0::/a/b\n"), None);
        fs::write(group.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("a/memory.max"), "1048576\n").unwrap();
        assert_eq!(of("1:name=x:/y\n0::/a/b\n"), Some(1 << 20));
        fs::write(group.join("memory.max"), "4096\n").unwrap();
        assert_eq!(of("0::/a/b\n"), Some(4096));
        assert_eq!(of("0::/../a\n"), None);
        assert_eq!(of("1:memory:/a\n"), None);
    }
}
