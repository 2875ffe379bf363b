//! `service=pop`, `service=pops`: greeting and login (POP3, RFC 1939; RFC 2449, RFC 5034).
//!
//! Up when the greeting is `+OK` and, if `login` is given, the login is accepted. A password is sent
//! in the clear (`USER`, `PASS`) only to servers that offer neither `APOP` nor `CRAM-MD5`, or that
//! refuse this login by the one they offer.

use super::Failure;
use super::connect::Probe;
use super::line::Lines;
use super::transcript::secret;
use crate::model::{Exchange, Tls};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use openssl::base64;
use std::io::{Read, Write};

/// Connects, for pops with TLS, and speaks POP3.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    if probe.exchange.tls == Tls::Start {
        let (stream, greeting) = probe.start_tls(start_tls)?;
        return log_in_and_out(&mut Lines::new(stream), &greeting, probe.exchange);
    }
    talk(probe.stream()?, probe.exchange)
}

pub(super) fn talk<S: Read + Write>(stream: S, exchange: &Exchange) -> Result<(), Failure> {
    let mut lines = Lines::new(stream);
    let greeting = read_status(&mut lines)?.map_err(Failure::Rejected)?;
    log_in_and_out(&mut lines, &greeting, exchange)
}

/// RFC 2595, section 4. Returns the greeting's words.
fn start_tls<S: Read + Write>(lines: &mut Lines<S>) -> Result<String, Failure> {
    let greeting = read_status(lines)?.map_err(Failure::Rejected)?;
    lines.send("STLS\r\n")?;
    read_status(lines)?.map_err(Failure::no_tls)?;
    Ok(greeting)
}

fn log_in_and_out<S: Read + Write>(
    lines: &mut Lines<S>,
    greeting: &str,
    exchange: &Exchange,
) -> Result<(), Failure> {
    if !exchange.login.is_empty() {
        log_in(lines, greeting, &exchange.login, &exchange.passwd)?;
    }
    // A courtesy, which also unlocks the mailbox; what is answered changes nothing.
    let _ = lines.send("QUIT\r\n").and_then(|()| lines.read_line().map(drop));
    Ok(())
}

/// The words after `+OK`, or those after `-ERR`.
fn read_status<S: Read + Write>(lines: &mut Lines<S>) -> Result<Result<String, String>, Failure> {
    let line = lines.read_line()?;
    if let Some(words) = line.strip_prefix(b"+OK") {
        Ok(Ok(Failure::text(words.trim_ascii_start())))
    } else if let Some(words) = line.strip_prefix(b"-ERR") {
        Ok(Err(Failure::text(words.trim_ascii_start())))
    } else {
        Err(Failure::Protocol("neither +OK nor -ERR".into()))
    }
}

fn log_in<S: Read + Write>(
    lines: &mut Lines<S>,
    greeting: &str,
    login: &str,
    password: &str,
) -> Result<(), Failure> {
    // One try with a digest, for a server may make every further try wait longer.
    let accepted = match time_stamp(greeting) {
        Some(stamp) => apop(lines, stamp, login, password)?,
        None => offers_cram_md5(lines)? && cram_md5(lines, login, password)?,
    };
    if accepted {
        return Ok(());
    }
    lines.send(format!("USER {login}\r\n"))?;
    read_status(lines)?.map_err(Failure::LoginRefused)?;
    lines.send(format!("PASS {}\r\n", secret(password)))?;
    read_status(lines)?.map(drop).map_err(Failure::LoginRefused)
}

/// The time stamp of a greeting that invites APOP: an address in angle brackets (RFC 1939 section 7).
pub fn time_stamp(greeting: &str) -> Option<&str> {
    let begin = greeting.find('<')?;
    let end = begin + greeting[begin..].find('>')?;
    let stamp = &greeting[begin..=end];
    stamp.contains('@').then_some(stamp)
}

/// RFC 1939 section 7. Whether it was accepted.
fn apop<S: Read + Write>(
    lines: &mut Lines<S>,
    stamp: &str,
    login: &str,
    password: &str,
) -> Result<bool, Failure> {
    let digest = hex(&Md5::new().chain_update(stamp).chain_update(password).finalize());
    lines.send(format!("APOP {login} {}\r\n", secret(&digest)))?;
    Ok(read_status(lines)?.is_ok())
}

/// RFC 2449: the capabilities, one a line, up to a dot.
fn offers_cram_md5<S: Read + Write>(lines: &mut Lines<S>) -> Result<bool, Failure> {
    lines.send("CAPA\r\n")?;
    if read_status(lines)?.is_err() {
        return Ok(false);
    }
    let mut offered = false;
    loop {
        let line = lines.read_line()?;
        if line == b"." {
            return Ok(offered);
        }
        let text = String::from_utf8_lossy(line).to_ascii_uppercase();
        let mut words = text.split(' ');
        offered |= words.next() == Some("SASL") && words.any(|word| word == "CRAM-MD5");
    }
}

/// RFC 2195 in the frame of RFC 5034. Whether it was accepted.
fn cram_md5<S: Read + Write>(
    lines: &mut Lines<S>,
    login: &str,
    password: &str,
) -> Result<bool, Failure> {
    lines.send("AUTH CRAM-MD5\r\n")?;
    let Some(challenge) = lines.read_line()?.strip_prefix(b"+ ") else {
        return Ok(false);
    };
    let challenge = String::from_utf8_lossy(challenge).into_owned();
    let Ok(challenge) = base64::decode_block(challenge.trim()) else {
        return Err(Failure::Protocol("a challenge that is not base64".into()));
    };
    let mut mac =
        Hmac::<Md5>::new_from_slice(password.as_bytes()).expect("a key of any length is taken");
    mac.update(&challenge);
    let answer = format!("{login} {}", hex(&mac.finalize().into_bytes()));
    lines.send(format!("{}\r\n", secret(&base64::encode_block(answer.as_bytes()))))?;
    Ok(read_status(lines)?.is_ok())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::super::tests::exchange;
    use super::*;
    use crate::model::Service;

    fn with_login(login: &str, passwd: &str) -> Exchange {
        Exchange { login: login.into(), passwd: passwd.into(), ..exchange(Service::Pop) }
    }

    #[test]
    fn without_login_the_greeting_decides() {
        let cases = [
            ("+OK ready\r\n+OK bye\r\n", "up", "QUIT\r\n"),
            ("+OK\r\n", "up", "QUIT\r\n"),
            ("-ERR no\r\n", "rejected: no", ""),
            ("* OK IMAP\r\n", "not a proper answer: neither +OK nor -ERR", ""),
            ("", "connection closed by the server", ""),
        ];
        for (answers, expected, sent) in cases {
            let mut server = Script::new(answers);
            assert_eq!(verdict(talk(&mut server, &with_login("", ""))), expected, "{answers}");
            assert_eq!(server.heard(), sent);
        }
    }

    #[test]
    fn with_login_its_answer_decides() {
        let user_pass = "CAPA\r\nUSER u\r\nPASS p\r\n";
        let cases = [
            ("-ERR what?\r\n+OK\r\n+OK in\r\n", "up", user_pass),
            ("+OK\r\nTOP\r\nSASL PLAIN\r\n.\r\n+OK\r\n+OK in\r\n", "up", user_pass),
            ("-ERR\r\n+OK\r\n-ERR wrong\r\n", "login refused: wrong", user_pass),
            ("-ERR\r\n-ERR no user\r\n", "login refused: no user", "CAPA\r\nUSER u\r\n"),
            ("+OK\r\nendless\r\n", "connection closed by the server", "CAPA\r\n"),
        ];
        for (answers, expected, sent) in cases {
            let mut server = Script::new(format!("+OK hi\r\n{answers}"));
            assert_eq!(verdict(talk(&mut server, &with_login("u", "p"))), expected, "{answers}");
            assert!(server.heard().starts_with(sent), "{}", server.heard());
        }
    }

    /// The example of RFC 1939 section 7.
    #[test]
    fn a_time_stamp_in_the_greeting_invites_apop() {
        let greeting = "+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n";
        let mut server = Script::new(format!("{greeting}+OK in\r\n"));
        assert_eq!(verdict(talk(&mut server, &with_login("mrose", "tanstaaf"))), "up");
        assert!(server.heard().starts_with("APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n"));
        assert_eq!(time_stamp("a > b < c"), None);
        assert_eq!(time_stamp("<no at sign>"), None);
    }

    /// The example of RFC 2195 section 2.
    #[test]
    fn cram_md5_is_used_where_offered() {
        let challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
        let capabilities = "+OK hi\r\n+OK\r\nSASL CRAM-MD5 PLAIN\r\n.\r\n";
        let mut server = Script::new(format!("{capabilities}+ {challenge}\r\n+OK in\r\n"));
        assert_eq!(verdict(talk(&mut server, &with_login("tim", "tanstaaftanstaaf"))), "up");
        let answer = "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw";
        assert_eq!(server.heard(), format!("CAPA\r\nAUTH CRAM-MD5\r\n{answer}\r\nQUIT\r\n"));
    }

    #[test]
    fn a_refused_digest_falls_back_to_the_password() {
        let mut server = Script::new("+OK <1@a>\r\n-ERR no apop\r\n+OK\r\n+OK in\r\n");
        assert_eq!(verdict(talk(&mut server, &with_login("u", "p"))), "up");
        assert!(server.heard().ends_with("\r\nUSER u\r\nPASS p\r\nQUIT\r\n"));
    }
}
