//! One deadline per check, spent by every step.

use super::Failure;
use super::ours::is_want;
use super::transcript;
use crate::wait::ready;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, recv, send};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
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
    /// What goes over it is TLS's own.
    sealed: bool,
}

impl TimedStream {
    /// Binds a connected stream to a deadline.
    pub fn new(stream: TcpStream, deadline: Deadline) -> Self {
        Self { stream, deadline, sealed: false }
    }

    /// The stream itself, for addresses and for shutting down one direction.
    pub fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    /// The deadline.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// The same for TLS, which tells itself what is said over it.
    pub(super) fn sealed(self) -> Self {
        Self { sealed: true, ..self }
    }

    /// Returns when the socket is ready, or has failed.
    pub(super) fn wait(&self, events: PollFlags) -> io::Result<()> {
        if ready(&self.stream, events, self.deadline.0)? {
            Ok(())
        } else {
            Err(io::ErrorKind::TimedOut.into())
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
                result => {
                    let count = result?;
                    if !self.sealed {
                        transcript::received(&buffer[..count]);
                    }
                    return Ok(count);
                }
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
                result => {
                    let count = result?;
                    if !self.sealed {
                        transcript::sent(&buffer[..count]);
                    }
                    return Ok(count);
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if is_want(&error) {
            return Self::local(error);
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
