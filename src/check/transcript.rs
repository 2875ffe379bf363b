//! What a check does, says and hears, for whoever wants to see it: the command `probe`.
//!
//! The helpers that all protocols share tell what they do, and a recorder of the same thread listens.
//! Where there is none, which is the case in a daemon, telling costs one look at a variable of the
//! thread. A protocol tells of two things itself: what is [`secret`], and where it has [`searched`].

mod recorder;

use super::{CheckOutcome, Failure};
use crate::model::{CheckMethod, CheckPlan, Pattern, User};
use recorder::{Direction, Recorder};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

/// Events that are kept.
pub const EVENTS: usize = 300;

/// Bytes around a match that are kept.
const CONTEXT: usize = 40;

/// Bytes that are kept of a match, or of what does not match.
const MATCH: usize = 200;

/// Shorter words of the configuration are not looked for in what a server says.
const TELLING: usize = 4;

/// What stands for a secret.
pub const MASK: &str = "***";

/// All that was told of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// In the order in which it happened.
    pub events: Vec<Event>,
    /// Events that were one too many.
    pub left_out: u64,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since the check began.
    pub at: u64,
    /// What it was.
    pub seen: Seen,
}

/// What a check did or saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// A name was looked up.
    Resolved {
        /// The name.
        name: String,
        /// The address that is used; `None` if there is none.
        address: Option<IpAddr>,
    },
    /// A TCP connection was begun.
    Connecting(SocketAddr),
    /// It stands.
    Connected {
        /// Our end of it, if the system tells.
        from: Option<SocketAddr>,
    },
    /// A UDP socket for this server.
    Udp(SocketAddr),
    /// A TLS handshake came to its end.
    Tls(Box<Handshake>),
    /// We said this.
    Sent(Bytes),
    /// The server said this.
    Received(Bytes),
    /// The server will say no more.
    Ended,
    /// A pattern was searched for.
    Searched {
        /// The pattern as configured.
        pattern: String,
        /// The length of what it was searched for in.
        bytes: u64,
        /// Whether it is there.
        result: Search,
    },
    /// One ICMP echo.
    Ping {
        /// From 1.
        attempt: u32,
        /// Whether it was answered.
        answered: bool,
    },
    /// A command was started.
    Command {
        /// The command and its arguments.
        words: Vec<String>,
        /// Who runs it, unless it is whoever runs this program.
        user: Option<String>,
    },
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Search {
    /// It is there; where, unless the search cannot tell.
    Found(Option<Place>),
    /// It is not there, and the beginning of what is.
    NotFound(Bytes),
}

/// A part of a conversation, secrets masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Its beginning.
    pub shown: Vec<u8>,
    /// How many more there were.
    pub left_out: u64,
}

/// Where a pattern was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Offset in bytes, from 0.
    pub offset: u64,
    /// What stands before it.
    pub before: Vec<u8>,
    /// What matched.
    pub matched: Bytes,
    /// What stands behind it.
    pub after: Vec<u8>,
}

/// What a TLS handshake showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// The name that was sent (SNI).
    pub server_name: Option<String>,
    /// `TLSv1.3`
    pub version: String,
    /// The cipher, once there is one.
    pub cipher: Option<String>,
    /// What is asked of the certificate: `chain`, `name` or `no`.
    pub asked: String,
    /// The certificates as the server has sent them, its own first.
    pub chain: Vec<Certificate>,
    /// Whether the handshake has succeeded.
    pub agreed: bool,
    /// Why a certificate is not trusted, and which: 0 is the server's own.
    pub distrust: Option<(u32, String)>,
}

/// One certificate of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// `CN=www.example.com`
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// Valid from; seconds since 1970.
    pub not_before: i64,
    /// Valid until; seconds since 1970.
    pub not_after: i64,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Runs a check of this plan and listens to it.
pub fn record(
    plan: &CheckPlan,
    check: impl FnOnce() -> CheckOutcome,
) -> (CheckOutcome, Transcript) {
    RECORDER.set(Some(Recorder::new(configured_secrets(plan))));
    let outcome = check();
    let transcript = RECORDER.take().map(Recorder::finish).unwrap_or_default();
    (outcome, transcript)
}

/// Words of a plan that are nobody's business.
pub fn configured_secrets(plan: &CheckPlan) -> Vec<&str> {
    match &plan.method {
        CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. } => {
            let words = [exchange.passwd.as_str(), exchange.secret.as_str()];
            words.into_iter().filter(|word| word.len() >= TELLING).collect()
        }
        _ => Vec::new(),
    }
}

/// A text with these words masked.
pub fn without(text: &str, secrets: &[&str]) -> String {
    secrets.iter().fold(text.to_owned(), |text, word| text.replace(word, MASK))
}

/// Whether somebody listens.
pub(super) fn is_recording() -> bool {
    RECORDER.with_borrow(Option::is_some)
}

fn with(tell: impl FnOnce(&mut Recorder)) {
    RECORDER.with_borrow_mut(|recorder| {
        if let Some(recorder) = recorder {
            tell(recorder);
        }
    });
}

/// Tells what happened; nothing is computed when nobody listens.
pub(super) fn tell(seen: impl FnOnce() -> Seen) {
    if is_recording() {
        let seen = seen();
        with(|recorder| recorder.push(seen));
    }
}

/// Tells of a command that is about to be run.
pub(super) fn command(command: &Command, user: Option<&User>) {
    tell(|| Seen::Command {
        words: std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        user: user.map(|user| user.name.clone()),
    });
}

/// Tells of bytes that went out on a stream.
pub(super) fn sent(bytes: &[u8]) {
    with(|recorder| recorder.hear(Direction::Out, bytes));
}

/// Tells of bytes that came from a stream; of none at its end.
pub(super) fn received(bytes: &[u8]) {
    with(|recorder| match bytes {
        [] => recorder.end(),
        bytes => recorder.hear(Direction::In, bytes),
    });
}

/// Tells of a datagram that went out.
pub(super) fn sent_datagram(bytes: &[u8]) {
    with(|recorder| recorder.datagram(Direction::Out, bytes));
}

/// Tells of a datagram that came.
pub(super) fn received_datagram(bytes: &[u8]) {
    with(|recorder| recorder.datagram(Direction::In, bytes));
}

/// Marks what is about to be sent, or was received just now, as not to be shown; and hands it back.
pub(super) fn secret<T: AsRef<[u8]> + ?Sized>(text: &T) -> &T {
    with(|recorder| recorder.hide(text.as_ref()));
    text
}

/// Whether the pattern is in the subject, told to who listens.
pub(super) fn search(pattern: &Pattern, subject: &[u8]) -> bool {
    let found = pattern.is_match(subject);
    searched(pattern, subject, found);
    found
}

/// Whether an answer is what `receive` asks for; without it, any is.
pub(super) fn expect(receive: Option<&Pattern>, answer: &[u8]) -> Result<(), Failure> {
    match receive {
        Some(pattern) if !search(pattern, answer) => Err(Failure::Mismatch(Failure::text(answer))),
        _ => Ok(()),
    }
}

/// Tells of a search that has been made.
pub(super) fn searched(pattern: &Pattern, subject: &[u8], found: bool) {
    tell(|| Seen::Searched {
        pattern: pattern.as_str().to_owned(),
        bytes: subject.len() as u64,
        result: match found {
            true => Search::Found(pattern.find(subject).map(|range| Place {
                offset: range.start as u64,
                before: subject[range.start.saturating_sub(CONTEXT)..range.start].to_vec(),
                matched: beginning(&subject[range.clone()]),
                after: subject[range.end..subject.len().min(range.end + CONTEXT)].to_vec(),
            })),
            false => Search::NotFound(beginning(subject)),
        },
    });
}

fn beginning(bytes: &[u8]) -> Bytes {
    let shown = &bytes[..bytes.len().min(MATCH)];
    Bytes { shown: shown.to_vec(), left_out: (bytes.len() - shown.len()) as u64 }
}
