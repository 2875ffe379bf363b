//! Commands to a running daemon: `stop`, `reload`, `status`.

use super::Paths;
use super::control::{Question, ask};
use super::load::{Configuration, Hints};
use super::pid_file::{self, Found};
use super::process_table::Handle;
use crate::cli::{ExitStatus, StatusForm, Target};
use crate::status::{StatusReport, render_table};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// How long a daemon may take to clean up.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// How long it may take after it was told again.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// The daemon of an instance, by its pid file.
pub(super) fn find(target: &Target, paths: &Paths) -> Found {
    pid_file::find(&paths.pid_file(&target.instance))
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

/// Ends a daemon for good, for `restart`. One that can hands over: what the configuration still has stays
/// in the table, with its connections, and no hook runs. Another one cleans up, and if it does not in
/// time, it is ended by force; the table is then left as it is. The next daemon adopts what is there.
pub(super) fn end(daemon: &Handle, socket: &Path) -> io::Result<()> {
    let leaves = match ask(socket, Question::HandOver) {
        Ok(_) => true,
        // It may be gone before its answer is.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => true,
        Err(error) => {
            log::debug!("process {} does not hand over: {error}", daemon.pid());
            false
        }
    };
    if leaves && daemon.ends_within(CLEAN_UP) {
        return Ok(());
    }
    daemon.terminate()?;
    if daemon.ends_within(CLEAN_UP) {
        return Ok(());
    }
    daemon.terminate()?;
    if daemon.ends_within(LAST_CHANCE) {
        return Ok(());
    }
    log::error!("process {} does not end, it is killed", daemon.pid());
    daemon.kill()?;
    daemon.ends_within(LAST_CHANCE);
    Ok(())
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
    form: StatusForm,
    hints: &Hints,
    target: &Target,
    paths: &Paths,
) -> ExitStatus {
    if form != StatusForm::Brief {
        return detailed(form, &paths.control(&target.instance));
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
    say(io::stdout(), &format!("ldirectord is stopped for {shown}"));
    status
}

fn detailed(form: StatusForm, socket: &Path) -> ExitStatus {
    let question = match form {
        StatusForm::Listing => Question::Listing,
        StatusForm::Brief | StatusForm::Table | StatusForm::Json => Question::Status,
    };
    let answer = match ask(socket, question) {
        Ok(answer) => answer,
        Err(error) => {
            say(io::stderr(), &format!("ask the daemon at {}: {error}", socket.display()));
            return ExitStatus::Failure;
        }
    };
    let text = match form {
        StatusForm::Listing => answer,
        StatusForm::Json => answer + "\n",
        StatusForm::Brief | StatusForm::Table => {
            match serde_json::from_str::<StatusReport>(&answer) {
                Ok(report) => render_table(&report, terminal_width(), unix_now()),
                Err(error) => {
                    let message =
                        format!("the daemon's answer is not understood, is it older? ({error})");
                    say(io::stderr(), &message);
                    return ExitStatus::Failure;
                }
            }
        }
    };
    // Whoever closed it (`| head`) has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitStatus::Success
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Columns of the terminal; 200 if there is none.
fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|&width| width > 0).unwrap_or(200)
}

fn say(mut stream: impl Write, line: &str) {
    // There is nobody to tell that nobody listens.
    let _ = writeln!(stream, "{line}");
}
