//! When each check runs next. Pure: the clock is an argument.

use crate::director::CheckId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

/// Checks that are due within one tick start together, which wakes the threads once for all.
const TICK: Duration = Duration::from_millis(20);

/// Pause between the first runs of two checks: a start spreads its load, without keeping anybody
/// waiting.
const FIRST_GAP: Duration = Duration::from_micros(300);

/// The schedule: each check at most once, either waiting for its time or in flight.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<(Instant, CheckId)>>,
    slots: HashMap<CheckId, Slot>,
}

#[derive(Debug)]
struct Slot {
    interval: Duration,
    due: Instant,
    in_flight: bool,
    seen: bool,
}

impl Schedule {
    /// Takes on a set of checks with their intervals: new ones get their first run spread from now
    /// on, known ones keep their time, others are forgotten.
    pub(super) fn install(
        &mut self,
        checks: impl IntoIterator<Item = (CheckId, Duration)>,
        now: Instant,
    ) {
        for slot in self.slots.values_mut() {
            slot.seen = false;
        }
        let mut fresh = Vec::new();
        for (id, interval) in checks {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.interval = interval;
                slot.seen = true;
            } else {
                fresh.push((id, interval));
            }
        }
        self.slots.retain(|_, slot| slot.seen);
        fresh.sort_unstable();
        let count = u32::try_from(fresh.len()).unwrap_or(u32::MAX).max(1);
        let mut due = now;
        for (id, interval) in fresh {
            self.slots.insert(id, Slot { interval, due, in_flight: false, seen: true });
            self.heap.push(Reverse((due, id)));
            due += FIRST_GAP.min(interval / count);
        }
    }

    /// The checks that are due, which are in flight from now on.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<CheckId> {
        let mut due = Vec::new();
        while let Some(&Reverse((at, id))) = self.heap.peek()
            && at <= now
        {
            self.heap.pop();
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            if slot.in_flight || slot.due != at {
                continue;
            }
            slot.in_flight = true;
            due.push(id);
        }
        due
    }

    /// A check is back, or was left out this time: it is due again an interval after it was due
    /// last, or now if that is past.
    pub(super) fn finished(&mut self, id: CheckId, now: Instant) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.in_flight = false;
        let next = slot.due.checked_add(slot.interval);
        slot.due = next.map_or(now + Duration::from_secs(86_400), |next| next.max(now));
        self.heap.push(Reverse((slot.due, id)));
    }

    /// How long until something is due, rounded up to a tick.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let &Reverse((at, _)) = self.heap.peek()?;
        let wait = at.saturating_duration_since(now);
        Some(if wait.is_zero() { wait } else { wait + TICK })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_check_is_due_once_an_interval_and_never_twice_in_flight() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.install([(CheckId(1), 5 * SECOND)], start);
        assert_eq!(schedule.take_due(start), [CheckId(1)]);
        assert_eq!(schedule.take_due(start + 20 * SECOND), []);
        schedule.finished(CheckId(1), start + SECOND);
        assert_eq!(schedule.take_due(start + 4 * SECOND), []);
        assert_eq!(schedule.take_due(start + 5 * SECOND), [CheckId(1)]);
    }

    #[test]
    fn a_check_that_took_longer_than_its_interval_is_due_at_once() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.install([(CheckId(1), SECOND)], start);
        schedule.take_due(start);
        schedule.finished(CheckId(1), start + 3 * SECOND);
        assert_eq!(schedule.take_due(start + 3 * SECOND), [CheckId(1)]);
    }

    #[test]
    fn a_reload_keeps_the_time_of_known_checks_and_forgets_the_others() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.install([(CheckId(1), 5 * SECOND), (CheckId(2), 5 * SECOND)], start);
        schedule.take_due(start + SECOND);
        schedule.finished(CheckId(1), start + SECOND);
        schedule.finished(CheckId(2), start + SECOND);
        schedule.install([(CheckId(2), 5 * SECOND), (CheckId(3), SECOND)], start + 2 * SECOND);
        assert_eq!(schedule.take_due(start + 2 * SECOND), [CheckId(3)]);
        assert_eq!(schedule.take_due(start + 6 * SECOND), [CheckId(2)]);
    }

    #[test]
    fn first_runs_are_spread_but_not_beyond_the_interval() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.install((0..10_000).map(|id| (CheckId(id), 5 * SECOND)), start);
        assert!(schedule.take_due(start).len() < 10);
        assert_eq!(schedule.take_due(start + 5 * SECOND).len() + 1, 10_000);
    }
}
