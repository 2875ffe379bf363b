//! Other processes: a handle that cannot slip to another one, and what an original looks like.

use nix::poll::{PollFd, PollFlags, PollTimeout};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// A process; stays the same one when its number is used again.
#[derive(Debug)]
pub(super) struct Handle {
    pid: u32,
    process: OwnedFd,
}

impl Handle {
    /// The process of this number, if there is one.
    pub(super) fn open(pid: u32) -> Option<Self> {
        let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let process = pidfd_open(number, PidfdFlags::empty()).ok()?;
        Some(Self { pid, process })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    pub(super) fn reload(&self) -> io::Result<()> {
        self.signal(Signal::HUP)
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.process, signal)?)
    }

    /// Waits until the process has ended, at most this long. Tells whether it has.
    pub(super) fn ends_within(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left + Duration::from_micros(999))
                .unwrap_or(PollTimeout::MAX);
            let mut ended = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
            match nix::poll::poll(&mut ended, timeout) {
                Ok(0) if left.is_zero() => return false,
                Ok(0) | Err(nix::Error::EINTR) => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
    }
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
