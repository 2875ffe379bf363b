//! `service=sip`: an OPTIONS request (RFC 3261 section 11).
//!
//! Up when the answer's first line begins with `SIP/2.0 200 OK` and its headers come to an end. The
//! request goes to `login`; over UDP or TCP, as the virtual service's protocol is.

use super::Failure;
use super::connect::Probe;
use super::datagram::{Heard, ask, nonce};
use super::line::Lines;
use crate::model::{Tls, Transport};
use std::io::{Read, Write};
use std::net::SocketAddr;

/// Asks the server.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    let login = probe.exchange.login.as_str();
    if probe.exchange.transport == Transport::Tcp {
        let stream = probe.tcp()?;
        let request = options(login, stream.tcp().local_addr()?)?;
        return match probe.exchange.tls {
            Tls::Yes => talk(probe.upgrade(stream)?, &request),
            Tls::No | Tls::Start => talk(stream, &request),
        };
    }
    let udp = probe.udp()?;
    let request = options(login, udp.local_addr()?)?;
    ask(&udp, probe.deadline, request.as_bytes(), judge)?
}

/// The request.
// compat: the original's fields; "UDP" in Via even over TCP, which servers pass over since they
// answer on the connection (spec 10.4, K23). Branch, tag and Call-ID are new for every request.
fn options(login: &str, local: SocketAddr) -> Result<String, Failure> {
    let [branch, tag, call] = [nonce::<8>()?, nonce()?, nonce()?]
        .map(|bytes| format!("{:016x}", u64::from_be_bytes(bytes)));
    Ok(format!(
        "OPTIONS sip:{login} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {local};branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\n\
         To: <sip:{login}>\r\n\
         From: <sip:{login}>;tag={tag}\r\n\
         Call-ID: {call}\r\n\
         CSeq: 63104 OPTIONS\r\n\
         Contact: <sip:{login}>\r\n\
         Accept: application/sdp\r\n\
         Content-Length: 0\r\n\r\n"
    ))
}

/// Over a stream: headers up to an empty line or the end; provisional answers (1xx) come before the
/// answer (section 7.2).
pub(super) fn talk<S: Read + Write>(stream: S, request: &str) -> Result<(), Failure> {
    let mut lines = Lines::new(stream);
    lines.send(request)?;
    loop {
        let first = lines.read_line()?.to_vec();
        let status = Status::of(&first);
        if let Status::Other(failure) = status {
            return Err(failure);
        }
        while lines.read_raw_line()?.is_some_and(|line| !line.trim_ascii().is_empty()) {}
        if status == Status::Up {
            return Ok(());
        }
    }
}

/// What a datagram is to the request: a whole message, so that its end is the end of its headers.
pub fn judge(datagram: &[u8]) -> Heard<Result<(), Failure>> {
    let first = datagram.split(|&byte| byte == b'\n').next().unwrap_or_default();
    match Status::of(first.strip_suffix(b"\r").unwrap_or(first)) {
        Status::Up => Heard::Answer(Ok(())),
        Status::Provisional => Heard::Stray,
        Status::Other(failure) => Heard::Answer(Err(failure)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Status {
    Up,
    Provisional,
    Other(Failure),
}

impl Status {
    fn of(line: &[u8]) -> Self {
        if line.starts_with(b"SIP/2.0 200 OK") {
            Self::Up
        } else if line.starts_with(b"SIP/2.0 1") {
            Self::Provisional
        } else if let Some(words) = line.strip_prefix(b"SIP/2.0 ") {
            Self::Other(Failure::Rejected(Failure::text(words)))
        } else {
            Self::Other(Failure::Protocol("not a SIP status line".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;

    #[test]
    fn the_status_line_decides() {
        let no_line = "not a proper answer: not a SIP status line";
        let cases = [
            ("SIP/2.0 200 OK\r\nTo: x\r\n\r\n", "up", "up"),
            ("SIP/2.0 200 OKAY\r\n\r\n", "up", "up"),
            ("SIP/2.0 100 Trying\r\nTo: x\r\n\r\nSIP/2.0 200 OK\r\n\r\n", "up", "stray"),
            ("SIP/2.0 200 OK\r\nTo: x\r\n", "up", "up"),
            ("SIP/2.0 200 Fine\r\n\r\n", "rejected: 200 Fine", "rejected: 200 Fine"),
            ("SIP/2.0 404 Not Found\r\n\r\n", "rejected: 404 Not Found", "rejected: 404 Not Found"),
            ("HTTP/1.1 200 OK\r\n\r\n", no_line, no_line),
            ("", "connection closed by the server", no_line),
        ];
        for (answer, over_stream, over_datagram) in cases {
            let mut server = Script::new(answer);
            assert_eq!(verdict(talk(&mut server, "?")), over_stream, "{answer}");
            let judged = match judge(answer.as_bytes()) {
                Heard::Answer(outcome) => verdict(outcome),
                Heard::Stray => "stray".to_owned(),
                Heard::Suspect(failure) => failure.to_string(),
            };
            assert_eq!(judged, over_datagram, "{answer}");
        }
    }

    #[test]
    fn the_request_has_the_originals_fields() {
        let request = options("a@b.example", "[2001:db8::1]:4711".parse().unwrap()).unwrap();
        let lines: Vec<_> = request.split("\r\n").collect();
        assert_eq!(lines[0], "OPTIONS sip:a@b.example SIP/2.0");
        assert!(lines[1].starts_with("Via: SIP/2.0/UDP [2001:db8::1]:4711;branch=z9hG4bK"));
        assert!(lines[4].starts_with("From: <sip:a@b.example>;tag="));
        assert_eq!(lines[5].len(), "Call-ID: ".len() + 16);
        assert!(request.ends_with("Content-Length: 0\r\n\r\n"));
    }
}
