//! `status` with more than whether the daemon runs: the table, for people and for programs.

use super::control::{Sockets, ask};
use super::request::Request;
use super::{terminal, watch_status};
use crate::cli::{ExitStatus, StatusForm, StatusView};
use crate::metrics::{Format, Instance, MetricsReport, render};
use crate::status::{StatusReport, UnixTime, render_table, unix};
use std::io::{self, Write};
use std::time::SystemTime;

/// Columns where there is no terminal.
const WIDE: usize = 200;

/// Asks the daemon and shows what it says.
pub(super) fn run(view: &StatusView, instance: &str, sockets: &Sockets) -> ExitStatus {
    let request = match view.form {
        StatusForm::Listing => Request::Listing,
        StatusForm::Metrics => Request::Metrics,
        StatusForm::Brief | StatusForm::Table | StatusForm::Json | StatusForm::Watch => {
            Request::Status
        }
    };
    let answer = match ask(sockets, &request) {
        Ok(answer) => answer,
        Err(error) => {
            say(&format!("ask the daemon at {}: {error}", sockets.all.display()));
            return ExitStatus::Failure;
        }
    };
    if view.form == StatusForm::Listing {
        show(&answer);
        return ExitStatus::Success;
    }
    if view.form == StatusForm::Metrics {
        return metrics(instance, &answer);
    }
    // As it is: a newer daemon may tell more than is known here.
    if view.form == StatusForm::Json && view.filter.is_empty() {
        show(&(answer + "\n"));
        return ExitStatus::Success;
    }
    let report = match parse(&answer) {
        Ok(report) => report,
        Err(message) => {
            say(&message);
            return ExitStatus::Failure;
        }
    };
    match view.form {
        StatusForm::Watch => watch_status::run(&view.filter, report, sockets),
        StatusForm::Json => json(view, report),
        StatusForm::Brief | StatusForm::Table | StatusForm::Listing | StatusForm::Metrics => {
            table(view, &report)
        }
    }
}

/// The daemon's report.
///
/// # Errors
/// When it is none; in words.
pub(super) fn parse(answer: &str) -> Result<StatusReport, String> {
    serde_json::from_str(answer).map_err(|error| not_understood(&error))
}

fn metrics(instance: &str, answer: &str) -> ExitStatus {
    match serde_json::from_str::<MetricsReport>(answer) {
        Ok(report) => {
            let instance = Instance { name: instance, report: Some(&report) };
            show(&render(&[instance], Format::Prometheus));
            ExitStatus::Success
        }
        Err(error) => {
            say(&not_understood(&error));
            ExitStatus::Failure
        }
    }
}

/// [`metrics`] without a daemon.
pub(super) fn no_metrics(instance: &str) {
    show(&render(&[Instance { name: instance, report: None }], Format::Prometheus));
}

fn not_understood(error: &serde_json::Error) -> String {
    format!("the daemon's answer is not understood, is it older? ({error})")
}

fn json(view: &StatusView, mut report: StatusReport) -> ExitStatus {
    let misses = view.filter.misses(&report);
    view.filter.apply(&mut report);
    match serde_json::to_string(&report) {
        Ok(text) => show(&(text + "\n")),
        Err(error) => {
            say(&error.to_string());
            return ExitStatus::Failure;
        }
    }
    missing(&misses)
}

fn table(view: &StatusView, report: &StatusReport) -> ExitStatus {
    if report.services.iter().any(|service| view.filter.servers(service).is_some())
        || view.filter.is_empty()
    {
        let width = terminal::size().map_or(WIDE, |size| size.columns);
        show(&render_table(report, &view.filter, width, terminal::colours(), unix_now()));
    }
    missing(&view.filter.misses(report))
}

/// Says what was asked for and is not there.
fn missing(misses: &[String]) -> ExitStatus {
    misses.iter().for_each(|miss| say(miss));
    if misses.is_empty() { ExitStatus::Success } else { ExitStatus::Failure }
}

/// Seconds since the epoch.
pub(super) fn unix_now() -> UnixTime {
    unix(SystemTime::now())
}

/// On standard output.
fn show(text: &str) {
    // Whoever closed it (`| head`) has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// On standard error.
pub(super) fn say(line: &str) {
    // There is nobody to tell that nobody listens.
    let _ = writeln!(io::stderr(), "{line}");
}
