//! The parser against what the original does with the same text.
//!
//! `tests/config/original.txt` holds snippets with what Debian's ldirectord 1:4.12.0-2 said about
//! them (`ldirectord FILE status`: exit status 3 is accepted, 2 refused) and, after `ours`, where and
//! why this program says something else on purpose.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

use ldirectord::config::{Severity, Source, load_source};
use ldirectord::model::{LoadError, MemoryResolver};
use std::path::Path;

const SERVICES: &str = "http 80/tcp www\ndomain 53/tcp\ndomain 53/udp\ntftp 69/udp\n";

fn resolver() -> MemoryResolver {
    MemoryResolver::new(SERVICES).host("localhost", "127.0.0.1".parse().unwrap()).directory("/tmp")
}

/// What was said about a snippet: whether it was accepted, and the messages of the original's kind.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    accepted: bool,
    message: String,
}

/// The first error, or all warnings.
fn verdict(text: &[u8]) -> Verdict {
    let path = Path::new("FILE");
    let (accepted, report) = match load_source(path, Source::from_bytes(text.to_vec()), &resolver())
    {
        Ok(loaded) => (true, loaded.report),
        Err(LoadError::Refused(report)) => (false, report),
        Err(error) => panic!("{error}"),
    };
    let wanted = if accepted { Severity::Warning } else { Severity::Error };
    let said = report.diagnostics.iter().filter(|diagnostic| diagnostic.severity == wanted);
    let lines = said
        .map(|diagnostic| diagnostic.one_line(0, report.origins()).replace("[0]", "[PID]") + "\n");
    Verdict { accepted, message: lines.take(if accepted { usize::MAX } else { 1 }).collect() }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend(c.to_string().bytes());
            continue;
        }
        match chars.next() {
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('r') => bytes.push(b'\r'),
            Some('x') => {
                let digits: String = chars.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            other => bytes.extend(other.unwrap().to_string().bytes()),
        }
    }
    bytes
}

/// `accepted MESSAGES` or `refused MESSAGE`
fn recorded(line: &str) -> Verdict {
    let (verb, said) = line.split_once(' ').unwrap_or((line, ""));
    assert!(matches!(verb, "accepted" | "refused"), "{line}");
    Verdict { accepted: verb == "accepted", message: String::from_utf8(unescape(said)).unwrap() }
}

#[test]
fn the_same_text_is_judged_as_by_the_original() {
    let table = include_str!("config/original.txt");
    let mut failures = String::new();
    let mut cases = 0;
    for block in table.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        let text = field("text: ").unwrap_or_default();
        let original = recorded(field("original: ").unwrap());
        let ours = field("ours: ").map(recorded);
        let found = verdict(&unescape(text));
        if ours.as_ref() == Some(&original) {
            failures += &format!("{text}\n  does not differ any more\n");
        }
        let expected = ours.unwrap_or(original);
        if found != expected {
            failures += &format!("{text}\n  expected {expected:?}\n  found    {found:?}\n");
        }
        cases += 1;
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(cases > 300, "only {cases} cases");
}
