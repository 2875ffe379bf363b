//! The local syslog daemon: datagrams to `/dev/log`, RFC 3164 without the host name, as syslog(3)
//! sends them.

use crate::config::FACILITIES;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Bytes of one message; more is cut, since a daemon may drop it whole.
const LIMIT: usize = 8 * 1024;

/// How long a message may wait for a daemon that reads slowly.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long messages are dropped after one has waited in vain.
const PAUSE: Duration = Duration::from_secs(1);

/// `info`, the severity of every message.
// compat: the original knows no other (spec 5.13)
const INFO: u8 = 6;

/// The priority of messages to an unknown facility: `kern.notice`.
// compat: so does the original (case 119)
const UNKNOWN: u8 = 5;

/// A connection to the syslog daemon; connects again when the daemon has been restarted.
pub(super) struct Syslog {
    path: PathBuf,
    priority: u8,
    socket: Option<UnixDatagram>,
    silent_until: Option<Instant>,
}

impl Syslog {
    pub(super) fn new(facility: &str) -> Self {
        Self::at(Path::new("/dev/log"), facility)
    }

    fn at(path: &Path, facility: &str) -> Self {
        let priority = priority(facility);
        Self { path: path.to_owned(), priority, socket: None, silent_until: None }
    }

    /// Sends a message, one datagram for each of its lines.
    ///
    /// # Errors
    /// When no daemon takes it.
    pub(super) fn send(&mut self, time: SystemTime, message: &str) -> io::Result<()> {
        if self.silent_until.is_some_and(|end| Instant::now() < end) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.silent_until = None;
        message.lines().try_for_each(|line| {
            let datagram = datagram(self.priority, time, std::process::id(), line);
            self.send_datagram(datagram.as_bytes())
        })
    }

    fn send_datagram(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = self.connected().and_then(|socket| socket.send(bytes));
        if matches!(&sent, Err(error) if error.kind() != io::ErrorKind::WouldBlock) {
            self.socket = None;
            sent = self.connected().and_then(|socket| socket.send(bytes));
        }
        if matches!(&sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.silent_until = Some(Instant::now() + PAUSE);
        }
        sent.map(drop)
    }

    fn connected(&mut self) -> io::Result<&UnixDatagram> {
        if self.socket.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            socket.connect(&self.path)?;
            self.socket = Some(socket);
        }
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// The priority of messages to a facility; `local0`, `LOCAL0` and `LOG_LOCAL0` are the same.
fn priority(facility: &str) -> u8 {
    let name = facility.to_ascii_lowercase();
    let name = name.strip_prefix("log_").unwrap_or(&name);
    FACILITIES
        .iter()
        .position(|known| !known.is_empty() && *known == name)
        .and_then(|number| u8::try_from(number * 8).ok())
        .map_or(UNKNOWN, |facility| facility + INFO)
}

fn datagram(priority: u8, time: SystemTime, pid: u32, line: &str) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    let stamp = time.to_zoned(jiff::tz::TimeZone::system()).strftime("%b %e %H:%M:%S");
    let line = super::cut(line, LIMIT);
    format!("<{priority}>{stamp} ldirectord[{pid}]: {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_are_found_by_name_and_unknown_ones_are_kern_notice() {
        for (name, expected) in [
            ("local0", 134),
            ("LOG_LOCAL7", 190),
            ("Daemon", 30),
            ("kern", 6),
            ("nosuch", 5),
            ("", 5),
        ] {
            assert_eq!(priority(name), expected, "{name}");
        }
    }

    #[test]
    fn a_datagram_has_priority_stamp_ident_and_pid() {
        let text = datagram(134, SystemTime::now(), 42, "hello");
        assert!(text.starts_with("<134>"), "{text}");
        assert!(text.ends_with(" ldirectord[42]: hello"), "{text}");
        assert!(datagram(0, SystemTime::now(), 1, &"é".repeat(9000)).len() < LIMIT + 60);
    }

    #[test]
    fn a_restarted_daemon_gets_the_next_message_and_each_line_is_a_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut syslog = Syslog::at(&path, "local0");
        assert!(syslog.send(SystemTime::now(), "nobody there").is_err());
        let receive = |daemon: &UnixDatagram| {
            let mut buffer = [0; 1000];
            let length = daemon.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        let first = UnixDatagram::bind(&path).unwrap();
        syslog.send(SystemTime::now(), "one\ntwo").unwrap();
        assert!(receive(&first).ends_with(": one"));
        assert!(receive(&first).ends_with(": two"));
        drop(first);
        std::fs::remove_file(&path).unwrap();
        let second = UnixDatagram::bind(&path).unwrap();
        syslog.send(SystemTime::now(), "three").unwrap();
        assert!(receive(&second).ends_with(": three"));
    }

    #[test]
    fn a_daemon_that_does_not_read_delays_messages_only_briefly() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let _daemon = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::at(&path, "local0");
        let begun = Instant::now();
        let lost = (0..5000).filter(|_| syslog.send(SystemTime::now(), "x").is_err()).count();
        assert!(lost > 0);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
