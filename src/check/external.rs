//! external: the exit status of a command is the verdict.
//!
//! The command is run as it stands, without a shell and with exactly four arguments, in its own
//! process group, in `/`, with `/dev/null` for input and output. At the deadline the whole group
//! is ended, with SIGTERM first.

use super::{Deadline, Failure, transcript};
use crate::model::Script;
use crate::process::{self, Ending, Limits};
use std::io;
use std::process::Command;
use std::time::Duration;

/// From SIGTERM to SIGKILL. The verdict of a command that ignores SIGTERM is this much late.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// Runs the check. `timeout` is the one of the configuration, for the log.
///
/// # Errors
/// [`Failure::Exit`], [`Failure::Signal`], [`Failure::Exec`], [`Failure::TimedOut`], [`Failure::Local`].
pub(super) fn check(script: &Script, timeout: Duration, deadline: Deadline) -> Result<(), Failure> {
    run_script(script, deadline).inspect_err(|failure| log_failure(script, timeout, failure))
}

/// Runs a script for its exit status.
///
/// # Errors
/// As [`check`].
pub(super) fn run_script(script: &Script, deadline: Deadline) -> Result<(), Failure> {
    // compat: command and arguments are one word each, so arguments written in checkcommand are
    // part of the file's name (spec 4.7, K4)
    let mut command = Command::new(&script.command);
    command.args(&script.arguments).current_dir("/");
    run(&mut command, script, deadline)
}

/// Runs a command as the script's user for its exit status.
///
/// # Errors
/// As [`check`].
pub(super) fn run(
    command: &mut Command,
    script: &Script,
    deadline: Deadline,
) -> Result<(), Failure> {
    transcript::command(command, script.user.as_deref());
    let limits = Limits { timeout: deadline.remaining()?, grace: GRACE };
    verdict(process::run_as(command, script.user.as_deref(), limits, |_| {}))
}

/// What the end of a command means.
pub(super) fn verdict(ending: io::Result<Ending>) -> Result<(), Failure> {
    match ending {
        Ok(Ending::Exited(0)) => Ok(()),
        Ok(Ending::Exited(status)) => Err(Failure::Exit(status)),
        Ok(Ending::Signalled(signal)) => Err(Failure::Signal(signal)),
        Ok(Ending::TimedOut) => Err(Failure::TimedOut),
        Err(error) => Err(Failure::not_started("", &error)),
    }
}

/// The original's two log lines about external checks (spec 4.7).
fn log_failure(script: &Script, timeout: Duration, failure: &Failure) {
    let line = format!("{} {}", script.command, script.arguments.join(" "));
    match failure {
        Failure::TimedOut => {
            let seconds = timeout.as_secs_f64();
            log::info!("system_timeout({seconds}, {line}) timed out, kill -TERM child");
        }
        Failure::Exec(cause) => {
            log::info!("Exiting with exit_status 127: exec({line}) failed: {cause}");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_command_is_a_verdict() {
        assert_eq!(verdict(Ok(Ending::Exited(0))), Ok(()));
        assert_eq!(verdict(Ok(Ending::Exited(3))), Err(Failure::Exit(3)));
        assert_eq!(verdict(Ok(Ending::Signalled(9))), Err(Failure::Signal(9)));
        assert_eq!(verdict(Ok(Ending::TimedOut)), Err(Failure::TimedOut));
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(verdict(Err(missing)), Err(Failure::Exec("No such file or directory".into())));
        let no_process = io::Error::from_raw_os_error(11);
        assert!(matches!(verdict(Err(no_process)), Err(Failure::Local(_))));
    }
}
