//! Hooks: `fallbackcommand` and `callback`, off the caller's thread.
//!
//! [`HookRunner`] runs them; [`Memory`] keeps what each service's hook was last told.

mod memory;
mod queue;
mod runner;

pub use memory::Memory;
pub use runner::HookRunner;

use crate::model::{FallbackCommand, HookArgument, ServiceAddress};
use std::fmt;
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

/// What has become of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookReport {
    /// The service.
    pub service: ServiceAddress,
    /// The command.
    pub command: FallbackCommand,
    /// What it was told.
    pub argument: HookArgument,
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
}
