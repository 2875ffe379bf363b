//! Looks at what an operator or a script could see.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::normalise;
use crate::record::Section;
use crate::server::{Journal, mail};
use crate::world;

/// How far each growing thing was read at the last observation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    files: BTreeMap<String, usize>,
    mails: usize,
    requests: usize,
    syslog: usize,
}

impl Marks {
    /// After log files were removed.
    pub(crate) fn forget_logs(&mut self) {
        self.files.retain(|path, _| path == world::CALLS);
    }
}

/// Whether a log got a line with `text` since the last observation.
pub(crate) fn log_contains(marks: &Marks, text: &str) -> bool {
    let mut marks = marks.clone();
    logs().iter().any(|path| new_lines(path, &mut marks).iter().any(|line| line.contains(text)))
}

/// Whether a hook or checker was called with `text` since the last observation.
pub(crate) fn calls_contain(marks: &Marks, text: &str) -> bool {
    let mut marks = marks.clone();
    new_lines(world::CALLS, &mut marks).iter().any(|line| line.contains(text))
}

/// The kernel's table in the form of `ipvsadm -Sn`, thresholds added, services and destinations sorted.
pub(crate) fn table() -> Result<Vec<String>, String> {
    let saved = ipvsadm(&["-S", "-n"])?;
    let thresholds = thresholds(&ipvsadm(&["-L", "-n", "--thresholds"])?);
    let mut services: Vec<(String, Vec<String>)> = Vec::new();
    for line in saved.lines() {
        if line.starts_with("-A") {
            services.push((line.trim().to_owned(), Vec::new()));
        } else if let Some((_, destinations)) = services.last_mut() {
            destinations.push(with_thresholds(line.trim(), &thresholds));
        }
    }
    services.sort();
    Ok(services
        .into_iter()
        .flat_map(|(service, mut destinations)| {
            destinations.sort();
            std::iter::once(service).chain(destinations)
        })
        .collect())
}

fn ipvsadm(arguments: &[&str]) -> Result<String, String> {
    // Some cases take /sbin/ipvsadm away; the harness keeps its own copy of the path.
    let program = ["/usr/sbin/ipvsadm", "/sbin/ipvsadm", "/run/compat/ipvsadm"]
        .into_iter()
        .find(|path| fs::metadata(path).is_ok())
        .ok_or("no ipvsadm")?;
    let output =
        Command::new(program).args(arguments).output().map_err(|e| format!("ipvsadm: {e}"))?;
    if !output.status.success() {
        return Err(format!("ipvsadm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// (service, destination) to (upper, lower), only those that are set.
fn thresholds(listing: &str) -> BTreeMap<(String, String), (String, String)> {
    let mut found = BTreeMap::new();
    let mut service = String::new();
    for line in listing.lines().skip(3) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["->", destination, upper, lower, ..] if (*upper, *lower) != ("0", "0") => {
                let key = (service.clone(), (*destination).to_owned());
                found.insert(key, ((*upper).to_owned(), (*lower).to_owned()));
            }
            [protocol, address, ..] => {
                service = service_key(protocol, address, line.contains(" IPv6"));
            }
            _ => {}
        }
    }
    found
}

fn service_key(protocol: &str, address: &str, ipv6: bool) -> String {
    let option = match protocol {
        "TCP" => "-t",
        "UDP" => "-u",
        "SCTP" => "--sctp-service",
        _ => "-f",
    };
    format!("{option} {address}{}", if ipv6 { " -6" } else { "" })
}

/// `-a -t SERVICE -r DEST …` with ` -x U -y L` when one is set.
fn with_thresholds(line: &str, all: &BTreeMap<(String, String), (String, String)>) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let destination = words.iter().position(|w| *w == "-r").and_then(|at| words.get(at + 1));
    let (Some(option), Some(address), Some(destination)) =
        (words.get(1), words.get(2), destination)
    else {
        return line.to_owned();
    };
    let ipv6 = if words.contains(&"-6") { " -6" } else { "" };
    let key = (format!("{option} {address}{ipv6}"), (*destination).to_owned());
    match all.get(&key) {
        Some((upper, lower)) => format!("{line} -x {upper} -y {lower}"),
        None => line.to_owned(),
    }
}

/// Whether the pid in each pid file is of a living process.
fn pids() -> Vec<String> {
    world::pid_files()
        .into_iter()
        .map(|(name, pid)| {
            let state = match pid {
                None => "no number",
                Some(pid) if world::is_alive(pid) => "running",
                Some(_) => "stale",
            };
            format!("{name} {state}")
        })
        .collect()
}

/// Log files of the case: the default one and those that cases agree on (`/var/log/*.log`).
fn logs() -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir("/var/log")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("ldirectord") && name.ends_with(".log"))
        .map(|name| format!("/var/log/{name}"))
        .collect();
    found.sort();
    found
}

/// Lines of a growing file from the mark on; only complete ones.
fn new_lines(path: &str, marks: &mut Marks) -> Vec<String> {
    let content = fs::read(path).unwrap_or_default();
    let mark = marks.files.entry(path.to_owned()).or_default();
    let start = (*mark).min(content.len());
    let end = content.iter().rposition(|b| *b == b'\n').map_or(start, |at| (at + 1).max(start));
    *mark = end;
    String::from_utf8_lossy(&content[start..end]).lines().map(str::to_owned).collect()
}

/// Everything that changed since `marks`, and the state of table and pid files.
pub(crate) fn observe(
    title: String,
    marks: &Marks,
    journal: &Journal,
) -> Result<(Section, Marks), String> {
    collect_mails(journal);
    let mut marks = marks.clone();
    let mut section = Section::new(title);
    section.kinds.insert("table".to_owned(), table()?);
    section.put("pid", pids());
    for path in logs() {
        let kind = match path.as_str() {
            "/var/log/ldirectord.log" => "log".to_owned(),
            other => format!("log {other}"),
        };
        let lines = new_lines(&path, &mut marks);
        let lines = lines.iter().filter(|line| !normalise::is_interpreter_noise(line));
        section.put(&kind, lines.map(|line| normalise::log_line(line)).collect());
    }
    let calls = new_lines(world::CALLS, &mut marks);
    let of = |kind: &'static str| {
        calls.iter().filter_map(move |c| c.strip_prefix(kind)).map(str::to_owned)
    };
    section.put("calls", of("hook ").collect());
    let mut checks: Vec<String> = of("checker ").collect();
    checks.sort();
    checks.dedup();
    section.put("checks", checks);
    section.put("mail", journal.mails(&mut marks.mails));
    section.put("requests", journal.requests(&mut marks.requests));
    let syslog = journal.syslog(&mut marks.syslog);
    section.put("syslog", syslog.iter().map(|line| normalise::blank_pids(line)).collect());
    Ok((section, marks))
}

/// Mails that the sendmail of the case took, into the journal.
fn collect_mails(journal: &Journal) {
    let mut paths: Vec<_> = fs::read_dir("/run/compat/mails")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "mail"))
        .collect();
    paths.sort();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if !lines.is_empty() {
            let command = lines.remove(0);
            journal.mail(format!("{command} | {}", mail(&lines)));
        }
        // A mail that cannot be removed would be counted again and show as a difference.
        let _ = fs::remove_file(&path);
    }
}

/// Changes whenever something that `observe` looks at changed; cheap, for waiting.
pub(crate) fn signature(journal: &Journal) -> String {
    collect_mails(journal);
    let mut text = fs::read_to_string("/proc/net/ip_vs").unwrap_or_default();
    for path in logs().iter().map(String::as_str).chain([world::CALLS]) {
        // Checkers are called in every round, so that only the hooks count.
        let content = fs::read_to_string(path).unwrap_or_default();
        let lines = content.lines().filter(|line| !line.starts_with("checker ")).count();
        text.push_str(&format!("{path} {lines}\n"));
    }
    text.push_str(&format!("{:?} {}", world::pid_files(), journal.mail_count()));
    text
}
