//! Hooks: `fallbackcommand` and `callback`, off the caller's thread.
//!
//! [`Hooks`] decides which run begins when, and keeps what each service's command was told last
//! ([`Memory`]); it is pure. [`run`] carries one run out, and [`Journal`] keeps the memory in a file.

mod journal;
mod memory;
mod queue;
mod runner;
mod schedule;

pub use journal::Journal;
pub use memory::{Line, Memory};
pub use runner::run;
pub use schedule::{Hooks, Order};

use crate::model::{FallbackCommand, HookArgument, ServiceAddress, User};
use crate::process::Identity;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A run of a service's `fallbackcommand`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookJob {
    /// The service that it is about.
    pub service: ServiceAddress,
    /// The command.
    pub command: FallbackCommand,
    /// `start` or `stop`.
    pub argument: HookArgument,
}

impl HookJob {
    /// What `/bin/sh -c` is given: `<command> start|stop <VIP>:<port> <protocol>`.
    ///
    /// The command is the configuration's own shell text; the words behind it are numbers, brackets
    /// and fixed words, nothing that a shell would interpret.
    pub fn command_line(&self) -> String {
        let Self { service, command, argument } = self;
        let (target, protocol) = (service.hook_argument(), service.protocol_word());
        format!("{} {} {target} {protocol}", command.command, argument.word())
    }
}

/// A program to be run now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRun {
    /// Names the run in [`HookEvent`].
    pub run: u64,
    /// What to run.
    pub program: HookProgram,
    /// After this it is ended.
    pub timeout: Duration,
    /// Who runs it; whoever runs the daemon if it is nobody.
    pub user: Option<Arc<User>>,
    /// A run of the same service that an earlier process left behind: it must be over first.
    pub after: Option<Identity>,
}

/// What a hook runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookProgram {
    /// Given to `/bin/sh -c`.
    Shell(String),
    /// Run with the configuration's path as its only argument, without a shell.
    Callback {
        /// The program.
        program: PathBuf,
        /// Its argument.
        config: PathBuf,
    },
}

impl fmt::Display for HookProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(line) => f.write_str(line),
            Self::Callback { program, config } => {
                write!(f, "{} {}", program.display(), config.display())
            }
        }
    }
}

/// What is told of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookEvent {
    /// Its process is there.
    Started {
        /// The run.
        run: u64,
        /// Its process.
        process: Identity,
    },
    /// It is over.
    Ended {
        /// The run.
        run: u64,
        /// How it ended.
        result: HookResult,
        /// How long it took.
        duration: Duration,
    },
}

/// What has become of a run of a `fallbackcommand`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookReport {
    /// What was run.
    pub job: HookJob,
    /// How the run ended.
    pub result: HookResult,
    /// How long it took.
    pub duration: Duration,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Whether the run will be repeated.
    pub will_retry: bool,
}

impl HookReport {
    /// Whether the command ended with status 0.
    pub fn succeeded(&self) -> bool {
        self.result == HookResult::Exited(0)
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookResult {
    /// With this status; 0 is success.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// By us: its time was over.
    TimedOut,
    /// It could not be started.
    Failed(String),
}

/// One short phrase.
impl fmt::Display for HookResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Signalled(signal) => write!(f, "ended by signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Failed(cause) => f.write_str(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Protocol};

    #[test]
    fn the_command_line_ends_with_argument_address_and_protocol() {
        let command = FallbackCommand {
            command: "/etc/ha.d/anycast --fast".into(),
            retry: false,
            timeout: Duration::from_secs(60),
            user: None,
        };
        let tcp = |address: &str| ServiceAddress::Address {
            protocol: Protocol::Tcp,
            address: address.parse().unwrap(),
        };
        let mark = ServiceAddress::Fwmark { family: Family::Inet, mark: 7 };
        for (service, argument, line) in [
            (tcp("10.9.9.9:80"), HookArgument::Start, "start 10.9.9.9:80 tcp"),
            (tcp("[fd00::9]:80"), HookArgument::Stop, "stop [fd00::9]:80 tcp"),
            (mark, HookArgument::Start, "start 7:0 fwm"),
        ] {
            let job = HookJob { service, command: command.clone(), argument };
            assert_eq!(job.command_line(), format!("/etc/ha.d/anycast --fast {line}"));
        }
    }

    #[test]
    fn a_program_and_its_end_have_words() {
        let callback = HookProgram::Callback { program: "/bin/a".into(), config: "/b.cf".into() };
        assert_eq!(callback.to_string(), "/bin/a /b.cf");
        assert_eq!(HookProgram::Shell("a; b".into()).to_string(), "a; b");
        for (result, words) in [
            (HookResult::Exited(3), "exit status 3"),
            (HookResult::Signalled(9), "ended by signal 9"),
            (HookResult::TimedOut, "timed out"),
            (HookResult::Failed("no such file".into()), "no such file"),
        ] {
            assert_eq!(result.to_string(), words);
        }
    }
}
