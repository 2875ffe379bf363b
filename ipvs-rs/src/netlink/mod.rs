//! The only place that knows bytes: generic netlink as ip_vs speaks it.
//!
//! A request is a netlink header, a generic netlink header with the command, and attributes. The
//! kernel answers with any number of messages of the same shape and sequence number, then with an
//! acknowledgement (a single request) or a "done" message (a dump, which lists things).
//!
//! * [`attribute`]: every number of `include/uapi/linux/ip_vs.h` in use, explained.
//! * [`encode`]: services and destinations to attributes.
//! * [`decode`]: attributes to services and destinations; trusts nothing.
//! * [`frame`]: datagrams to messages; checks sequence numbers and dump consistency.
//! * [`channel`]: the socket, one request at a time, with a deadline.

pub(crate) mod attribute;
pub(crate) mod channel;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod frame;

#[cfg(test)]
mod tests;

use std::io;

/// Why an exchange with the kernel failed; [`crate::Error`] adds the operation.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The kernel has no ip_vs.
    NoFamily,
    /// The kernel answered with this errno.
    Errno(i32),
    /// The deadline passed.
    Timeout,
    /// The reply cannot be understood.
    Malformed(String),
    /// The kernel, or a repeated entry, says that the table changed while it was listed.
    Interrupted,
    /// A system call on the socket failed.
    Socket(io::Error),
}

impl Failure {
    /// The same once more.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::NoFamily => Self::NoFamily,
            Self::Errno(errno) => Self::Errno(*errno),
            Self::Timeout => Self::Timeout,
            Self::Malformed(text) => Self::Malformed(text.clone()),
            Self::Interrupted => Self::Interrupted,
            Self::Socket(error) => Self::Socket(match error.raw_os_error() {
                Some(errno) => io::Error::from_raw_os_error(errno),
                None => error.kind().into(),
            }),
        }
    }

    /// The same, of each of so many requests.
    pub(crate) fn of_all(&self, count: usize) -> Vec<Result<(), Self>> {
        (0..count).map(|_| Err(self.copy())).collect()
    }
}
