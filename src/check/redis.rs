//! `service=redis`: a command and its answer (Redis and Valkey, RESP2). An addition to the original.
//!
//! Up when the answer to `request` (default `PING`) is no error and, if `receive` is given, matches it.
//! With `passwd`, AUTH comes first, with `login` as the user if there is one.

use super::Failure;
use super::connect::Probe;
use super::line::{Lines, TOTAL_LIMIT};
use super::transcript::{expect, secret};
use crate::model::Exchange;
use std::io::{Read, Write};

/// Elements of one answer, those of nested arrays among them.
const ELEMENTS: usize = 100_000;

/// Connects, with TLS if `checktls` says so, and asks.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    talk(probe.stream()?, probe.exchange)
}

pub(super) fn talk<S: Read + Write>(stream: S, exchange: &Exchange) -> Result<(), Failure> {
    let mut lines = Lines::new(stream);
    if !exchange.passwd.is_empty() {
        let mut words = vec!["AUTH"];
        words.extend(Some(exchange.login.as_str()).filter(|login| !login.is_empty()));
        words.push(secret(exchange.passwd.as_str()));
        lines.send(command(&words))?;
        answer(&mut lines)?.map_err(Failure::LoginRefused)?;
    }
    let words: Vec<&str> = exchange.request.split_ascii_whitespace().collect();
    lines.send(command(if words.is_empty() { &["PING"] } else { &words }))?;
    let text = answer(&mut lines)?.map_err(|words| match words.starts_with("NOAUTH") {
        true => Failure::LoginRefused(words),
        false => Failure::Rejected(words),
    })?;
    expect(exchange.receive.as_ref(), &text)
}

/// An array of bulk strings.
fn command(words: &[&str]) -> Vec<u8> {
    let mut message = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        message.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    message
}

/// The text of an answer, the elements of an array one a line; or the words of an error.
fn answer<S: Read + Write>(lines: &mut Lines<S>) -> Result<Result<Vec<u8>, String>, Failure> {
    let mut text = Vec::new();
    let mut first = true;
    // Arrays are not followed inwards but counted: a server may nest as deep as it likes.
    let mut missing: usize = 1;
    let mut left = ELEMENTS;
    while missing > 0 {
        left = left.checked_sub(1).ok_or(Failure::TooLong)?;
        missing -= 1;
        let line = lines.read_line()?;
        let (kind, rest) = line.split_first().ok_or_else(malformed)?;
        match kind {
            b'+' | b':' => {
                text.extend_from_slice(rest);
                text.push(b'\n');
            }
            b'-' if first => return Ok(Err(Failure::text(rest))),
            b'-' => {}
            b'$' => {
                if let Some(length) = length(rest)? {
                    let bulk = lines.read_bytes(length + 2)?;
                    text.extend_from_slice(bulk.strip_suffix(b"\r\n").ok_or_else(malformed)?);
                }
                text.push(b'\n');
            }
            b'*' => missing += length(rest)?.unwrap_or_default(),
            _ => return Err(malformed()),
        }
        first = false;
    }
    text.pop();
    Ok(Ok(text))
}

/// `None` for what is not there, which has length -1.
fn length(text: &[u8]) -> Result<Option<usize>, Failure> {
    if text == b"-1" {
        return Ok(None);
    }
    let length = std::str::from_utf8(text).ok().and_then(|text| text.parse::<usize>().ok());
    match length.ok_or_else(malformed)? {
        length if length <= TOTAL_LIMIT => Ok(Some(length)),
        _ => Err(Failure::TooLong),
    }
}

fn malformed() -> Failure {
    Failure::Protocol("not an answer of Redis".into())
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::{Pattern, Service};

    fn asking(request: &str, receive: Option<&str>) -> Exchange {
        Exchange {
            request: request.to_owned(),
            receive: receive.map(|source| Pattern::new(source).unwrap()),
            ..exchange(Service::Redis)
        }
    }

    #[test]
    fn the_answer_decides() {
        for (request, receive, answer, expected) in [
            ("", None, "+PONG\r\n", "up"),
            ("", Some("PONG"), "+PONG\r\n", "up"),
            ("ROLE", Some("(?m)^master$"), "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", "up"),
            ("ROLE", Some("master"), "*1\r\n$5\r\nslave\r\n", "answer does not match receive"),
            ("GET x", Some("^$"), "$-1\r\n", "up"),
            ("", None, "-LOADING not yet\r\n", "rejected: LOADING not yet"),
            ("", None, "-NOAUTH who\r\n", "login refused: NOAUTH who"),
            ("", None, "HTTP/1.1 400 no\r\n", "not a proper answer: not an answer of Redis"),
            ("", None, "$3\r\nab", "connection closed by the server"),
            ("", None, "$99999999\r\n", "answer too long"),
            (
                "",
                None,
                "*9999999999999999999999\r\n",
                "not a proper answer: not an answer of Redis",
            ),
        ] {
            let outcome = talk(Script::new(answer), &asking(request, receive));
            assert_eq!(verdict(outcome), expected, "{request} {answer:?}");
        }
        let deep = "*1\r\n".repeat(ELEMENTS + 1);
        assert_eq!(verdict(talk(Script::new(deep), &asking("", None))), "answer too long");
    }

    #[test]
    fn words_are_sent_with_their_length_after_the_login() {
        let login = Exchange {
            login: "checker".into(),
            passwd: "pass word".into(),
            ..asking("INFO  replication", None)
        };
        let mut server = Script::new("+OK\r\n+x\r\n");
        assert_eq!(verdict(talk(&mut server, &login)), "up");
        assert_eq!(
            server.heard(),
            "*3\r\n$4\r\nAUTH\r\n$7\r\nchecker\r\n$9\r\npass word\r\n\
             *2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n"
        );
        let refused = verdict(talk(Script::new("-WRONGPASS no\r\n"), &login));
        assert_eq!(refused, "login refused: WRONGPASS no");
    }
}
