//! Running other programs: hooks, external checks, further instances.
//!
//! Every program started here leads its own process group, has `/dev/null` where the caller says
//! nothing else, starts with a clean signal mask and default dispositions, and is always reaped.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After this, its process group gets SIGTERM.
    pub timeout: Duration,
    /// After this much longer, SIGKILL.
    pub grace: Duration,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// By us, because its time was over.
    TimedOut,
}

/// Runs a program to its end, at most [`Limits::timeout`] plus [`Limits::grace`].
///
/// Standard input, output and error are `/dev/null`. When the time is over, the whole process group
/// is ended, so that nothing the program started stays behind; what a program leaves running when it
/// ends in time is its own affair.
///
/// # Errors
/// When the program cannot be started.
pub fn run(command: &mut Command, limits: Limits) -> io::Result<Ending> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = spawn(command)?;
    if ends_within(&child, limits.timeout)? {
        let status = child.wait()?;
        return Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, signal) => Ending::Signalled(signal.unwrap_or_default()),
        });
    }
    end(&mut child, limits.grace)?;
    Ok(Ending::TimedOut)
}

/// Starts a program as the leader of a process group of its own.
///
/// The caller's thread may have all signals blocked, as the threads of the daemon have: the mask is
/// inherited, so it is emptied for the moment of starting. A signal that lands in this moment is
/// taken by the daemon's handlers as on any other thread.
///
/// # Errors
/// When the program cannot be started.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    command.process_group(0);
    // systemd's socket and watchdog are the daemon's own.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] {
        command.env_remove(name);
    }
    let blocked = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let child = command.spawn();
    blocked.thread_set_mask()?;
    child
}

/// Waits until a program has ended, at most this long; it is not reaped, so its process group's
/// number is still its own.
///
/// # Errors
/// When the kernel has no pidfd (before Linux 5.3) or no descriptor is left.
pub fn ends_within(child: &Child, time: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + time;
    let process = pidfd(child)?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: a wait of zero milliseconds would spin.
        let timeout =
            PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut ended, timeout) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends a program that was started by [`spawn`], and its whole process group: SIGTERM, after `grace`
/// SIGKILL; and reaps it.
///
/// # Errors
/// When it cannot be waited for.
pub fn end(child: &mut Child, grace: Duration) -> io::Result<()> {
    signal_group(child, Signal::SIGTERM);
    let waited = ends_within(child, grace);
    signal_group(child, Signal::SIGKILL);
    child.wait()?;
    waited.map(drop)
}

/// The child is not yet reaped, so the number cannot belong to another group. The only possible
/// refusal, that there is nobody left in it, is as good as success.
fn signal_group(child: &Child, signal: Signal) {
    if let Ok(group) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    Ok(pidfd_open(rustix::process::Pid::from_child(child), PidfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const QUICK: Limits =
        Limits { timeout: Duration::from_secs(30), grace: Duration::from_secs(30) };

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    #[test]
    fn the_ending_tells_status_and_signal() {
        for (script, ending) in [
            ("exit 0", Ending::Exited(0)),
            ("exit 7", Ending::Exited(7)),
            ("kill -9 $$", Ending::Signalled(9)),
        ] {
            assert_eq!(run(&mut shell(script), QUICK).unwrap(), ending, "{script}");
        }
        assert!(run(&mut Command::new("/nonexistent"), QUICK).is_err());
    }

    #[test]
    fn a_program_that_ignores_sigterm_is_killed_with_all_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pids");
        let script = format!(
            "trap '' TERM; sleep 1000 & echo $! > {0}; echo $$ >> {0}; while :; do sleep 1; done",
            file.display()
        );
        let limits =
            Limits { timeout: Duration::from_millis(500), grace: Duration::from_millis(200) };
        assert_eq!(run(&mut shell(&script), limits).unwrap(), Ending::TimedOut);
        for pid in fs::read_to_string(file).unwrap().split_whitespace() {
            let gone = || match fs::read_to_string(format!("/proc/{pid}/stat")) {
                Err(_) => true,
                Ok(stat) => stat.contains(") Z "),
            };
            let deadline = Instant::now() + Duration::from_secs(20);
            while !gone() {
                assert!(Instant::now() < deadline, "process {pid} is still there");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    #[test]
    fn a_child_of_a_thread_with_blocked_signals_has_none_blocked_and_sigpipe_not_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("status");
        let script = format!("grep -E '^Sig(Blk|Ign)' /proc/self/status > {}", file.display());
        std::thread::spawn(move || {
            SigSet::all().thread_block().unwrap();
            assert_eq!(run(&mut shell(&script), QUICK).unwrap(), Ending::Exited(0));
            assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGHUP));
        })
        .join()
        .unwrap();
        let status = fs::read_to_string(file).unwrap();
        let masks: Vec<u64> = status
            .lines()
            .map(|line| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap())
            .collect();
        assert_eq!(masks[0], 0, "{status}");
        assert_eq!(masks[1] & (1 << (Signal::SIGPIPE as u64 - 1)), 0, "{status}");
    }
}
