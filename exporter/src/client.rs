//! Asks one daemon one question. ldirectord-control(7) describes the language.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Bytes of an answer. A real server takes some 500.
const LIMIT: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// Nobody listens.
    Absent,
    /// Not in time.
    Slow,
    /// More than this program reads.
    TooLong,
    /// The daemon refuses; its words.
    Refused(String),
    /// Something else.
    Other(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("the daemon is not running"),
            Self::Slow => f.write_str("the daemon does not answer in time"),
            Self::TooLong => f.write_str("the daemon's answer is too long"),
            Self::Refused(words) => write!(f, "the daemon says: {words}"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl From<Error> for NoAnswer {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Self::Absent,
            ErrorKind::PermissionDenied => Self::Other(
                "the daemon's socket may not be used: is this user in the group ldirectord?".into(),
            ),
            _ => Self::Other(format!("ask the daemon: {error}")),
        }
    }
}

/// The text of the answer to a request, without its newline, within one deadline.
///
/// # Errors
/// Why there is none.
pub async fn ask(socket: &Path, request: &str, within: Duration) -> Result<String, NoAnswer> {
    let answer = timeout(within, exchange(socket, request)).await.map_err(|_| NoAnswer::Slow)??;
    match answer.split_once('\n') {
        Some(("ok", text)) => Ok(text.to_owned()),
        _ => match answer.strip_prefix("error ") {
            Some(words) => Err(NoAnswer::Refused(one_line(words))),
            None => Err(NoAnswer::Other("the daemon's answer is cut off or no answer".to_owned())),
        },
    }
}

async fn exchange(socket: &Path, request: &str) -> Result<String, NoAnswer> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("{request}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LIMIT).read_to_end(&mut answer).await?;
    if answer.len() as u64 == LIMIT {
        return Err(NoAnswer::TooLong);
    }
    String::from_utf8(answer).map_err(|_| NoAnswer::Other("the daemon's answer is no text".into()))
}

/// Words of others, for a log or a page.
pub(crate) fn one_line(words: &str) -> String {
    let line = words.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    /// A daemon that reads its request and then says this.
    async fn answer(says: &'static [u8], within: Duration) -> Result<String, NoAnswer> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("web.cf.read.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let daemon = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            let mut request = [0; 7];
            client.read_exact(&mut request).expect("a request");
            assert_eq!(&request, b"status\n");
            client.write_all(says).expect("a reader");
            if says.is_empty() {
                // Until the client has had enough.
                let _ = client.read(&mut request);
            }
        });
        let answer = ask(&path, "status", within).await;
        daemon.join().expect("no panic");
        answer
    }

    #[tokio::test]
    async fn an_answer_is_text_a_refusal_has_words_and_the_rest_is_neither() {
        let minute = Duration::from_secs(60);
        assert_eq!(answer(b"ok\n{}", minute).await, Ok("{}".to_owned()));
        assert_eq!(answer(b"ok\n", minute).await, Ok(String::new()));
        let refused = NoAnswer::Refused("unknown request".to_owned());
        assert_eq!(answer(b"error unknown request\n\x1b[2J", minute).await, Err(refused));
        for odd in [&b"o"[..], b"ok", b"GET / HTTP/1.1\n", b"ok\n\xff"] {
            assert!(matches!(answer(odd, minute).await, Err(NoAnswer::Other(_))), "{odd:?}");
        }
    }

    #[tokio::test]
    async fn a_daemon_that_says_nothing_is_slow_and_one_that_is_not_there_absent() {
        assert_eq!(answer(b"", Duration::from_millis(50)).await, Err(NoAnswer::Slow));
        let nowhere = Path::new("/nonexistent/web.cf.read.sock");
        assert_eq!(ask(nowhere, "status", Duration::from_secs(60)).await, Err(NoAnswer::Absent));
    }
}
