//! What a check found.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckOutcome {
    /// The server does its work.
    Up(Note),
    /// It does not, and why.
    Down(Failure),
}

impl CheckOutcome {
    /// Up, with nothing to add.
    pub fn up() -> Self {
        Self::Up(Note::default())
    }

    /// Up, with a word for the monitorfile (`200 OK`).
    pub fn up_with(note: impl Into<Cow<'static, str>>) -> Self {
        Self::Up(Note { words: Some(note.into()), ..Note::default() })
    }

    /// Whether the server is up.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up(_))
    }

    /// In a few words, as the log and `status` have it.
    pub fn words(&self) -> String {
        match self {
            Self::Up(note) => note.words.as_deref().unwrap_or("passed").to_owned(),
            Self::Down(failure) => failure.to_string(),
        }
    }
}

impl From<Result<(), Failure>> for CheckOutcome {
    fn from(result: Result<(), Failure>) -> Self {
        result.map_or_else(Self::Down, |()| Self::up())
    }
}

/// What there is to say about a success.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Note {
    /// For the monitorfile.
    pub words: Option<Cow<'static, str>>,
    /// The server's certificate, if `checkcertdays` asks for it.
    pub certificate: Option<CertificateEnd>,
    /// The weight that the server asks for.
    pub agent: AgentAnswer,
}

/// What an agent has said of a server that is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AgentAnswer {
    /// It was not asked this time: what it said before holds.
    #[default]
    NotAsked,
    /// Nothing of use: the configured weight.
    Nothing,
    /// A percentage of the configured weight; 0 is to drain it.
    Percent(u16),
    /// A weight.
    Weight(u16),
}

/// How long a server's certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateEnd {
    /// Its last second, since 1970.
    pub at: i64,
    /// Whole days that were left when it was checked; negative once it has ended.
    pub days: i32,
}

/// The monitorfile's message: `-` if there is nothing to say.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words.as_deref().unwrap_or("-"))
    }
}

/// Why a server is down: one variant for each thing an operator would do something different about.
///
/// Text from a server is cut to [`Failure::TEXT_LIMIT`] bytes by the check that puts it in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Failure {
    /// No TCP connection within the deadline.
    ConnectTimedOut,
    /// The connection stands, the answer did not come in time.
    TimedOut,
    /// The connection was refused.
    Refused,
    /// No route to the server.
    Unreachable,
    /// The server closed the connection before the answer was complete.
    Closed,
    /// Another error of the network.
    Io(String),
    /// TLS did not come to an agreement, or the certificate is not trusted.
    Tls(String),
    /// An answer that the protocol does not allow.
    Protocol(Cow<'static, str>),
    /// HTTP: a final status other than 2xx, with its reason phrase.
    Status {
        /// The status code.
        code: u16,
        /// The phrase of the status line, or the code's usual one.
        phrase: String,
    },
    /// The answer was longer than a check will read.
    TooLong,
    /// `receive` was not found in the answer; its beginning.
    Mismatch(String),
    /// `receive` was not found in so many bytes, and the rest of the answer was not read.
    MismatchSoFar(usize),
    /// The server answered that it will not: its words.
    Rejected(String),
    /// Login, password or bind refused; the server's words.
    LoginRefused(String),
    /// SQL: the statement returned no rows; LDAP: no entry.
    Empty,
    /// LDAP: more than one entry.
    TooMany,
    /// No reply to a ping.
    NoReply,
    /// The external check's exit status.
    Exit(i32),
    /// The external check was ended by a signal.
    Signal(i32),
    /// The external check's Perl script died; its words.
    Died(String),
    /// The external check could not be started.
    Exec(String),
    /// The configuration does not allow this check (no login for SQL, feature not built in).
    Config(Cow<'static, str>),
    /// This machine could not make the check (no descriptor, port, process or memory left, or a
    /// privilege is missing): no verdict on the server.
    Local(String),
    /// A fault of this program; please report it.
    Internal(String),
}

impl Failure {
    /// Bytes of a server's text that are kept.
    pub const TEXT_LIMIT: usize = 1024;

    /// The kind of failure in one word, for metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::ConnectTimedOut => "connect_timeout",
            Self::TimedOut => "timeout",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
            Self::Io(_) => "io",
            Self::Tls(_) => "tls",
            Self::Protocol(_) => "protocol",
            Self::Status { .. } => "status",
            Self::TooLong => "too_long",
            Self::Mismatch(_) | Self::MismatchSoFar(_) => "mismatch",
            Self::Rejected(_) => "rejected",
            Self::LoginRefused(_) => "login",
            Self::Empty => "empty",
            Self::TooMany => "too_many",
            Self::NoReply => "no_reply",
            Self::Exit(_) => "exit",
            Self::Signal(_) => "signal",
            Self::Died(_) => "died",
            Self::Exec(_) => "exec",
            Self::Config(_) => "config",
            Self::Local(_) => "local",
            Self::Internal(_) => "internal",
        }
    }

    /// The server does not begin TLS when it is asked to; its words.
    pub fn no_tls(words: impl fmt::Display) -> Self {
        Self::Tls(format!("refused: {words}"))
    }

    /// A server's text, cut to [`Failure::TEXT_LIMIT`], invalid UTF-8 replaced.
    pub fn text(bytes: &[u8]) -> String {
        Self::verbatim(bytes).trim_end().to_owned()
    }

    /// As [`Failure::text`], with the blanks at its end.
    pub fn verbatim(bytes: &[u8]) -> String {
        let end = bytes.len().min(Self::TEXT_LIMIT);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

/// One short phrase, on one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectTimedOut => f.write_str("connect timed out"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("no route to host"),
            Self::Closed => f.write_str("connection closed by the server"),
            Self::Io(cause) => f.write_str(cause),
            Self::Tls(cause) => write!(f, "TLS handshake failed: {}", one_line(cause)),
            Self::Protocol(what) => write!(f, "not a proper answer: {}", one_line(what)),
            Self::Status { code, phrase } => write!(f, "status {code} {}", one_line(phrase)),
            Self::TooLong => f.write_str("answer too long"),
            Self::Mismatch(_) => f.write_str("answer does not match receive"),
            Self::MismatchSoFar(bytes) => {
                write!(
                    f,
                    "answer does not match receive in its first {bytes} bytes, where reading stopped"
                )
            }
            Self::Rejected(words) => write!(f, "rejected: {}", one_line(words)),
            Self::LoginRefused(words) => write!(f, "login refused: {}", one_line(words)),
            Self::Empty => f.write_str("nothing found"),
            Self::TooMany => f.write_str("more than one found"),
            Self::NoReply => f.write_str("no reply to ping"),
            Self::Exit(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::Died(words) => write!(f, "the script died: {}", one_line(words)),
            Self::Exec(cause) => write!(f, "cannot run the command: {cause}"),
            Self::Config(what) => f.write_str(what),
            Self::Local(cause) => write!(f, "cannot check: {cause}"),
            Self::Internal(what) => write!(f, "internal fault: {}", one_line(what)),
        }
    }
}

/// The first line, shortened: enough to recognise a server's words in a log.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(120).collect()
}
