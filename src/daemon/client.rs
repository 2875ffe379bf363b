//! Commands to a running daemon: `stop`, `reload`, `status`.

use super::Paths;
use super::control::{Sockets, ask};
use super::load::{Configuration, Hints};
use super::pid_file::{self, Found};
use super::process_table::Handle;
use super::request::Request;
use super::show_status;
use crate::cli::{ExitStatus, StatusForm, StatusView, Target};
use crate::status::Phase;
use std::io::{self, Write};
use std::process::Command;
use std::time::Duration;

/// How long a daemon may take to clean up.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// How long it may live on after it has closed its socket.
const CLOSED: Duration = Duration::from_millis(500);

/// How long it may take after it was told again.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// The daemon of an instance, by its pid file.
pub(super) fn find(target: &Target, paths: &Paths) -> Found {
    pid_file::find(&paths.pid_file(&target.instance))
}

/// What there is once a daemon that is ending has ended: one that was told to stop still cleans up and
/// answers, but it will neither read its configuration again nor be there for long.
///
/// # Errors
/// The daemon, when it takes longer than it may.
pub(super) fn past_its_end(found: Found, sockets: &Sockets) -> Result<Found, Handle> {
    match found {
        Found::Running(daemon) if is_stopping(&daemon, sockets) => {
            if daemon.ends_within(CLEAN_UP) {
                Ok(Found::Absent)
            } else {
                Err(daemon)
            }
        }
        found => Ok(found),
    }
}

/// Whether a daemon is on its way to its end; one that has closed its socket is as good as there.
fn is_stopping(daemon: &Handle, sockets: &Sockets) -> bool {
    match ask(sockets, &Request::Status) {
        Ok(answer) => {
            show_status::parse(&answer).is_ok_and(|report| report.phase == Phase::Stopping)
        }
        Err(_) => daemon.ends_within(CLOSED),
    }
}

/// `stop`: tells the daemon to end and waits for it, at most 10 s.
pub(super) fn stop(daemon: &Handle) -> ExitStatus {
    if let Err(error) = daemon.terminate() {
        say(io::stderr(), &format!("stop process {}: {error}", daemon.pid()));
        return ExitStatus::Failure;
    }
    if !daemon.ends_within(CLEAN_UP) {
        let (seconds, pid) = (CLEAN_UP.as_secs(), daemon.pid());
        say(io::stderr(), &format!("process {pid} is still cleaning up after {seconds} s"));
    }
    ExitStatus::Success
}

/// Ends a daemon for good, for `restart`, and never purges what the next one is to adopt: what the
/// configuration still has stays in the table, with its connections, and no hook runs.
///
/// A daemon that does not answer is killed, which leaves the table as it is. One that knows nothing
/// of a hand-over (the original, an older version) is told to stop, which cleans up.
///
/// # Errors
/// When the daemon refuses, and goes on: the words say why.
pub(super) fn end(daemon: &Handle, sockets: &Sockets) -> io::Result<()> {
    match ask(sockets, &Request::HandOver) {
        Ok(_) => {}
        Err(error) => match Refusal::of(&error) {
            // It may be gone before its answer is.
            Refusal::Gone => {}
            Refusal::Unknown => return stop_for_good(daemon),
            Refusal::Silent => log::error!("process {} does not answer: {error}", daemon.pid()),
            Refusal::No => return Err(error),
        },
    }
    if daemon.ends_within(CLEAN_UP) {
        return Ok(());
    }
    kill(daemon)
}

/// Why a daemon has not said that it hands over.
enum Refusal {
    /// It has ended before it could.
    Gone,
    /// It does not know how.
    Unknown,
    /// It does not answer.
    Silent,
    /// It will not.
    No,
}

impl Refusal {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Self::Gone,
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::Unknown,
            io::ErrorKind::Other => match error.to_string().as_str() {
                "unknown request" => Self::Unknown,
                "the daemon is busy" => Self::Silent,
                _ => Self::No,
            },
            _ => Self::Silent,
        }
    }
}

fn stop_for_good(daemon: &Handle) -> io::Result<()> {
    for patience in [CLEAN_UP, LAST_CHANCE] {
        let told = daemon.terminate();
        if daemon.ends_within(patience) {
            return Ok(());
        }
        told?;
    }
    kill(daemon)
}

fn kill(daemon: &Handle) -> io::Result<()> {
    log::error!("process {} does not end, it is killed", daemon.pid());
    let told = daemon.kill();
    if daemon.ends_within(LAST_CHANCE) { Ok(()) } else { told }
}

/// `reload`, `force-reload`; a configuration with errors does not come this far (spec, B20).
pub(super) fn reload(daemon: &Handle) -> ExitStatus {
    match daemon.reload() {
        Ok(()) => ExitStatus::Success,
        Err(error) => {
            say(io::stderr(), &format!("reload process {}: {error}", daemon.pid()));
            ExitStatus::Failure
        }
    }
}

/// [`reload`] when there is no daemon.
pub(super) fn reload_without_daemon(configuration: &Configuration) -> ExitStatus {
    log::info!("ldirectord is stopped for {}", configuration.shown.display());
    ExitStatus::Failure
}

/// `status` of a daemon that runs.
pub(super) fn status(
    daemon: &Handle,
    view: &StatusView,
    hints: &Hints,
    target: &Target,
    paths: &Paths,
) -> ExitStatus {
    if view.form != StatusForm::Brief {
        return show_status::run(view, &target.instance, &paths.sockets(&target.instance));
    }
    let pid = daemon.pid();
    let line = format!("ldirectord for {} is running with pid: {pid}", hints.shown.display());
    say(io::stderr(), &line);
    log::info!("{line}");
    for name in &hints.settings.execute {
        // compat: their status is shown, and does not count (spec 1.6)
        let program = std::env::current_exe().unwrap_or_else(|_| "/usr/sbin/ldirectord".into());
        if let Err(error) = Command::new(program).args([name, "status"]).status() {
            say(io::stderr(), &format!("status of {name}: {error}"));
        }
    }
    log::info!("Exiting from ldirectord status");
    ExitStatus::Success
}

/// `status` when there is no daemon.
pub(super) fn status_without_daemon(
    found: &Found,
    view: &StatusView,
    configuration: &Configuration,
    target: &Target,
    paths: &Paths,
) -> ExitStatus {
    let shown = configuration.shown.display();
    let status = match found {
        Found::Stale => {
            let file = paths.pid_file(&target.instance);
            let line = format!("ldirectord stale pid file {} for {shown}", file.display());
            say(io::stderr(), &line);
            log::info!("{line}");
            ExitStatus::Failure
        }
        Found::Running(_) | Found::Absent => ExitStatus::NotRunning,
    };
    if view.form == StatusForm::Metrics {
        show_status::no_metrics(&target.instance);
    } else {
        say(io::stdout(), &format!("ldirectord is stopped for {shown}"));
    }
    status
}

fn say(mut stream: impl Write, line: &str) {
    // There is nobody to tell that nobody listens.
    let _ = writeln!(stream, "{line}");
}
