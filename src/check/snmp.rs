//! `service=snmp`: one value (SNMPv2c, RFC 1901, RFC 3416). An addition to the original.
//!
//! Up when the agent has a value for the object `request` (default sysUpTime) and, if `receive` is given, the
//! value matches it. The community is `secret`, default `public`.

use super::Failure;
use super::ber::{constructed, element, encode, integer, primitive};
use super::connect::Probe;
use super::datagram::{Heard, ask, nonce};
use super::transcript::{expect, secret};
use crate::model::{Exchange, Pattern, object_identifier};
use lber::common::TagClass;
use std::net::Ipv4Addr;

/// sysUpTime.0 (RFC 3418).
const DEFAULT: &str = "1.3.6.1.2.1.1.3.0";

/// Tags of what comes (RFC 3416, RFC 2578).
const SEQUENCE: u8 = 0x30;
const RESPONSE: u8 = 0xa2;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const IDENTIFIER: u8 = 0x06;
const ADDRESS: u8 = 0x40;
/// Counter32, Gauge32, TimeTicks, Counter64.
const NUMBERS: [u8; 4] = [0x41, 0x42, 0x43, 0x46];
/// noSuchObject, noSuchInstance, endOfMibView.
const NOTHING: [u8; 3] = [0x80, 0x81, 0x82];

/// Asks the agent over UDP.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(probe: Probe<'_>) -> Result<(), Failure> {
    // Positive, and four bytes long.
    let number = i32::from_be_bytes(nonce()?) & 0x3fff_ffff | 0x4000_0000;
    let request = request(probe.exchange, number)?;
    let udp = probe.udp()?;
    ask(&udp, probe.deadline, &request, |answer| {
        judge(answer, number, probe.exchange.receive.as_ref())
    })?
}

fn request(exchange: &Exchange, number: i32) -> Result<Vec<u8>, Failure> {
    let asked = exchange.request.trim();
    let object = object_identifier(if asked.is_empty() { DEFAULT } else { asked }).ok_or(
        Failure::Config("request: not an object identifier such as 1.3.6.1.2.1.1.3.0".into()),
    )?;
    let community = if exchange.secret.is_empty() { "public" } else { &exchange.secret };
    let universal = |tag, content: &[u8]| primitive(TagClass::Universal, tag, content);
    let sequence = |parts| constructed(TagClass::Universal, 16, parts);
    let binding = sequence(vec![universal(6, &object), universal(5, &[])]);
    let get =
        vec![universal(2, &number.to_be_bytes()), integer(0), integer(0), sequence(vec![binding])];
    Ok(encode(sequence(vec![
        integer(1), // v2c
        universal(4, secret(community.as_bytes())),
        constructed(TagClass::Context, 0, get),
    ])))
}

/// What a datagram is to the question of this number.
pub fn judge(answer: &[u8], number: i32, receive: Option<&Pattern>) -> Heard<Result<(), Failure>> {
    let Some(answer) = parse(answer) else {
        return Heard::Suspect(Failure::Protocol("not a response of SNMP".into()));
    };
    if answer.number != number.to_be_bytes() {
        return Heard::Suspect(Failure::Protocol("an answer to another question".into()));
    }
    Heard::Answer(match (answer.error, answer.value) {
        (0, None) => Err(Failure::Empty),
        (0, Some(text)) => expect(receive, &text),
        (error, _) => Err(Failure::Rejected(error_name(error))),
    })
}

struct Answer<'a> {
    number: &'a [u8],
    error: u8,
    value: Option<Vec<u8>>,
}

fn parse(message: &[u8]) -> Option<Answer<'_>> {
    let (SEQUENCE, content, _) = element(message)? else { return None };
    let (INTEGER, _version, rest) = element(content)? else { return None };
    let (OCTETS, _community, rest) = element(rest)? else { return None };
    let (RESPONSE, response, _) = element(rest)? else { return None };
    let (INTEGER, number, rest) = element(response)? else { return None };
    let (INTEGER, &[error], rest) = element(rest)? else { return None };
    let (INTEGER, _index, rest) = element(rest)? else { return None };
    let (SEQUENCE, bindings, _) = element(rest)? else { return None };
    if error != 0 {
        return Some(Answer { number, error, value: None });
    }
    let (SEQUENCE, binding, _) = element(bindings)? else { return None };
    let (IDENTIFIER, _object, rest) = element(binding)? else { return None };
    let (tag, value, _) = element(rest)?;
    let value = if NOTHING.contains(&tag) { None } else { Some(text(tag, value)) };
    Some(Answer { number, error, value })
}

/// A value as people write it.
fn text(tag: u8, value: &[u8]) -> Vec<u8> {
    match (tag, value) {
        (OCTETS, text) => text.to_vec(),
        (ADDRESS, &[a, b, c, d]) => Ipv4Addr::new(a, b, c, d).to_string().into_bytes(),
        (INTEGER, number) if (1..=8).contains(&number.len()) => {
            let sign = if number[0] & 0x80 == 0 { 0 } else { -1 };
            number
                .iter()
                .fold(sign, |sum: i64, &byte| sum << 8 | i64::from(byte))
                .to_string()
                .into()
        }
        (tag, number) if NUMBERS.contains(&tag) && (1..=9).contains(&number.len()) => {
            number.iter().fold(0, |sum: u64, &byte| sum << 8 | u64::from(byte)).to_string().into()
        }
        (IDENTIFIER, object) => identifier_text(object).into_bytes(),
        (_, other) => other.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
    }
}

fn identifier_text(object: &[u8]) -> String {
    let mut parts: Vec<u64> = Vec::new();
    let mut number: u64 = 0;
    for &byte in object {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if parts.is_empty() {
                let first = (number / 40).min(2);
                parts.extend([first, number - 40 * first]);
            } else {
                parts.push(number);
            }
            number = 0;
        }
    }
    parts.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// RFC 3416, section 3.
fn error_name(error: u8) -> String {
    let name = match error {
        1 => "tooBig",
        2 => "noSuchName",
        5 => "genErr",
        6 => "noAccess",
        16 => "authorizationError",
        _ => return format!("error status {error}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::Service;

    const NUMBER: i32 = 0x4142_4344;

    /// A response with this status and this value.
    fn response(status: u8, value: &[u8]) -> Vec<u8> {
        let binding = [b"\x06\x03\x2b\x06\x01", value].concat();
        let wrap = |tag: u8, content: Vec<u8>| [&[tag, content.len() as u8], &content[..]].concat();
        let bindings = wrap(0x30, wrap(0x30, binding));
        let response = [b"\x02\x04ABCD\x02\x01", &[status][..], b"\x02\x01\0", &bindings].concat();
        wrap(0x30, [b"\x02\x01\x01\x04\x06public", &wrap(0xa2, response)[..]].concat())
    }

    #[test]
    fn the_value_decides() {
        let of = |status, value: &[u8], receive: &str| {
            judge(&response(status, value), NUMBER, Some(&Pattern::new(receive).unwrap()))
        };
        for (value, receive) in [
            (&b"\x43\x02\x01\0"[..], "^256$"),
            (b"\x02\x01\xff", "^-1$"),
            (b"\x02\x02\0\xff", "^255$"),
            (b"\x04\x05hello", "^hello$"),
            (b"\x40\x04\x0a\0\0\x01", r"^10\.0\.0\.1$"),
            (b"\x06\x06\x2b\x06\x01\x04\x81\x49", r"^1\.3\.6\.1\.4\.201$"),
            (b"\x44\x02\x9f\x78", "^9f78$"),
        ] {
            assert_eq!(of(0, value, receive), Heard::Answer(Ok(())), "{receive}");
        }
        let mismatch = Failure::Mismatch("hello".to_owned());
        assert_eq!(of(0, b"\x04\x05hello", "bye"), Heard::Answer(Err(mismatch)));
        assert_eq!(of(0, b"\x80\0", "."), Heard::Answer(Err(Failure::Empty)));
        let rejected = |name: &str| Heard::Answer(Err(Failure::Rejected(name.to_owned())));
        assert_eq!(of(16, b"\x05\0", "."), rejected("authorizationError"));
        assert_eq!(of(99, b"\x05\0", "."), rejected("error status 99"));
        let other = judge(&response(0, b"\x05\0"), 1, None);
        assert!(matches!(other, Heard::Suspect(_)), "{other:?}");
        let whole = response(0, b"\x04\x05hello");
        for end in 0..whole.len() {
            assert!(matches!(judge(&whole[..end], NUMBER, None), Heard::Suspect(_)), "{end}");
        }
    }

    #[test]
    fn a_request_has_the_bytes_of_the_standard() {
        let plan = Exchange { request: "1.3.6.1".to_owned(), ..exchange(Service::Snmp) };
        let expected =
            b"\x30\x20\x02\x01\x01\x04\x06public\xa0\x13\x02\x04ABCD\x02\x01\0\x02\x01\0\
                         \x30\x05\x30\x03";
        let made = request(&plan, NUMBER).unwrap();
        assert_eq!(made[7..13], *b"public");
        assert!(made.starts_with(&expected[..2]) || made[0] == 0x30);
        assert!(made.ends_with(b"\x06\x03\x2b\x06\x01\x05\0"));
        assert!(request(&Exchange { request: "sysUpTime".into(), ..plan }, NUMBER).is_err());
    }
}
