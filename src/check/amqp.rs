//! `service=amqp`: the handshake of a broker (AMQP 0-9-1, as RabbitMQ speaks it). An addition to the
//! original.
//!
//! Up when the broker begins a connection and, if `login` is given, takes the login.

use super::Failure;
use super::connect::Probe;
use super::transcript::secret;
use crate::model::Exchange;
use std::io::{Read, Write};

/// Section 4.2.2 of the specification.
const HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// Bytes of one frame; a broker's first frames have a few hundred.
const FRAME_LIMIT: usize = 64 * 1024;

const METHOD: u8 = 1;
const FRAME_END: u8 = 0xce;

/// Class and method.
const START: [u8; 4] = [0, 10, 0, 10];
const START_OK: [u8; 4] = [0, 10, 0, 11];
const TUNE: [u8; 4] = [0, 10, 0, 30];
const CLOSE: [u8; 4] = [0, 10, 0, 50];

/// With this, RabbitMQ says why it refuses a login, instead of closing.
const CAPABILITY: &str = "authentication_failure_close";

/// Connects, with TLS if `checktls` says so, and speaks AMQP.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    talk(probe.stream()?, probe.exchange)
}

pub(super) fn talk<S: Read + Write>(mut stream: S, exchange: &Exchange) -> Result<(), Failure> {
    stream.write_all(&HEADER)?;
    stream.flush()?;
    let start = read_method(&mut stream)?;
    if !start.starts_with(&START) {
        return Err(close_or(
            &start,
            "the connection does not begin with Start",
            Failure::Rejected,
        ));
    }
    if exchange.login.is_empty() {
        return Ok(());
    }
    stream.write_all(&start_ok(&exchange.login, &exchange.passwd)?)?;
    stream.flush()?;
    let tune = read_method(&mut stream)?;
    match tune.starts_with(&TUNE) {
        true => Ok(()),
        false => Err(close_or(&tune, "no answer to the login", Failure::LoginRefused)),
    }
}

/// The words of Close, else that this is no answer.
fn close_or(
    method: &[u8],
    otherwise: &'static str,
    refused: impl FnOnce(String) -> Failure,
) -> Failure {
    let words = || {
        let (code, rest) = method.strip_prefix(&CLOSE)?.split_first_chunk::<2>()?;
        let (&length, rest) = rest.split_first()?;
        let text = rest.get(..usize::from(length))?;
        Some(format!("{} {}", u16::from_be_bytes(*code), Failure::text(text)))
    };
    words().map_or(Failure::Protocol(otherwise.into()), refused)
}

/// What a method frame of the connection itself holds.
fn read_method<S: Read>(stream: &mut S) -> Result<Vec<u8>, Failure> {
    let mut head = [0; 8];
    stream.read_exact(&mut head[..7])?;
    // A broker that does not speak 0-9-1 says what it speaks, and closes.
    if head.starts_with(b"AMQP") {
        return Err(Failure::Rejected("the broker does not speak AMQP 0-9-1".to_owned()));
    }
    let [kind, channel_high, channel_low, length @ .., _] = head;
    if (kind, channel_high, channel_low) != (METHOD, 0, 0) {
        return Err(Failure::Protocol("not a frame of AMQP".into()));
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_LIMIT {
        return Err(Failure::TooLong);
    }
    let mut payload = vec![0; length + 1];
    stream.read_exact(&mut payload)?;
    match payload.pop() {
        Some(FRAME_END) => Ok(payload),
        _ => Err(Failure::Protocol("not a frame of AMQP".into())),
    }
}

/// Login by PLAIN (RFC 4616).
fn start_ok(login: &str, password: &str) -> Result<Vec<u8>, Failure> {
    let capabilities = [&short(CAPABILITY)[..], b"t\x01"].concat();
    let properties = [&short("capabilities")[..], b"F", &long(&capabilities)?].concat();
    secret(password);
    let response = format!("\0{login}\0{password}");
    let payload = [
        &START_OK[..],
        &long(&properties)?,
        &short("PLAIN"),
        &long(secret(response.as_bytes()))?,
        &short("en_US"),
    ]
    .concat();
    let mut frame = vec![METHOD, 0, 0];
    frame.extend(long(&payload)?);
    frame.push(FRAME_END);
    Ok(frame)
}

/// Of names of our own, which are short.
fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let length = u32::try_from(bytes.len())
        .map_err(|_| Failure::Config("login or passwd: too long for AMQP".into()))?;
    Ok([&length.to_be_bytes(), bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::Service;

    fn frame(payload: &[u8]) -> Vec<u8> {
        [&[METHOD, 0, 0], &long(payload).unwrap()[..], &[FRAME_END]].concat()
    }

    #[test]
    fn the_handshake_decides() {
        let start = frame(b"\0\x0a\0\x0a\0\x09");
        let close = frame(b"\0\x0a\0\x32\x01\x93\x0eACCESS_REFUSED\0\0\0\0");
        let with = |second: Vec<u8>| [start.clone(), second].concat();
        for (login, answer, expected) in [
            ("", start.clone(), "up"),
            ("guest", with(frame(b"\0\x0a\0\x1e\x07\xff")), "up"),
            ("guest", with(close.clone()), "login refused: 403 ACCESS_REFUSED"),
            ("guest", start.clone(), "connection closed by the server"),
            ("", close, "rejected: 403 ACCESS_REFUSED"),
            ("", b"AMQP\x03\x01\0\0".to_vec(), "rejected: the broker does not speak AMQP 0-9-1"),
            ("", b"HTTP/1.1 400".to_vec(), "not a proper answer: not a frame of AMQP"),
            ("", b"\x01\0\0\xff\xff\xff\xff".to_vec(), "answer too long"),
        ] {
            let exchange = Exchange { login: login.to_owned(), ..exchange(Service::Amqp) };
            let outcome = talk(Script::new(answer), &exchange);
            assert_eq!(verdict(outcome), expected);
        }
    }
}
