//! What is our own failure and no verdict on the server.
//!
//! A server is judged by what comes back from it. A check that could not be made, because this
//! machine has nothing left to make it with or does not allow it, is [`Failure::Local`], and the server
//! stays as it is. Where only the step tells (a permission may be refused here or by a router on the
//! way), the step says so: [`Failure::local`], [`Failure::not_connected`], [`Failure::not_started`].

use super::Failure;
use nix::errno::Errno;
use std::fs::File;
use std::io;

impl Failure {
    /// Of a step that has nothing to do with the server: making a socket, starting a thread.
    pub fn local(error: io::Error) -> Self {
        Self::Local(error.to_string())
    }

    /// Of connect(2) itself, before anything was sent: a security module or a rule of this machine
    /// forbids it.
    pub fn not_connected(error: io::Error) -> Self {
        match errno(&error) {
            Some(Errno::EACCES | Errno::EPERM | Errno::EAGAIN) => Self::local(error),
            _ => error.into(),
        }
    }

    /// Of a program that was not started; `what` stands before the system's words.
    pub(super) fn not_started(what: &str, error: &io::Error) -> Self {
        let text = error.to_string();
        // The system's words alone, as the original logs them.
        let words = format!("{what}{}", text.split(" (os error").next().unwrap_or_default());
        match errno(error) {
            Some(Errno::EAGAIN) => Self::Local(words),
            _ if is_want(error) => Self::Local(words),
            _ => Self::Exec(words),
        }
    }

    /// Of a library that needs descriptors and does not say that it got none: this failure, if one
    /// can be had now.
    pub(super) fn or_want(self) -> Self {
        match File::open("/dev/null") {
            Err(error) if is_want(&error) => Self::local(error),
            _ => self,
        }
    }
}

/// Whether the system has said that it has none left: descriptors, memory, ports or addresses to
/// ask from. None of these ever comes from the network. Nor does EPERM; what sends datagrams makes an
/// exception of it.
pub(super) fn is_want(error: &io::Error) -> bool {
    let wants = [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOBUFS,
        Errno::ENOMEM,
        Errno::EADDRNOTAVAIL,
        Errno::EPERM,
    ];
    errno(error).is_some_and(|errno| wants.contains(&errno))
}

pub(super) fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_and_the_error_tell_whose_failure_it_is() {
        type Step = fn(io::Error) -> Failure;
        let anything: Step = Failure::from;
        let started: Step = |error| Failure::not_started("", &error);
        for (step, errno, ours) in [
            (anything, Errno::EMFILE, true),
            (anything, Errno::ENFILE, true),
            (anything, Errno::ENOBUFS, true),
            (anything, Errno::ENOMEM, true),
            (anything, Errno::EADDRNOTAVAIL, true),
            (anything, Errno::EPERM, true),
            // A firewall on the way says so, over IPv6 (RFC 4443, section 3.1, code 1).
            (anything, Errno::EACCES, false),
            (anything, Errno::ECONNREFUSED, false),
            (anything, Errno::EHOSTUNREACH, false),
            (anything, Errno::EAGAIN, false),
            (Failure::not_connected, Errno::EACCES, true),
            (Failure::not_connected, Errno::EAGAIN, true),
            (Failure::not_connected, Errno::ENETUNREACH, false),
            (Failure::local, Errno::EACCES, true),
            (Failure::local, Errno::EAFNOSUPPORT, true),
            (started, Errno::EAGAIN, true),
            (started, Errno::ENOMEM, true),
            (started, Errno::EMFILE, true),
            (started, Errno::ENOENT, false),
            (started, Errno::EACCES, false),
        ] {
            let failure = step(errno.into());
            assert_eq!(matches!(failure, Failure::Local(_)), ours, "{errno}: {failure}");
        }
    }
}
