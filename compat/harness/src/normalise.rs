//! Blanks what differs between two runs of the same program: process ids and times.

/// Process ids in the places where the original prints them become `PID`.
pub(crate) fn blank_pids(line: &str) -> String {
    let mut line = line.to_owned();
    for (before, after) in [
        ("Error [", "]"),
        ("Warning [", "]"),
        ("with pid: ", ""),
        ("PID=", ""),
        ("pid: ", ""),
        ("pid=", ""),
        ("pid ", ""),
        ("ldirectord[", "]"),
    ] {
        line = blank_after(&line, before, after);
    }
    line
}

fn blank_after(line: &str, before: &str, after: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(before) {
        let (head, tail) = rest.split_at(at + before.len());
        out.push_str(head);
        let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
        rest = tail;
        if digits > 0 && tail[digits..].starts_with(after) {
            out.push_str("PID");
            rest = &tail[digits..];
        }
    }
    out.push_str(rest);
    out
}

/// `[Sun Nov 22 22:42:57 2026|ldirectord|17] text` becomes `ldirectord: text`, the form without instance and pid
/// (supervised) becomes `text`; a line without a stamp is the rest of the message before and gets a `+`.
pub(crate) fn log_line(line: &str) -> String {
    let Some((stamp, text)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else {
        return format!("+ {}", blank_pids(line));
    };
    let mut fields = stamp.split('|');
    let time = fields.next().unwrap_or_default();
    if !is_ctime(time) {
        return format!("+ {}", blank_pids(line));
    }
    match (fields.next(), fields.next()) {
        (Some(instance), Some(pid)) if pid.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{instance}: {}", blank_pids(text))
        }
        _ => blank_pids(text),
    }
}

/// A line of stdout or stderr: supervised programs log there, with a stamp.
pub(crate) fn output_line(line: &str) -> String {
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((stamp, text)) if is_ctime(stamp.split('|').next().unwrap_or_default()) => {
            format!("[TIME] {}", blank_pids(text))
        }
        _ => blank_pids(line),
    }
}

/// `[ctime] [pid] …` of a monitorfile.
pub(crate) fn monitor_line(line: &str) -> String {
    let Some((time, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] [")) else {
        return line.to_owned();
    };
    let Some((pid, text)) = rest.split_once("] ") else { return line.to_owned() };
    if is_ctime(time) && pid.bytes().all(|b| b.is_ascii_digit()) {
        format!("[TIME] [PID] {text}")
    } else {
        line.to_owned()
    }
}

/// `Sun Nov 22 22:42:57 2026`, the day padded with a blank.
fn is_ctime(text: &str) -> bool {
    text.len() == 24
        && text.bytes().enumerate().all(|(at, b)| match at {
            3 | 7 | 10 | 19 => b == b' ',
            13 | 16 => b == b':',
            0..=6 => b.is_ascii_alphabetic(),
            8 => b == b' ' || b.is_ascii_digit(),
            _ => b.is_ascii_digit(),
        })
}

/// Warnings of the Perl interpreter itself, which the original leaks on several error paths, and its traces of
/// programs and single checks in debug mode.
pub(crate) fn is_interpreter_noise(line: &str) -> bool {
    let traces = [
        "DEBUG3: ",
        "DEBUG2: Running ",
        "Running ",
        "DEBUG2: Checking ",
        "DEBUG2: Enabled ",
        "DEBUG2: Disabled ",
    ];
    if traces.iter().any(|trace| line.starts_with(trace)) {
        return true;
    }
    line.contains(" at /usr/sbin/ldirectord line ")
        || line.contains("/usr/share/perl")
        || line.contains("/usr/lib/x86_64-linux-gnu/perl")
        || line.starts_with("BEGIN failed")
        || line.starts_with("Compilation failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_and_pids_vanish() {
        assert_eq!(
            log_line("[Sun Nov  2 22:42:57 2026|web.cf|17] Starting Linux Director with pid: 17"),
            "web.cf: Starting Linux Director with pid: PID"
        );
        assert_eq!(log_line("[Sun Nov 22 22:42:57 2026] x"), "x");
        assert_eq!(log_line("Error [12] a"), "+ Error [PID] a");
        assert_eq!(monitor_line("[Sun Nov 22 22:02:46 2026] [55] a b"), "[TIME] [PID] a b");
        assert_eq!(blank_pids("[10.0.0.1]"), "[10.0.0.1]");
    }
}
