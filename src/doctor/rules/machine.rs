//! Files, clock and limits of this machine.

use super::hooks::anycast_words;
use super::{Symptom, count};
use crate::anycast::foresee;
use crate::doctor::facts::Facts;
use crate::model::{CheckMethod, LogTarget, Model, Settings};
use crate::prober::{MAX_WORKERS, pending_connects};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file or socket that the log is written to; `None` for standard output.
pub(in crate::doctor) fn log_file(settings: &Settings) -> Option<&Path> {
    match &settings.log {
        _ if settings.supervised => None,
        LogTarget::File(path) => Some(path),
        LogTarget::Syslog(_) => Some(Path::new("/dev/log")),
    }
}

/// Where `ldirectord-anycast` keeps its state, for each of its calls.
pub(in crate::doctor) fn state_directories(model: &Model) -> BTreeSet<PathBuf> {
    let of_service = |service| anycast_words(service).zip(Some(service.address));
    let calls = model.services.iter().filter_map(of_service);
    calls.filter_map(|(words, service)| Some(foresee(&words, service).ok()?.state)).collect()
}

pub(super) fn log_unwritable(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let Some(path) = log_file(&model.settings) else { return Vec::new() };
    let Some(why_not) = facts.unwritable.get(path) else { return Vec::new() };
    let mend = match &model.settings.log {
        LogTarget::File(_) => make_room(path, why_not),
        LogTarget::Syslog(_) => "start a syslog daemon, or set logfile to a path".to_owned(),
    };
    vec![Symptom::new(
        format!("The log {} cannot be written: {why_not}.", path.display()),
        "Its lines go to standard error, which a daemon in the background does not have.",
        mend,
    )]
}

pub(super) fn pid_unwritable(facts: &Facts, _: &Model) -> Vec<Symptom> {
    let path = &facts.surroundings.pid_file;
    unwritable(facts, path, "The pid file", "The daemon does not start without it.")
}

pub(super) fn run_unwritable(facts: &Facts, _: &Model) -> Vec<Symptom> {
    let path = &facts.surroundings.runtime;
    let why =
        "status, restart and reload cannot ask the daemon, and what hooks were told is not kept.";
    unwritable(facts, path, "The directory", why)
}

pub(super) fn overrides_unwritable(facts: &Facts, _: &Model) -> Vec<Symptom> {
    let path = &facts.surroundings.state;
    let why = "drain, disable and weight do not outlive the daemon.";
    unwritable(facts, path, "The directory", why)
}

pub(super) fn state_unwritable(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let why = "ldirectord-anycast ends with an error, and raises and lowers no address.";
    let of = |path: PathBuf| unwritable(facts, &path, "The state directory", why);
    state_directories(model).into_iter().flat_map(of).collect()
}

fn unwritable(facts: &Facts, path: &Path, name: &str, why: &str) -> Vec<Symptom> {
    let symptom = |why_not: &String| {
        let what = format!("{name} {} cannot be written: {why_not}.", path.display());
        Symptom::new(what, why, make_room(path, why_not))
    };
    facts.unwritable.get(path).map(symptom).into_iter().collect()
}

fn make_room(path: &Path, why_not: &str) -> String {
    let directory = path.parent().unwrap_or(path).display();
    match why_not {
        _ if why_not.contains("space") => format!("df {directory}; make room there"),
        _ if why_not.contains("Read-only") => {
            format!("mount -o remount,rw $(findmnt -no TARGET -T {directory})")
        }
        _ if why_not.contains("No such") => format!("mkdir -p {directory}"),
        _ => format!("ls -ld {directory} {}; correct owner, mode or kind", path.display()),
    }
}

/// A clock that is right is not behind a file by so much, whatever the time zone.
const A_DAY: i64 = 24 * 60 * 60;

pub(super) fn clock_behind(facts: &Facts, _: &Model) -> Vec<Symptom> {
    let clock = &facts.clock;
    let Some(changed) = clock.config_changed else { return Vec::new() };
    let behind = changed.saturating_sub(clock.now);
    if behind < A_DAY {
        return Vec::new();
    }
    vec![Symptom::new(
        format!(
            "The clock is {} behind the last change of the configuration.",
            count(usize::try_from(behind / A_DAY).unwrap_or(usize::MAX), "day")
        ),
        "Certificates of servers seem not yet valid, and the log has wrong times.",
        "timedatectl set-ntp true",
    )]
}

pub(super) fn clock_unsynchronised(facts: &Facts, _: &Model) -> Vec<Symptom> {
    if facts.clock.synchronised != Some(false) {
        return Vec::new();
    }
    vec![Symptom::new(
        "systemd-timesyncd runs, and has not set the clock since the machine was booted.",
        "Certificates may seem expired or not yet valid, and logs of several directors do not fit together.",
        "timedatectl timesync-status; then correct NTP= in /etc/systemd/timesyncd.conf",
    )]
}

/// Descriptors of a check that runs a command.
const OF_A_COMMAND: u64 = 4;

/// Descriptors of a director without any check.
const OWN_DESCRIPTORS: u64 = 128;

/// A process is never given more (`fs.nr_open`).
const MOST_DESCRIPTORS: u64 = 1 << 20;

pub(super) fn descriptors_few(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let Some(limit) = facts.limits.descriptors else { return Vec::new() };
    let (asking, running) = checks(model);
    let commands = running.min(MAX_WORKERS as u64) * OF_A_COMMAND;
    let suffices =
        |limit: u64| pending_connects(limit) >= asking && limit >= OWN_DESCRIPTORS + commands;
    if suffices(limit) {
        return Vec::new();
    }
    let powers = (10..).map(|power| 1 << power);
    let enough = powers.take_while(|it| *it < MOST_DESCRIPTORS).find(|it| suffices(*it));
    vec![Symptom::new(
        format!(
            "A process may have {limit} descriptors, which is little for {}.",
            count(usize::try_from(asking + running).unwrap_or(usize::MAX), "check")
        ),
        "When many servers do not answer, checks wait for each other, and verdicts come late.",
        format!(
            "LimitNOFILE={} in the unit, or ulimit -n before the start",
            enough.unwrap_or(MOST_DESCRIPTORS)
        ),
    )]
}

/// How many checks ask a server, and how many run a command. Equal ones are made once.
fn checks(model: &Model) -> (u64, u64) {
    let servers = model.services.iter().flat_map(|service| &service.real_servers);
    let mut seen = BTreeSet::new();
    let (mut asking, mut running) = (0, 0);
    for check in servers.map(|server| &server.check).filter(|check| seen.insert(Arc::as_ptr(check)))
    {
        match &check.method {
            CheckMethod::On | CheckMethod::Off => {}
            CheckMethod::External(_) | CheckMethod::ExternalPerl(_) => running += 1,
            CheckMethod::Connect
            | CheckMethod::Ping { .. }
            | CheckMethod::Negotiate(_)
            | CheckMethod::Combined { .. } => asking += 1,
        }
    }
    (asking, running)
}

/// Bytes of both processes without any server (compat/BENCH.md, with room).
const OWN_MEMORY: u64 = 32 << 20;

/// Bytes of a server at a reload, when there are two configurations (compat/BENCH.md).
const OF_A_SERVER: u64 = 4 << 10;

pub(super) fn memory_little(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let Some(limit) = facts.limits.memory else { return Vec::new() };
    let servers: u64 = model.services.iter().map(|it| it.real_servers.len() as u64).sum();
    let needed = OWN_MEMORY + servers * OF_A_SERVER;
    if limit >= needed {
        return Vec::new();
    }
    let megabytes = |bytes: u64| bytes.div_ceil(1 << 20);
    vec![Symptom::new(
        format!(
            "The control group allows {} MiB, and about {} MiB may be needed.",
            megabytes(limit),
            megabytes(needed)
        ),
        "The kernel kills the daemon when it needs more, as at a reload.",
        format!("MemoryMax={}M in the unit, or the container's limit", megabytes(needed) * 2),
    )]
}
