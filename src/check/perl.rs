//! external-perl: a Perl script's exit status is the verdict.
//!
//! Starting Perl and loading modules takes tens of milliseconds, so a Perl process is kept for each
//! script and runs it again and again (`perl_helper.pl`). One that is late or has died is replaced; a
//! script that cannot be run in this way is run as `perl FILE ARGUMENTS`.

use super::external::{self, GRACE};
use super::transcript::{self, Seen};
use super::{Deadline, Failure};
use crate::model::{Script, User};
use crate::process::{self, Ending, Limits, Running};
use crate::wait::ready;
use nix::poll::PollFlags;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const HELPER: &str = include_str!("perl_helper.pl");

/// Bytes of an answer; the helper cuts its own at 1000 characters.
const ANSWER_LIMIT: usize = 8 * 1024;

/// Checks after which a process is replaced, whatever the script has let pile up in it.
const RUNS: u32 = 10_000;

/// A process that has had nothing to do for this long is ended.
const IDLE: Duration = Duration::from_secs(600);

/// How often the idle ones are looked at: ended ones are reaped, those idle for too long are ended.
const LOOK: Duration = Duration::from_secs(5);

/// Runs the check.
///
/// # Errors
/// [`Failure::Exit`], [`Failure::Died`], [`Failure::Signal`], [`Failure::Exec`],
/// [`Failure::TimedOut`], [`Failure::Local`].
pub(super) fn check(script: &Script, deadline: Deadline) -> Result<(), Failure> {
    transcript::tell(|| Seen::Command {
        words: ["perl", &script.command]
            .into_iter()
            .chain(script.arguments.iter().map(String::as_str))
            .map(str::to_owned)
            .collect(),
        user: script.user.as_ref().map(|user| user.name.clone()),
    });
    loop {
        let (mut helper, is_fresh) = match take(script) {
            Some(helper) => (helper, false),
            None => (Helper::start(script, deadline)?, true),
        };
        match helper.ask(script, deadline) {
            Ok(answer) => {
                keep(script, helper);
                return verdict(&answer, script, deadline);
            }
            Err(Silence::Late) => {
                helper.retire();
                return Err(Failure::TimedOut);
            }
            // It has died with nothing to do, and nothing was checked: the next one.
            Err(Silence::NotBegun) if !is_fresh => helper.retire(),
            // It is no longer ours to ask: the script has left Perl by exec, _exit or a signal.
            Err(Silence::NotBegun | Silence::Ended) => return helper.ending(deadline),
            Err(Silence::Failed(error)) => {
                helper.retire();
                return Err(error.into());
            }
        }
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
        "want" => Err(Failure::Local(format!("{}: {words}", script.command))),
        _ => {
            let mut command = Command::new("perl");
            command.arg(&script.command).args(&script.arguments).current_dir("/");
            external::run(&mut command, script, deadline).map_err(|failure| match failure {
                Failure::Exit(_) => Failure::Died(words.to_owned()),
                other => other,
            })
        }
    }
}

/// Idle processes.
#[derive(Debug, Default)]
struct Idle {
    by_script: Option<HashMap<Key, Vec<Helper>>>,
    /// Whether there is a thread that looks at them now and then.
    looked_at: bool,
}

/// A script, and who runs it.
type Key = (String, Option<Arc<User>>);

fn key(script: &Script) -> Key {
    (script.command.clone(), script.user.clone())
}

impl Idle {
    /// Takes out those that have ended or have been idle for too long.
    fn take_stale(&mut self) -> Vec<Helper> {
        let all = self.by_script.get_or_insert_default();
        let is_stale = |it: &mut Helper| it.since.elapsed() >= IDLE || it.running.has_ended();
        let stale = all.values_mut().flat_map(|them| them.extract_if(.., is_stale)).collect();
        all.retain(|_, helpers| !helpers.is_empty());
        stale
    }
}

static IDLE_ONES: Mutex<Idle> = Mutex::new(Idle { by_script: None, looked_at: false });

fn idle() -> MutexGuard<'static, Idle> {
    IDLE_ONES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(script: &Script) -> Option<Helper> {
    // The one used last is at the end.
    idle().by_script.as_mut()?.get_mut(&key(script))?.pop()
}

fn keep(script: &Script, mut helper: Helper) {
    helper.runs += 1;
    helper.since = Instant::now();
    if helper.runs >= RUNS {
        return helper.retire();
    }
    let mut all = idle();
    all.by_script.get_or_insert_default().entry(key(script)).or_default().push(helper);
    if !all.looked_at {
        let thread = thread::Builder::new().name("perl-idle".to_owned()).stack_size(128 * 1024);
        // Without it they wait for the next check of any script.
        match thread.spawn(look_at_idle_ones) {
            Ok(_) => all.looked_at = true,
            Err(error) => log::debug!("cannot start a thread for idle perl processes: {error}"),
        }
    }
    let stale = if all.looked_at { Vec::new() } else { all.take_stale() };
    drop(all);
    stale.into_iter().for_each(Helper::retire);
}

/// The life of a thread, until nobody is idle any more.
fn look_at_idle_ones() {
    let mut goes_on = true;
    while goes_on {
        thread::sleep(LOOK);
        let mut all = idle();
        let stale = all.take_stale();
        goes_on = all.by_script.as_ref().is_some_and(|all| !all.is_empty());
        all.looked_at = goes_on;
        drop(all);
        stale.into_iter().for_each(Helper::retire);
    }
}

/// A Perl process that runs scripts.
#[derive(Debug)]
struct Helper {
    running: Running,
    /// What is asked; and a byte comes back when a script begins, for which nobody waits.
    question: UnixStream,
    answer: ChildStdout,
    runs: u32,
    /// Idle since.
    since: Instant,
}

/// Why there is no answer.
#[derive(Debug)]
enum Silence {
    /// The deadline has come.
    Late,
    /// The process ended before the script began.
    NotBegun,
    /// The process ended with the script.
    Ended,
    /// It could not be waited for.
    Failed(io::Error),
}

impl Helper {
    fn start(script: &Script, deadline: Deadline) -> Result<Self, Failure> {
        let (question, stdin) = UnixStream::pair().map_err(Failure::local)?;
        // It is empty and holds far more than five words.
        question.set_nonblocking(true).map_err(Failure::local)?;
        let mut command = Command::new("perl");
        command.args(["-e", HELPER]).current_dir("/");
        let (stdin, stdout) = (Stdio::from(OwnedFd::from(stdin)), Stdio::piped());
        let started = match &script.user {
            None => process::spawn(command.stdin(stdin).stdout(stdout).stderr(Stdio::null())),
            Some(user) => process::spawn_as(&command, user, stdin, stdout, deadline.remaining()?),
        };
        let mut running = started.map_err(|error| Failure::not_started("perl: ", &error))?;
        let answer = running.take_stdout().ok_or_else(|| {
            Failure::Internal("the perl process has no standard output".to_owned())
        })?;
        Ok(Self { running, question, answer, runs: 0, since: Instant::now() })
    }

    /// One check: the question, and the line that answers it.
    fn ask(&mut self, script: &Script, deadline: Deadline) -> Result<String, Silence> {
        let mut question = Vec::new();
        for word in std::iter::once(&script.command).chain(&script.arguments) {
            question.extend_from_slice(word.as_bytes());
            question.push(0);
        }
        // A child that the script has left behind may hold the other end open.
        if self.running.has_ended() || self.question.write_all(&question).is_err() {
            return Err(Silence::NotBegun);
        }
        let mut answer = Vec::new();
        let mut chunk = [0; 1024];
        while !answer.ends_with(b"\n") && answer.len() < ANSWER_LIMIT {
            if !ready(&self.answer, PollFlags::POLLIN, deadline.instant())
                .map_err(Silence::Failed)?
            {
                return Err(Silence::Late);
            }
            match self.answer.read(&mut chunk) {
                Ok(0) if self.has_begun() => return Err(Silence::Ended),
                Ok(0) => return Err(Silence::NotBegun),
                Ok(count) => answer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Silence::Failed(error)),
            }
        }
        self.has_begun();
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// Whether a script has begun since this was asked last.
    fn has_begun(&mut self) -> bool {
        matches!(self.question.read(&mut [0; 16]), Ok(count) if count > 0)
    }

    /// The verdict of a process that ends by itself.
    fn ending(self, deadline: Deadline) -> Result<(), Failure> {
        let timeout = deadline.remaining().unwrap_or_default();
        external::verdict(self.running.finish(Limits { timeout, grace: GRACE }))
    }

    /// Ends it, unless it has ended.
    fn retire(self) {
        let limits = Limits { timeout: Duration::ZERO, grace: GRACE };
        // Nobody asks any more how it ended.
        let _ = self.running.finish(limits);
    }
}
