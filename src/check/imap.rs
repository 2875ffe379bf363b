//! `service=imap`, `service=imaps`: greeting and login (RFC 3501, RFC 9051).
//!
//! Up when the greeting is `* OK` or `* PREAUTH` and, if `login` is given, the login is accepted.

use super::Failure;
use super::connect::Probe;
use super::line::Lines;
use super::transcript::secret;
use crate::model::{Exchange, Tls};
use std::io::{Read, Write};

/// Connects, for imaps with TLS, and speaks IMAP.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    if probe.exchange.tls == Tls::Start {
        let (stream, ()) = probe.start_tls(start_tls)?;
        return log_in_and_out(&mut Lines::new(stream), probe.exchange);
    }
    talk(probe.stream()?, probe.exchange)
}

pub(super) fn talk<S: Read + Write>(stream: S, exchange: &Exchange) -> Result<(), Failure> {
    let mut lines = Lines::new(stream);
    match read_greeting(&mut lines)? {
        Greeting::Ok => log_in_and_out(&mut lines, exchange),
        // The connection itself is trusted: there is no login to do (RFC 3501 section 7.1.4).
        Greeting::PreAuth => {
            log_out(&mut lines, exchange);
            Ok(())
        }
    }
}

/// RFC 9051, section 6.2.1.
fn start_tls<S: Read + Write>(lines: &mut Lines<S>) -> Result<(), Failure> {
    match read_greeting(lines)? {
        Greeting::Ok => {}
        Greeting::PreAuth => return Err(Failure::no_tls("PREAUTH leaves no place for it")),
    }
    lines.send("0 STARTTLS\r\n")?;
    match completion(lines, "0")? {
        Completion { word: Word::Ok, .. } => Ok(()),
        Completion { words, .. } => Err(Failure::no_tls(words)),
    }
}

enum Greeting {
    Ok,
    PreAuth,
}

fn read_greeting<S: Read + Write>(lines: &mut Lines<S>) -> Result<Greeting, Failure> {
    match untagged(lines.read_line()?) {
        Some(("OK", _)) => Ok(Greeting::Ok),
        Some(("PREAUTH", _)) => Ok(Greeting::PreAuth),
        Some(("BYE", words)) => Err(Failure::Rejected(words)),
        _ => Err(Failure::Protocol("the greeting is neither OK nor PREAUTH".into())),
    }
}

fn log_in_and_out<S: Read + Write>(
    lines: &mut Lines<S>,
    exchange: &Exchange,
) -> Result<(), Failure> {
    if !exchange.login.is_empty() {
        log_in(lines, &exchange.login, &exchange.passwd)?;
    }
    log_out(lines, exchange);
    Ok(())
}

/// A courtesy; what is answered changes nothing.
fn log_out<S: Read + Write>(lines: &mut Lines<S>, exchange: &Exchange) {
    let tag = if exchange.login.is_empty() { "0" } else { "1" };
    let _ = lines.send(format!("{tag} LOGOUT\r\n")).and_then(|()| completion(lines, tag));
}

fn log_in<S: Read + Write>(
    lines: &mut Lines<S>,
    login: &str,
    password: &str,
) -> Result<(), Failure> {
    let mut command = b"0 LOGIN ".to_vec();
    if is_atom(login) {
        command.extend_from_slice(login.as_bytes());
    } else {
        append_string(lines, &mut command, login)?;
    }
    command.push(b' ');
    // As it may be quoted.
    secret(&password.replace('\\', "\\\\").replace('"', "\\\""));
    append_string(lines, &mut command, secret(password))?;
    command.extend_from_slice(b"\r\n");
    lines.send(command)?;
    match completion(lines, "0")? {
        Completion { word: Word::Ok, .. } => Ok(()),
        Completion { words, .. } => Err(Failure::LoginRefused(words)),
    }
}

/// Whether the text may stand as it is (RFC 3501 section 9, ASTRING-CHAR).
// compat: the original sends a login so, and the first command with tag 0
fn is_atom(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

/// A string (RFC 3501 section 4.3): quoted; or a literal if it has bytes that may not be quoted,
/// before which the command so far is sent and the server must invite the rest.
fn append_string<S: Read + Write>(
    lines: &mut Lines<S>,
    command: &mut Vec<u8>,
    text: &str,
) -> Result<(), Failure> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        command.extend_from_slice(format!("\"{quoted}\"").as_bytes());
        return Ok(());
    }
    command.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
    lines.send(std::mem::take(command))?;
    loop {
        let line = lines.read_line()?;
        match line.first() {
            Some(b'+') => break,
            Some(b'*') => {}
            _ => return Err(Failure::LoginRefused(Failure::text(line))),
        }
    }
    command.extend_from_slice(text.as_bytes());
    Ok(())
}

/// How a command ended.
struct Completion {
    word: Word,
    words: String,
}

enum Word {
    Ok,
    NoOrBad,
}

/// Reads up to the line that ends the command with this tag.
fn completion<S: Read + Write>(lines: &mut Lines<S>, tag: &str) -> Result<Completion, Failure> {
    let mut farewell = None;
    loop {
        let line = match lines.read_line() {
            Ok(line) => line,
            Err(failure) => return Err(farewell.map_or(failure, Failure::Rejected)),
        };
        let rest = line.strip_prefix(tag.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
        if let Some(rest) = rest {
            let (word, words) = first_word(rest);
            return match word.as_str() {
                "OK" => Ok(Completion { word: Word::Ok, words }),
                "NO" | "BAD" => Ok(Completion { word: Word::NoOrBad, words }),
                _ => Err(Failure::Protocol("neither OK nor NO nor BAD".into())),
            };
        }
        if let Some(("BYE", words)) = untagged(line) {
            farewell = Some(words);
        } else if let Some(length) = literal(line) {
            lines.read_bytes(length)?;
        }
    }
}

/// The word of an untagged status response, among those that matter, and what follows it.
fn untagged(line: &[u8]) -> Option<(&'static str, String)> {
    let (word, words) = first_word(line.strip_prefix(b"* ")?);
    let word = ["OK", "PREAUTH", "BYE"].into_iter().find(|known| *known == word)?;
    Some((word, words))
}

/// The first word in capitals, for words are the same in any case (RFC 3501 section 9), and the rest.
fn first_word(line: &[u8]) -> (String, String) {
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    (Failure::text(word).to_ascii_uppercase(), Failure::text(rest.trim_ascii_start()))
}

/// The length of the literal that a line announces at its end: `{123}`.
pub fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}")?;
    let open = line.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&line[open + 1..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::super::tests::exchange;
    use super::*;
    use crate::model::Service;

    fn with_login(login: &str, passwd: &str) -> Exchange {
        Exchange { login: login.into(), passwd: passwd.into(), ..exchange(Service::Imap) }
    }

    #[test]
    fn without_login_the_greeting_decides() {
        let bad = "not a proper answer: the greeting is neither OK nor PREAUTH";
        let cases = [
            ("* OK ready\r\n* BYE bye\r\n0 OK done\r\n", "up", "0 LOGOUT\r\n"),
            ("* ok ready\r\n", "up", "0 LOGOUT\r\n"),
            ("* OK\r\n", "up", "0 LOGOUT\r\n"),
            ("* PREAUTH hello\r\n0 OK done\r\n", "up", "0 LOGOUT\r\n"),
            ("* BYE too many\r\n", "rejected: too many", ""),
            ("* OKAY\r\n", bad, ""),
            ("+OK POP3\r\n", bad, ""),
            ("", "connection closed by the server", ""),
        ];
        for (answers, expected, sent) in cases {
            let mut server = Script::new(answers);
            assert_eq!(verdict(talk(&mut server, &with_login("", ""))), expected, "{answers}");
            assert_eq!(server.heard(), sent);
        }
    }

    #[test]
    fn with_login_its_completion_decides() {
        let cases = [
            ("* CAPABILITY IMAP4\r\n0 OK in\r\n1 OK out\r\n", "up"),
            ("* X {9}\r\n0 NO lit\r\n)\r\n0 OK in\r\n", "up"),
            ("0 NO wrong password\r\n", "login refused: wrong password"),
            ("0 BAD what?\r\n", "login refused: what?"),
            ("0 MAYBE\r\n", "not a proper answer: neither OK nor NO nor BAD"),
            ("* BYE shutting down\r\n", "rejected: shutting down"),
            ("* OK still here\r\n", "connection closed by the server"),
        ];
        for (answers, expected) in cases {
            let mut server = Script::new(format!("* OK hi\r\n{answers}"));
            assert_eq!(verdict(talk(&mut server, &with_login("u", "p"))), expected, "{answers}");
            assert!(server.heard().starts_with("0 LOGIN u \"p\"\r\n"));
        }
    }

    #[test]
    fn a_login_is_quoted_or_sent_as_a_literal() {
        let mut server = Script::new("* OK hi\r\n0 OK in\r\n");
        assert_eq!(verdict(talk(&mut server, &with_login("a b", "q\"\\"))), "up");
        assert!(server.heard().starts_with("0 LOGIN \"a b\" \"q\\\"\\\\\"\r\n"));

        let mut server = Script::new("* OK hi\r\n+ go\r\n0 OK in\r\n");
        assert_eq!(verdict(talk(&mut server, &with_login("u", "süß"))), "up");
        assert!(server.heard().starts_with("0 LOGIN u {5}\r\nsüß\r\n"));

        let mut server = Script::new("* OK hi\r\n0 BAD no literals\r\n");
        assert_eq!(
            verdict(talk(&mut server, &with_login("u", "süß"))),
            "login refused: 0 BAD no literals"
        );
    }

    #[test]
    fn a_literal_is_a_number_in_braces_at_the_end() {
        let cases: [(&[u8], Option<usize>); 6] = [
            (b"* X {12}", Some(12)),
            (b"{0}", Some(0)),
            (b"{99999999999999999999999}", None),
            (b"{-1}", None),
            (b"{}", None),
            (b"}", None),
        ];
        for (line, expected) in cases {
            assert_eq!(literal(line), expected);
        }
    }
}
