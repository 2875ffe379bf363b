//! `service=smtp`, `service=submission`: greeting and EHLO (RFC 5321, RFC 6409).
//!
//! Up when the greeting and EHLO, or HELO if EHLO is refused, are answered with 2xx.

use super::Failure;
use super::connect::Probe;
use super::line::Lines;
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
    talk(probe.tcp()?)
}

pub(super) fn talk<S: Read + Write>(stream: S) -> Result<(), Failure> {
    let mut lines = Lines::new(stream);
    let greeting = lines.read_reply()?;
    if !greeting.is_success() {
        return Err(greeting.rejected());
    }
    lines.send(format!("EHLO {OUR_NAME}\r\n"))?;
    if !lines.read_reply()?.is_success() {
        lines.send(format!("HELO {OUR_NAME}\r\n"))?;
        let hello = lines.read_reply()?;
        if !hello.is_success() {
            return Err(hello.rejected());
        }
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
