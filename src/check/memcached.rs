//! `service=memcached`: a command of the text protocol (memcached's doc/protocol.txt). An addition to the
//! original.
//!
//! Up when the answer to `request` (default `version`) is no error and, if `receive` is given, matches it.

use super::Failure;
use super::connect::Probe;
use super::line::Lines;
use super::transcript::expect;
use crate::model::Exchange;
use std::io::{Read, Write};

/// Connects, with TLS if `checktls` says so, and asks.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    talk(probe.stream()?, probe.exchange)
}

pub(super) fn talk<S: Read + Write>(stream: S, exchange: &Exchange) -> Result<(), Failure> {
    let mut lines = Lines::new(stream);
    let request = exchange.request.trim();
    lines.send(format!("{}\r\n", if request.is_empty() { "version" } else { request }))?;
    let mut text = lines.read_line()?.to_vec();
    if text == b"ERROR" || text.starts_with(b"CLIENT_ERROR") || text.starts_with(b"SERVER_ERROR") {
        return Err(Failure::Rejected(Failure::text(&text)));
    }
    if !begins_with_a_word(&text) {
        return Err(Failure::Protocol("not an answer of memcached".into()));
    }
    if text.starts_with(b"STAT ") || text.starts_with(b"VALUE ") {
        loop {
            let line = lines.read_line()?;
            if line == b"END" {
                break;
            }
            text.push(b'\n');
            text.extend_from_slice(line);
        }
    }
    // A courtesy.
    let _ = lines.send("quit\r\n");
    expect(exchange.receive.as_ref(), &text)
}

/// `VERSION`, `END`, `NOT_FOUND`; or a number, as `incr` has it.
fn begins_with_a_word(line: &[u8]) -> bool {
    let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    let is_word = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_';
    (2..=16).contains(&word.len()) && word.iter().all(is_word)
        || (1..=20).contains(&line.len()) && line.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::{Pattern, Service};

    #[test]
    fn the_answer_decides() {
        for (request, receive, answer, expected) in [
            ("", None, "VERSION 1.6.18\r\n", "up"),
            ("", Some(r"^VERSION 1\.5"), "VERSION 1.6.18\r\n", "answer does not match receive"),
            (
                "stats",
                Some("(?m)^STAT threads 4$"),
                "STAT pid 1\r\nSTAT threads 4\r\nEND\r\n",
                "up",
            ),
            ("get x", Some("^END$"), "END\r\n", "up"),
            ("incr x 1", Some("^7$"), "7\r\n", "up"),
            ("", None, "hello\r\n", "not a proper answer: not an answer of memcached"),
            ("what", None, "ERROR\r\n", "rejected: ERROR"),
            ("", None, "SERVER_ERROR out of memory\r\n", "rejected: SERVER_ERROR out of memory"),
            ("stats", None, "STAT pid 1\r\n", "connection closed by the server"),
        ] {
            let exchange = Exchange {
                request: request.to_owned(),
                receive: receive.map(|source| Pattern::new(source).unwrap()),
                ..exchange(Service::Memcached)
            };
            let outcome = talk(Script::new(answer), &exchange);
            assert_eq!(verdict(outcome), expected, "{request} {answer:?}");
        }
    }
}
