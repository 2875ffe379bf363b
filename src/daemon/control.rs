//! The control socket: root asks a running daemon what it knows.
//!
//! One request a connection: a line, `status`, `listing` or `handover`. The answer is a line, `ok` or `error` and
//! the reason, then the text, then the end.

use crate::check::Deadline;
use crate::status::StatusReport;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How long one client is served; the next ones wait in the listener's queue.
const SERVICE: Duration = Duration::from_secs(5);

/// How long a client waits for its answer, others before it included.
const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes of an answer: a hundred thousand servers are far below.
const LIMIT: u64 = 256 << 20;

/// Where the answers come from; each may take a moment, and is called on the control thread.
pub struct Answers {
    /// `status`; `None` when the daemon does not answer.
    pub status: Box<dyn Fn() -> Option<StatusReport> + Send>,
    /// `listing`: the table in the form of `ipvsadm -Ln`; `None` when the daemon does not answer.
    pub listing: Box<dyn Fn() -> Option<String> + Send>,
    /// `handover`: the daemon ends and leaves the table to the next one; the error says why it does not.
    pub hand_over: Box<dyn Fn() -> Result<(), String> + Send>,
}

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// A [`StatusReport`] as JSON.
    Status,
    /// The table as text.
    Listing,
    /// Whether the daemon hands over, as it is then about to.
    HandOver,
}

impl Question {
    fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Listing => "listing",
            Self::HandOver => "handover",
        }
    }
}

/// A listening control socket; its file is removed when dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        // If somebody was quicker, it is gone all the same.
        let _ = fs::remove_file(&self.path);
    }
}

/// Listens on `path`, for root and the daemon's own user only, and answers from a thread of its own.
///
/// # Errors
/// When another daemon listens there, or the socket cannot be made.
pub fn serve(path: &Path, answers: Answers) -> io::Result<Control> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // Until this line only the directory keeps others away, and who is asked for below.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let run = move || {
        for client in listener.incoming() {
            let served = client.and_then(|client| answer(client, &answers));
            if let Err(error) = served {
                log::debug!("control socket: {error}");
                // Out of descriptors, for example: not at once again.
                thread::sleep(Duration::from_millis(10));
            }
        }
    };
    thread::Builder::new().name("control".into()).stack_size(256 * 1024).spawn(run)?;
    Ok(Control { path: path.to_owned() })
}

fn answer(mut client: UnixStream, answers: &Answers) -> io::Result<()> {
    let deadline = Deadline::after(SERVICE);
    let peer = getsockopt(&client, PeerCredentials)?.uid();
    if peer != 0 && peer != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other(format!("user {peer} may not ask")));
    }
    let question = read_line(&client, deadline)?;
    let text = match question.trim_end() {
        "status" => (answers.status)().map(|report| serde_json::to_vec(&report)).transpose()?,
        "listing" => (answers.listing)().map(String::into_bytes),
        "handover" => match (answers.hand_over)() {
            Ok(()) => Some(Vec::new()),
            Err(why) => {
                let refusal = format!("error {}\n", why.replace('\n', " "));
                return write_all(&mut client, refusal.as_bytes(), deadline);
            }
        },
        _ => return write_all(&mut client, b"error unknown request\n", deadline),
    };
    match text {
        Some(text) => {
            write_all(&mut client, b"ok\n", deadline)?;
            write_all(&mut client, &text, deadline)
        }
        None => write_all(&mut client, b"error the daemon is busy\n", deadline),
    }
}

fn read_line(client: &UnixStream, deadline: Deadline) -> io::Result<String> {
    client.set_read_timeout(Some(deadline.remaining()?))?;
    let mut line = String::new();
    BufReader::new(client.take(64)).read_line(&mut line)?;
    Ok(line)
}

fn write_all(client: &mut UnixStream, mut bytes: &[u8], deadline: Deadline) -> io::Result<()> {
    while !bytes.is_empty() {
        client.set_write_timeout(Some(deadline.remaining()?))?;
        match client.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Asks a running daemon.
///
/// # Errors
/// When it does not listen, does not answer in time, or refuses.
pub fn ask(path: &Path, question: Question) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", question.word()).as_bytes())?;
    let mut answer = String::new();
    stream.take(LIMIT).read_to_string(&mut answer)?;
    match answer.split_once('\n') {
        Some(("ok", text)) => Ok(text.to_owned()),
        Some((error, _)) => {
            Err(io::Error::other(error.strip_prefix("error ").unwrap_or(error).to_owned()))
        }
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Phase;

    fn report() -> StatusReport {
        StatusReport {
            instance: "web.cf".into(),
            config: "/etc/ha.d/web.cf".into(),
            pid: 1,
            since: 2,
            phase: Phase::Running,
            table: "memory".into(),
            table_error: None,
            last_reload: None,
            services: Vec::new(),
        }
    }

    fn answers() -> Answers {
        Answers {
            status: Box::new(|| Some(report())),
            listing: Box::new(|| Some("IP Virtual Server\nx\n".into())),
            hand_over: Box::new(|| Err("line 7: nonsense".into())),
        }
    }

    #[test]
    fn questions_are_answered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/web.cf.sock");
        let control = serve(&path, answers()).unwrap();
        let status = ask(&path, Question::Status).unwrap();
        assert_eq!(serde_json::from_str::<StatusReport>(&status).unwrap(), report());
        assert_eq!(ask(&path, Question::Listing).unwrap(), "IP Virtual Server\nx\n");
        let refused = ask(&path, Question::HandOver).unwrap_err();
        assert_eq!(refused.to_string(), "line 7: nonsense");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(serve(&path, answers()).is_err(), "one daemon, one socket");
        drop(control);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_daemon_s_socket_is_replaced_and_bad_clients_harm_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sock");
        drop(UnixListener::bind(&path).unwrap());
        let _control = serve(&path, answers()).unwrap();
        let mut noise = UnixStream::connect(&path).unwrap();
        noise.write_all(&[0xff; 1000]).unwrap();
        drop(noise);
        drop(UnixStream::connect(&path).unwrap());
        let mut other = UnixStream::connect(&path).unwrap();
        other.write_all(b"stop\n").unwrap();
        let mut text = String::new();
        other.read_to_string(&mut text).unwrap();
        assert_eq!(text, "error unknown request\n");
        assert!(ask(&path, Question::Listing).is_ok());
    }

    #[test]
    fn a_busy_daemon_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sock");
        let busy = Answers {
            status: Box::new(|| None),
            listing: Box::new(|| None),
            hand_over: Box::new(|| Ok(())),
        };
        let _control = serve(&path, busy).unwrap();
        let error = ask(&path, Question::Status).unwrap_err();
        assert_eq!(error.to_string(), "the daemon is busy");
    }
}
