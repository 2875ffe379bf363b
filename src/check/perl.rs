//! external-perl: a Perl script's exit status is the verdict.
//!
//! Starting Perl and loading modules takes tens of milliseconds, so a Perl process is kept for each
//! script and runs it again and again (`perl_helper.pl`). One that is late or has died is replaced; a
//! script that cannot be run in this way is run as `perl FILE ARGUMENTS`.

use super::external::{self, GRACE};
use super::{Deadline, Failure};
use crate::model::Script;
use crate::process::{self, Ending};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

const HELPER: &str = include_str!("perl_helper.pl");

/// Bytes of an answer; the helper cuts its own at 1000 characters.
const ANSWER_LIMIT: usize = 8 * 1024;

/// Checks after which a process is replaced, whatever the script has let pile up in it.
const RUNS: u32 = 10_000;

/// A process that has had nothing to do for this long is ended.
const IDLE: Duration = Duration::from_secs(600);

/// Runs the check.
///
/// # Errors
/// [`Failure::Exit`], [`Failure::Died`], [`Failure::Signal`], [`Failure::Exec`],
/// [`Failure::TimedOut`].
pub(super) fn check(script: &Script, deadline: Deadline) -> Result<(), Failure> {
    let mut helper = match take(&script.command) {
        Some(helper) => helper,
        None => Helper::start()?,
    };
    let answer = helper.ask(script, deadline);
    match answer {
        Ok(answer) => {
            keep(&script.command, helper);
            verdict(&answer, script, deadline)
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            helper.kill();
            Err(Failure::TimedOut)
        }
        // It is no longer ours to ask: the script has left Perl by exec, _exit or a signal.
        Err(_) => helper.ending(deadline),
    }
}

/// What the helper's answer means.
fn verdict(answer: &str, script: &Script, deadline: Deadline) -> Result<(), Failure> {
    let (kind, words) = answer.split_once(' ').unwrap_or((answer, ""));
    match kind {
        "exit" => match words.parse::<i64>() {
            Ok(0) => Ok(()),
            // What is left of a status in exit(3).
            Ok(status) => external::verdict(Ok(Ending::Exited((status & 0xff) as i32))),
            Err(_) => Ok(()),
        },
        "die" => Err(Failure::Died(words.to_owned())),
        "read" => Err(Failure::Exec(format!("{}: {words}", script.command))),
        _ => {
            let mut command = Command::new("perl");
            command.arg(&script.command).args(&script.arguments).current_dir("/");
            external::run(&mut command, deadline).map_err(|failure| match failure {
                Failure::Exit(_) => Failure::Died(words.to_owned()),
                other => other,
            })
        }
    }
}

/// Idle processes by script.
type Idle = HashMap<String, Vec<Helper>>;

fn idle() -> MutexGuard<'static, Idle> {
    static IDLE: OnceLock<Mutex<Idle>> = OnceLock::new();
    IDLE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(command: &str) -> Option<Helper> {
    idle().get_mut(command)?.pop()
}

fn keep(command: &str, mut helper: Helper) {
    helper.runs += 1;
    helper.since = Instant::now();
    let mut stale = Vec::new();
    let mut all = idle();
    if helper.runs < RUNS {
        all.entry(command.to_owned()).or_default().push(helper);
    } else {
        stale.push(helper);
    }
    for helpers in all.values_mut() {
        // The one used last is at the end.
        let fresh = helpers.iter().position(|it| it.since.elapsed() < IDLE);
        stale.extend(helpers.drain(..fresh.unwrap_or(helpers.len())));
    }
    all.retain(|_, helpers| !helpers.is_empty());
    drop(all);
    stale.into_iter().for_each(Helper::kill);
}

/// A Perl process that runs scripts.
#[derive(Debug)]
struct Helper {
    child: Child,
    runs: u32,
    /// Idle since.
    since: Instant,
}

impl Helper {
    fn start() -> Result<Self, Failure> {
        let mut command = Command::new("perl");
        command.args(["-e", HELPER]).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = process::spawn(&mut command)
            .map_err(|error| Failure::Exec(format!("perl: {error}")))?;
        Ok(Self { child, runs: 0, since: Instant::now() })
    }

    /// One check: the question, and the line that answers it.
    fn ask(&mut self, script: &Script, deadline: Deadline) -> io::Result<String> {
        let mut question = Vec::new();
        for word in std::iter::once(&script.command).chain(&script.arguments) {
            question.extend_from_slice(word.as_bytes());
            question.push(0);
        }
        // Five words are shorter than a pipe is long, and the pipe is empty: this cannot block.
        let stdin = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(&question)?;
        let stdout = self.child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut answer = Vec::new();
        let mut chunk = [0; 1024];
        while !answer.ends_with(b"\n") && answer.len() < ANSWER_LIMIT {
            wait_readable(&*stdout, deadline)?;
            let count = stdout.read(&mut chunk)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&chunk[..count]);
        }
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// The verdict of a process that ends by itself.
    fn ending(mut self, deadline: Deadline) -> Result<(), Failure> {
        let left = deadline.remaining().unwrap_or_default();
        if !process::ends_within(&self.child, left)? {
            self.kill();
            return Err(Failure::TimedOut);
        }
        let status = self.child.wait()?;
        external::verdict(Ok(match status.code() {
            Some(code) => Ending::Exited(code),
            None => Ending::Signalled(status.signal().unwrap_or_default()),
        }))
    }

    fn kill(mut self) {
        if let Err(error) = process::end(&mut self.child, GRACE) {
            log::warn!("end the perl process {}: {error}", self.child.id());
        }
    }
}

fn wait_readable(from: &impl AsFd, deadline: Deadline) -> io::Result<()> {
    loop {
        // Rounded up: a wait of zero milliseconds would spin.
        let left = deadline.remaining()? + Duration::from_micros(999);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
