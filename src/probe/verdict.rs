//! What a probe says about a server, as the daemon would.

use crate::check::{AgentAnswer, CheckOutcome, Failure, Note, transcript};
use crate::model::{CheckMethod, CheckPlan};
use crate::status::{ServerState, UnixTime};
use std::time::Duration;

/// A server's state by one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Up, down, off, or unknown if the check could not be made.
    pub(super) state: ServerState,
    /// The words of the log and of `status`, without the secrets of the configuration.
    pub(super) words: String,
    /// When the check ended.
    pub(super) checked: UnixTime,
    pub(super) duration: Duration,
    /// So many failures in a row make the server down.
    pub(super) failure_count: u32,
}

/// What many probes of one server have come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) up: u64,
    pub(super) down: u64,
    /// Without a verdict, because the check could not be made.
    pub(super) unknown: u64,
    pub(super) off: u64,
    pub(super) shortest: Option<Duration>,
    pub(super) longest: Duration,
    pub(super) total: Duration,
}

impl Tally {
    pub(super) fn count(&mut self, verdict: &Verdict) {
        *match verdict.state {
            ServerState::Up => &mut self.up,
            ServerState::Down => &mut self.down,
            ServerState::Off => &mut self.off,
            ServerState::Unknown | ServerState::Maintenance => &mut self.unknown,
        } += 1;
        let time = verdict.duration;
        self.shortest = Some(self.shortest.map_or(time, |shortest| shortest.min(time)));
        self.longest = self.longest.max(time);
        self.total = self.total.saturating_add(time);
    }

    pub(super) fn probes(&self) -> u64 {
        self.up + self.down + self.unknown + self.off
    }

    pub(super) fn mean(&self) -> Duration {
        self.total / u32::try_from(self.probes().max(1)).unwrap_or(u32::MAX)
    }
}

impl Verdict {
    /// Of this outcome of a check of this plan.
    pub(super) fn new(
        plan: &CheckPlan,
        failure_count: u32,
        outcome: &CheckOutcome,
        duration: Duration,
        checked: UnixTime,
    ) -> Self {
        let state = match outcome {
            _ if plan.method == CheckMethod::Off => ServerState::Off,
            CheckOutcome::Up(_) => ServerState::Up,
            CheckOutcome::Down(Failure::Local(_)) => ServerState::Unknown,
            CheckOutcome::Down(_) => ServerState::Down,
        };
        let words = transcript::without(&outcome.words(), &transcript::configured_secrets(plan));
        let words = words + &agent_words(outcome);
        Self { state, words, checked, duration, failure_count }
    }
}

/// What the server's agent says of its weight, after the words of the check.
fn agent_words(outcome: &CheckOutcome) -> String {
    match outcome {
        CheckOutcome::Up(Note { agent: AgentAnswer::Percent(percent), .. }) => {
            format!("; agent: {percent} % of the weight")
        }
        CheckOutcome::Up(Note { agent: AgentAnswer::Weight(weight), .. }) => {
            format!("; agent: weight {weight}")
        }
        CheckOutcome::Up(_) | CheckOutcome::Down(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_s_word_follows_that_of_the_check() {
        let said = |agent| agent_words(&CheckOutcome::Up(Note { agent, ..Note::default() }));
        assert_eq!(said(AgentAnswer::Percent(40)), "; agent: 40 % of the weight");
        assert_eq!(said(AgentAnswer::Weight(7)), "; agent: weight 7");
        assert_eq!(said(AgentAnswer::Nothing), "");
    }
}
