//! `service=ldap`, `service=ldaps`: bind, and look for one entry (LDAPv3, RFC 4511).
//!
//! Up when a search of the entry named by `request` (leading `/` removed; empty is the server's
//! own entry) finds exactly one, and its name matches `receive`. The bind is simple with `login`
//! and `passwd` if both are given, else anonymous.

use super::ber::{constructed, element, encode, integer, primitive};
use super::connect::Probe;
use super::transcript::{expect, secret};
use super::{CheckOutcome, Failure};
use crate::model::{Exchange, Tls};
use lber::common::TagClass;
use lber::structure::StructureTag;
use std::io::{Read, Write};

/// Bytes of one message. Only names are asked for, and names are short.
const MESSAGE_LIMIT: usize = 64 * 1024;

/// RFC 4511 section 4.1.1 lets the client choose the numbers.
const BIND_ID: u8 = 1;
const SEARCH_ID: u8 = 2;
const START_TLS_ID: u8 = 4;

/// Connects, for ldaps with TLS, and speaks LDAP.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<CheckOutcome, Failure> {
    match probe.exchange.tls {
        Tls::Start => {
            let mut stream = probe.tcp()?;
            start_tls(&mut stream)?;
            talk(probe.upgrade(stream)?, probe.exchange)?;
        }
        Tls::No | Tls::Yes => talk(probe.stream()?, probe.exchange)?,
    }
    // compat: the original's word in the monitorfile (spec 4.4)
    Ok(CheckOutcome::up_with("Success"))
}

pub(super) fn talk<S: Read + Write>(mut stream: S, exchange: &Exchange) -> Result<(), Failure> {
    let (login, password) = if exchange.login.is_empty() || exchange.passwd.is_empty() {
        ("", "")
    } else {
        (exchange.login.as_str(), exchange.passwd.as_str())
    };
    stream.write_all(&bind_request(login, password))?;
    match read_answer(&mut stream, BIND_ID)? {
        Answer::Bound(outcome) if outcome.code == 0 => {}
        Answer::Bound(outcome) => return Err(Failure::LoginRefused(outcome.to_string())),
        _ => return Err(Failure::Protocol("no answer to the bind".into())),
    }
    let base = exchange.request.strip_prefix('/').unwrap_or(&exchange.request);
    stream.write_all(&search_request(base))?;
    let name = single_entry(&mut stream)?;
    // A courtesy (section 4.3): the server hears that we leave.
    let _ = stream.write_all(&message(SEARCH_ID + 1, primitive(TagClass::Application, 2, b"")));
    expect(exchange.receive.as_ref(), &name)
}

/// RFC 4511, section 4.14.
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

fn start_tls<S: Read + Write>(stream: &mut S) -> Result<(), Failure> {
    let name = primitive(TagClass::Context, 0, START_TLS.as_bytes());
    stream.write_all(&message(START_TLS_ID, constructed(TagClass::Application, 23, vec![name])))?;
    // Exactly one message is read: what follows is TLS.
    match read_answer(stream, START_TLS_ID)? {
        Answer::Extended(outcome) if outcome.code == 0 => Ok(()),
        Answer::Extended(outcome) => Err(Failure::no_tls(outcome)),
        _ => Err(Failure::Protocol("no answer to StartTLS".into())),
    }
}

/// The name of the only entry found.
fn single_entry<S: Read>(stream: &mut S) -> Result<Vec<u8>, Failure> {
    let mut found: Option<Vec<u8>> = None;
    loop {
        match read_answer(stream, SEARCH_ID)? {
            Answer::Entry(_) if found.is_some() => return Err(Failure::TooMany),
            Answer::Entry(name) => found = Some(name.to_vec()),
            Answer::Reference => {}
            Answer::Done(outcome) => {
                return found.ok_or_else(|| match outcome.code {
                    0 => Failure::Empty,
                    _ => Failure::Rejected(outcome.to_string()),
                });
            }
            Answer::Bound(_) | Answer::Extended(_) => {
                return Err(Failure::Protocol("no answer to the search".into()));
            }
        }
    }
}

fn bind_request(login: &str, password: &str) -> Vec<u8> {
    let operation = vec![
        integer(3),
        octets(login),
        primitive(TagClass::Context, 0, secret(password.as_bytes())), // simple
    ];
    message(BIND_ID, constructed(TagClass::Application, 0, operation))
}

/// The entry itself and nothing below it; of its attributes none (RFC 4511 section 4.5.1.8), since
/// only its name is looked at.
fn search_request(base: &str) -> Vec<u8> {
    let operation = vec![
        octets(base),
        enumerated(0),                                   // baseObject
        enumerated(2),                                   // derefFindingBaseObj
        integer(0),                                      // no size limit
        integer(0),                                      // no time limit
        primitive(TagClass::Universal, 1, &[0]),         // typesOnly FALSE
        primitive(TagClass::Context, 7, b"objectClass"), // present
        constructed(TagClass::Universal, 16, vec![octets("1.1")]),
    ];
    message(SEARCH_ID, constructed(TagClass::Application, 3, operation))
}

fn message(id: u8, operation: StructureTag) -> Vec<u8> {
    encode(constructed(TagClass::Universal, 16, vec![integer(id), operation]))
}

fn enumerated(value: u8) -> StructureTag {
    primitive(TagClass::Universal, 10, &[value])
}

fn octets(text: &str) -> StructureTag {
    primitive(TagClass::Universal, 4, text.as_bytes())
}

/// The answer to request `id`; others are passed over (section 4.1.1.1), except that a server may
/// say that it disconnects (section 4.4.1).
fn read_answer<S: Read>(stream: &mut S, id: u8) -> Result<Answer, Failure> {
    loop {
        let message = read_message(stream)?;
        match parse(&message) {
            Some((number, Some(answer))) if number == [id] => return Ok(answer),
            Some((_, None | Some(Answer::Extended(_)))) if message_is_notice(&message) => {
                return Err(Failure::Rejected("the server disconnects".into()));
            }
            Some(_) => {}
            None => return Err(Failure::Protocol("not an LDAP message".into())),
        }
    }
}

fn message_is_notice(message: &[u8]) -> bool {
    let content = element(message).map(|(_, content, _)| content);
    let operation = content.and_then(element).and_then(|(_, _, rest)| element(rest));
    matches!(operation, Some((EXTENDED_RESPONSE, ..)))
}

/// One message, whole: tag, length, content.
fn read_message<S: Read>(stream: &mut S) -> Result<Vec<u8>, Failure> {
    let mut message = vec![0; 2];
    stream.read_exact(&mut message)?;
    if message[0] != SEQUENCE {
        return Err(Failure::Protocol("not an LDAP message".into()));
    }
    let length = match message[1] {
        short @ ..=0x7f => usize::from(short),
        long @ 0x81..=0x84 => {
            let mut bytes = [0; 4];
            let count = usize::from(long & 0x7f);
            stream.read_exact(&mut bytes[4 - count..])?;
            message.extend_from_slice(&bytes[4 - count..]);
            u32::from_be_bytes(bytes) as usize
        }
        // Section 5.1: only the definite form.
        _ => return Err(Failure::Protocol("not an LDAP message".into())),
    };
    if length > MESSAGE_LIMIT {
        return Err(Failure::TooLong);
    }
    let begin = message.len();
    message.resize(begin + length, 0);
    stream.read_exact(&mut message[begin..])?;
    Ok(message)
}

const SEQUENCE: u8 = 0x30;
const BIND_RESPONSE: u8 = 0x61;
const SEARCH_RESULT_ENTRY: u8 = 0x64;
const SEARCH_RESULT_DONE: u8 = 0x65;
const SEARCH_RESULT_REFERENCE: u8 = 0x73;
const EXTENDED_RESPONSE: u8 = 0x78;

/// What a server may say to a bind and a search.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// BindResponse
    Bound(Outcome),
    /// SearchResultEntry: the name of the entry
    Entry(Vec<u8>),
    /// SearchResultReference: more may be found elsewhere
    Reference,
    /// SearchResultDone
    Done(Outcome),
    /// ExtendedResponse
    Extended(Outcome),
}

/// LDAPResult (section 4.1.9).
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// 0 is success.
    pub code: u8,
    /// The diagnostic message, often empty.
    pub text: String,
}

/// `invalid credentials (49)`, and the server's words after it.
impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.code {
            1 => "operations error",
            2 => "protocol error",
            3 => "time limit exceeded",
            8 => "stronger authentication required",
            10 => "referral",
            13 => "confidentiality required",
            32 => "no such object",
            34 => "invalid name",
            48 => "inappropriate authentication",
            49 => "invalid credentials",
            50 => "insufficient access rights",
            51 => "busy",
            52 => "unavailable",
            53 => "unwilling to perform",
            _ => "result code",
        };
        write!(f, "{name} ({})", self.code)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

/// A message's number (its bytes as sent) and what it says, `None` for an operation that we never
/// asked for. `None` altogether if it is no LDAP message.
///
/// Flat on purpose: a library's recursive reader follows nesting as deep as a server likes to go.
pub fn parse(message: &[u8]) -> Option<(&[u8], Option<Answer>)> {
    let (SEQUENCE, content, _) = element(message)? else { return None };
    let (0x02, number, rest) = element(content)? else { return None };
    let (operation, content, _) = element(rest)?;
    let answer = match operation {
        BIND_RESPONSE => Some(Answer::Bound(outcome(content)?)),
        SEARCH_RESULT_ENTRY => {
            let (0x04, name, _) = element(content)? else { return None };
            Some(Answer::Entry(name.to_vec()))
        }
        SEARCH_RESULT_DONE => Some(Answer::Done(outcome(content)?)),
        SEARCH_RESULT_REFERENCE => Some(Answer::Reference),
        EXTENDED_RESPONSE => outcome(content).map(Answer::Extended),
        _ => None,
    };
    Some((number, answer))
}

fn outcome(content: &[u8]) -> Option<Outcome> {
    let (0x0a, &[code], rest) = element(content)? else { return None };
    let (0x04, _matched_name, rest) = element(rest)? else { return None };
    let (0x04, text, _) = element(rest)? else { return None };
    Some(Outcome { code, text: Failure::text(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_bytes_of_the_standard() {
        assert_eq!(
            bind_request("cn=a", "pw"),
            b"\x30\x12\x02\x01\x01\x60\x0d\x02\x01\x03\x04\x04cn=a\x80\x02pw"
        );
        let search = search_request("dc=x");
        assert!(
            search.starts_with(b"\x30\x2e\x02\x01\x02\x63\x29\x04\x04dc=x\x0a\x01\x00\x0a\x01\x02")
        );
        assert!(search.ends_with(b"\x01\x01\x00\x87\x0bobjectClass\x30\x05\x04\x031.1"));
    }

    #[test]
    fn start_tls_is_asked_for_as_the_standard_says() {
        use crate::check::script::{Script, verdict};
        for (answer, expected) in [
            (&b"\x30\x0c\x02\x01\x04\x78\x07\x0a\x01\x00\x04\x00\x04\x00"[..], "up"),
            (
                b"\x30\x0e\x02\x01\x04\x78\x09\x0a\x01\x34\x04\x00\x04\x02no",
                "TLS handshake failed: refused: unavailable (52): no",
            ),
            (
                b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00",
                "rejected: the server disconnects",
            ),
        ] {
            let mut server = Script::new(answer);
            assert_eq!(verdict(start_tls(&mut server)), expected);
            assert!(server.heard().ends_with("\u{16}1.3.6.1.4.1.1466.20037"));
        }
    }

    #[test]
    fn answers_are_told_apart() {
        type Parsed<'a> = Option<(&'a [u8], Option<Answer>)>;
        let cases: &[(&[u8], Parsed<'_>)] = &[
            (
                b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
                Some((b"\x01", Some(Answer::Bound(Outcome { code: 0, text: String::new() })))),
            ),
            (
                b"\x30\x0e\x02\x01\x01\x61\x09\x0a\x01\x31\x04\x00\x04\x02no",
                Some((b"\x01", Some(Answer::Bound(Outcome { code: 49, text: "no".into() })))),
            ),
            // The same with lengths in their long form.
            (
                b"\x30\x84\x00\x00\x00\x10\x02\x01\x01\x61\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00",
                Some((b"\x01", Some(Answer::Bound(Outcome { code: 0, text: String::new() })))),
            ),
            (
                b"\x30\x0d\x02\x01\x02\x64\x08\x04\x04dc=x\x30\x00",
                Some((b"\x02", Some(Answer::Entry(b"dc=x".to_vec())))),
            ),
            (b"\x30\x07\x02\x01\x02\x73\x02\x04\x00", Some((b"\x02", Some(Answer::Reference)))),
            (b"\x30\x05\x02\x01\x00\x78\x00", Some((b"\x00", None))),
            (b"\x30\x05\x02\x01\x02\x65\x00", None),
            (b"\x30\x05\x02\x01\x02\x64\x7f", None),
            (b"\x30\x80\x02\x01", None),
            (b"\x04\x00", None),
            (b"", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(&parse(bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn deep_nesting_is_not_followed() {
        let deep = b"\x30\x80".repeat(30_000);
        assert_eq!(parse(&deep), None);
    }

    #[test]
    fn a_result_code_has_a_name_and_the_servers_words() {
        let outcome = Outcome { code: 32, text: "dc=x".into() };
        assert_eq!(outcome.to_string(), "no such object (32): dc=x");
        let outcome = Outcome { code: 80, text: String::new() };
        assert_eq!(outcome.to_string(), "result code (80)");
    }
}
