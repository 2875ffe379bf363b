//! Being a Unix process: pid file, detaching, signals, and the commands of the command line.
//!
//! [`command`] is where the program goes from its arguments. A daemon lives in `serve`; `client` talks to
//! one that runs, by its pid file and its control socket.

mod client;
pub mod control;
mod detach;
pub mod execute;
mod load;
pub mod notify;
mod paths;
mod pid_file;
mod process_table;
mod serve;
pub mod signals;

pub use paths::Paths;

use crate::cli::{ExitStatus, RunOptions, Target, Verb};
use crate::logging;
use detach::{Failed, Reporter, Side, close_inherited, detach};
use load::Configuration;
use pid_file::Found;
use serve::Daemon;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};

/// `--check`: reads a configuration and tells what it means, on standard output, or what is wrong with
/// it, on standard error.
pub fn check(config: &OsStr, paths: &Paths) -> ExitStatus {
    load::check(config, paths)
}

/// Carries out a command about an instance; `words` are the program's without its
/// options, for the log.
pub fn command(
    verb: Verb,
    target: &Target,
    options: RunOptions,
    words: &[OsString],
    paths: &Paths,
) -> ExitStatus {
    close_inherited();
    // The only logger of the program: this cannot fail.
    let _ = logging::init(load::first_log_output(options.mode, target));
    let found = client::find(target, paths);
    if let (Verb::Stop | Verb::Status(_), Found::Running(daemon)) = (verb, &found) {
        // Whatever the configuration looks like now (spec, B2): it only says where the log is.
        let hints = load::hints(target, paths);
        logging::redirect(load::log_output(&hints.settings, options.mode, &target.instance));
        log_invocation(words);
        return match verb {
            Verb::Status(form) => client::status(daemon, form, &hints, target, paths),
            _ => finish(verb, client::stop(daemon)),
        };
    }
    let configuration = match load::find(&target.config, paths)
        .and_then(|path| load::read(&path, options.mode, &target.instance))
    {
        Ok(configuration) => configuration,
        Err(status) => return status,
    };
    let settings = &configuration.model.settings;
    logging::redirect(load::log_output(settings, options.mode, &target.instance));
    log_invocation(words);
    match (verb, found) {
        (Verb::Status(_), found) => {
            finish(verb, client::status_without_daemon(&found, &configuration, target, paths))
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
            match client::end(&daemon, &paths.control(&target.instance)) {
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

fn finish(verb: Verb, status: ExitStatus) -> ExitStatus {
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
