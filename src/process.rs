//! Running other programs: hooks, external checks, further instances.
//!
//! Every program started here leads its own process group, has `/dev/null` where the caller says
//! nothing else, starts with a clean signal mask and default dispositions. [`Running`] owns it: whatever
//! fails later, it is waited for, or killed and reaped.

use crate::as_user;
use crate::model::User;
use crate::wait::{moment_after, ready};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
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

/// How long a program that was killed may take to be gone, before it is reaped at a later time.
const AFTER_KILL: Duration = Duration::from_secs(1);

/// Runs a program to its end, at most [`Limits::timeout`] plus [`Limits::grace`].
///
/// Standard input, output and error are `/dev/null`. When the time is over, the whole process group
/// is ended, so that nothing the program started stays behind; what a program leaves running when it
/// ends in time is its own affair.
///
/// # Errors
/// When the program cannot be started.
pub fn run(command: &mut Command, limits: Limits) -> io::Result<Ending> {
    run_as(command, None, limits, |_| {})
}

/// As [`run`], as this user; `started` is called with the process as soon as it is there.
///
/// # Errors
/// As [`run`], and when this process may not change the user.
pub fn run_as(
    command: &mut Command,
    user: Option<&User>,
    limits: Limits,
    started: impl FnOnce(Identity),
) -> io::Result<Ending> {
    let running = match user {
        None => spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?,
        Some(user) => spawn_as(command, user, Stdio::null(), Stdio::null(), limits.timeout)?,
    };
    if let Some(process) = Identity::of(running.id()) {
        started(process);
    }
    running.finish(limits)
}

/// Starts a program as the leader of a process group of its own.
///
/// The caller's thread may have all signals blocked, as the threads of the daemon have: the mask is
/// inherited, so it is emptied for the moment of starting. A signal that lands in this moment is
/// taken by the daemon's handlers as on any other thread.
///
/// # Errors
/// When the program cannot be started.
pub fn spawn(command: &mut Command) -> io::Result<Running> {
    reap_leftovers();
    command.process_group(0);
    // systemd's socket and watchdog are the daemon's own.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] {
        command.env_remove(name);
    }
    let blocked = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let running = command.spawn().map(Running::new);
    blocked.thread_set_mask()?;
    running
}

/// Starts a program as this user, otherwise like [`spawn`], and returns when it runs; its standard
/// error is `/dev/null`.
///
/// # Errors
/// When the program cannot be started, or this process may not change the user.
pub fn spawn_as(
    command: &Command,
    user: &User,
    stdin: Stdio,
    stdout: Stdio,
    patience: Duration,
) -> io::Result<Running> {
    let mut wrapped = as_user::wrap(command, user);
    let mut running = spawn(wrapped.stdin(stdin).stdout(stdout).stderr(Stdio::piped()))?;
    let said = match running.child.stderr.take() {
        Some(report) => hear(report, moment_after(patience))?,
        None => return Err(io::ErrorKind::BrokenPipe.into()),
    };
    // Dropped, what has not become the program is killed.
    as_user::failure(&said).map_or(Ok(running), Err)
}

/// What is said until the pipe is closed, at most until `end`.
fn hear(mut pipe: ChildStderr, end: Instant) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    loop {
        if !ready(&pipe, PollFlags::POLLIN, end)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut chunk = [0; 64];
        match pipe.read(&mut chunk)? {
            0 => return Ok(said),
            count if said.len() < 1024 => said.extend_from_slice(&chunk[..count]),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// A program that was started by [`spawn`]. Dropped before it has ended, it is killed with its
/// whole process group, and reaped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Says when it has ended. Without one (no descriptor left, or before Linux 5.3) that is looked
    /// for again and again.
    handle: Option<OwnedFd>,
    reaped: bool,
}

impl Running {
    fn new(child: Child) -> Self {
        let number = rustix::process::Pid::from_child(&child);
        Self { handle: pidfd_open(number, PidfdFlags::empty()).ok(), child, reaped: false }
    }

    /// Its number, also that of its process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, once, if it is a pipe.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its standard output, once, if it is a pipe.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until it has ended, at most this long; it is not reaped, so its process group's number
    /// is still its own.
    pub fn ends_within(&self, time: Duration) -> bool {
        let end = moment_after(time);
        if let Some(handle) = &self.handle
            && let Ok(ended) = ready(handle, PollFlags::POLLIN, end)
        {
            return ended;
        }
        let mut pause = Duration::from_millis(1);
        while !self.has_ended() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread::sleep(left.min(pause));
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        true
    }

    /// Whether it has ended; it is not reaped.
    pub fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        // The only possible refusal is that it is no child any more.
        !matches!(waitid(Id::Pid(self.group()), flags), Ok(WaitStatus::StillAlive))
    }

    /// Waits for its end, at most [`Limits::timeout`]; then ends it.
    ///
    /// # Errors
    /// When somebody else has reaped it, so that nobody knows how it ended.
    pub fn finish(mut self, limits: Limits) -> io::Result<Ending> {
        if !self.ends_within(limits.timeout) {
            self.end(limits.grace);
            return Ok(Ending::TimedOut);
        }
        let status = self.child.wait();
        self.reaped = true;
        let status = status?;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, signal) => Ending::Signalled(signal.unwrap_or_default()),
        })
    }

    /// Ends it and its whole process group: SIGTERM, after `grace` SIGKILL; and reaps it.
    pub fn end(self, grace: Duration) {
        self.signal_group(Signal::SIGTERM);
        self.ends_within(grace);
    }

    /// It is not yet reaped, so the number cannot belong to another group. The only possible
    /// refusal, that there is nobody left in it, is as good as success.
    fn signal_group(&self, signal: Signal) {
        let _ = killpg(self.group(), signal);
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.signal_group(Signal::SIGKILL);
        if self.ends_within(AFTER_KILL) {
            let _ = self.child.wait();
        } else {
            // Stuck in the kernel, behind a dead file server perhaps.
            log::warn!("process {} was killed and is not gone yet", self.child.id());
            leftovers().push(self.group());
        }
    }
}

/// Killed, but not reaped so far.
static LEFTOVERS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn leftovers() -> MutexGuard<'static, Vec<Pid>> {
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reap_leftovers() {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    leftovers().retain(|pid| {
        matches!(waitid(Id::Pid(*pid), flags), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
    });
}

/// Writes all of it to a program that may not read, at most until `end`.
///
/// # Errors
/// `TimedOut`; or when the program has closed its end.
pub fn feed(mut pipe: ChildStdin, mut bytes: &[u8], end: Instant) -> io::Result<()> {
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    while !bytes.is_empty() {
        match pipe.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !ready(&pipe, PollFlags::POLLOUT, end)? {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Which process: its number, and when it began, for numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// When it began, in the kernel's ticks since the boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub started: u64,
}

/// Between two looks at a process that is not our child.
const LOOK: Duration = Duration::from_millis(20);

impl Identity {
    /// The process that has this number now; `None` if there is none. One that has ended and is not
    /// reaped is still there.
    pub fn of(pid: u32) -> Option<Self> {
        Self::look(pid).map(|(process, _)| process)
    }

    /// Whether the process has not ended.
    pub fn lives(self) -> bool {
        Self::look(self.pid).is_some_and(|(process, lives)| process == self && lives)
    }

    fn look(pid: u32) -> Option<(Self, bool)> {
        let stat = Stat::read(pid)?;
        Some((Self { pid, started: stat.number(22)? }, !stat.has_ended()))
    }

    /// Waits until a process that was started by [`spawn`] of an earlier process has ended; ends its
    /// process group when its time is over.
    pub fn outwait(self, limits: Limits) {
        let signals = [(limits.timeout, Signal::SIGTERM), (limits.grace, Signal::SIGKILL)];
        for (time, signal) in signals {
            let deadline = Instant::now() + time;
            while Instant::now() < deadline {
                if !self.lives() {
                    return;
                }
                thread::sleep(LOOK);
            }
            if self.lives()
                && let Ok(group) = i32::try_from(self.pid)
            {
                // Refused only if nobody is left.
                let _ = killpg(Pid::from_raw(group), signal);
            }
        }
    }
}

/// Closes every descriptor that was inherited beside standard input, output and error, so that none
/// leaks into a daemon or its hooks. Must be called before anything is opened.
pub fn close_inherited() {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> = descriptors
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&number| number > 2)
        .collect();
    for number in numbers {
        // The directory's own is closed already.
        let _ = nix::unistd::close(number);
    }
}

/// A process's line in /proc; fields have their numbers of proc_pid_stat(5).
#[derive(Debug, Clone)]
pub(crate) struct Stat(String);

impl Stat {
    /// The line of the process that has this number; `None` if there is none.
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let mut bytes = Vec::new();
        let file = File::open(format!("/proc/{pid}/stat")).ok()?;
        file.take(16 * 1024).read_to_end(&mut bytes).ok()?;
        Some(Self::from(&*String::from_utf8_lossy(&bytes)))
    }

    /// A field behind the program's name.
    fn field(&self, number: usize) -> Option<&str> {
        // The name stands in parentheses and may have any character in it.
        self.0.rsplit_once(')')?.1.split_ascii_whitespace().nth(number.checked_sub(3)?)
    }

    /// A field that is a number.
    pub(crate) fn number(&self, number: usize) -> Option<u64> {
        self.field(number)?.parse().ok()
    }

    /// Whether it has ended, and is at most still to be reaped.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.field(3), Some("Z" | "X"))
    }
}

impl From<&str> for Stat {
    fn from(line: &str) -> Self {
        Self(line.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const QUICK: Limits =
        Limits { timeout: Duration::from_secs(30), grace: Duration::from_secs(30) };

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    /// Runs a program as on a machine that has a descriptor to watch it with, and as on one that
    /// has none.
    fn both_ways(script: &str, limits: Limits) -> [Ending; 2] {
        [true, false].map(|watched| {
            let mut running = spawn(shell(script).stdin(Stdio::null())).unwrap();
            assert!(running.handle.is_some());
            if !watched {
                running.handle = None;
            }
            running.finish(limits).unwrap()
        })
    }

    /// Gone, reaped by us or by the machine's first process.
    #[track_caller]
    fn is_soon_gone(pid: &str) {
        let gone = || match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(_) => true,
            Ok(stat) => stat.contains(") Z "),
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !gone() {
            assert!(Instant::now() < deadline, "process {pid} is still there");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn the_ending_tells_status_and_signal() {
        for (script, ending) in [
            ("exit 0", Ending::Exited(0)),
            ("exit 7", Ending::Exited(7)),
            ("kill -9 $$", Ending::Signalled(9)),
        ] {
            assert_eq!(run(&mut shell(script), QUICK).unwrap(), ending, "{script}");
            assert_eq!(both_ways(script, QUICK), [ending; 2], "{script}");
        }
        assert!(run(&mut Command::new("/nonexistent"), QUICK).is_err());
    }

    #[test]
    fn a_process_is_known_by_number_and_beginning_and_outwaited() {
        let running = spawn(&mut shell("sleep 1000")).unwrap();
        let process = Identity::of(running.id()).unwrap();
        assert!(process.lives());
        assert!(!Identity { started: process.started + 1, ..process }.lives());
        let moment = Duration::from_millis(100);
        process.outwait(Limits { timeout: moment, grace: Duration::from_secs(20) });
        assert!(!process.lives(), "ended, though not reaped");
        let ending = running.finish(QUICK).unwrap();
        assert_eq!(ending, Ending::Signalled(Signal::SIGTERM as i32));
    }

    #[test]
    fn a_program_that_ignores_sigterm_is_killed_with_all_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pids");
        let script = format!(
            "trap '' TERM; sleep 1000 & echo $! >> {0}; echo $$ >> {0}; while :; do sleep 1; done",
            file.display()
        );
        let limits =
            Limits { timeout: Duration::from_millis(500), grace: Duration::from_millis(200) };
        assert_eq!(both_ways(&script, limits), [Ending::TimedOut; 2]);
        let pids = fs::read_to_string(file).unwrap();
        assert_eq!(pids.lines().count(), 4);
        pids.lines().for_each(is_soon_gone);
    }

    #[test]
    fn whoever_lets_go_of_a_program_leaves_neither_it_nor_a_zombie() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let running = spawn(&mut shell(&script)).unwrap();
        let leader = running.id();
        let deadline = Instant::now() + Duration::from_secs(20);
        while fs::read_to_string(&file).unwrap_or_default().is_empty() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(10));
        }
        drop(running);
        assert!(!Path::new(&format!("/proc/{leader}")).exists(), "not even a zombie");
        is_soon_gone(fs::read_to_string(&file).unwrap().trim());
    }

    #[test]
    fn a_program_that_was_not_gone_when_it_was_given_up_is_reaped_later() {
        let pid = Pid::from_raw(shell("exit 0").spawn().unwrap().id().cast_signed());
        leftovers().push(pid);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Path::new(&format!("/proc/{pid}")).exists() {
            assert!(Instant::now() < deadline, "process {pid} is still there");
            run(&mut shell("exit 0"), QUICK).unwrap();
        }
        reap_leftovers();
        assert!(!leftovers().contains(&pid));
    }

    #[test]
    fn a_program_that_does_not_read_delays_the_writer_no_longer_than_allowed() {
        let much = vec![b'x'; 1 << 20];
        for (script, expected) in [
            ("cat", None),
            ("sleep 1000", Some(io::ErrorKind::TimedOut)),
            ("exec <&-; sleep 1000", Some(io::ErrorKind::BrokenPipe)),
        ] {
            let mut running =
                spawn(shell(script).stdin(Stdio::piped()).stdout(Stdio::null())).unwrap();
            let pipe = running.take_stdin().unwrap();
            let patience = if expected == Some(io::ErrorKind::TimedOut) { 300 } else { 20_000 };
            let fed = feed(pipe, &much, Instant::now() + Duration::from_millis(patience));
            assert_eq!(fed.err().map(|error| error.kind()), expected, "{script}");
        }
    }

    #[test]
    fn a_child_of_a_thread_with_blocked_signals_has_none_blocked_and_sigpipe_not_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("status");
        let script = format!("grep -E '^Sig(Blk|Ign)' /proc/self/status > {}", file.display());
        thread::spawn(move || {
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
