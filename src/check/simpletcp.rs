//! simpletcp: a string sent, a pattern expected in a line of the answer; over TCP or UDP.

use super::connect::Probe;
use super::datagram::{self, Heard};
use super::line::Lines;
use super::transcript::{search, searched};
use super::{CheckOutcome, Deadline, Failure};
use crate::model::{Exchange, Pattern, Tls, Transport};
use std::io::{Read, Write};
use std::net::Shutdown;

/// Runs the check.
pub(super) fn check(mut probe: Probe<'_>) -> CheckOutcome {
    let exchange = probe.exchange;
    match exchange.transport {
        Transport::Tcp => over_tcp(&mut probe, exchange).into(),
        Transport::Udp => over_udp(&probe, exchange).into(),
    }
}

fn over_tcp(probe: &mut Probe<'_>, exchange: &Exchange) -> Result<(), Failure> {
    if exchange.tls == Tls::Yes {
        let mut stream = probe.tls()?;
        stream.write_all(&question(exchange))?;
        // Our side stays open: TLS servers answer nobody who has said goodbye.
        return talk(stream, exchange, probe.deadline);
    }
    let mut stream = probe.tcp()?;
    stream.write_all(&question(exchange))?;
    // The original ends its side, and servers wait for that. One that has closed already may
    // still have sent an answer.
    let _ = stream.tcp().shutdown(Shutdown::Write);
    talk(stream, exchange, probe.deadline)
}

/// Reads the answer, line by line until one matches.
///
/// # Errors
/// [`Failure::Mismatch`] with the first lines if none does, [`Failure::Closed`] if there are none.
pub(super) fn talk<S: Read + Write>(
    mut stream: S,
    exchange: &Exchange,
    deadline: Deadline,
) -> Result<(), Failure> {
    let Some(pattern) = &exchange.receive else {
        let count = stream.read(&mut [0])?;
        return if count > 0 { Ok(()) } else { Err(Failure::Closed) };
    };
    let mut lines = Lines::new(stream);
    let mut beginning = Vec::new();
    // compat: a match never spans lines (K22)
    while let Some(line) = lines.read_raw_line()? {
        if pattern.is_match(line) {
            searched(pattern, line, true);
            return Ok(());
        }
        // Many lines may have come at once, and a pattern may take its time with each.
        deadline.remaining()?;
        if beginning.len() < Failure::TEXT_LIMIT {
            beginning.extend_from_slice(line);
        }
    }
    if beginning.is_empty() {
        return Err(Failure::Closed);
    }
    searched(pattern, &beginning, false);
    Err(Failure::Mismatch(Failure::text(&beginning)))
}

fn over_udp(probe: &Probe<'_>, exchange: &Exchange) -> Result<(), Failure> {
    let socket = probe.udp()?;
    datagram::ask(&socket, probe.deadline, &question(exchange), |answer| {
        judge(answer, exchange.receive.as_ref())
    })
}

/// A datagram ends its last line, whether or not there is a line end.
fn judge(answer: &[u8], receive: Option<&Pattern>) -> Heard<()> {
    let Some(pattern) = receive else { return Heard::Answer(()) };
    if answer.split_inclusive(|&byte| byte == b'\n').any(|line| search(pattern, line)) {
        return Heard::Answer(());
    }
    Heard::Suspect(Failure::Mismatch(Failure::text(answer)))
}

/// The request without its slash; the two characters `\n` are a line end, nothing else is special.
fn question(exchange: &Exchange) -> Vec<u8> {
    let request = exchange.request.strip_prefix('/').unwrap_or(&exchange.request);
    request.replace("\\n", "\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::Service;
    use std::time::Duration;

    fn asking(request: &str, receive: Option<&str>) -> Exchange {
        Exchange {
            request: request.to_owned(),
            receive: receive.map(|source| Pattern::new(source).unwrap()),
            ..exchange(Service::Simpletcp)
        }
    }

    #[test]
    fn only_line_ends_are_unescaped() {
        assert_eq!(question(&asking("/PING\\n\\r\\t", None)), b"PING\n\\r\\t");
        assert_eq!(question(&asking("/", None)), b"");
    }

    #[test]
    fn one_line_must_match() {
        let deadline = Deadline::after(Duration::from_secs(60));
        for (receive, answer, expected) in [
            (Some("PONG"), "PONG\n", "up"),
            (Some("PONG"), "hello\n+PONG", "up"),
            (Some("PONG$"), "+PONG\n", "up"),
            (Some("PO.*NG"), "PO\nNG\n", "answer does not match receive"),
            (Some("PONG"), "", "connection closed by the server"),
            (None, "x", "up"),
            (None, "", "connection closed by the server"),
        ] {
            let outcome = talk(Script::new(answer), &asking("/", receive), deadline);
            assert_eq!(verdict(outcome), expected, "{receive:?} {answer:?}");
        }
    }

    #[test]
    fn a_datagram_needs_no_line_end() {
        let pattern = Pattern::new("^PONG$").unwrap();
        assert_eq!(judge(b"x\nPONG", Some(&pattern)), Heard::Answer(()));
        assert_eq!(judge(b"", None), Heard::Answer(()));
        assert!(matches!(judge(b"PING", Some(&pattern)), Heard::Suspect(_)));
    }
}
