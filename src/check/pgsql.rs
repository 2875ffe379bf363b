//! `service=pgsql`: log in, and a statement that returns a row (PostgreSQL protocol 3.0).
//!
//! Up when the statement `request` returns at least one row and no error. Passwords by SCRAM, MD5 or
//! in the clear, as the server asks. TLS where the server offers it, its certificate not verified,
//! as `sslmode=prefer` of the server's own library; with `checktls = starttls` a server without TLS is down.

use super::connect::Probe;
use super::sql::{MESSAGE_LIMIT, TOTAL_LIMIT, statement};
use super::transcript::secret;
use super::{Failure, TimedStream, tls};
use crate::model::{CertificateCheck, Exchange, Tls};
use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{
    AuthenticationSaslBody, DATA_ROW_TAG, ErrorResponseBody, Header, Message,
};
use postgres_protocol::message::frontend;
use std::io::{self, BufReader, Read, Write};

/// Rounds of the password's hash. The server names the number, and without a limit it could keep us
/// at work for hours. PostgreSQL's default is 4096.
const SCRAM_ROUNDS_LIMIT: u32 = 1_000_000;

/// SQLSTATE: no such user, or no access for this user from here in this way.
const INVALID_AUTHORIZATION: &[u8] = b"28000";
/// SQLSTATE: wrong password.
const INVALID_PASSWORD: &[u8] = b"28P01";

/// Connects, with TLS if the server offers it, and speaks PostgreSQL.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    let exchange = probe.exchange;
    let statement = statement(exchange)?;
    let stream = match offer(probe.tcp()?)? {
        Offer::Plain(_) if exchange.tls == Tls::Start => {
            return Err(Failure::no_tls("the server does not offer it"));
        }
        Offer::Plain(stream) => return Ok(talk(stream, exchange, statement)?),
        Offer::Tls(stream) if exchange.tls == Tls::Start => {
            return Ok(talk(probe.upgrade(stream)?, exchange, statement)?);
        }
        Offer::Tls(stream) => stream,
    };
    let unverified = Exchange { certificate: CertificateCheck::No, ..exchange.clone() };
    let name = tls::server_name(exchange, probe.target.ip());
    match talk(tls::connect(stream, &unverified, &name)?, exchange, statement) {
        // A server may let this user in without TLS only.
        Err(Ended::NoEntry(_)) => {
            let stream = probe.another(probe.target)?;
            Ok(talk(stream, exchange, statement)?)
        }
        outcome => Ok(outcome?),
    }
}

/// What the server said to SSLRequest.
enum Offer {
    Tls(TimedStream),
    Plain(TimedStream),
}

fn offer(mut stream: TimedStream) -> Result<Offer, Failure> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request)?;
    let mut answer = [0];
    // One byte and no more: what follows belongs to TLS.
    stream.read_exact(&mut answer)?;
    match answer[0] {
        b'S' => Ok(Offer::Tls(stream)),
        b'N' => Ok(Offer::Plain(stream)),
        b'E' => Err(Failure::Rejected("the server is not ready for connections".into())),
        _ => Err(Failure::Protocol("no answer to SSLRequest".into())),
    }
}

/// How a conversation failed.
pub(super) enum Ended {
    /// The server has no rule for this user on such a connection (SQLSTATE 28000).
    NoEntry(Failure),
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::NoEntry(failure) | Ended::Failed(failure) => failure,
        }
    }
}

pub(super) fn talk<S: Read + Write>(
    stream: S,
    exchange: &Exchange,
    statement: &str,
) -> Result<(), Ended> {
    let mut server = Server { stream: BufReader::new(stream), read: 0 };
    let mut parameters =
        vec![("user", exchange.login.as_str()), ("application_name", "ldirectord")];
    if !exchange.database.is_empty() {
        parameters.push(("database", &exchange.database));
    }
    server.send(|message| frontend::startup_message(parameters, message))?;
    server.authenticate(exchange)?;
    server.send(|message| frontend::query(statement, message))?;
    server.read_result()?;
    // A courtesy: the server hears that we leave.
    let _ = server.send(|message| {
        frontend::terminate(message);
        Ok(())
    });
    Ok(())
}

/// The server's end of the conversation.
struct Server<S> {
    stream: BufReader<S>,
    read: usize,
}

/// What the server said.
enum Said {
    Message(Message),
    /// A row, of which nothing is kept.
    Row,
}

impl<S: Read + Write> Server<S> {
    fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), Failure> {
        let mut message = BytesMut::new();
        write(&mut message).map_err(|error| Failure::Config(error.to_string().into()))?;
        let stream = self.stream.get_mut();
        stream.write_all(&message)?;
        Ok(stream.flush()?)
    }

    fn next(&mut self) -> Result<Said, Failure> {
        let mut header = [0; 5];
        self.stream.read_exact(&mut header)?;
        let (tag, length) = match Header::parse(&header) {
            // The length counts itself, four bytes.
            Ok(Some(parsed)) => (parsed.tag(), parsed.len().unsigned_abs() as usize - 4),
            _ => return Err(Failure::Protocol("not a PostgreSQL message".into())),
        };
        self.read = self.read.saturating_add(length + header.len());
        if tag == DATA_ROW_TAG {
            let mut row = (&mut self.stream).take(length.min(TOTAL_LIMIT) as u64);
            io::copy(&mut row, &mut io::sink())?;
            return Ok(Said::Row);
        }
        if length > MESSAGE_LIMIT || self.read > TOTAL_LIMIT {
            return Err(Failure::TooLong);
        }
        let mut message = BytesMut::zeroed(header.len() + length);
        message[..header.len()].copy_from_slice(&header);
        self.stream.read_exact(&mut message[header.len()..])?;
        parse(message).map(Said::Message)
    }

    fn next_message(&mut self) -> Result<Message, Failure> {
        match self.next()? {
            Said::Message(message) => Ok(message),
            Said::Row => Err(Failure::Protocol("a row before there was a question".into())),
        }
    }

    /// From the startup message up to "ready for query".
    fn authenticate(&mut self, exchange: &Exchange) -> Result<(), Ended> {
        let password = exchange.passwd.as_bytes();
        loop {
            match self.next_message()? {
                Message::AuthenticationCleartextPassword => {
                    self.send(|message| frontend::password_message(secret(password), message))?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(exchange.login.as_bytes(), password, body.salt());
                    let hash = secret(hash.as_bytes());
                    self.send(|message| frontend::password_message(hash, message))?;
                }
                Message::AuthenticationSasl(body) => self.scram(&body, password)?,
                Message::AuthenticationOk
                | Message::ParameterStatus(_)
                | Message::BackendKeyData(_)
                | Message::NoticeResponse(_) => {}
                Message::ReadyForQuery(_) => return Ok(()),
                Message::ErrorResponse(body) => return Err(refusal(&body)),
                _ => {
                    let words = "the server asks for an authentication that is not built in";
                    return Err(Failure::LoginRefused(words.to_owned()).into());
                }
            }
        }
    }

    /// SCRAM-SHA-256 (RFC 7677), which also proves that the server knows the password.
    fn scram(&mut self, body: &AuthenticationSaslBody, password: &[u8]) -> Result<(), Ended> {
        let offered = body.mechanisms().any(|mechanism| Ok(mechanism == SCRAM_SHA_256));
        if !matches!(offered, Ok(true)) {
            return Err(
                Failure::LoginRefused("the server does not offer SCRAM-SHA-256".into()).into()
            );
        }
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        let first = scram.message().to_vec();
        self.send(|message| frontend::sasl_initial_response(SCRAM_SHA_256, &first, message))?;
        match self.next_message()? {
            Message::AuthenticationSaslContinue(body) if scram_is_affordable(body.data()) => {
                scram.update(body.data()).map_err(no_scram)?;
            }
            Message::ErrorResponse(body) => return Err(refusal(&body)),
            _ => return Err(Failure::Protocol("no SCRAM challenge within reason".into()).into()),
        }
        let proof = scram.message().to_vec();
        self.send(|message| frontend::sasl_response(secret(&proof), message))?;
        match self.next_message()? {
            Message::AuthenticationSaslFinal(body) => {
                Ok(scram.finish(secret(body.data())).map_err(no_scram)?)
            }
            Message::ErrorResponse(body) => Err(refusal(&body)),
            _ => Err(Failure::Protocol("no end of SCRAM".into()).into()),
        }
    }

    /// The answer to the statement: a row, and no error after it as far as we read.
    fn read_result(&mut self) -> Result<(), Failure> {
        let mut any_row = false;
        loop {
            match self.next() {
                Ok(Said::Row) if self.read > TOTAL_LIMIT => return Ok(()),
                Ok(Said::Row) => any_row = true,
                Ok(Said::Message(Message::ErrorResponse(body))) => {
                    return Err(Failure::Rejected(words(&body)));
                }
                Ok(Said::Message(Message::ReadyForQuery(_))) => {
                    return if any_row { Ok(()) } else { Err(Failure::Empty) };
                }
                Ok(Said::Message(Message::CopyInResponse(_) | Message::CopyOutResponse(_))) => {
                    return Err(Failure::Config("request: COPY returns no rows".into()));
                }
                Ok(Said::Message(_)) => {}
                Err(Failure::TooLong) if any_row => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// One whole message.
///
/// # Errors
/// [`Failure::Protocol`] if it is none.
pub fn parse(mut message: BytesMut) -> Result<Message, Failure> {
    match Message::parse(&mut message) {
        Ok(Some(message)) => Ok(message),
        _ => Err(Failure::Protocol("not a PostgreSQL message".into())),
    }
}

fn no_scram(_: io::Error) -> Failure {
    Failure::Protocol("the server fails in SCRAM".into())
}

/// Whether a SCRAM challenge (`r=…,s=…,i=4096`) asks for a number of rounds within reason.
pub fn scram_is_affordable(challenge: &[u8]) -> bool {
    let rounds = challenge.split(|&byte| byte == b',').filter_map(|part| part.strip_prefix(b"i="));
    rounds
        .map(|digits| std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()))
        .all(|rounds: Option<u32>| rounds.is_some_and(|rounds| rounds <= SCRAM_ROUNDS_LIMIT))
}

fn field(body: &ErrorResponseBody, kind: u8) -> Option<Vec<u8>> {
    let found = body.fields().find(|field| Ok(field.type_() == kind)).ok()??;
    Some(found.value_bytes().to_vec())
}

/// The message of an error.
fn words(body: &ErrorResponseBody) -> String {
    field(body, b'M').map_or_else(|| "without a word".to_owned(), |text| Failure::text(&text))
}

/// An error before "ready for query".
fn refusal(body: &ErrorResponseBody) -> Ended {
    match field(body, b'C').as_deref() {
        Some(INVALID_AUTHORIZATION) => Ended::NoEntry(Failure::LoginRefused(words(body))),
        Some(INVALID_PASSWORD) => Ended::Failed(Failure::LoginRefused(words(body))),
        _ => Ended::Failed(Failure::Rejected(words(body))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::super::tests::exchange;
    use super::*;
    use crate::model::Service;

    fn plan() -> Exchange {
        Exchange { login: "u".into(), passwd: "p".into(), ..exchange(Service::Pgsql) }
    }

    fn message(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
        [&[tag], &length[..], content].concat()
    }

    fn authentication(kind: u32, rest: &[u8]) -> Vec<u8> {
        message(b'R', &[&kind.to_be_bytes(), rest].concat())
    }

    fn error(code: &str, words: &str) -> Vec<u8> {
        message(b'E', format!("SFATAL\0C{code}\0M{words}\0\0").as_bytes())
    }

    fn ready() -> Vec<u8> {
        message(b'Z', b"I")
    }

    fn row() -> Vec<u8> {
        message(b'D', b"\0\x01\0\0\0\x011")
    }

    fn outcome(answers: &[Vec<u8>]) -> (String, String) {
        let mut server = Script::new(answers.concat());
        let outcome = talk(&mut server, &plan(), "SELECT 1").map_err(Failure::from);
        (verdict(outcome), server.heard())
    }

    #[test]
    fn a_row_without_an_error_is_up() {
        let in_ = || [authentication(0, b""), message(b'S', b"a\0b\0"), ready()].concat();
        let done = message(b'C', b"SELECT 1\0");
        let cases: [(&[Vec<u8>], &str); 6] = [
            (&[in_(), message(b'T', b"\0\0"), row(), done.clone(), ready()], "up"),
            (&[in_(), message(b'T', b"\0\0"), done.clone(), ready()], "nothing found"),
            (&[in_(), message(b'I', b""), ready()], "nothing found"),
            (&[in_(), error("42P01", "no such table"), ready()], "rejected: no such table"),
            (&[in_(), row(), error("22012", "division by zero")], "rejected: division by zero"),
            (&[in_(), row()], "connection closed by the server"),
        ];
        for (answers, expected) in cases {
            assert_eq!(outcome(answers).0, expected);
        }
    }

    #[test]
    fn rows_without_end_are_up() {
        let in_ = [authentication(0, b""), ready()].concat();
        let rows = message(b'D', &vec![0; 100_000]).repeat(20);
        assert_eq!(outcome(&[in_.clone(), rows]).0, "up");
        // One row that claims two gigabytes: nothing of it is kept.
        let huge = [&b"D\x7f\xff\xff\xff"[..], &vec![0; 2_000_000]].concat();
        assert_eq!(outcome(&[in_, huge]).0, "up");
    }

    #[test]
    fn passwords_are_sent_as_the_server_asks() {
        let (said, heard) = outcome(&[authentication(3, b""), error("28P01", "wrong")]);
        assert_eq!(said, "login refused: wrong");
        assert!(heard.ends_with("p\0\0\0\x06p\0"), "{heard:?}");
        let (said, heard) = outcome(&[authentication(5, b"salt"), error("3D000", "no database")]);
        assert_eq!(said, "rejected: no database");
        assert!(heard.contains("md5"), "{heard:?}");
        let (said, _) = outcome(&[authentication(7, b"")]);
        assert!(said.starts_with("login refused: the server asks for an authentication"), "{said}");
        let (said, _) = outcome(&[authentication(10, b"OTHER\0\0")]);
        assert_eq!(said, "login refused: the server does not offer SCRAM-SHA-256");
    }

    #[test]
    fn a_scram_challenge_beyond_reason_is_refused() {
        let challenge = authentication(11, b"r=x,s=eA==,i=4000000000");
        let (said, _) = outcome(&[authentication(10, b"SCRAM-SHA-256\0\0"), challenge]);
        assert_eq!(said, "not a proper answer: no SCRAM challenge within reason");
        assert!(scram_is_affordable(b"r=x,s=eA==,i=4096"));
        assert!(!scram_is_affordable(b"r=x,s=eA==,i=99999999999"));
        assert!(!scram_is_affordable(b"i=1,i=4000000000"));
    }

    #[test]
    fn garbage_is_no_answer() {
        for bytes in [b"HTTP/1.1 400 Bad".as_slice(), b"R\0\0\0\x03", b"R\0\0\0\x08\0\0\0\x63"] {
            let (said, _) = outcome(&[bytes.to_vec()]);
            assert!(said.starts_with("not a proper answer") || said == "answer too long", "{said}");
        }
    }
}
