//! Configurations for the daemon: found, read, and told about where the original tells.

use super::{Paths, log_exit};
use crate::cli::{ExitStatus, Mode, Target};
use crate::config::{self, EXECUTE, LOGFILE, LoadError, Loaded, SUPERVISED, Source, Value, parse};
use crate::logging::{self, Output};
use crate::model::{LogTarget, Model, Settings, SystemResolver};
use crate::runtime::{self, Fingerprint};
use annotate_snippets::Renderer;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// A configuration that was accepted.
pub(super) struct Configuration {
    /// As it was found, for messages.
    pub(super) shown: PathBuf,
    /// Absolute, so that a daemon finds it again (spec, B11); a symbolic link stays one.
    pub(super) path: PathBuf,
    pub(super) model: Model,
    pub(super) fingerprint: Fingerprint,
}

/// The file, or the original's words to say that there is none, on standard error and in the log.
pub(super) fn find(name: &OsStr, paths: &Paths) -> Result<PathBuf, ExitStatus> {
    paths.find_config(name).ok_or_else(|| {
        let message = format!("Config file {} not found", name.display());
        log::error!("{message}");
        log_exit(ExitStatus::Failure, "Initialisation Error");
        // Under -d, the log goes there too.
        if log::max_level() < log::LevelFilter::Debug {
            let _ = writeln!(io::stderr(), "{message}");
        }
        ExitStatus::Failure
    })
}

/// Reads a configuration, with warnings and errors on standard error.
pub(super) fn read(path: &Path, mode: Mode, instance: &str) -> Result<Configuration, ExitStatus> {
    let (report, result) = match load(path) {
        Ok(loaded) => (loaded.report.render(std::process::id(), &renderer()), Ok(accepted(loaded))),
        Err(error) => (error.render(std::process::id(), &renderer()), Err(error.line())),
    };
    let _ = io::stderr().write_all(report.as_bytes());
    let runtime::Configuration { model, fingerprint } = result.map_err(|line| {
        // compat: the log is where the lines before the error put it (spec 2.11)
        logging::redirect(log_output(&readable(path, line), mode, instance));
        log_exit(ExitStatus::Configuration, "config_error: Configuration Error");
        ExitStatus::Configuration
    })?;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Ok(Configuration { shown: path.to_owned(), path: absolute, model, fingerprint })
}

/// Reads a configuration again, for a daemon: warnings go to the log, errors are returned.
pub(super) fn again(path: &Path) -> Result<runtime::Configuration, String> {
    let pid = std::process::id();
    match load(path) {
        Ok(loaded) => {
            loaded.report.messages(pid).for_each(|message| log::warn!("{message}"));
            Ok(accepted(loaded))
        }
        Err(error) => Err(messages(&error)),
    }
}

fn load(path: &Path) -> Result<Loaded, LoadError> {
    config::load(path, &SystemResolver::new())
}

fn accepted(loaded: Loaded) -> runtime::Configuration {
    let Loaded { model, modified, checksum, .. } = loaded;
    runtime::Configuration { model, fingerprint: Fingerprint { modified, checksum } }
}

fn messages(error: &LoadError) -> String {
    error.messages(std::process::id()).collect::<Vec<_>>().join("\n")
}

/// `--check`: tells what a configuration means, or what is wrong with it.
pub(super) fn check(name: &OsStr, paths: &Paths) -> ExitStatus {
    let Some(path) = paths.find_config(name) else {
        let _ = writeln!(io::stderr(), "Config file {} not found", name.display());
        return ExitStatus::Failure;
    };
    match load(&path) {
        Ok(loaded) => {
            let report = loaded.report.render(std::process::id(), &renderer());
            let _ = io::stderr().write_all(report.as_bytes());
            let _ = io::stdout().write_all(crate::model::describe(&loaded.model).as_bytes());
            ExitStatus::Success
        }
        Err(error) => {
            let report = error.render(std::process::id(), &renderer());
            let _ = io::stderr().write_all(report.as_bytes());
            ExitStatus::Configuration
        }
    }
}

/// What a file says in spite of its errors, as far as clients of a running daemon need it.
pub(super) struct Hints {
    /// The file for messages; the name as it was given if there is none.
    pub(super) shown: PathBuf,
    /// Only where the log goes, and `execute`.
    pub(super) settings: Settings,
}

/// Reads what can be read.
pub(super) fn hints(target: &Target, paths: &Paths) -> Hints {
    let found = paths.find_config(&target.config);
    let settings = found.as_deref().map(|path| readable(path, None)).unwrap_or_default();
    Hints { shown: found.unwrap_or_else(|| PathBuf::from(&target.config)), settings }
}

/// Of the settings in a file with errors those that clients need, up to a line if one is given.
fn readable(path: &Path, last: Option<usize>) -> Settings {
    let mut settings = Settings::default();
    let Ok(source) = Source::read(path) else { return settings };
    let (ast, _) = parse(&source.text);
    // Those that a later line has replaced come first, so that the last one holds.
    let directives = ast.replaced.iter().chain(&ast.globals).chain(&ast.executes);
    for directive in directives.filter(|it| last.is_none_or(|last| it.place.line <= last)) {
        match &directive.value {
            Value::Text(log) if *directive.row == LOGFILE => {
                settings.log = match log.starts_with('/') {
                    true => LogTarget::File(PathBuf::from(log.as_ref())),
                    false => LogTarget::Syslog(log.to_string()),
                };
            }
            Value::Text(name) if *directive.row == EXECUTE => {
                settings.execute.push(name.to_string());
            }
            Value::YesNo(yes) if *directive.row == SUPERVISED => settings.supervised = *yes,
            _ => {}
        }
    }
    settings
}

fn renderer() -> Renderer {
    if io::stderr().is_terminal() { Renderer::styled() } else { Renderer::plain() }
}

/// Where the log goes.
pub(super) fn log_output(settings: &Settings, mode: Mode, instance: &str) -> Output {
    match (&settings.log, mode) {
        (_, Mode::Debug) => Output::Stderr,
        _ if settings.supervised => Output::Stdout,
        (LogTarget::File(path), _) => {
            Output::File { path: path.clone(), instance: instance.to_owned() }
        }
        (LogTarget::Syslog(facility), _) => Output::Syslog { facility: facility.clone() },
    }
}

/// Where the log goes until the configuration is known.
pub(super) fn first_log_output(mode: Mode, target: &Target) -> Output {
    log_output(&Settings::default(), mode, &target.instance)
}
