//! `execute`: further instances, which are started, reloaded and stopped with this one.
//!
//! They are ordinary daemons of their own; only the commands come from here.

use crate::process::{self, Ending, Limits};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long one command may take; a start waits until the table is up.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(60), grace: Duration::from_secs(3) };

/// A thread only starts a program and waits for it.
const STACK: usize = 128 * 1024;

/// The instances in force. Commands run on a thread of their own, in order; it exists as soon as
/// there is an instance.
#[derive(Debug)]
pub struct Instances {
    program: PathBuf,
    names: Vec<String>,
    runner: Option<(Sender<Vec<Step>>, JoinHandle<()>)>,
}

/// A command to one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    verb: Verb,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Start,
    Stop,
    /// Reload, and start if that fails.
    Reload,
}

impl Instances {
    /// No instance yet; `program` is what is run: `<program> <name> start`.
    pub fn new(program: &Path) -> Self {
        Self { program: program.to_owned(), names: Vec::new(), runner: None }
    }

    /// The names in force now: new ones are started, vanished ones stopped, kept ones reloaded, and
    /// started if that fails.
    pub fn set(&mut self, names: &[String]) {
        let steps = steps(&self.names, names);
        self.names = names.to_vec();
        self.push(steps);
    }

    /// Begins to stop them all.
    pub fn stop(&mut self) {
        let steps = steps(&self.names, &[]);
        self.names.clear();
        self.push(steps);
    }

    /// Waits until every command has been carried out.
    pub fn finish(&mut self) {
        if let Some((queue, thread)) = self.runner.take() {
            drop(queue);
            // A panic in it has been logged, and there is nothing to wait for.
            let _ = thread.join();
        }
    }

    fn push(&mut self, steps: Vec<Step>) {
        if steps.is_empty() {
            return;
        }
        let Err(SendError(steps)) = (match &self.runner {
            Some((queue, _)) => queue.send(steps),
            None => Err(SendError(steps)),
        }) else {
            return;
        };
        // There is no thread yet, or a fault has ended it.
        let (queue, inbox) = channel();
        let program = self.program.clone();
        let thread = thread::Builder::new().name("execute".into());
        match thread.spawn(move || work(&program, &inbox)) {
            Ok(thread) => {
                // The thread lives as long as the queue.
                let _ = queue.send(steps);
                self.runner = Some((queue, thread));
            }
            Err(error) => {
                let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
                let names = names.join(", ");
                log::error!("execute: cannot start a thread: {error}; nothing is done for {names}");
            }
        }
    }
}

fn steps(old: &[String], new: &[String]) -> Vec<Step> {
    let step = |verb, name: &String| Step { verb, name: name.clone() };
    let gone = old.iter().filter(|name| !new.contains(name)).map(|name| step(Verb::Stop, name));
    let here = new.iter().map(|name| match old.contains(name) {
        true => step(Verb::Reload, name),
        false => step(Verb::Start, name),
    });
    gone.chain(here).collect()
}

/// The commands of one batch go to different instances, so they run side by side: a machine with
/// many of them stops in time. Those that get no thread run one after another.
fn work(program: &Path, inbox: &Receiver<Vec<Step>>) {
    for batch in inbox {
        thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut left = Vec::new();
            for step in &batch {
                let thread = thread::Builder::new().name("execute".into()).stack_size(STACK);
                match thread.spawn_scoped(scope, || carry_out(program, step)) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        log::warn!("execute: cannot start a thread for {}: {error}", step.name);
                        left.push(step);
                    }
                }
            }
            left.into_iter().for_each(|step| carry_out(program, step));
            // A scope passes on the panics of those that nobody has waited for. They are logged.
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
    }
}

fn carry_out(program: &Path, step: &Step) {
    match step.verb {
        Verb::Start => run(program, &step.name, "start"),
        Verb::Stop => run(program, &step.name, "stop"),
        Verb::Reload => run(program, &step.name, "reload") || run(program, &step.name, "start"),
    };
}

/// Tells whether the command succeeded.
fn run(program: &Path, name: &str, verb: &str) -> bool {
    let line = format!("{} {name} {verb}", program.display());
    let result = process::run(Command::new(program).args([name, verb]), LIMITS);
    match &result {
        Ok(Ending::Exited(0)) => log::debug!("execute: {line}"),
        Ok(Ending::Exited(status)) => log::error!("system({line}) failed: exit status {status}"),
        Ok(Ending::Signalled(signal)) => log::error!("system({line}) failed: signal {signal}"),
        Ok(Ending::TimedOut) => log::error!("system({line}) failed: timed out"),
        Err(error) => log::error!("system({line}) failed: {error}"),
    }
    matches!(result, Ok(Ending::Exited(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn instances_follow_the_names() {
        let directory = tempfile::tempdir().unwrap();
        let (program, file) = (directory.path().join("ldirectord"), directory.path().join("calls"));
        // Only b can be reloaded.
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> {}\n[ \"$2\" != reload ] || [ $1 = b ]\n",
            file.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut instances = Instances::new(&program);
        let mut calls_after = |act: &mut dyn FnMut(&mut Instances)| {
            act(&mut instances);
            instances.finish();
            let text = fs::read_to_string(&file).unwrap_or_default();
            let _ = fs::remove_file(&file);
            let mut lines: Vec<String> = text.lines().map(Into::into).collect();
            lines.sort();
            lines.join(", ")
        };
        assert_eq!(calls_after(&mut |i| i.set(&[])), "");
        assert_eq!(
            calls_after(&mut |i| i.set(&names(&["a", "b", "c"]))),
            "a start, b start, c start"
        );
        assert_eq!(
            calls_after(&mut |i| i.set(&names(&["b", "c", "d"]))),
            "a stop, b reload, c reload, c start, d start"
        );
        assert_eq!(calls_after(&mut Instances::stop), "b stop, c stop, d stop");
    }
}
