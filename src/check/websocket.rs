//! `service=websocket`: the handshake (RFC 6455, section 4). An addition to the original.
//!
//! Up when the server switches to the protocol for a GET of `request`, and proves that it means it.

use super::Failure;
use super::connect::Probe;
use super::datagram::nonce;
use super::line::Lines;
use crate::model::Exchange;
use openssl::base64::encode_block;
use openssl::sha::sha1;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};

/// Section 1.3.
const PROOF: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A close frame, masked as a client's must be (sections 5.5.1, 5.3).
const CLOSE: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

/// Connects, with TLS if `checktls` says so, and shakes hands.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    let target = probe.target;
    talk(probe.stream()?, probe.exchange, target)
}

pub(super) fn talk<S: Read + Write>(
    stream: S,
    exchange: &Exchange,
    target: SocketAddr,
) -> Result<(), Failure> {
    let key = encode_block(&nonce::<16>()?);
    let mut lines = Lines::new(stream);
    lines.send(request(exchange, target, &key))?;
    let first = lines.read_line()?.to_vec();
    let (code, phrase) =
        status(&first).ok_or(Failure::Protocol("not an answer of HTTP/1.1".into()))?;
    if code != 101 {
        return Err(Failure::Status { code, phrase });
    }
    let mut accepted = None;
    loop {
        let line = lines.read_line()?;
        if line.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(line);
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("Sec-WebSocket-Accept")
        {
            accepted = Some(value.trim().to_owned());
        }
    }
    if accepted.as_deref() != Some(&proof(&key)) {
        return Err(Failure::Protocol("the answer has no right Sec-WebSocket-Accept".into()));
    }
    // A courtesy.
    let _ = lines.send(CLOSE);
    Ok(())
}

fn request(exchange: &Exchange, target: SocketAddr, key: &str) -> String {
    let host = exchange.virtual_host.clone().unwrap_or_else(|| match target.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    });
    let mut request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
        exchange.request
    );
    for (name, value) in &exchange.http.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request
}

fn proof(key: &str) -> String {
    encode_block(&sha1(format!("{key}{PROOF}").as_bytes()))
}

fn status(line: &[u8]) -> Option<(u16, String)> {
    let line = String::from_utf8_lossy(line);
    let rest = line.strip_prefix("HTTP/1.1 ")?;
    let (code, phrase) = rest.split_at_checked(3)?;
    Some((code.parse().ok()?, Failure::text(phrase.trim().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::Service;

    #[test]
    fn the_proof_is_the_one_of_the_standard() {
        assert_eq!(proof("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_who_switches_and_proves_it_is_up() {
        let target = "[2001:db8::1]:80".parse().unwrap();
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "status 200 OK"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", "status 404 Not Found"),
            (
                "HTTP/1.1 101 Switching\r\nsec-websocket-accept: x\r\n\r\n",
                "not a proper answer: the answer has no right Sec-WebSocket-Accept",
            ),
            ("HTTP/1.1 101 Switching\r\n", "connection closed by the server"),
            ("SSH-2.0-x\r\n", "not a proper answer: not an answer of HTTP/1.1"),
        ] {
            let mut server = Script::new(answer);
            let outcome = talk(&mut server, &exchange(Service::Websocket), target);
            assert_eq!(verdict(outcome), expected, "{answer:?}");
            assert!(server.heard().starts_with("GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n"));
        }
    }
}
