//! The weight of a server that serves: what its agent asks for, and how it rises after a return.

use std::time::{Duration, Instant};

/// Between two steps of a weight that rises.
const STEP: Duration = Duration::from_secs(1);

/// What an agent asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A percentage of the configured weight.
    Percent(u16),
    /// A weight.
    Weight(u16),
}

impl Asked {
    /// A percentage, which counts by half where it differs from the last one; drained and all of it
    /// count at once.
    pub(super) fn percent(said: u16, before: Option<Self>) -> Self {
        match before {
            Some(Self::Percent(before)) if before > 0 && said > 0 && said != 100 => {
                // Rounded towards what is said, so that it comes there.
                let sum = u32::from(before) + u32::from(said) + u32::from(said > before);
                Self::Percent(u16::try_from(sum / 2).unwrap_or(u16::MAX))
            }
            _ => Self::Percent(said),
        }
    }

    pub(super) fn is_drain(self) -> bool {
        matches!(self, Self::Percent(0) | Self::Weight(0))
    }

    /// At least 1 of a server that is not to be drained.
    pub(super) fn of(self, configured: u32) -> u32 {
        match self {
            Self::Weight(weight) => u32::from(weight),
            Self::Percent(percent) => share(configured, u64::from(percent), 100),
        }
    }
}

/// A weight that rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rise {
    since: Instant,
    time: Duration,
    /// Steps that are done.
    steps: u32,
}

impl Rise {
    pub(super) fn new(now: Instant, time: Duration) -> Self {
        Self { since: now, time, steps: 0 }
    }

    /// As it is at a later time; `None` when it is over.
    pub(super) fn at(self, now: Instant) -> Option<Self> {
        let passed = now.saturating_duration_since(self.since);
        let steps = u32::try_from(passed.as_secs()).unwrap_or(u32::MAX);
        (passed < self.time).then_some(Self { steps, ..self })
    }

    /// When it is to be looked at again.
    pub(super) fn next(self) -> Instant {
        let next = STEP.saturating_mul(self.steps.saturating_add(1)).min(self.time);
        // A time beyond what the clock can say is never over.
        self.since.checked_add(next).unwrap_or(self.since + Duration::from_secs(86_400))
    }

    /// At least 1.
    pub(super) fn of(self, weight: u32) -> u32 {
        let done = STEP.saturating_mul(self.steps).as_millis();
        let [done, all] = [done, self.time.as_millis().max(1)]
            .map(|millis| u64::try_from(millis).unwrap_or(u64::MAX));
        share(weight, done, all)
    }
}

/// A part of a weight, at least 1 of one that is not 0.
fn share(weight: u32, part: u64, whole: u64) -> u32 {
    let share = u128::from(weight) * u128::from(part) / u128::from(whole);
    u32::try_from(share).unwrap_or(u32::MAX).clamp(weight.min(1), LARGEST)
}

/// The kernel's limit (include/linux/ip_vs.h: an int, read as such).
const LARGEST: u32 = i32::MAX as u32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_comes_by_halves_and_drain_and_all_at_once() {
        use Asked::Percent;
        let mut asked = None;
        let mut say = |percent| {
            asked = Some(Asked::percent(percent, asked));
            asked.unwrap()
        };
        let heard = [100, 50, 50, 50, 50, 50, 50, 50, 0, 40, 100].map(&mut say);
        let expected = [100, 75, 62, 56, 53, 51, 50, 50, 0, 40, 100].map(Percent);
        assert_eq!(heard, expected);
        assert_eq!([41, 99, 99].map(&mut say), [70, 85, 92].map(Percent));
        assert_eq!([Percent(75).of(10), Percent(1).of(10), Percent(0).of(0)], [7, 1, 0]);
        assert_eq!([Percent(200).of(10), Asked::Weight(7).of(10)], [20, 7]);
        assert_eq!(Percent(1000).of(u32::MAX), LARGEST);
    }

    #[test]
    fn a_weight_rises_second_by_second() {
        let begun = Instant::now();
        let rise = Rise::new(begun, Duration::from_secs(10));
        let at = |seconds: u64| rise.at(begun + Duration::from_secs(seconds));
        assert_eq!(rise.of(100), 1);
        assert_eq!(rise.next(), begun + STEP);
        let fourth = at(4).unwrap();
        assert_eq!((fourth.of(100), fourth.of(1), fourth.of(0)), (40, 1, 0));
        assert_eq!(fourth.next(), begun + Duration::from_secs(5));
        assert_eq!(at(9).unwrap().next(), begun + Duration::from_secs(10));
        assert_eq!(at(10), None);
        let short = Rise::new(begun, Duration::from_millis(500));
        assert_eq!(short.next(), begun + Duration::from_millis(500));
        let endless = Rise::new(begun, Duration::MAX);
        assert!(endless.next() > begun && endless.of(100) == 1);
    }
}
