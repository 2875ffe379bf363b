//! `service=nntp`: the greeting (RFC 3977 section 5.1).
//!
//! Up when the first byte is `2`. Nothing is sent, but for STARTTLS (RFC 4642) with
//! `checktls = starttls`.

use super::Failure;
use super::connect::Probe;
use super::line::Lines;
use crate::model::Tls;
use std::io::{Read, Write};

/// Connects and looks at the beginning of the greeting.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    if probe.exchange.tls == Tls::Start {
        return probe.start_tls(start_tls).map(drop);
    }
    talk(probe.stream()?)
}

fn start_tls<S: Read + Write>(lines: &mut Lines<S>) -> Result<(), Failure> {
    lines.read_reply()?.accepted()?;
    lines.send("STARTTLS\r\n")?;
    let reply = lines.read_reply()?;
    if reply.code == 382 { Ok(()) } else { Err(Failure::no_tls(reply)) }
}

// compat: not the line but its beginning decides, in one read of up to 64 bytes (spec 4.4)
pub(super) fn talk<S: Read>(mut stream: S) -> Result<(), Failure> {
    let mut greeting = [0; 64];
    let greeting = match stream.read(&mut greeting)? {
        0 => return Err(Failure::Closed),
        count => &greeting[..count],
    };
    match greeting[0] {
        b'2' => Ok(()),
        b'1'..=b'5' => Err(Failure::Rejected(Failure::text(greeting))),
        _ => Err(Failure::Protocol("the greeting does not begin with three digits".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;

    #[test]
    fn only_an_invitation_starts_tls() {
        for (answers, expected) in [
            ("200 a\r\n382 go\r\n", "up"),
            ("200 a\r\n580 no\r\n", "TLS handshake failed: refused: 580 no"),
            ("400 down\r\n", "rejected: 400 down"),
        ] {
            assert_eq!(verdict(start_tls(&mut Lines::new(Script::new(answers)))), expected);
        }
    }

    #[test]
    fn the_first_byte_decides() {
        let cases = [
            ("200 ready", "up"),
            ("201 no posting\r\n", "up"),
            ("2", "up"),
            ("400 down\r\n", "rejected: 400 dow"),
            ("hello\r\n", "not a proper answer: the greeting does not begin with three digits"),
            ("", "connection closed by the server"),
        ];
        for (greeting, expected) in cases {
            let mut server = Script::new(greeting);
            assert_eq!(verdict(talk(&mut server)), expected, "{greeting}");
            assert_eq!(server.heard(), "");
        }
    }
}
