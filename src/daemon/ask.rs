//! The operator's verbs: asks a running daemon and shows the answer.

use super::Paths;
use super::control::{Sockets, ask};
use super::request::{Operate, Request};
use super::show_status;
use crate::cli::{Ask, ExitStatus, Target};
use crate::event::Event;
use crate::status::{PlanReport, StatusReport, printable, render_plan};
use jiff::{Timestamp, tz::TimeZone};
use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::{Duration, Instant};

/// Between two questions of `events --follow`.
const FOLLOW: Duration = Duration::from_millis(250);

/// Between two looks at the connections.
const LOOK: Duration = Duration::from_secs(1);

/// Carries a verb out.
pub(super) fn run(what: &Ask, target: &Target, paths: &Paths) -> ExitStatus {
    let sockets = paths.for_asking(&target.instance).sockets(&target.instance);
    let result = match what {
        Ask::Tell { request, json } => tell(&sockets, request, *json),
        Ask::Wait { operate, json } => wait(&sockets, operate, *json),
        Ask::Events { json, follow, since_ms } => events(&sockets, *json, *follow, *since_ms),
        Ask::Plan { json } => plan(&sockets, *json),
    };
    match result {
        Ok(status) => status,
        // Whoever closed it (`| head`) has read enough.
        Err(Trouble::Closed) => ExitStatus::Success,
        Err(Trouble::Asking(error)) => {
            let line = match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    format!("ldirectord is not running for {}", target.config.display())
                }
                ErrorKind::PermissionDenied => {
                    format!("{}: {error}; are you root, or in its group?", sockets.all.display())
                }
                _ => error.to_string(),
            };
            show_status::say(&line);
            match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => ExitStatus::NotRunning,
                _ => ExitStatus::Failure,
            }
        }
    }
}

enum Trouble {
    /// Nobody reads what is shown.
    Closed,
    /// The daemon refuses, or does not answer.
    Asking(io::Error),
}

fn question(sockets: &Sockets, request: &Request) -> Result<String, Trouble> {
    ask(sockets, request).map_err(Trouble::Asking)
}

fn show(text: &str) -> Result<(), Trouble> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Trouble::Closed)
}

fn tell(sockets: &Sockets, request: &Request, json: bool) -> Result<ExitStatus, Trouble> {
    let answer = question(sockets, request)?;
    if json {
        show(&format!("{}\n", serde_json::json!({ "done": answer.trim_end() })))?;
    } else {
        show(&answer)?;
    }
    Ok(ExitStatus::Success)
}

/// Drains or disables, and looks at the connections until none is left.
fn wait(sockets: &Sockets, operate: &Operate, json: bool) -> Result<ExitStatus, Trouble> {
    let until = operate.length.and_then(|length| Instant::now().checked_add(length));
    let answer = question(sockets, &Request::Operate(operate.clone()))?;
    if !json {
        show(&answer)?;
    }
    let mut shown = None;
    loop {
        let report = status(sockets)?;
        let (active, inactive) = connections(&report, operate);
        if shown != Some((active, inactive)) {
            shown = Some((active, inactive));
            show(&if json {
                format!("{}\n", serde_json::json!({ "active": active, "inactive": inactive }))
            } else {
                format!("{active} active connections, {inactive} inactive\n")
            })?;
        }
        if active + inactive == 0 {
            return Ok(ExitStatus::Success);
        }
        if until.is_some_and(|until| until <= Instant::now()) {
            return Ok(ExitStatus::Failure);
        }
        thread::sleep(LOOK);
    }
}

fn status(sockets: &Sockets) -> Result<StatusReport, Trouble> {
    let answer = question(sockets, &Request::Status)?;
    show_status::parse(&answer).map_err(|message| Trouble::Asking(io::Error::other(message)))
}

/// The connections of the servers that a command was about.
fn connections(report: &StatusReport, operate: &Operate) -> (u64, u64) {
    let (mut active, mut inactive) = (0, 0);
    for service in &report.services {
        let is = |word: &str| service.is_called(word);
        let in_scope = operate.service.as_deref().is_none_or(is);
        for server in &service.servers {
            if (in_scope && server.is_called(&operate.target)) || is(&operate.target) {
                active += server.active;
                inactive += server.inactive;
            }
        }
    }
    (active, inactive)
}

fn plan(sockets: &Sockets, json: bool) -> Result<ExitStatus, Trouble> {
    let answer = question(sockets, &Request::Plan)?;
    if json {
        show(&(answer + "\n"))?;
    } else {
        let plan: PlanReport =
            serde_json::from_str(&answer).map_err(|error| Trouble::Asking(error.into()))?;
        show(&render_plan(&plan))?;
    }
    Ok(ExitStatus::Success)
}

fn events(
    sockets: &Sockets,
    json: bool,
    follow: bool,
    since_ms: u64,
) -> Result<ExitStatus, Trouble> {
    let mut after = 0;
    loop {
        match question(sockets, &Request::Events { after, since_ms }) {
            Ok(answer) => {
                for line in answer.lines() {
                    let event: Event = serde_json::from_str(line)
                        .map_err(|error| Trouble::Asking(error.into()))?;
                    after = event.seq;
                    show(&if json { format!("{line}\n") } else { words(&event) })?;
                }
            }
            // A restart: the next process counts anew.
            Err(Trouble::Asking(error)) if follow && after > 0 => {
                let gone = [ErrorKind::NotFound, ErrorKind::ConnectionRefused];
                if !gone.contains(&error.kind()) {
                    return Err(Trouble::Asking(error));
                }
                thread::sleep(LOOK);
            }
            Err(trouble) => return Err(trouble),
        }
        if !follow {
            return Ok(ExitStatus::Success);
        }
        thread::sleep(FOLLOW);
    }
}

fn words(event: &Event) -> String {
    let time = i64::try_from(event.time_ms).ok();
    let time = time.and_then(|time| Timestamp::from_millisecond(time).ok()).unwrap_or_default();
    let time = time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
    let text = event.what.to_string();
    let text: String = text.chars().map(printable).collect();
    format!("{time} {text}\n")
}
