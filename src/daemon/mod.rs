//! Being a Unix process: pid file, detaching, signals, and the commands of the command line.
//!
//! [`command`] is where the program goes from its arguments. A daemon lives in `serve`; `client` talks to
//! one that runs, by its pid file and its control socket.

mod ask;
mod client;
pub mod control;
mod detach;
mod doctor;
pub mod execute;
mod heal;
mod known;
mod load;
pub mod notify;
mod paths;
mod pid_file;
mod process_table;
pub mod request;
mod serve;
mod show_status;
pub mod signals;
mod terminal;
mod watch_status;

pub use doctor::doctor;
pub use heal::{OPTION as RESUMED, Resumed};
pub use paths::Paths;

use crate::cli::{Ask, ExitStatus, Mode, RunOptions, StatusForm, Target, Verb};
use crate::completions::Service;
use crate::logging;
use crate::model::Model;
use crate::process::close_inherited;
use crate::runtime;
use detach::{Failed, Reporter, Side, detach};
use load::{Caller, Configuration};
use pid_file::Found;
use serve::Daemon;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::time::Duration;

/// `--check`: reads a configuration and tells what it means or prints it as one file, on standard output, or
/// what is wrong with it, on standard error.
pub fn check(config: &OsStr, expand: bool, paths: &Paths) -> ExitStatus {
    load::check(config, expand, paths)
}

/// The configuration of an instance, for a command that changes nothing: what is wrong with it is told on
/// standard error, and the log is left alone, but for `-d`, which shows it.
///
/// # Errors
/// [`ExitStatus::Configuration`] when there is none, or none without errors.
pub fn look_at(target: &Target, mode: Mode, paths: &Paths) -> Result<Model, ExitStatus> {
    close_inherited();
    let caller = Caller { mode, instance: &target.instance, silent: true };
    // The only logger of the program: this cannot fail.
    let _ = logging::init(load::first_log_output(caller));
    load::look(&target.config, paths)
}

/// The services and servers of an instance, for completions: as the daemon knows them, else as the
/// configuration says, in bounded time; none if neither can be had.
pub fn known_services(target: &Target, paths: &Paths) -> Vec<Service> {
    known::services(target, paths)
}

/// Asks an instance's daemon.
pub fn ask(what: &Ask, target: &Target, paths: &Paths) -> ExitStatus {
    ask::run(what, target, paths)
}

/// Carries out a command about an instance; `words` are the program's without its
/// options, for the log.
pub fn command(
    verb: &Verb,
    target: &Target,
    options: RunOptions,
    words: &[OsString],
    paths: &Paths,
) -> ExitStatus {
    close_inherited();
    let caller = Caller {
        mode: options.mode,
        instance: &target.instance,
        // compat: only the original's own form of the question is logged (spec 1.6)
        silent: matches!(verb, Verb::Status(view) if view.form != StatusForm::Brief),
    };
    // Who only asks may ask the system's daemon.
    let asking = paths.for_asking(&target.instance);
    let paths = if caller.silent { &asking } else { paths };
    // The only logger of the program: this cannot fail.
    let _ = logging::init(load::first_log_output(caller));
    let mut found = client::find(target, paths);
    if let (Verb::Stop | Verb::Status(_), Found::Running(daemon)) = (verb, &found) {
        // Whatever the configuration looks like now (spec, B2): it only says where the log is.
        let hints = load::hints(target, paths);
        logging::redirect(load::log_output(&hints.settings, caller));
        log_invocation(words);
        return match verb {
            Verb::Status(view) => client::status(daemon, view, &hints, target, paths),
            _ => finish(verb, client::stop(daemon)),
        };
    }
    let configuration =
        match load::find(&target.config, paths).and_then(|path| load::read(&path, caller)) {
            Ok(configuration) => configuration,
            Err(status) => return status,
        };
    let settings = &configuration.model.settings;
    logging::redirect(load::log_output(settings, caller));
    log_invocation(words);
    if let Verb::Start | Verb::Reload | Verb::ForceReload = verb {
        found = match client::past_its_end(found, &paths.sockets(&target.instance)) {
            Ok(found) => found,
            Err(daemon) => {
                let message = format!("process {} is still ending", daemon.pid());
                let _ = writeln!(io::stderr(), "{message}");
                log::error!("{message}");
                return finish(verb, ExitStatus::Failure);
            }
        };
    }
    match (verb, found) {
        (Verb::Status(view), found) => {
            let status = client::status_without_daemon(&found, view, &configuration, target, paths);
            finish(verb, status)
        }
        (Verb::Reload | Verb::ForceReload, Found::Running(daemon)) => {
            finish(verb, client::reload(&daemon))
        }
        (Verb::Reload | Verb::ForceReload, Found::Stale | Found::Absent) => {
            finish(verb, client::reload_without_daemon(&configuration))
        }
        // compat: nothing is said (spec, B12)
        (Verb::Start, Found::Running(_))
        | (Verb::Stop, _)
        | (Verb::TryRestart, Found::Stale | Found::Absent) => finish(verb, ExitStatus::Success),
        (Verb::Restart | Verb::TryRestart, Found::Running(daemon)) => {
            match client::end(&daemon, &paths.sockets(&target.instance)) {
                Ok(()) => start(configuration, target, options, paths),
                Err(error) => {
                    let message = format!("stop process {}: {error}", daemon.pid());
                    let _ = writeln!(io::stderr(), "{message}");
                    finish(verb, ExitStatus::Failure)
                }
            }
        }
        (Verb::Start | Verb::Restart, Found::Stale | Found::Absent) => {
            start(configuration, target, options, paths)
        }
    }
}

/// Between two attempts to read a configuration that had no errors before.
const RETRY: Duration = Duration::from_secs(5);

/// Goes on as the daemon that this process was before a fault of the program.
pub fn resume(resumed: Resumed, target: &Target, options: RunOptions, paths: &Paths) -> ExitStatus {
    close_inherited();
    let path = &resumed.config;
    let absolute = Target { config: path.clone().into(), instance: target.instance.clone() };
    let hints = load::hints(&absolute, paths);
    let caller = Caller { mode: options.mode, instance: &target.instance, silent: false };
    let output = load::log_output(&hints.settings, caller);
    let _ = logging::init(output);
    heal::take_over_children();
    let mut told = None;
    let configuration = loop {
        match load::again(path) {
            Ok(configuration) => break load::at(path, configuration),
            // Somebody is editing it. The table serves as it is.
            Err(runtime::Refused { diagnostics, .. }) => {
                if told.as_ref() != Some(&diagnostics) {
                    log::error!("{diagnostics}");
                    log::error!("cannot go on with this configuration; the table stays as it is");
                    told = Some(diagnostics);
                }
                std::thread::sleep(RETRY);
            }
        }
    };
    let settings = &configuration.model.settings;
    logging::redirect(load::log_output(settings, caller));
    let daemon = Daemon {
        configuration,
        instance: target.instance.clone(),
        mode: options.mode,
        table: options.table,
        paths: paths.clone(),
        resumed: Some(resumed),
    };
    daemon.run(Reporter::Terminal)
}

fn finish(verb: &Verb, status: ExitStatus) -> ExitStatus {
    let word = match verb {
        Verb::Start => "start",
        Verb::Stop => "stop",
        Verb::Restart => "restart",
        Verb::TryRestart => "try-restart",
        Verb::Reload => "reload",
        Verb::ForceReload => "force-reload",
        Verb::Status(_) => "status",
    };
    log_exit(status, &format!("Exiting from ldirectord {word}"));
    status
}

// compat: with a blank at the end (spec 1.6)
fn log_invocation(words: &[OsString]) {
    let words = words.iter().map(|word| format!("{} ", word.to_string_lossy()));
    log::info!("Invoking ldirectord invoked as: {}", words.collect::<String>());
}

/// The log's last line of a client.
// compat: success is told of under -d only (spec 1.6)
fn log_exit(status: ExitStatus, reason: &str) {
    if status != ExitStatus::Success || log::max_level() >= log::LevelFilter::Debug {
        log::info!("Exiting with exit_status {}: {reason}", status.code());
    }
}

fn start(
    configuration: Configuration,
    target: &Target,
    options: RunOptions,
    paths: &Paths,
) -> ExitStatus {
    let daemon = Daemon {
        configuration,
        instance: target.instance.clone(),
        mode: options.mode,
        table: options.table,
        paths: paths.clone(),
        resumed: None,
    };
    if daemon.stays_in_foreground() {
        return daemon.run(Reporter::Terminal);
    }
    match detach() {
        Ok(Side::Daemon(reporter)) => daemon.run(reporter),
        Ok(Side::Between | Side::Caller(Ok(()))) => ExitStatus::Success,
        Ok(Side::Caller(Err(Failed { status, message }))) => {
            let _ = writeln!(io::stderr(), "{message}");
            status
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "detach: {error}");
            ExitStatus::Failure
        }
    }
}
