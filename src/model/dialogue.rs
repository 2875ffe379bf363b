//! A service of one's own: what is sent and what is expected, as a file says it.

use super::{Pattern, Resolver};
use std::fmt;

/// Where the definitions are, one file each, named like the service.
pub const DEFINITIONS: &str = "/etc/ha.d/services.d";

/// Bytes of a definition.
pub const DEFINITION_LIMIT: u64 = 64 * 1024;

/// Lines of a dialogue.
const TURNS: usize = 100;

/// What a check of the service says and hears.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dialogue {
    /// `port`: where checks connect to if nothing else says it.
    pub port: Option<u16>,
    /// `tls`: whether all of it is over TLS; default no.
    pub tls: bool,
    /// `send` and `expect`, in their order.
    pub turns: Vec<Turn>,
}

/// A line of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// These bytes are sent.
    Send(Vec<u8>),
    /// This is waited for, in what has come since the last [`Turn::Send`].
    Expect(Pattern),
}

/// A definition that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogueError {
    /// The line, from 1; 0 if it is about none.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for DialogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.reason),
            line => write!(f, "line {line}: {}", self.reason),
        }
    }
}

impl std::error::Error for DialogueError {}

impl Dialogue {
    /// Reads a definition.
    ///
    /// # Errors
    /// The first line that makes no sense.
    pub fn parse(text: &str) -> Result<Self, DialogueError> {
        let mut dialogue = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line_error = |reason| DialogueError { line: index + 1, reason };
            dialogue.line(line.trim()).map_err(line_error)?;
        }
        let expects = |turn: &Turn| matches!(turn, Turn::Expect(_));
        if !dialogue.turns.iter().any(expects) {
            let reason = "nothing is expected: every server would be up".to_owned();
            return Err(DialogueError { line: 0, reason });
        }
        Ok(dialogue)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (name, value) = line.split_once('=').ok_or("a line is NAME = VALUE")?;
        let value = value.trim();
        match name.trim() {
            "port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                self.port = Some(port.ok_or("port is a number from 1 to 65535")?);
            }
            "tls" => {
                self.tls = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err("tls is yes or no".to_owned()),
                }
            }
            "send" => self.turn(Turn::Send(unescape(quoted(value)?)?))?,
            "expect" => {
                let source = quoted(value)?;
                let pattern = Pattern::new(source).map_err(|error| error.reason)?;
                self.turn(Turn::Expect(pattern))?;
            }
            other => return Err(format!("{other} is none of port, tls, send and expect")),
        }
        Ok(())
    }

    fn turn(&mut self, turn: Turn) -> Result<(), String> {
        if self.turns.len() == TURNS {
            return Err(format!("more than {TURNS} lines of send and expect"));
        }
        self.turns.push(turn);
        Ok(())
    }
}

/// From the first quote to the last.
fn quoted(value: &str) -> Result<&str, String> {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner
        .filter(|text| !text.is_empty())
        .ok_or_else(|| "the value is a text in double quotes".to_owned())
}

/// `\r`, `\n`, `\t`, `\\`, `\"`, and `\xNN` for any byte.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match chars.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('x') => {
                let digits: String = chars.by_ref().take(2).collect();
                let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| two);
                byte.ok_or("\\x is followed by two hexadecimal digits")?
            }
            _ => return Err("after \\ comes r, n, t, x, \\ or \"".to_owned()),
        });
    }
    Ok(bytes)
}

/// A definition by its service's name: its text, and what it says. `None` if there is none.
///
/// # Errors
/// In words, when there is one that cannot be used.
pub(super) fn definition(
    name: &str,
    resolver: &dyn Resolver,
) -> Result<Option<(String, Dialogue)>, String> {
    let text = resolver.service_definition(name).text.map_err(|error| error.to_string())?;
    let Some(text) = text else { return Ok(None) };
    let dialogue = Dialogue::parse(&text).map_err(|error| error.to_string())?;
    Ok(Some((text, dialogue)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS: &str =
        "# redis\nport = 6379\ntls=no\nsend = \"PING\\r\\n\"\nexpect = \"^\\+PONG\"\n";

    #[test]
    fn a_definition_says_what_is_sent_and_expected() {
        let redis = Dialogue::parse(REDIS).unwrap();
        let pong = Pattern::new("^\\+PONG").unwrap();
        assert_eq!(redis.turns, [Turn::Send(b"PING\r\n".to_vec()), Turn::Expect(pong)]);
        assert_eq!((redis.port, redis.tls), (Some(6379), false));
        let bytes = unescape("a\\x00\\xFF\\\"\\\\\\té").unwrap();
        assert_eq!(bytes, b"a\0\xff\"\\\t\xc3\xa9");
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_line() {
        for (text, error) in [
            ("", "nothing is expected: every server would be up"),
            ("send = \"x\"\n", "nothing is expected: every server would be up"),
            ("\nhello\n", "line 2: a line is NAME = VALUE"),
            ("port = 0", "line 1: port is a number from 1 to 65535"),
            ("tls = maybe", "line 1: tls is yes or no"),
            ("send = x", "line 1: the value is a text in double quotes"),
            ("send = \"", "line 1: the value is a text in double quotes"),
            ("send = \"\\q\"", "line 1: after \\ comes r, n, t, x, \\ or \""),
            ("send = \"\\x4\"", "line 1: \\x is followed by two hexadecimal digits"),
            ("send = \"\\x+4\"", "line 1: \\x is followed by two hexadecimal digits"),
            ("wait = 3", "line 1: wait is none of port, tls, send and expect"),
        ] {
            assert_eq!(Dialogue::parse(text).unwrap_err().to_string(), error, "{text}");
        }
        assert!(Dialogue::parse("expect = \"(\"").is_err());
        assert!(Dialogue::parse(&"send = \"x\"\n".repeat(101)).is_err());
        for end in (0..REDIS.len()).filter(|end| REDIS.is_char_boundary(*end)) {
            let _ = Dialogue::parse(&REDIS[..end]);
        }
    }
}
