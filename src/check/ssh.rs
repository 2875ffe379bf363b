//! `service=ssh`: the server's identification (RFC 4253, section 4.2). An addition to the original.
//!
//! Up when it is one of SSH 2 and, if `receive` is given, matches it. Nobody logs in.

use super::Failure;
use super::connect::Probe;
use super::line::Lines;
use super::transcript::expect;
use crate::model::Exchange;
use std::io::{Read, Write};

/// Connects and reads what the server says it is.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    talk(probe.stream()?, probe.exchange)
}

pub(super) fn talk<S: Read + Write>(stream: S, exchange: &Exchange) -> Result<(), Failure> {
    let mut lines = Lines::new(stream);
    // Other lines may come before it.
    let identification = loop {
        let line = lines.read_line()?;
        if line.starts_with(b"SSH-") {
            break line.to_vec();
        }
    };
    // A server logs a client that does not say who it is.
    let _ = lines.send("SSH-2.0-ldirectord\r\n");
    // Section 5.1: 1.99 speaks 2.0 as well.
    if !identification.starts_with(b"SSH-2.0-") && !identification.starts_with(b"SSH-1.99-") {
        return Err(Failure::Rejected(Failure::text(&identification)));
    }
    expect(exchange.receive.as_ref(), &identification)
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::{Pattern, Service};

    #[test]
    fn the_identification_decides() {
        for (receive, answer, expected) in [
            (None, "SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "up"),
            (None, "be welcome\r\nSSH-1.99-x\r\n", "up"),
            (Some("OpenSSH"), "SSH-2.0-OpenSSH_9.2p1\r\n", "up"),
            (Some("Dropbear"), "SSH-2.0-OpenSSH_9.2p1\r\n", "answer does not match receive"),
            (None, "SSH-1.5-old\r\n", "rejected: SSH-1.5-old"),
            (None, "220 mail\r\n", "connection closed by the server"),
        ] {
            let exchange = Exchange {
                receive: receive.map(|source| Pattern::new(source).unwrap()),
                ..exchange(Service::Ssh)
            };
            assert_eq!(verdict(talk(Script::new(answer), &exchange)), expected, "{answer:?}");
        }
    }
}
