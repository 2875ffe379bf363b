//! Into the background, with a parent that waits for the result.

use crate::cli::ExitStatus;
use fork::{Fork, fork};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use std::fs::OpenOptions;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};

/// Which process this is now.
pub(super) enum Side {
    /// The one that was called, after the daemon has reported.
    Caller(Result<(), Failed>),
    /// The one between, which has nothing to do but to end.
    Between,
    /// The daemon.
    Daemon(Reporter),
}

/// A start that failed, in the words of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) status: ExitStatus,
    pub(super) message: String,
}

/// Tells the caller, once, what has become of the start.
#[derive(Debug)]
pub(super) enum Reporter {
    /// A parent waits.
    Parent(PipeWriter),
    /// Nobody but the terminal.
    Terminal,
}

impl Reporter {
    /// The table is up.
    pub(super) fn ready(self) {
        if let Self::Parent(mut pipe) = self {
            // A caller that was killed does not keep the daemon from its work.
            let _ = pipe.write_all(&[ExitStatus::Success.code()]);
        }
    }

    /// It will not come up.
    pub(super) fn failed(self, failed: &Failed) {
        match self {
            Self::Parent(mut pipe) => {
                let _ = pipe.write_all(&[failed.status.code()]);
                let _ = pipe.write_all(failed.message.as_bytes());
            }
            Self::Terminal => {
                let _ = writeln!(io::stderr(), "{}", failed.message);
            }
        }
    }
}

/// Forks twice, so that the daemon has no terminal and cannot get one; the caller waits for its
/// report. Must be called while there is one thread.
///
/// # Errors
/// When no process can be started.
pub(super) fn detach() -> io::Result<Side> {
    let (reader, writer) = pipe()?;
    io::stdout().flush()?;
    match fork()? {
        Fork::Parent(child) => {
            drop(writer);
            let report = read_report(reader);
            // It ends at once, and says nothing by how it ends.
            let _ = waitpid(Pid::from_raw(child), None);
            Ok(Side::Caller(report))
        }
        Fork::Child => {
            setsid()?;
            match fork()? {
                Fork::Parent(_) => Ok(Side::Between),
                Fork::Child => {
                    drop(reader);
                    chdir("/")?;
                    redirect_to_null()?;
                    Ok(Side::Daemon(Reporter::Parent(writer)))
                }
            }
        }
    }
}

fn read_report(mut reader: PipeReader) -> Result<(), Failed> {
    let mut report = Vec::new();
    let read = reader.by_ref().take(64 * 1024).read_to_end(&mut report);
    let (status, message) = match (read, report.split_first()) {
        (Ok(_), Some((0, _))) => return Ok(()),
        (Ok(_), Some((2, message))) => (ExitStatus::Configuration, message),
        (Ok(_), Some((_, message))) => (ExitStatus::Failure, message),
        _ => (ExitStatus::Failure, b"the daemon has ended while it was starting".as_slice()),
    };
    Err(Failed { status, message: String::from_utf8_lossy(message).into_owned() })
}

fn redirect_to_null() -> io::Result<()> {
    let null = OpenOptions::new().read(true).append(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}
