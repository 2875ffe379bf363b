//! Configurations for the daemon: found, read, and told about where the original tells.

use super::{Paths, log_exit};
use crate::cli::{ExitStatus, Mode, Target};
use crate::config::{
    self, Disk, EXECUTE, LOGFILE, LoadError, Loaded, SIZE_LIMIT, SUPERVISED, Source, Value,
    assemble, parse_assembled,
};
use crate::logging::{self, Output};
use crate::model::{LogTarget, Model, Settings, SystemResolver};
use crate::runtime;
use annotate_snippets::Renderer;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration that was accepted.
pub(super) struct Configuration {
    /// As it was found, for messages.
    pub(super) shown: PathBuf,
    /// Absolute, so that a daemon finds it again (spec, B11); a symbolic link stays one.
    pub(super) path: PathBuf,
    pub(super) model: Model,
    pub(super) files: runtime::Files,
    pub(super) names: runtime::FollowedNames,
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
pub(super) fn read(path: &Path, caller: Caller<'_>) -> Result<Configuration, ExitStatus> {
    let (report, result) = match load(path) {
        Ok(loaded) => (loaded.report.render(std::process::id(), &renderer()), Ok(accepted(loaded))),
        Err(error) => (error.render(std::process::id(), &renderer()), Err(error.line())),
    };
    let _ = io::stderr().write_all(report.as_bytes());
    let accepted = result.map_err(|line| {
        // compat: the log is where the lines before the error put it (spec 2.11)
        logging::redirect(log_output(&readable(path, line), caller));
        log_exit(ExitStatus::Configuration, "config_error: Configuration Error");
        ExitStatus::Configuration
    })?;
    Ok(at(path, accepted))
}

/// What was read from this file.
pub(super) fn at(path: &Path, configuration: runtime::Configuration) -> Configuration {
    let runtime::Configuration { model, files, names } = configuration;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Configuration { shown: path.to_owned(), path: absolute, model, files, names }
}

/// Reads a configuration again, for a daemon: warnings go to the log, errors are returned. Only the
/// errors, because what is returned is one record of the log, and a status, of which the end may be cut.
pub(super) fn again(path: &Path) -> Result<runtime::Configuration, runtime::Refused> {
    let pid = std::process::id();
    let result = load(path);
    let report = match &result {
        Ok(loaded) => Some(&loaded.report),
        Err(LoadError::Refused(report)) => Some(report),
        Err(LoadError::Unreadable { .. }) => None,
    };
    let warnings = report.into_iter().flat_map(|report| report.warnings(pid));
    warnings.for_each(|message| log::warn!("{message}"));
    result.map(accepted).map_err(refused)
}

fn refused(error: LoadError) -> runtime::Refused {
    let pid = std::process::id();
    match error {
        LoadError::Refused(report) => {
            let diagnostics = report.errors(pid).collect::<Vec<_>>().join("\n");
            runtime::Refused { diagnostics, found: Some(report.files) }
        }
        LoadError::Unreadable { .. } => {
            let diagnostics = error.messages(pid).collect::<Vec<_>>().join("\n");
            runtime::Refused { diagnostics, found: None }
        }
    }
}

fn load(path: &Path) -> Result<Loaded, LoadError> {
    config::load(path, &SystemResolver::new())
}

fn accepted(loaded: Loaded) -> runtime::Configuration {
    let text = loaded.text_in_force();
    let look_up = text.map(|text| {
        let look_up = move || text.again(&SystemResolver::new()).map(accepted).map_err(refused);
        runtime::LookUp(Arc::new(look_up))
    });
    let Loaded { model, report, looked_up } = loaded;
    let names = runtime::FollowedNames {
        addresses: looked_up.followed(),
        failures: looked_up.failures(),
        look_up,
    };
    runtime::Configuration { model, files: *report.files, names }
}

/// `--check`: tells what a configuration means or, with `expand`, prints it as one file; or what is wrong
/// with it.
pub(super) fn check(name: &OsStr, expand: bool, paths: &Paths) -> ExitStatus {
    let result = match checked(name, paths) {
        Ok(result) => result,
        Err(message) => {
            let _ = writeln!(io::stderr(), "{message}");
            return ExitStatus::Failure;
        }
    };
    match result {
        Ok(loaded) => {
            let report = loaded.report.render(std::process::id(), &renderer());
            let _ = io::stderr().write_all(report.as_bytes());
            if loaded.model.services.is_empty() {
                let pid = std::process::id();
                let line = format!("Warning [{pid}]: there is no virtual service in this file");
                let _ = writeln!(io::stderr(), "{line}");
            }
            let text = match expand {
                true => loaded.report.expanded(),
                false => crate::model::describe(&loaded.model).into_bytes(),
            };
            let _ = io::stdout().write_all(&text);
            ExitStatus::Success
        }
        Err(error) => {
            let report = error.render(std::process::id(), &renderer());
            let _ = io::stderr().write_all(report.as_bytes());
            ExitStatus::Configuration
        }
    }
}

/// Reads a configuration for who writes no log; only errors are told, on standard error.
pub(super) fn look(name: &OsStr, paths: &Paths) -> Result<Model, ExitStatus> {
    let error = match paths.find_config(name) {
        None => format!("Config file {} not found\n", name.display()),
        Some(path) => match config::load(&path, &SystemResolver::for_reading()) {
            Ok(loaded) => return Ok(loaded.model),
            Err(error) => error.render(std::process::id(), &renderer()),
        },
    };
    let _ = io::stderr().write_all(error.as_bytes());
    Err(ExitStatus::Configuration)
}

/// The configuration that is to be checked: also what is no file, since a tool that makes one may hand it
/// over by a pipe. The error is in words.
fn checked(name: &OsStr, paths: &Paths) -> Result<Result<Loaded, LoadError>, String> {
    if let Some(path) = paths.find_config(name) {
        return Ok(load(&path));
    }
    let shown = name.display();
    let (path, source) = if name == "-" {
        ("standard input".into(), Source::read_stream(io::stdin().lock()))
    } else {
        let path = PathBuf::from(name);
        let Ok(metadata) = std::fs::metadata(&path) else {
            return Err(format!("Config file {shown} not found"));
        };
        if metadata.is_dir() {
            return Err(format!("{shown} is a directory"));
        }
        let file = std::fs::File::open(&path).map_err(|error| format!("read {shown}: {error}"))?;
        (path, Source::read_stream(file))
    };
    match source {
        Ok(source) => Ok(config::load_source(&path, source, &SystemResolver::new())),
        Err(error) => Err(format!("read {shown}: {error}")),
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
    let Ok(source) = Source::read(path, SIZE_LIMIT) else { return settings };
    let assembled = assemble(path, source, &Disk);
    let (ast, _) = parse_assembled(&assembled);
    // Those that a later line has replaced come first, so that the last one holds.
    let directives = ast.replaced.iter().chain(&ast.globals).chain(&ast.executes);
    for directive in directives.filter(|it| last.is_none_or(|last| it.place.line <= last)) {
        match &directive.value {
            Value::Text(log) if *directive.row == LOGFILE => {
                settings.log = LogTarget::of(log);
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

/// Who writes the log: with the settings it says where to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) mode: Mode,
    pub(super) instance: &'a str,
    /// Leaves no trace, because it may be called every second.
    pub(super) silent: bool,
}

/// Where the log goes.
pub(super) fn log_output(settings: &Settings, caller: Caller<'_>) -> Output {
    match (&settings.log, caller.mode) {
        (_, Mode::Debug) => Output::Stderr,
        _ if caller.silent => Output::Nowhere,
        _ if settings.supervised => Output::Stdout,
        (LogTarget::File(path), _) => {
            Output::File { path: path.clone(), instance: caller.instance.to_owned() }
        }
        (LogTarget::Syslog(facility), _) => Output::Syslog { facility: facility.clone() },
    }
}

/// Where the log goes until the configuration is known.
pub(super) fn first_log_output(caller: Caller<'_>) -> Output {
    log_output(&Settings::default(), caller)
}
