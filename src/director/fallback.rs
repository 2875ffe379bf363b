//! When the fallback server serves, and when `fallbackcommand` runs.
//!
//! The fallback *server* follows the table: it is listed while no real server is. The fallback
//! *command* follows verdicts: it announces a site to a network, so it says `stop` (the site is
//! good) only on passed checks and `start` only when passing has become impossible.

use crate::model::{HookArgument, VirtualService};
use std::time::Instant;

/// The verdicts on the real servers of one service, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Servers that the table sends connections to.
    pub serving: usize,
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
    /// Since when the service is good while the command still says it is not.
    good_since: Option<Instant>,
}

impl HookState {
    /// The state of a command that an earlier process of this program last ran with `told`.
    pub fn remembered(told: Option<HookArgument>) -> Self {
        Self { told, good_since: None }
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
        if self.told == Some(argument) {
            return None;
        }
        if argument == HookArgument::Stop && self.told == Some(HookArgument::Start) {
            let good_since = *self.good_since.get_or_insert(now);
            if now.saturating_duration_since(good_since) < service.fallback_hold_down {
                return None;
            }
        }
        self.good_since = None;
        self.told = Some(argument);
        Some(argument)
    }

    /// When a service that is good will have been so for long enough.
    pub fn deadline(&self, service: &VirtualService) -> Option<Instant> {
        self.good_since.and_then(|since| since.checked_add(service.fallback_hold_down))
    }
}
