//! Global settings and the mail policy.

use super::Builder;
use super::lookup::{Lookup, seconds};
use crate::config::{
    AUTORELOAD, Ast, CALLBACK, CHECKINTERVAL, COMMENT, CONTROLGROUP, Directive, EMAILALERT,
    EMAILALERTFREQ, EMAILALERTFROM, EMAILALERTSTATUS, FACILITIES, FORK, Found, JITTER, LOGFILE,
    MAINTENANCEDIR, MONITORFILE, Place, RESOLVEINTERVAL, SERVICENAME, SMTP, STARTSPREAD,
    SUPERVISED, Value, look_alike,
};
use crate::model::policy::file_path;
use crate::model::{AlertPolicy, LogTarget, Settings, StatusSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

impl Builder<'_, '_> {
    pub(super) fn settings(&mut self, ast: &Ast<'_>, global: Lookup<'_, '_>) -> Settings {
        let default = Settings::default();
        for directive in ast.judged().filter(|it| *it.row == MAINTENANCEDIR) {
            if let Value::Text(path) = &directive.value
                && !self.resolver.is_directory(Path::new(path.as_ref()))
            {
                let found = Found::Line(directive.place.line);
                let text = "maintenance directory does not exist";
                self.diagnostics.warning(found, Some(&directive.place), text);
            }
        }
        Settings {
            check_interval: global.seconds(&CHECKINTERVAL).unwrap_or(default.check_interval),
            auto_reload: global.yes(&AUTORELOAD).unwrap_or(default.auto_reload),
            callback: global.text(&CALLBACK).map(PathBuf::from),
            log: global.text(&LOGFILE).map_or(default.log, LogTarget::of),
            supervised: global.yes(&SUPERVISED).unwrap_or(default.supervised),
            fork: global.yes(&FORK).unwrap_or(default.fork),
            maintenance_dir: global.text(&MAINTENANCEDIR).map(PathBuf::from),
            execute: execute(&ast.executes),
            start_spread: global.seconds(&STARTSPREAD),
            jitter: self.jitter(global),
            resolve_interval: self.resolve_interval(global),
            control_group: self.control_group(global),
        }
    }

    fn resolve_interval(&mut self, global: Lookup<'_, '_>) -> Option<Duration> {
        const LEAST: Duration = Duration::from_secs(1);
        let interval = global.seconds(&RESOLVEINTERVAL)?;
        if let Some(place) = global.place(&RESOLVEINTERVAL).filter(|_| interval < LEAST) {
            let text = "resolveinterval is taken as 1s";
            let hint = "a name server should not be asked more often";
            self.diagnostics.note(Found::Line(place.line), place, text, hint);
        }
        Some(interval.max(LEAST))
    }

    fn jitter(&mut self, global: Lookup<'_, '_>) -> u32 {
        const MOST: u32 = 50;
        let jitter = global.count(&JITTER).unwrap_or_default();
        if let Some(place) = global.place(&JITTER).filter(|_| jitter > MOST) {
            let hint = "a percentage of the interval, at most 50";
            self.diagnostics.error(Found::Line(place.line), place, JITTER.error).hint(hint);
        }
        jitter.min(MOST)
    }

    fn control_group(&mut self, global: Lookup<'_, '_>) -> Option<u32> {
        let (name, place) = (global.text(&CONTROLGROUP)?, global.place(&CONTROLGROUP)?);
        match self.resolver.group(name) {
            Ok(group) => Some(group),
            Err(error) => {
                let text = format!("{}: {name}: {error}", CONTROLGROUP.error);
                self.diagnostics.error(Found::Line(place.line), place, text);
                None
            }
        }
    }

    /// Reports log and monitor files that cannot be appended to. They are neither opened nor made: what
    /// only asks (`status`, `--check`) must leave nothing behind.
    pub(super) fn check_files(&mut self, ast: &Ast<'_>) {
        let sections = ast.sections.iter().flat_map(|section| &section.directives);
        for directive in ast.judged().chain(sections) {
            let (row, Value::Text(path)) = (directive.row, &directive.value) else { continue };
            if *row == LOGFILE && !path.is_empty() && !path.starts_with('/') {
                self.check_facility(&directive.place, path);
                continue;
            }
            if *row != MONITORFILE && *row != LOGFILE {
                continue;
            }
            let Err(cause) = self.resolver.appendable(file_path(path)) else { continue };
            let text = if *row == LOGFILE {
                format!("unable to open logfile: {path}")
            } else {
                format!("unable to open monitorfile {path}: {cause}")
            };
            self.diagnostics.error(Found::Line(directive.place.line), &directive.place, text);
        }
    }

    /// A log that is no path is a syslog facility. A misspelt path would be one too, and the log be lost.
    fn check_facility(&mut self, place: &Place, name: &str) {
        let word = name.to_ascii_lowercase();
        let word = word.strip_prefix("log_").unwrap_or(&word);
        if FACILITIES.contains(&word) && !word.is_empty() {
            return;
        }
        let text = format!("logfile is neither a path nor a syslog facility: {name}");
        let hint = match look_alike(name) {
            Some(odd) => odd,
            None if name.contains('/') => "a path begins with /",
            None => {
                "a path begins with /; facilities are daemon, user, local0 to local7 and others"
            }
        };
        self.diagnostics.error(Found::Line(place.line), place, text).hint(hint);
    }

    pub(super) fn alert(&self, lookup: Lookup<'_, '_>) -> AlertPolicy {
        let to = lookup.text(&EMAILALERT).unwrap_or_default();
        AlertPolicy {
            to: to
                .split(',')
                .map(str::trim)
                .filter(|to| !to.is_empty())
                .map(str::to_owned)
                .collect(),
            from: lookup.text(&EMAILALERTFROM).map(str::to_owned),
            frequency: lookup
                .directive(&EMAILALERTFREQ)
                .and_then(seconds)
                .filter(|pause| !pause.is_zero()),
            statuses: states(lookup),
            smtp: lookup.text(&SMTP).map(str::to_owned),
            service_name: lookup.text(&SERVICENAME).map(str::to_owned),
            comment: lookup.text(&COMMENT).map(str::to_owned),
        }
    }
}

/// Names of further configurations; empty ones say nothing.
fn execute(lines: &[Directive<'_>]) -> Vec<String> {
    lines
        .iter()
        .filter_map(|directive| match &directive.value {
            Value::Text(name) if !name.is_empty() => Some(name.to_string()),
            _ => None,
        })
        .collect()
}

/// An empty list is `none`.
fn states(lookup: Lookup<'_, '_>) -> StatusSet {
    let Some(directive) = lookup.directive(&EMAILALERTSTATUS) else { return StatusSet::ALL };
    let Value::Words(words) = &directive.value else { return StatusSet::ALL };
    let has = |word| words.contains(&word) || words.contains(&"all");
    StatusSet {
        starting: has("starting"),
        running: has("running"),
        stopping: has("stopping"),
        reloading: has("reloading"),
    }
}
