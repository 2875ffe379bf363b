//! Other processes: a handle that cannot slip to another one, and what an original looks like.

use crate::process::Stat;
use crate::wait::{moment_after, ready};
use nix::poll::PollFlags;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal, test_kill_process,
};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

/// A process; stays the same one when its number is used again, where the kernel has handles for that.
#[derive(Debug)]
pub(super) struct Handle {
    pid: Pid,
    /// `None` before Linux 5.3, and where a container forbids it: then the number has to do.
    process: Option<OwnedFd>,
}

impl Handle {
    /// The process of this number, if there is one.
    pub(super) fn open(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => Some(Self { pid, process: Some(process) }),
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => None,
            Err(_) => Self::by_number(pid),
        }
    }

    fn by_number(pid: Pid) -> Option<Self> {
        exists(pid).then_some(Self { pid, process: None })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Also when it has ended by itself meanwhile.
    pub(super) fn terminate(&self) -> io::Result<()> {
        self.end_by(Signal::TERM)
    }

    /// As [`Handle::terminate`].
    pub(super) fn kill(&self) -> io::Result<()> {
        self.end_by(Signal::KILL)
    }

    pub(super) fn reload(&self) -> io::Result<()> {
        self.signal(Signal::HUP)
    }

    fn end_by(&self, signal: Signal) -> io::Result<()> {
        match self.signal(signal) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
            result => result,
        }
    }

    /// Whether the process is past saving: killed, or on its way out. It may take a while to give back
    /// what it has, and its locks are held until then.
    pub(super) fn is_dying(&self) -> bool {
        // Between a signal's delivery and the mark of its effect the process shows neither.
        is_marked_dying(self.pid()) || self.ends_within(NO_MARK) || is_marked_dying(self.pid())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let sent = match &self.process {
            Some(process) => pidfd_send_signal(process, signal),
            None => kill_process(self.pid, signal),
        };
        Ok(sent?)
    }

    /// Waits until the process has ended, at most this long. Tells whether it has.
    pub(super) fn ends_within(&self, time: Duration) -> bool {
        let end = moment_after(time);
        if let Some(process) = &self.process
            && let Ok(ended) = ready(process, PollFlags::POLLIN, end)
        {
            return ended;
        }
        while exists(self.pid) {
            if Instant::now() >= end {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

/// One that may not be signalled exists all the same.
fn exists(pid: Pid) -> bool {
    test_kill_process(pid) != Err(Errno::SRCH)
}

/// How long a process that is being killed may show no mark of it.
const NO_MARK: Duration = Duration::from_millis(20);

/// Whether the kernel says that the process is ending: it is a zombie, it exits, or it has a `KILL` that
/// it has not come to yet (proc_pid_stat(5), proc_pid_status(5)).
fn is_marked_dying(pid: u32) -> bool {
    let mut status = Vec::new();
    let file = File::open(format!("/proc/{pid}/status"));
    let read = file.and_then(|file| file.take(16 * 1024).read_to_end(&mut status));
    match (Stat::read(pid), read) {
        (Some(stat), Ok(_)) => is_exiting(&stat) || has_kill(&String::from_utf8_lossy(&status)),
        // It has no entry any more. Where there is no /proc at all, nothing is said against its life.
        _ => File::open("/proc/self/stat").is_ok(),
    }
}

fn is_exiting(stat: &Stat) -> bool {
    /// PF_EXITING
    const EXITING: u64 = 0x4;
    stat.has_ended() || stat.number(9).is_some_and(|flags| flags & EXITING != 0)
}

fn has_kill(status: &str) -> bool {
    const KILL: u64 = 1 << (nix::libc::SIGKILL - 1);
    let pending = status
        .lines()
        .filter_map(|line| line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:")));
    pending.filter_map(|set| u64::from_str_radix(set.trim(), 16).ok()).any(|set| set & KILL != 0)
}

/// Whether this process is the original, by its command line: the script under perl, or the title
/// that its children give themselves.
///
/// An editor with a configuration open, which the original takes for a running daemon, is none.
pub(super) fn is_original(pid: u32) -> bool {
    let mut bytes = Vec::new();
    let read = File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(4096).read_to_end(&mut bytes));
    read.is_ok() && is_original_command(&bytes)
}

fn is_original_command(command: &[u8]) -> bool {
    let text = String::from_utf8_lossy(command);
    let mut names = text.split(['\0', ' ']).map(|word| word.rsplit('/').next().unwrap_or_default());
    match names.next() {
        Some("ldirectord") => true,
        Some(perl) if perl.starts_with("perl") => {
            names.find(|word| !word.starts_with('-')) == Some("ldirectord")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_ended_and_waited_for_with_a_handle_and_without() {
        for handle in [Handle::open, |pid| Handle::by_number(Pid::from_raw(pid as i32)?)] {
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            let process = handle(child.id()).unwrap();
            assert_eq!(process.pid(), child.id());
            assert!(!process.ends_within(Duration::from_millis(50)));
            process.terminate().unwrap();
            let reaped = thread::spawn(move || child.wait());
            assert!(process.ends_within(Duration::from_secs(20)));
            reaped.join().unwrap().unwrap();
            assert!(handle(process.pid()).is_none());
        }
    }

    #[test]
    fn a_process_is_dying_from_its_kill_on() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let handle = Handle::open(child.id()).unwrap();
        assert!(!handle.is_dying());
        child.kill().unwrap();
        assert!(handle.is_dying());
        child.wait().unwrap();
        assert!(handle.is_dying());
        handle.terminate().unwrap();
        handle.kill().unwrap();
        assert!(handle.reload().is_err());
    }

    #[test]
    fn marks_of_dying() {
        assert!(!is_exiting(&Stat::from("7 (a) b) S 1 7 7 0 -1 4194560 0")));
        assert!(is_exiting(&Stat::from("7 (a) b) R 1 7 7 0 -1 4194564 0")));
        assert!(is_exiting(&Stat::from("7 (ldirectord) Z 1 7 7 0 -1 4194560 0")));
        assert!(has_kill("Name:\tx\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n"));
        assert!(!has_kill("SigPnd:\t0000000000004000\nShdPnd:\t0000000000000001\n"));
    }

    #[test]
    fn the_original_is_known_by_its_command_line() {
        for (command, is) in [
            ("/usr/bin/perl\0-w\0/usr/sbin/ldirectord\0web.cf\0start\0", true),
            ("perl5.36\0/usr/sbin/ldirectord\0web.cf\0start\0", true),
            ("ldirectord tcp:10.0.0.1:80", true),
            ("/usr/sbin/ldirectord\0web.cf\0start\0", true),
            ("vi\0/etc/ha.d/ldirectord.cf\0", false),
            ("vi\0/usr/sbin/ldirectord\0", false),
            ("perl\0-w\0/usr/bin/other\0ldirectord\0", false),
            ("", false),
        ] {
            assert_eq!(is_original_command(command.as_bytes()), is, "{command:?}");
        }
    }
}
