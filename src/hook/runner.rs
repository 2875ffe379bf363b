//! The threads that run hooks.

use super::queue::{Begun, Queues};
use super::{HookJob, HookReport, HookResult};
use crate::model::ServiceAddress;
use crate::process::{self, Ending, Limits};
use nix::unistd::{AccessFlags, access};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Hooks that run side by side; further services wait for a free thread.
const THREADS: usize = 64;

/// A thread only starts a program and waits for it.
const STACK: usize = 128 * 1024;

/// How long an idle thread waits for work.
const IDLE: Duration = Duration::from_secs(10);

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(3);

/// How long `callback` may run.
const CALLBACK_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs hooks: those of one service in order and one at a time, those of different services side by
/// side.
///
/// A run that does not end with status 0 is logged. With `fallbackcommandretry=yes` it is repeated after
/// 1 s, 2 s, 4 s … 60 s until it succeeds or a newer job for the service arrives.
pub struct HookRunner {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    report: Box<dyn Fn(HookReport) + Send + Sync>,
}

struct State {
    queues: Queues<Key, Job>,
    threads: usize,
    idle: usize,
    draining: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Service(ServiceAddress),
    Callback,
}

#[derive(Debug)]
enum Job {
    Fallback(HookJob),
    Callback { program: PathBuf, config: PathBuf },
}

impl HookRunner {
    /// A runner; `report` is called from its threads after each run of a `fallbackcommand`.
    pub fn new(report: impl Fn(HookReport) + Send + Sync + 'static) -> Self {
        let state = State { queues: Queues::new(), threads: 0, idle: 0, draining: false };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed: Condvar::new(),
                report: Box::new(report),
            }),
        }
    }

    /// Queues a run.
    pub fn run(&self, job: HookJob) {
        self.push(Key::Service(job.service), Job::Fallback(job));
    }

    /// Queues a run of `callback` with the configuration's path as its only argument, without a
    /// shell, for at most 60 s.
    // compat: a callback that is not an executable file is passed over in silence (spec 5.11)
    pub fn callback(&self, callback: &Path, config: &Path) {
        if !callback.is_file() || access(callback, AccessFlags::X_OK).is_err() {
            return;
        }
        let (program, config) = (callback.to_owned(), config.to_owned());
        self.push(Key::Callback, Job::Callback { program, config });
    }

    /// Whether a run for this service is under way, waiting, or to be repeated.
    pub fn is_busy(&self, service: ServiceAddress) -> bool {
        self.shared.state().queues.is_busy(&Key::Service(service))
    }

    /// Waits until every queued run has ended, at most this long; failed runs are no longer
    /// repeated. Tells whether everything has ended; what has not is left running.
    pub fn drain(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state();
        state.draining = true;
        state.queues.refuse_retries();
        self.shared.changed.notify_all();
        while state.queues.busy() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                log::warn!("hooks of {} services are still running", state.queues.busy());
                return false;
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    fn push(&self, key: Key, job: Job) {
        let mut state = self.shared.state();
        let dropped = state.queues.push(key, job);
        if dropped > 0 {
            log::warn!("hooks fall behind: {dropped} runs that undo each other are left out");
        }
        if state.idle == 0 && state.threads < THREADS {
            state.threads += 1;
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("hook".into()).stack_size(STACK);
            if let Err(error) = thread.spawn(move || shared.work()) {
                state.threads -= 1;
                log::error!("cannot start a thread for a hook: {error}");
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl fmt::Debug for HookRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookRunner").finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of one thread.
    fn work(&self) {
        while let Some(begun) = self.next() {
            let (result, duration) = run(&begun.job);
            self.over(begun, result, duration);
        }
    }

    /// The next job; `None` when this thread has nothing to do for a while.
    fn next(&self) -> Option<Begun<Key, Job>> {
        let mut state = self.state();
        let retire = Instant::now() + IDLE;
        loop {
            let now = Instant::now();
            if let Some(begun) = state.queues.begin(now) {
                return Some(begun);
            }
            let due = state.queues.next_due();
            // Somebody must be there when a pause is over.
            let needed = due.is_some() && state.idle == 0;
            if (now >= retire && !needed) || (state.draining && state.queues.busy() == 0) {
                state.threads -= 1;
                return None;
            }
            let wake = due.map_or(retire, |due| if needed { due } else { due.min(retire) });
            state.idle += 1;
            state = self
                .changed
                .wait_timeout(state, wake.saturating_duration_since(now))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.idle -= 1;
        }
    }

    /// The report goes out before the queue is free, so that reports of one service keep their order
    /// and [`HookRunner::drain`] has seen them all.
    fn over(&self, begun: Begun<Key, Job>, result: HookResult, duration: Duration) {
        let succeeded = result == HookResult::Exited(0);
        let (key, attempt) = (begun.key.clone(), begun.attempt);
        let Job::Fallback(job) = &begun.job else {
            self.state().queues.finished(&key);
            self.changed.notify_all();
            return;
        };
        let job = job.clone();
        let mut will_retry = false;
        if !succeeded && job.command.retry {
            will_retry = self.state().queues.failed(begun, Instant::now());
        }
        let HookJob { service, command, argument } = job;
        let report =
            HookReport { service, command, argument, result, duration, attempt, will_retry };
        (self.report)(report);
        if !will_retry {
            self.state().queues.finished(&key);
        }
        self.changed.notify_all();
    }
}

fn run(job: &Job) -> (HookResult, Duration) {
    let (mut command, line, timeout) = match job {
        Job::Fallback(job) => {
            let line = job.command_line();
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(&line);
            (shell, line, job.command.timeout)
        }
        Job::Callback { program, config } => {
            let mut command = Command::new(program);
            command.arg(config);
            (command, format!("{} {}", program.display(), config.display()), CALLBACK_TIMEOUT)
        }
    };
    let begun = Instant::now();
    log::debug!("Running system({line})");
    let result = match process::run(&mut command, Limits { timeout, grace: GRACE }) {
        Ok(Ending::Exited(status)) => HookResult::Exited(status),
        Ok(Ending::Signalled(signal)) => HookResult::Signalled(signal),
        Ok(Ending::TimedOut) => HookResult::TimedOut,
        Err(error) => HookResult::Failed(error.to_string()),
    };
    match &result {
        HookResult::Exited(0) => {}
        HookResult::TimedOut => {
            let seconds = timeout.as_secs();
            log::error!("system({line}) failed: timed out after {seconds} s, ended");
        }
        _ => log::error!("system({line}) failed: {result}"),
    }
    (result, begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FallbackCommand, HookArgument, Protocol};
    use std::fs;
    use std::sync::mpsc::{Receiver, channel};

    const LONG: Duration = Duration::from_secs(60);

    fn runner() -> (HookRunner, Receiver<HookReport>) {
        let (sender, reports) = channel();
        (HookRunner::new(move |report| sender.send(report).unwrap()), reports)
    }

    fn job(port: u16, command: String, argument: HookArgument) -> HookJob {
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], port));
        HookJob {
            service: ServiceAddress::Address { protocol: Protocol::Tcp, address },
            command: FallbackCommand { command, retry: false, timeout: LONG },
            argument,
        }
    }

    #[test]
    fn runs_of_one_service_keep_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("calls");
        // Appends its three words; the first run is the slowest.
        let command =
            format!("f() {{ [ $1 = stop ] || sleep 0.3; echo \"$*\" >> {}; }}; f", file.display());
        let (runner, reports) = runner();
        for argument in [HookArgument::Start, HookArgument::Stop, HookArgument::Start] {
            runner.run(job(80, command.clone(), argument));
        }
        assert!(runner.drain(LONG));
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "start 10.0.0.1:80 tcp\nstop 10.0.0.1:80 tcp\nstart 10.0.0.1:80 tcp\n"
        );
        assert_eq!(reports.try_iter().filter(HookReport::succeeded).count(), 3);
        assert!(!runner.is_busy(job(80, String::new(), HookArgument::Stop).service));
    }

    #[test]
    fn a_slow_service_does_not_delay_another() {
        let (runner, reports) = runner();
        runner.run(job(80, "sleep 20 #".into(), HookArgument::Start));
        runner.run(job(81, "exit 3;".into(), HookArgument::Start));
        let report = reports.recv_timeout(LONG).unwrap();
        assert_eq!(report.service.port(), 81);
        assert_eq!(report.result, HookResult::Exited(3));
        assert!(!report.will_retry);
        assert!(runner.is_busy(job(80, String::new(), HookArgument::Stop).service));
    }

    #[test]
    fn a_run_beyond_its_time_is_ended() {
        let (runner, reports) = runner();
        let mut slow = job(80, "exec sleep 20 #".into(), HookArgument::Start);
        slow.command.timeout = Duration::from_millis(200);
        runner.run(slow);
        let report = reports.recv_timeout(LONG).unwrap();
        assert_eq!(report.result, HookResult::TimedOut);
    }

    #[test]
    fn a_failed_run_is_repeated_until_it_succeeds() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("seen");
        let mut flaky = job(
            80,
            format!("test -e {0} || {{ touch {0}; exit 1; }} #", file.display()),
            HookArgument::Stop,
        );
        flaky.command.retry = true;
        let (runner, reports) = runner();
        runner.run(flaky);
        let first = reports.recv_timeout(LONG).unwrap();
        assert_eq!((first.attempt, first.will_retry, first.succeeded()), (1, true, false));
        let second = reports.recv_timeout(LONG).unwrap();
        assert_eq!((second.attempt, second.will_retry, second.succeeded()), (2, false, true));
    }

    #[test]
    fn draining_gives_up_repetitions_and_does_not_wait_for_ever() {
        let (runner, reports) = runner();
        let mut failing = job(80, "false".into(), HookArgument::Stop);
        failing.command.retry = true;
        runner.run(failing);
        assert!(reports.recv_timeout(LONG).unwrap().will_retry);
        assert!(runner.drain(LONG));
        runner.run(job(80, "sleep 20 #".into(), HookArgument::Stop));
        assert!(!runner.drain(Duration::from_millis(100)));
    }

    #[test]
    fn the_callback_gets_the_path_without_a_shell() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (program, file) = (directory.path().join("callback"), directory.path().join("out"));
        fs::write(&program, format!("#!/bin/sh\necho \"$#:$1\" > {}\n", file.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let (runner, _reports) = runner();
        runner.callback(directory.path(), Path::new("a directory is not run"));
        runner.callback(&program, Path::new("/etc/ha.d/a b;c.cf"));
        assert!(runner.drain(LONG));
        assert_eq!(fs::read_to_string(file).unwrap(), "1:/etc/ha.d/a b;c.cf\n");
    }
}
