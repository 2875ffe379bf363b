//! `service=oracle`: log in, and a statement that returns a row. Cargo feature `oracle`.
//!
//! Oracle's protocol is spoken by a helper program, [`HELPER`], in a process that can be killed at the
//! deadline. The contract:
//!
//! * two arguments: the server's address and port;
//! * standard input, four lines: login, password, database (a SID), statement. No secret is in an
//!   argument or in the environment, where others could read it;
//! * exit status 0: the statement returned a row; 1: it returned none; 2: the login was refused;
//!   3: anything else. After 2 and 3 the first line of standard output says why.
//!
//! The helper is looked for beside the running program, then in `PATH`. Its source is in
//! `oracle-helper/`, a workspace of its own.

use super::connect::Probe;
use super::sql::statement;
use super::{Deadline, Failure, transcript};
use crate::model::Exchange;
use crate::process::{self, Ending, Limits};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

/// The helper's name.
const HELPER: &str = "ldirectord-oracle";

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_millis(50);

/// Bytes of input: less than a pipe holds (pipe(7)), so that writing it never waits for the helper.
const INPUT_LIMIT: usize = 60 * 1024;

/// Runs the helper.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(probe: Probe<'_>) -> Result<(), Failure> {
    run(&helper(), probe.target, probe.exchange, probe.deadline)
}

fn helper() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(HELPER));
    beside.filter(|helper| helper.exists()).unwrap_or_else(|| HELPER.into())
}

fn run(
    helper: &Path,
    server: SocketAddr,
    exchange: &Exchange,
    deadline: Deadline,
) -> Result<(), Failure> {
    let input = input(exchange)?;
    let mut command = Command::new(helper);
    command
        .arg(server.ip().to_string())
        .arg(server.port().to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    transcript::command(&command, None);
    let mut child = process::spawn(&mut command)
        .map_err(|error| Failure::not_started(&format!("{}: ", helper.display()), &error))?;
    if let Some(pipe) = child.take_stdin() {
        // A helper that has ended already says so by its exit status.
        let _ = process::feed(pipe, input.as_bytes(), deadline.instant());
    }
    let stdout = child.take_stdout();
    let timeout = deadline.remaining().unwrap_or_default();
    match child.finish(Limits { timeout, grace: GRACE })? {
        Ending::Exited(status) => verdict(Some(status), words(stdout)),
        Ending::Signalled(_) => verdict(None, String::new()),
        Ending::TimedOut => Err(Failure::TimedOut),
    }
}

fn input(exchange: &Exchange) -> Result<String, Failure> {
    let lines = [&exchange.login, &exchange.passwd, &exchange.database, statement(exchange)?];
    let input: String = lines.map(|line| format!("{line}\n")).concat();
    if input.len() > INPUT_LIMIT || lines.iter().any(|line| line.contains('\n')) {
        return Err(Failure::Config("request: too long for oracle".into()));
    }
    Ok(input)
}

/// What the helper has written by the time it ended; something that it left running may hold the
/// pipe open, so this does not wait for the end.
fn words(stdout: Option<ChildStdout>) -> String {
    let mut words = [0; Failure::TEXT_LIMIT];
    let read = stdout.map(|mut pipe| {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        pipe.read(&mut words)
    });
    match read {
        Some(Ok(count)) => Failure::text(&words[..count]),
        _ => String::new(),
    }
}

fn verdict(status: Option<i32>, words: String) -> Result<(), Failure> {
    match status {
        Some(0) => Ok(()),
        Some(1) => Err(Failure::Empty),
        Some(2) => Err(Failure::LoginRefused(words)),
        Some(3) => Err(Failure::Rejected(words)),
        Some(other) => Err(Failure::Exit(other)),
        None => Err(Failure::Exec(format!("{HELPER} was killed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::verdict as said;
    use super::super::tests::exchange;
    use super::*;
    use crate::model::Service;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    /// Runs a stand-in for the helper: a shell script.
    fn run_script(script: &str, timeout: Duration) -> Result<(), Failure> {
        let directory = tempfile::tempdir().unwrap();
        let helper = directory.path().join(HELPER);
        std::fs::write(&helper, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
        let plan = Exchange {
            login: "scott".into(),
            passwd: "tiger \"$(x)".into(),
            database: "orcl".into(),
            request: "/SELECT 1 FROM dual".into(),
            ..exchange(Service::Oracle)
        };
        let server = "[2001:db8::1]:1521".parse().unwrap();
        loop {
            let outcome = run(&helper, server, &plan, Deadline::after(timeout));
            // Another test's child may for a moment have the script open for writing.
            if !said(outcome.clone()).contains("Text file busy") {
                return outcome;
            }
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn arguments_and_input_are_the_contracts() {
        let script = r#"
            cat > "$0.in"
            [ "$#:$1:$2" = "2:2001:db8::1:1521" ] || { echo "$@"; exit 3; }
            printf '%s\n' scott 'tiger "$(x)' orcl 'SELECT 1 FROM dual' | cmp -s - "$0.in"
        "#;
        assert_eq!(run_script(script, LONG), Ok(()));
    }

    #[test]
    fn the_exit_status_is_the_verdict() {
        let cases = [
            ("exit 0", "up"),
            ("exit 1", "nothing found"),
            ("echo ORA-01017; exit 2", "login refused: ORA-01017"),
            ("echo ORA-00942; echo more; exit 3", "rejected: ORA-00942"),
            ("exit 101", "exit status 101"),
            ("kill -9 $$", "cannot run the command: ldirectord-oracle was killed"),
            // Somebody else holds the pipe open: the verdict does not wait for it.
            ("echo ORA-1; sleep 60 & exit 2", "login refused: ORA-1"),
        ];
        for (script, expected) in cases {
            assert_eq!(said(run_script(script, LONG)), expected, "{script}");
        }
    }

    #[test]
    fn at_the_deadline_the_helper_is_killed() {
        let begun = Instant::now();
        let outcome = run_script("trap '' TERM; sleep 600 & wait", Duration::from_millis(300));
        assert_eq!(outcome, Err(Failure::TimedOut));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn without_the_helper_the_failure_names_it() {
        let plan = Exchange {
            login: "u".into(),
            request: "/SELECT 1".into(),
            ..exchange(Service::Oracle)
        };
        let server = "192.0.2.1:1521".parse().unwrap();
        let helper = Path::new("/nonexistent/ldirectord-oracle");
        let outcome = said(run(helper, server, &plan, Deadline::after(LONG)));
        assert!(outcome.contains("/nonexistent/ldirectord-oracle: No such file"), "{outcome}");
    }
}
