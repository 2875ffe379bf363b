//! What counts as a difference. compat/README.md tells the rules and their reasons.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::Section;

/// One observation of one step that is not what it should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// Number of the section in the record, from 1.
    pub(crate) section: usize,
    pub(crate) title: String,
    pub(crate) kind: String,
    pub(crate) expected: Vec<String>,
    pub(crate) observed: Vec<String>,
}

/// The sentences that scripts may look for: beginnings of the original's messages. A line of ours that begins
/// otherwise is additional information.
const VOCABULARY: &[&str] = &[
    "Error [",
    "Warning [",
    "Unknown option",
    "Can not find ipvsadm",
    "Can not open",
    "can not open",
    "Config file ",
    "Configuration file '",
    " - reread new configuration",
    " - ignore new configuration",
    "ldirectord for ",
    "ldirectord stale pid file ",
    "ldirectord is stopped for ",
    "Added ",
    "Changed virtual server: ",
    "Purged ",
    "Restored ",
    "Deleted ",
    "Quiescent ",
    "Readd ",
    "Soft failure real server: ",
    "Resetting soft failure count: ",
    "Starting Linux Director ",
    "Linux Director Daemon terminated",
    "Reloading Linux Director Daemon",
    "emailalert: ",
    "failed to send",
    "system(",
    "system_timeout(",
    "Exiting with exit_status ",
    "Exiting from ldirectord ",
    "Invoking ldirectord ",
    "Child not running ",
    "Spawned child ",
    "Killing child ",
];

/// Differences of one section. `before` are the expected sections up to it, for what a rule must remember.
pub(crate) fn section(
    number: usize,
    before: &[Section],
    expected: &Section,
    observed: &Section,
    strict: bool,
) -> Vec<Difference> {
    let mut kinds: BTreeSet<&String> = expected.kinds.keys().collect();
    kinds.extend(observed.kinds.keys());
    let starting = !strict && is_start(expected);
    let failing = soft_failures(before, expected);
    kinds
        .into_iter()
        .filter(|kind| {
            let (e, o) = (expected.lines(kind), observed.lines(kind));
            !match kind.split(' ').next().unwrap_or_default() {
                "log" | "syslog" => log_agrees(e, o, starting, strict, &failing),
                // A daemon in the foreground logs there.
                "stdout" | "stderr" if tells_of_start(e) => {
                    log_agrees(e, o, !strict, strict, &failing)
                }
                "stdout" => without_client_lines(e) == without_client_lines(o),
                "stderr" => stderr_agrees(e, o),
                "calls" if starting => last_calls(e) == last_calls(o),
                "calls" => calls_by_service(e) == calls_by_service(o),
                "mail" => mail_agrees(e, o, starting),
                "checks" => checks_agree(e, o, before),
                "requests" | "sequence" => {
                    let (e, o) = (e.iter().map(|it| request(it)), o.iter().map(|it| request(it)));
                    if *kind == "sequence" { e.eq(o) } else { set_of(e) == set_of(o) }
                }
                "set" => set_of(e.iter()) == set_of(o.iter()),
                "files" => files_agree(e, o),
                _ => e == o,
            }
        })
        .map(|kind| Difference {
            section: number,
            title: expected.title.clone(),
            kind: kind.clone(),
            expected: expected.lines(kind).to_vec(),
            observed: observed.lines(kind).to_vec(),
        })
        .collect()
}

fn set_of<T: Ord>(items: impl Iterator<Item = T>) -> BTreeSet<T> {
    items.collect()
}

/// What was asked of a checker. A check that has been seen before may be in flight still, or not any more.
fn checks_agree(expected: &[String], observed: &[String], before: &[Section]) -> bool {
    let seen = |call: &String| before.iter().any(|section| section.lines("checks").contains(call));
    let missing = |from: &[String], call: &&String| !from.contains(call) && !seen(call);
    !expected.iter().any(|call| missing(observed, &call))
        && !observed.iter().any(|call| missing(expected, &call))
}

/// A request as a server recorded it, names of headers in lower case (RFC 9110, section 5.1), in the order of names.
fn request(line: &str) -> String {
    let mut parts = line.split(" | ");
    let first = parts.next().unwrap_or_default().to_owned();
    if !first.contains(" HTTP/1.") {
        return line.to_owned();
    }
    let mut headers: Vec<String> = parts
        .map(|header| match header.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
            None => header.to_owned(),
        })
        .collect();
    headers.sort();
    std::iter::once(first).chain(headers).collect::<Vec<_>>().join(" | ")
}

/// A section in which a configuration was taken up: the phase of adding, removing and checking.
fn is_start(section: &Section) -> bool {
    let is_log = |kind: &str| kind.starts_with("log") || kind == "syslog";
    section.kinds.iter().any(|(kind, lines)| is_log(kind) && tells_of_start(lines))
}

fn tells_of_start(lines: &[String]) -> bool {
    lines.iter().any(|line| {
        let line = message(line);
        line.starts_with("Starting Linux Director ")
            || is_reload(line)
            || line.starts_with(" - reread new configuration")
    })
}

fn is_reload(message: &str) -> bool {
    message.starts_with("Reloading Linux Director Daemon")
}

/// A change of the configuration's file that is seen and not followed.
fn is_ignored_change(message: &str) -> bool {
    message.starts_with(" - ignore new configuration")
        || (message.starts_with("Configuration file '") && message.ends_with("has changed on disk"))
}

/// A log line without the instance before it.
fn message(line: &str) -> &str {
    let line = line.strip_prefix("[TIME] ").unwrap_or(line);
    if let Some((_, message)) = line.split_once(" ldirectord[PID]: ") {
        return message;
    }
    match line.split_once(": ") {
        Some((instance, rest))
            if !instance.contains(' ') && !instance.is_empty() && !is_sentence(line) =>
        {
            rest
        }
        _ => line.strip_prefix("+ ").unwrap_or(line),
    }
}

fn is_sentence(line: &str) -> bool {
    VOCABULARY.iter().any(|start| line.starts_with(start))
}

/// Lines of client commands other than a start: a monitor that asks every second must not fill the log (B16).
fn is_client_line(message: &str) -> bool {
    let command = |rest: &str| !matches!(rest.trim().rsplit(' ').next(), Some("start"));
    if let Some(rest) = message.strip_prefix("Invoking ldirectord invoked as: ") {
        return command(rest);
    }
    message.starts_with("Exiting from ldirectord ")
        || message.starts_with("ldirectord for ")
        || message.starts_with("ldirectord stale pid file ")
        || (message.starts_with("Exiting with exit_status ")
            && message.contains("Exiting from ldirectord "))
}

/// With -d client commands log to stderr.
fn is_client_log(message: &str) -> bool {
    is_client_line(message) && !message.starts_with("ldirectord ")
}

/// Under supervised=yes client commands log to stdout.
fn without_client_lines(lines: &[String]) -> Vec<&String> {
    let is_log = |line: &String| line.starts_with("[TIME] ") && is_client_line(message(line));
    lines.iter().filter(|line| !is_log(line)).collect()
}

/// Real servers with a soft failure since they last went down or were reset, before `section` and in it.
fn soft_failures(before: &[Section], section: &Section) -> BTreeSet<String> {
    let mut failing = BTreeSet::new();
    for section in before {
        for line in section.lines("log") {
            follow(message(line), &mut failing);
        }
    }
    let mut ever = failing.clone();
    for line in section.lines("log") {
        let message = message(line);
        if !message.starts_with("Resetting ") {
            follow(message, &mut ever);
        }
    }
    ever
}

/// What a line says about who has soft failures.
fn follow(message: &str, failing: &mut BTreeSet<String>) {
    if let Some(rest) = message.strip_prefix("Soft failure real server: ") {
        failing.insert(without_protocol(rest.split(" failure ").next().unwrap_or_default()));
    } else if let Some(id) = message.strip_prefix("Resetting soft failure count: ") {
        failing.remove(&without_protocol(id));
    } else if let Some(id) = message
        .strip_prefix("Deleted real server: ")
        .or(message.strip_prefix("Quiescent real server: "))
    {
        failing.remove(id.split(" (Weight ").next().unwrap_or_default());
    }
}

/// `ip:port (tcp:VIP)` as transitions write it: `ip:port (VIP)`.
fn without_protocol(id: &str) -> String {
    ["(tcp:", "(udp:", "(fwm:", "(fwm6:"]
        .iter()
        .fold(id.to_owned(), |id, start| id.replace(start, "("))
}

/// Ours may tell the cause after a sentence of the original: `can not open file x: permission denied`.
fn without_cause<'a>(line: &'a String, expected: &[&'a String]) -> &'a String {
    let is_continued = |sentence: &&&String| {
        line.strip_prefix(sentence.as_str()).is_some_and(|rest| rest.starts_with(": "))
    };
    expected.iter().find(is_continued).copied().unwrap_or(line)
}

/// Programs whose failure a log line reports, without the reason: what the original gives is the errno of something
/// else.
fn failed_programs(lines: &[&String]) -> BTreeSet<String> {
    let failures = lines.iter().filter(|line| message(line).starts_with("system("));
    failures.map(|line| line.split(" failed: ").next().unwrap_or_default().to_owned()).collect()
}

fn log_agrees(
    expected: &[String],
    observed: &[String],
    starting: bool,
    strict: bool,
    failing: &BTreeSet<String>,
) -> bool {
    let reloads = |lines: &[String]| lines.iter().any(|line| is_reload(message(line)));
    let reloading = reloads(expected) || reloads(observed);
    let needed = |line: &&String| {
        let message = message(line);
        // Whether the file is looked at between its change and the signal is chance.
        if reloading && is_ignored_change(message) {
            return false;
        }
        // Ours talks to the kernel itself: there is no ipvsadm whose failure could be reported in these words.
        let by_ipvsadm = message.starts_with("system(/sbin/ipvsadm ");
        if !is_sentence(message) || is_client_line(message) || by_ipvsadm {
            return false;
        }
        match message.strip_prefix("Resetting soft failure count: ") {
            Some(id) if !strict => failing.contains(&without_protocol(id)),
            _ => true,
        }
    };
    let expected: Vec<&String> = expected.iter().filter(needed).collect();
    let observed: Vec<&String> =
        observed.iter().filter(needed).map(|line| without_cause(line, &expected)).collect();
    let (programs, our_programs) = (failed_programs(&expected), failed_programs(&observed));
    let is_program = |line: &&String| message(line).starts_with("system(");
    let (expected, observed): (Vec<_>, Vec<_>) = (
        expected.into_iter().filter(|line| !is_program(line)).collect(),
        observed.into_iter().filter(|line| !is_program(line)).collect(),
    );
    if !starting {
        return programs == our_programs
            && expected.into_iter().collect::<BTreeSet<_>>() == observed.into_iter().collect();
    }
    if !our_programs.is_subset(&programs) || our_programs.is_empty() != programs.is_empty() {
        return false;
    }
    let rest = |lines: &[&String]| -> BTreeSet<String> {
        lines.iter().filter(|l| transition(message(l)).is_none()).map(|l| (*l).clone()).collect()
    };
    rest(&expected) == rest(&observed) && effects_agree(&expected, &observed)
}

/// What a transition line says: of which destination, present before, present (with which weight) after.
struct Transition {
    destination: String,
    was_present: bool,
    weight: Option<String>,
}

fn transition(message: &str) -> Option<Transition> {
    // A mail about a transition is a transition of its own: `emailalert: [service name] Added …`.
    let (kind, message) = match message.strip_prefix("emailalert: ") {
        Some(subject) => ("mail about ", without_service_name(subject)),
        None => ("", message),
    };
    let (was_present, rest) = [
        ("Added ", false),
        ("Readd Quiescent ", false),
        ("Restored ", true),
        ("Quiescent ", true),
        ("Deleted ", true),
        ("Purged ", true),
    ]
    .into_iter()
    .find_map(|(start, was)| message.strip_prefix(start).map(|rest| (was, rest)))?;
    if !rest.starts_with("real server") && !rest.starts_with("fallback server") {
        return None;
    }
    let weight = rest
        .split_once(" (Weight set to ")
        .map(|(_, weight)| weight.trim_end_matches(')').to_owned());
    let name = rest.split(" (Weight set to ").next().unwrap_or_default();
    // `real server: 10.0.0.2:80 mapped from 10.0.0.2:8080 (VIP)` is about 10.0.0.2:8080.
    let name = match (name.split_once(": "), name.split_once(" mapped from ")) {
        (Some((role, _)), Some((_, configured))) => format!("{role}: {configured}"),
        _ => name.to_owned(),
    };
    let destination = format!("{kind}{name}");
    Some(Transition { destination, was_present, weight })
}

fn without_service_name(subject: &str) -> &str {
    match subject.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_, rest)) => rest,
        None => subject,
    }
}

/// What a phase did to a destination.
#[derive(Debug, PartialEq)]
struct Effect {
    /// Weight after the phase; none: not there.
    after: Option<String>,
    /// It may have been the same before.
    may_be_nothing: bool,
}

fn effects(lines: &[&String]) -> BTreeMap<String, Effect> {
    let mut first: BTreeMap<String, bool> = BTreeMap::new();
    let mut effects = BTreeMap::new();
    for found in lines.iter().filter_map(|line| transition(message(line))) {
        let is_first = !first.contains_key(&found.destination);
        let was = *first.entry(found.destination.clone()).or_insert(found.was_present);
        let may_be_nothing = !is_first && was == found.weight.is_some();
        effects.insert(found.destination, Effect { after: found.weight, may_be_nothing });
    }
    effects
}

/// Equal results; what may have changed nothing need not be told.
fn effects_agree(expected: &[&String], observed: &[&String]) -> bool {
    let (expected, observed) = (effects(expected), effects(observed));
    expected.keys().chain(observed.keys()).all(|destination| {
        match (expected.get(destination), observed.get(destination)) {
            (Some(e), Some(o)) => e.after == o.after,
            (Some(one), None) | (None, Some(one)) => one.may_be_nothing,
            (None, None) => true,
        }
    })
}

/// A hook's calls for each service, in order. Services have no order among each other.
fn calls_by_service(calls: &[String]) -> BTreeMap<String, Vec<&String>> {
    let mut services: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for call in calls {
        let service = call.split(' ').filter(|word| !matches!(*word, "[start]" | "[stop]"));
        services.entry(service.collect()).or_default().push(call);
    }
    services
}

/// Of every hook's calls for one service only the last.
fn last_calls(calls: &[String]) -> BTreeSet<String> {
    calls_by_service(calls)
        .values()
        .filter_map(|calls| calls.last())
        .map(|&it| it.clone())
        .collect()
}

/// Messages of ours after the original's do no harm; each of the original's must be there, in its order.
fn stderr_agrees(expected: &[String], observed: &[String]) -> bool {
    let mut observed = observed.iter().map(|line| line.trim());
    expected
        .iter()
        .map(|line| line.trim())
        .filter(|line| is_sentence(message(line)) && !is_client_log(message(line)))
        .all(|line| observed.any(|ours| ours == line))
}

/// Ours may keep more of its own at run time (locks, sockets); each file of the original must be there.
fn files_agree(expected: &[String], observed: &[String]) -> bool {
    let foreign = |file: &&String| !expected.contains(file) && !file.starts_with("/run/ldirectord");
    expected.iter().all(|file| observed.contains(file)) && !observed.iter().any(|f| foreign(&f))
}

/// Mails are one line each. A reminder may come any number of times.
fn mail_agrees(expected: &[String], observed: &[String], starting: bool) -> bool {
    let set = |lines: &[String]| -> BTreeSet<String> { lines.iter().cloned().collect() };
    if !starting {
        return set(expected) == set(observed);
    }
    let subjects = |lines: &[String]| -> Vec<String> {
        lines
            .iter()
            .filter_map(|mail| mail.split_once("Subject: "))
            .filter_map(|(_, rest)| rest.split(" | ").next())
            .map(|subject| without_service_name(subject).to_owned())
            .collect()
    };
    let (expected, observed) = (subjects(expected), subjects(observed));
    effects_agree(&expected.iter().collect::<Vec<_>>(), &observed.iter().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| format!("x.cf: {line}")).collect()
    }

    #[test]
    fn the_start_phase_is_compared_by_its_result() {
        let original = lines(&[
            "Added real server: a (v) (Weight set to 1)",
            "Deleted real server: a (v)",
            "Added real server: a (v) (Weight set to 1)",
            "Added fallback server: f (v) (Weight set to 1)",
            "Deleted fallback server: f (v)",
        ]);
        let ours = lines(&["Added real server: a (v) (Weight set to 1)"]);
        let none = BTreeSet::new();
        assert!(log_agrees(&original, &ours, true, false, &none));
        assert!(!log_agrees(&original, &ours, false, false, &none));
        assert!(!log_agrees(&original, &[], true, false, &none));
    }

    #[test]
    fn additional_lines_of_ours_are_free_and_missing_ones_are_not() {
        let original = lines(&["Deleted real server: a (v)"]);
        let more = lines(&["real server a: refused", "Deleted real server: a (v)"]);
        let none = BTreeSet::new();
        assert!(log_agrees(&original, &more, false, false, &none));
        assert!(!log_agrees(&more, &lines(&["x"]), false, false, &none));
    }

    #[test]
    fn a_reset_is_needed_only_after_a_soft_failure() {
        let original = lines(&["Resetting soft failure count: a (v)"]);
        assert!(log_agrees(&original, &[], false, false, &BTreeSet::new()));
        assert!(!log_agrees(&original, &[], false, false, &BTreeSet::from(["a (v)".to_owned()])));
    }

    #[test]
    fn of_a_hook_the_last_call_of_the_start_phase_counts() {
        let calls: Vec<String> =
            ["/h [start] [v]", "/h [stop] [v]", "/h [stop] [w]"].map(str::to_owned).into();
        assert_eq!(last_calls(&calls), BTreeSet::from([calls[1].clone(), calls[2].clone()]));
    }
}
