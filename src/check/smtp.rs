//! `service=smtp`, `service=submission`: greeting and EHLO (RFC 5321, RFC 6409).
//!
//! Up when the greeting and EHLO, or HELO if EHLO is refused, are answered with 2xx. With
//! `checktls = starttls`, EHLO is said again behind the handshake (RFC 3207).

use super::Failure;
use super::connect::Probe;
use super::line::Lines;
use crate::model::Tls;
use std::io::{Read, Write};

/// The name we give. A server that demands a real one (RFC 5321 section 4.1.4 forbids it to) would
/// have to be told.
// compat: the original's name (spec 4.4)
const OUR_NAME: &str = "localhost.localdomain";

/// Connects and speaks SMTP.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    if probe.exchange.tls == Tls::Start {
        let (stream, ()) = probe.start_tls(start_tls)?;
        return say_hello_and_goodbye(&mut Lines::new(stream));
    }
    talk(probe.stream()?)
}

pub(super) fn talk<S: Read + Write>(stream: S) -> Result<(), Failure> {
    let mut lines = Lines::new(stream);
    read_greeting(&mut lines)?;
    say_hello_and_goodbye(&mut lines)
}

fn start_tls<S: Read + Write>(lines: &mut Lines<S>) -> Result<(), Failure> {
    read_greeting(lines)?;
    lines.send(format!("EHLO {OUR_NAME}\r\n"))?;
    lines.read_reply()?.accepted()?;
    lines.send("STARTTLS\r\n")?;
    let reply = lines.read_reply()?;
    if reply.code == 220 { Ok(()) } else { Err(Failure::no_tls(reply)) }
}

fn read_greeting<S: Read + Write>(lines: &mut Lines<S>) -> Result<(), Failure> {
    lines.read_reply()?.accepted().map(drop)
}

fn say_hello_and_goodbye<S: Read + Write>(lines: &mut Lines<S>) -> Result<(), Failure> {
    lines.send(format!("EHLO {OUR_NAME}\r\n"))?;
    if !lines.read_reply()?.is_success() {
        lines.send(format!("HELO {OUR_NAME}\r\n"))?;
        lines.read_reply()?.accepted()?;
    }
    // A courtesy; what is answered changes nothing.
    let _ = lines.send("QUIT\r\n").and_then(|()| lines.read_reply());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;

    #[test]
    fn only_an_invitation_starts_tls() {
        for (answers, expected) in [
            ("220 a\r\n250 b\r\n220 go\r\n", "up"),
            ("220 a\r\n250 b\r\n454 no\r\n", "TLS handshake failed: refused: 454 no"),
            ("220 a\r\n250 b\r\n250 what\r\n", "TLS handshake failed: refused: 250 what"),
            ("220 a\r\n502 b\r\n", "rejected: 502 b"),
        ] {
            assert_eq!(verdict(start_tls(&mut Lines::new(Script::new(answers)))), expected);
        }
    }

    #[test]
    fn greeting_and_hello_decide() {
        const EHLO: &str = "EHLO localhost.localdomain\r\n";
        const HELO: &str = "HELO localhost.localdomain\r\n";
        const QUIT: &str = "QUIT\r\n";
        let cases: [(&str, &str, &[&str]); 6] = [
            ("220 a ESMTP\r\n250-a\r\n250 SIZE 1\r\n221 bye\r\n", "up", &[EHLO, QUIT]),
            ("220-a\r\n220 b\r\n502 x\r\n250 a\r\n221 bye\r\n", "up", &[EHLO, HELO, QUIT]),
            // The farewell is a courtesy on both sides.
            ("220 a\r\n250 b\r\n", "up", &[EHLO, QUIT]),
            ("554 no service\r\n", "rejected: 554 no service", &[]),
            ("220 a\r\n502 x\r\n421 busy\r\n", "rejected: 421 busy", &[EHLO, HELO]),
            ("220 a\r\n250-b\r\n", "connection closed by the server", &[EHLO]),
        ];
        for (answers, expected, sent) in cases {
            let mut server = Script::new(answers);
            assert_eq!(verdict(talk(&mut server)), expected, "{answers}");
            assert_eq!(server.heard(), sent.concat(), "{answers}");
        }
    }
}
