//! One deadline per check, spent by every step.

use super::Failure;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// Stands for a timeout beyond what the clock can hold.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// The instant by which a check must have its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline this long from now.
    pub fn after(timeout: Duration) -> Self {
        Self::of(Instant::now(), timeout)
    }

    /// The deadline this long from a beginning that is not long past.
    pub fn of(begun: Instant, timeout: Duration) -> Self {
        Self(begun.checked_add(timeout).unwrap_or(begun + FAR))
    }

    /// The deadline at this instant.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The instant itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left; never zero, since a zero timeout means "none" to a socket.
    ///
    /// # Errors
    /// `TimedOut` when nothing is left.
    pub fn remaining(self) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// A TCP stream that cannot outlive its deadline, however slowly the other end drips.
///
/// It waits with `poll`, so it does not matter whether the socket is a blocking one.
#[derive(Debug)]
pub struct TimedStream {
    stream: TcpStream,
    deadline: Deadline,
}

impl TimedStream {
    /// Binds a connected stream to a deadline.
    pub fn new(stream: TcpStream, deadline: Deadline) -> Self {
        Self { stream, deadline }
    }

    /// The stream itself, for addresses and for shutting down one direction.
    pub fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    /// The deadline.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Returns when the socket is ready, or has failed.
    fn wait(&self, events: PollFlags) -> io::Result<()> {
        loop {
            // Rounded up: waking before the deadline would only mean waiting again.
            let left = self.deadline.remaining()? + Duration::from_millis(1);
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.stream.as_fd(), events)], timeout) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for TimedStream {
    /// Waits first: an answer is seldom there already.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait(PollFlags::POLLIN)?;
            match recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => return Ok(result?),
            }
        }
    }
}

impl Write for TimedStream {
    /// Tries first: there is nearly always room.
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        loop {
            self.deadline.remaining()?;
            match send(self.stream.as_raw_fd(), buffer, flags) {
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT)?,
                Err(Errno::EINTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether an error is this machine's own want, not the server's or the network's. Port exhaustion
/// is not among them: its errno is also that of an interface without an address.
fn is_local(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if is_local(&error) {
            return Self::Local(error.to_string());
        }
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut,
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Self::Closed,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            _ => Self::Io(error.to_string()),
        }
    }
}
