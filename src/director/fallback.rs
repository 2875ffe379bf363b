//! When the fallback servers serve, and when `fallbackcommand` runs.
//!
//! The fallback *servers* follow the table: they are listed while no real server is. The fallback
//! *command* follows verdicts: it announces a site to a network, so it says `stop` (the site is
//! good) only on passed checks and `start` only when passing has become impossible.

use crate::model::{HookArgument, VirtualService};
use std::time::Instant;

/// The verdicts on the real servers of one service, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Servers whose last verdict is good.
    pub passed: usize,
    /// Servers that may still pass: checked, but without a verdict yet.
    pub undecided: usize,
}

/// What the fallback command of one service was last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HookState {
    /// The argument of its last run; `None` if it never ran.
    pub told: Option<HookArgument>,
    /// Whether nobody knows what came of that run: the process that began it did not see its end.
    unsure: bool,
    /// Since when the service is good while the command still says it is not.
    good_since: Option<Instant>,
}

impl HookState {
    /// The state of a command that an earlier process of this program last ran with `told`.
    pub fn remembered(told: Option<HookArgument>) -> Self {
        Self { told, unsure: false, good_since: None }
    }

    /// The state of a command whose last run an earlier process began and did not see end: the next
    /// decision runs it, whatever it says.
    pub fn interrupted(told: HookArgument) -> Self {
        Self { told: Some(told), unsure: true, good_since: None }
    }

    /// Whether the command is known to have been told this last.
    pub fn surely(&self, argument: HookArgument) -> bool {
        self.told == Some(argument) && !self.unsure
    }

    /// The argument to run the command with now, if any; remembers it as told.
    pub fn decide(
        &mut self,
        service: &VirtualService,
        tally: Tally,
        now: Instant,
    ) -> Option<HookArgument> {
        let needed = service.fallback_minimum.servers(service.real_servers.len());
        let argument = if tally.passed >= needed {
            HookArgument::Stop
        } else if tally.passed + tally.undecided < needed {
            HookArgument::Start
        } else {
            self.good_since = None;
            return None;
        };
        if argument == HookArgument::Start {
            self.good_since = None;
        }
        if self.surely(argument) {
            return None;
        }
        if argument == HookArgument::Stop && self.told == Some(HookArgument::Start) {
            let good_since = *self.good_since.get_or_insert(now);
            if now.saturating_duration_since(good_since) < service.fallback_hold_down {
                return None;
            }
        }
        *self = Self::remembered(Some(argument));
        Some(argument)
    }

    /// When a service that is good will have been so for long enough.
    pub fn deadline(&self, service: &VirtualService) -> Option<Instant> {
        self.good_since.and_then(|since| since.checked_add(service.fallback_hold_down))
    }
}
