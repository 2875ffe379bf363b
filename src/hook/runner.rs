//! One run of a hook, on a thread of its own.

use super::{HookEvent, HookProgram, HookResult, HookRun};
use crate::process::{self, Ending, Limits};
use nix::unistd::{AccessFlags, access};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A thread only starts a program and waits for it.
const STACK: usize = 128 * 1024;

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(3);

/// Begins a run on a thread of its own; `tell` hears when its process is there and when it is over.
/// It always hears of the end, also of a run that cannot be started.
pub fn run(run: HookRun, tell: impl Fn(HookEvent) + Send + Sync + 'static) {
    let tell = Arc::new(tell);
    let teller = Arc::clone(&tell);
    let number = run.run;
    let work = move || {
        let begun = Instant::now();
        let result = carry_out(&run, &*teller);
        teller(HookEvent::Ended { run: run.run, result, duration: begun.elapsed() });
    };
    let spawned = thread::Builder::new().name("hook".into()).stack_size(STACK).spawn(work);
    if let Err(error) = spawned {
        let result = HookResult::Failed(format!("cannot start a thread: {error}"));
        tell(HookEvent::Ended { run: number, result, duration: Duration::ZERO });
    }
}

fn carry_out(run: &HookRun, tell: &dyn Fn(HookEvent)) -> HookResult {
    let mut command = match &run.program {
        HookProgram::Shell(line) => {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(line);
            shell
        }
        // compat: a callback that is not an executable file is passed over in silence (spec 5.11)
        HookProgram::Callback { program, .. } if !is_executable(program) => {
            return HookResult::Exited(0);
        }
        HookProgram::Callback { program, config } => {
            let mut command = Command::new(program);
            command.arg(config);
            command
        }
    };
    let limits = Limits { timeout: run.timeout, grace: GRACE };
    if let Some(before) = run.after {
        before.outwait(limits);
    }
    let started = |process| tell(HookEvent::Started { run: run.run, process });
    match process::run_as(&mut command, run.user.as_deref(), limits, started) {
        Ok(Ending::Exited(status)) => HookResult::Exited(status),
        Ok(Ending::Signalled(signal)) => HookResult::Signalled(signal),
        Ok(Ending::TimedOut) => HookResult::TimedOut,
        Err(error) => HookResult::Failed(error.to_string()),
    }
}

fn is_executable(program: &Path) -> bool {
    program.is_file() && access(program, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::mpsc::{Receiver, channel};

    const LONG: Duration = Duration::from_secs(60);

    fn begin(program: HookProgram, timeout: Duration) -> Receiver<HookEvent> {
        let (sender, events) = channel();
        let told = HookRun { run: 7, program, timeout, user: None, after: None };
        run(told, move |event| sender.send(event).unwrap());
        events
    }

    fn result(events: &Receiver<HookEvent>) -> HookResult {
        loop {
            match events.recv_timeout(LONG).unwrap() {
                HookEvent::Started { run, .. } => assert_eq!(run, 7),
                HookEvent::Ended { run, result, .. } => {
                    assert_eq!(run, 7);
                    return result;
                }
            }
        }
    }

    #[test]
    fn a_run_tells_its_process_and_its_end() {
        let events = begin(HookProgram::Shell("exit 3 #".into()), LONG);
        let HookEvent::Started { process, .. } = events.recv_timeout(LONG).unwrap() else {
            panic!("the process comes first")
        };
        assert!(process.pid > 1);
        assert_eq!(result(&events), HookResult::Exited(3));
    }

    #[test]
    fn a_run_beyond_its_time_is_ended() {
        let slow = HookProgram::Shell("exec sleep 20 #".into());
        assert_eq!(result(&begin(slow, Duration::from_millis(200))), HookResult::TimedOut);
    }

    #[test]
    fn a_run_waits_for_what_an_earlier_process_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("order");
        let line = |word: &str| format!("echo {word} >> {}", file.display());
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("sleep 1; {}", line("start")));
        let left = process::spawn(&mut shell).unwrap();
        let (sender, events) = channel();
        let after = process::Identity::of(left.id());
        let program = HookProgram::Shell(line("stop"));
        run(HookRun { run: 7, program, timeout: LONG, user: None, after }, move |event| {
            sender.send(event).unwrap();
        });
        assert_eq!(left.finish(Limits { timeout: LONG, grace: GRACE }).unwrap(), Ending::Exited(0));
        assert_eq!(result(&events), HookResult::Exited(0));
        assert_eq!(fs::read_to_string(file).unwrap(), "start\nstop\n");
    }

    #[test]
    fn the_callback_gets_the_path_without_a_shell() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (program, file) = (directory.path().join("callback"), directory.path().join("out"));
        fs::write(&program, format!("#!/bin/sh\necho \"$#:$1\" > {}\n", file.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let call = |program: &Path| {
            let (program, config) = (program.to_owned(), "/etc/ha.d/a b;c.cf".into());
            result(&begin(HookProgram::Callback { program, config }, LONG))
        };
        assert_eq!(call(directory.path()), HookResult::Exited(0), "a directory is not run");
        assert_eq!(call(&program), HookResult::Exited(0));
        assert_eq!(fs::read_to_string(file).unwrap(), "1:/etc/ha.d/a b;c.cf\n");
    }
}
