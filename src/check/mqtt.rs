//! `service=mqtt`: CONNECT and CONNACK (MQTT 3.1.1, OASIS standard). An addition to the original.
//!
//! Up when the broker accepts the connection, of `login` and `passwd` if they are given.

use super::Failure;
use super::connect::Probe;
use super::datagram::nonce;
use super::transcript::secret;
use crate::model::Exchange;
use std::io::{Read, Write};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Flags of CONNECT (section 3.1.2.3).
const CLEAN_SESSION: u8 = 0x02;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// Connects, with TLS if `checktls` says so, and speaks MQTT.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    talk(probe.stream()?, probe.exchange)
}

pub(super) fn talk<S: Read + Write>(mut stream: S, exchange: &Exchange) -> Result<(), Failure> {
    // A broker ends the connection of another client with the same name (section 3.1.4).
    let client = format!("ldirectord{:08x}", u32::from_be_bytes(nonce()?));
    stream.write_all(&connect(&client, &exchange.login, &exchange.passwd)?)?;
    stream.flush()?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    let [CONNACK, 2, _session, code] = answer else {
        return Err(Failure::Protocol("no CONNACK of MQTT".into()));
    };
    // Section 3.2.2.3.
    match code {
        0 => {}
        1 => return Err(Failure::Rejected("protocol version not accepted".to_owned())),
        2 => return Err(Failure::Rejected("client identifier not accepted".to_owned())),
        3 => return Err(Failure::Rejected("server unavailable".to_owned())),
        4 => return Err(Failure::LoginRefused("bad user name or password".to_owned())),
        5 => return Err(Failure::LoginRefused("not authorized".to_owned())),
        other => return Err(Failure::Rejected(format!("return code {other}"))),
    }
    // A courtesy, without which the broker would take us for lost.
    let _ = stream.write_all(&DISCONNECT);
    Ok(())
}

fn connect(client: &str, login: &str, password: &str) -> Result<Vec<u8>, Failure> {
    let mut flags = CLEAN_SESSION;
    let mut body = string("MQTT")?;
    let mut payload = string(client)?;
    if !login.is_empty() {
        flags |= USER_NAME;
        payload.extend(string(login)?);
        // Section 3.1.2.9: no password without a name.
        if !password.is_empty() {
            flags |= PASSWORD;
            payload.extend(string(secret(password))?);
        }
    }
    // Level 4; a minute of silence would be allowed.
    body.extend_from_slice(&[4, flags, 0, 60]);
    body.extend(payload);
    let mut packet = vec![CONNECT];
    // Section 2.2.3: seven bits a byte, the lowest first.
    let mut length = body.len();
    while length > 0x7f {
        packet.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend(body);
    Ok(packet)
}

/// Section 1.5.3.
fn string(text: &str) -> Result<Vec<u8>, Failure> {
    let length = u16::try_from(text.len())
        .map_err(|_| Failure::Config("login or passwd: too long for MQTT".into()))?;
    Ok([&length.to_be_bytes(), text.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::Service;

    #[test]
    fn the_return_code_decides() {
        for (answer, expected) in [
            (&b"\x20\x02\0\0"[..], "up"),
            (b"\x20\x02\0\x05", "login refused: not authorized"),
            (b"\x20\x02\0\x03", "rejected: server unavailable"),
            (b"\x20\x02\0\x63", "rejected: return code 99"),
            (b"HTTP/1.1 400", "not a proper answer: no CONNACK of MQTT"),
            (b"\x20", "connection closed by the server"),
        ] {
            let outcome = talk(Script::new(answer), &exchange(Service::Mqtt));
            assert_eq!(verdict(outcome), expected, "{answer:?}");
        }
    }

    #[test]
    fn connect_has_the_bytes_of_the_standard() {
        assert_eq!(connect("me", "", "x").unwrap(), b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02me");
        assert_eq!(
            connect("me", "u", "pw").unwrap(),
            b"\x10\x15\0\x04MQTT\x04\xc2\0\x3c\0\x02me\0\x01u\0\x02pw"
        );
        let long = connect("me", &"u".repeat(200), "").unwrap();
        assert_eq!(long[..3], [0x10, 0xd8, 0x01]);
        assert!(connect("me", &"u".repeat(70_000), "").is_err());
    }
}
