//! When each check runs next, and which run has had no answer in time. Pure: the clock is an argument.

use crate::director::CheckId;
use crate::metrics::Checks;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

/// Checks that are due within one tick start together, and no sooner than a tick after the last ones,
/// also when outcomes arrive between: each burst wakes the prober.
const TICK: Duration = Duration::from_millis(20);

/// Pause between the first runs of two checks: a start spreads its load, without keeping anybody
/// waiting.
const FIRST_GAP: Duration = Duration::from_micros(300);

/// How much longer than its timeout a run may take.
const GRACE: Duration = Duration::from_secs(1);

/// So many runs in flight never wait for each other; of more, some may wait for a free worker.
const SIDE_BY_SIDE: usize = 256;

/// A check that is due so long and has not begun is overdue.
const LATE: Duration = Duration::from_secs(1);

/// A run that may still wait for a worker is given up after this, whatever the others do.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The schedule: each check at most once, either waiting for its time or in flight.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<(Instant, CheckId)>>,
    slots: HashMap<CheckId, Slot>,
    last_run: u64,
    /// When the next burst may begin.
    next_burst: Option<Instant>,
    in_flight: usize,
    /// When each run in flight is looked at, if it has not ended before.
    limits: BinaryHeap<Reverse<(Instant, CheckId, u64)>>,
    /// When the latest begun of the runs that were answered was begun.
    answered: Option<Instant>,
    rhythm: Rhythm,
    /// Intervals that were varied.
    varied: u64,
}

/// `startspread` and `jitter`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rhythm {
    /// The time over which first runs are spread.
    pub(super) spread: Option<Duration>,
    /// By how many percent an interval is longer or shorter.
    pub(super) jitter: u32,
    /// What makes one director's jitter another than the next one's.
    pub(super) seed: u64,
}

impl Rhythm {
    /// An interval, made longer or shorter by what the number says.
    fn vary(self, interval: Duration, number: u64) -> Duration {
        if self.jitter == 0 {
            return interval;
        }
        // From 1 - jitter to 1 + jitter, in millionths.
        let most = u64::from(self.jitter) * 10_000;
        let millionths = 1_000_000 - most + mixed(self.seed ^ number) % (2 * most + 1);
        let micros = interval.as_micros().saturating_mul(u128::from(millionths)) / 1_000_000;
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// A number that looks random (splitmix64, Steele, Lea and Flood 2014).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[derive(Debug)]
struct Slot {
    interval: Duration,
    due: Instant,
    flight: Option<Flight>,
    /// How often in a row the check had no answer.
    unanswered: u32,
    seen: bool,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    run: u64,
    begun: Instant,
    timeout: Duration,
    /// Whether the run is known to have been taken up by the thread that does it.
    taken_up: bool,
}

impl Slot {
    fn is_in_flight(&self, run: u64) -> bool {
        self.flight.is_some_and(|flight| flight.run == run)
    }
}

impl Schedule {
    /// From now on checks run in this rhythm.
    pub(super) fn keep(&mut self, rhythm: Rhythm) {
        self.rhythm = rhythm;
    }

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
                // A shorter interval holds at once, not after the longer one is over.
                let soonest = now.checked_add(interval).unwrap_or(slot.due);
                if slot.flight.is_none() && slot.due > soonest {
                    slot.due = soonest;
                    self.heap.push(Reverse((soonest, id)));
                }
            } else {
                fresh.push((id, interval));
            }
        }
        self.slots.retain(|_, slot| slot.seen);
        self.in_flight = self.slots.values().filter(|slot| slot.flight.is_some()).count();
        fresh.sort_unstable();
        let count = u32::try_from(fresh.len()).unwrap_or(u32::MAX).max(1);
        let mut due = now;
        for (id, interval) in fresh {
            let slot = Slot { interval, due, flight: None, unanswered: 0, seen: true };
            self.slots.insert(id, slot);
            self.heap.push(Reverse((due, id)));
            let gap = match self.rhythm.spread {
                Some(spread) => spread / count,
                None => FIRST_GAP.min(interval / count),
            };
            due = due.checked_add(gap).unwrap_or(due);
        }
    }

    /// The checks that are due. Each is to be begun, or put off, now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<CheckId> {
        let mut due = Vec::new();
        if self.next_burst.is_some_and(|next| now < next) {
            return due;
        }
        while let Some(&Reverse((at, id))) = self.heap.peek()
            && at <= now
        {
            self.heap.pop();
            let Some(slot) = self.slots.get(&id) else { continue };
            // A time that was given up may have become the right one again: then it is here twice, one
            // right after the other.
            if slot.flight.is_some() || slot.due != at || due.last() == Some(&id) {
                continue;
            }
            due.push(id);
        }
        due
    }

    /// Begins a check that was due; the number of the run.
    pub(super) fn begin(&mut self, id: CheckId, timeout: Duration, now: Instant) -> u64 {
        self.last_run += 1;
        self.next_burst = now.checked_add(TICK);
        let run = self.last_run;
        if let Some(slot) = self.slots.get_mut(&id) {
            self.in_flight += usize::from(slot.flight.is_none());
            slot.flight = Some(Flight { run, begun: now, timeout, taken_up: false });
            if let Some(limit) = now.checked_add(timeout + GRACE) {
                self.limits.push(Reverse((limit, id, run)));
            }
        }
        run
    }

    /// A check that was due is left out this time: it is due again an interval after it was due
    /// last, or now if that is past.
    pub(super) fn put_off(&mut self, id: CheckId, now: Instant) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        self.varied += 1;
        let pause = self.rhythm.vary(slot.interval, self.varied);
        let next = slot.due.checked_add(pause);
        slot.due = next.map_or(now + Duration::from_secs(86_400), |next| next.max(now));
        self.heap.push(Reverse((slot.due, id)));
    }

    /// A check that has just been answered is due again this soon, if it would be later.
    pub(super) fn hurry(&mut self, id: CheckId, pause: Duration, now: Instant) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let soon = now + pause;
        if slot.flight.is_none() && slot.due > soon {
            slot.due = soon;
            self.heap.push(Reverse((soon, id)));
        }
    }

    /// A check that was due is to wait so long.
    pub(super) fn postpone(&mut self, id: CheckId, pause: Duration, now: Instant) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.due = now + pause;
        self.heap.push(Reverse((slot.due, id)));
    }

    /// A run is over. False if it is not the one that is in flight: an answer that comes too late,
    /// or twice.
    pub(super) fn finished(&mut self, id: CheckId, run: u64, now: Instant) -> bool {
        let Some(begun) = self.end(id, run) else { return false };
        self.answered = self.answered.max(Some(begun));
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.unanswered = 0;
        }
        self.put_off(id, now);
        true
    }

    /// A run will have no answer: it is due again at once, or after a pause if that happened before.
    pub(super) fn lost(&mut self, id: CheckId, run: u64, now: Instant) -> bool {
        if self.end(id, run).is_none() {
            return false;
        }
        if let Some(slot) = self.slots.get_mut(&id) {
            let pause = match slot.unanswered {
                0 => Duration::ZERO,
                times => Duration::from_secs(1 << (times - 1).min(6)),
            };
            slot.unanswered = slot.unanswered.saturating_add(1);
            slot.due = now + pause;
            self.heap.push(Reverse((slot.due, id)));
        }
        true
    }

    fn end(&mut self, id: CheckId, run: u64) -> Option<Instant> {
        let slot = self.slots.get_mut(&id)?;
        let flight = slot.flight.take_if(|flight| flight.run == run)?;
        self.in_flight -= 1;
        Some(flight.begun)
    }

    /// The runs that should have had their answer, which are given up, and when they were begun.
    ///
    /// Runs may wait for a worker, in the order in which they were begun. That time is not theirs: it
    /// counts from the moment that one begun later has been answered.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Vec<(CheckId, u64, Instant)> {
        let mut overdue = Vec::new();
        while let Some(&Reverse((at, id, run))) = self.limits.peek()
            && at <= now
        {
            self.limits.pop();
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            let Some(flight) = slot.flight.as_mut().filter(|flight| flight.run == run) else {
                continue;
            };
            let too_long = now.saturating_duration_since(flight.begun) > LONGEST_WAIT;
            if flight.taken_up || self.in_flight <= SIDE_BY_SIDE || too_long {
                overdue.push((id, run, flight.begun));
                continue;
            }
            flight.taken_up = self.answered > Some(flight.begun);
            let more = if flight.taken_up { flight.timeout + GRACE } else { GRACE };
            if let Some(limit) = now.checked_add(more) {
                self.limits.push(Reverse((limit, id, run)));
            }
        }
        overdue
    }

    /// How many there are, how many run, and how many should.
    pub(super) fn checks(&self, now: Instant) -> Checks {
        let late =
            |slot: &&Slot| slot.flight.is_none() && now.saturating_duration_since(slot.due) > LATE;
        Checks {
            scheduled: self.slots.len() as u64,
            in_flight: self.in_flight as u64,
            overdue: self.slots.values().filter(late).count() as u64,
        }
    }

    /// How long until something is due, rounded up to a tick.
    pub(super) fn next(&mut self, now: Instant) -> Option<Duration> {
        // Nearly every run ends before its limit; nobody need wake up for those.
        while let Some(&Reverse((_, id, run))) = self.limits.peek()
            && !self.slots.get(&id).is_some_and(|slot| slot.is_in_flight(run))
        {
            self.limits.pop();
        }
        let due = self.heap.peek().map(|&Reverse((at, _))| {
            let wait = at.saturating_duration_since(now);
            let burst = self.next_burst.map(|next| next.saturating_duration_since(now));
            let wait = if wait.is_zero() { wait } else { wait + TICK };
            wait.max(burst.unwrap_or_default())
        });
        let limit =
            self.limits.peek().map(|&Reverse((at, ..))| at.saturating_duration_since(now) + TICK);
        [due, limit].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Takes what is due and begins it, each with a timeout of a second.
    fn begin(schedule: &mut Schedule, now: Instant) -> Vec<(CheckId, u64)> {
        let due = schedule.take_due(now);
        due.into_iter().map(|id| (id, schedule.begin(id, SECOND, now))).collect()
    }

    fn ids(begun: &[(CheckId, u64)]) -> Vec<u64> {
        begun.iter().map(|(id, _)| id.0).collect()
    }

    fn of<const N: usize>(checks: [(u64, Duration); N], now: Instant) -> Schedule {
        let mut schedule = Schedule::default();
        schedule.install(checks.map(|(id, interval)| (CheckId(id), interval)), now);
        schedule
    }

    #[test]
    fn a_check_is_due_once_an_interval_and_never_twice_in_flight() {
        let start = Instant::now();
        let mut schedule = of([(1, 5 * SECOND)], start);
        let begun = begin(&mut schedule, start);
        assert_eq!(ids(&begun), [1]);
        assert_eq!(begin(&mut schedule, start + 20 * SECOND), []);
        assert!(schedule.finished(CheckId(1), begun[0].1, start + SECOND));
        assert_eq!(begin(&mut schedule, start + 4 * SECOND), []);
        assert_eq!(ids(&begin(&mut schedule, start + 5 * SECOND)), [1]);
    }

    #[test]
    fn a_check_that_took_longer_than_its_interval_is_due_at_once() {
        let start = Instant::now();
        let mut schedule = of([(1, SECOND)], start);
        let begun = begin(&mut schedule, start);
        schedule.finished(CheckId(1), begun[0].1, start + 3 * SECOND);
        assert_eq!(ids(&begin(&mut schedule, start + 3 * SECOND)), [1]);
    }

    #[test]
    fn a_check_that_is_left_out_or_postponed_comes_again() {
        let start = Instant::now();
        let mut schedule = of([(1, 5 * SECOND)], start);
        assert_eq!(schedule.take_due(start), [CheckId(1)]);
        schedule.put_off(CheckId(1), start);
        assert_eq!(schedule.take_due(start + 4 * SECOND), []);
        assert_eq!(schedule.take_due(start + 5 * SECOND), [CheckId(1)]);
        schedule.postpone(CheckId(1), SECOND, start + 5 * SECOND);
        assert_eq!(schedule.take_due(start + 5 * SECOND), []);
        assert_eq!(schedule.take_due(start + 6 * SECOND), [CheckId(1)]);
    }

    #[test]
    fn a_check_whose_interval_never_ends_is_due_in_a_day_when_it_was_left_out() {
        let start = Instant::now();
        let day = Duration::from_secs(86_400);
        let mut schedule = of([(1, Duration::MAX)], start);
        assert_eq!(schedule.take_due(start), [CheckId(1)]);
        schedule.put_off(CheckId(1), start);
        assert_eq!(schedule.take_due(start + day - SECOND), []);
        assert_eq!(schedule.take_due(start + day), [CheckId(1)]);
    }

    #[test]
    fn nobody_wakes_up_for_the_limit_of_a_run_that_has_ended() {
        let start = Instant::now();
        let mut schedule = of([(1, 60 * SECOND)], start);
        let (id, run) = begin(&mut schedule, start)[0];
        assert_eq!(schedule.next(start), Some(SECOND + GRACE + TICK), "its limit");
        schedule.finished(id, run, start + SECOND);
        assert_eq!(schedule.next(start + SECOND), Some(59 * SECOND + TICK), "its next run");
    }

    #[test]
    fn a_reload_keeps_the_time_of_known_checks_and_forgets_the_others() {
        let start = Instant::now();
        let mut schedule = of([(1, 5 * SECOND), (2, 5 * SECOND)], start);
        for (id, run) in begin(&mut schedule, start + SECOND) {
            schedule.finished(id, run, start + SECOND);
        }
        let kept = [(CheckId(2), 5 * SECOND), (CheckId(3), SECOND)];
        schedule.install(kept, start + 2 * SECOND);
        assert_eq!(ids(&begin(&mut schedule, start + 2 * SECOND)), [3]);
        assert_eq!(ids(&begin(&mut schedule, start + 6 * SECOND)), [2]);
    }

    #[test]
    fn bursts_are_a_tick_apart() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.install((0..100).map(|id| (CheckId(id), SECOND)), start);
        let mut bursts = 0;
        for millisecond in 0..200 {
            let now = start + Duration::from_millis(millisecond);
            let begun = begin(&mut schedule, now);
            bursts += usize::from(!begun.is_empty());
            assert!(begun.is_empty() || schedule.next(now) >= Some(TICK));
            for (id, run) in begun {
                schedule.finished(id, run, now);
            }
        }
        assert_eq!(bursts, 3, "all first runs are due within 30 ms");
    }

    #[test]
    fn the_next_burst_may_begin_when_a_tick_is_over() {
        let start = Instant::now();
        let mut schedule = of([(1, SECOND), (2, SECOND)], start);
        assert_eq!(ids(&begin(&mut schedule, start)), [1]);
        assert_eq!(begin(&mut schedule, start + TICK - Duration::from_nanos(1)), []);
        assert_eq!(ids(&begin(&mut schedule, start + TICK)), [2]);
    }

    #[test]
    fn a_time_that_was_given_up_and_is_right_again_begins_one_run() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut schedule = Schedule::default();
        schedule.install([(CheckId(1), Duration::from_secs(10))], begin);
        assert_eq!(schedule.take_due(begin), [CheckId(1)]);
        schedule.put_off(CheckId(1), begin);
        schedule.install([(CheckId(1), Duration::from_secs(5))], begin);
        assert_eq!(schedule.take_due(at(5)), [CheckId(1)]);
        schedule.put_off(CheckId(1), at(5));
        assert_eq!(schedule.take_due(at(10)), [CheckId(1)]);
    }

    #[test]
    fn a_time_that_was_given_up_begins_nothing() {
        let start = Instant::now();
        let mut schedule = of([(1, 10 * SECOND)], start);
        assert_eq!(schedule.take_due(start), [CheckId(1)]);
        schedule.put_off(CheckId(1), start);
        schedule.install([(CheckId(1), 4 * SECOND)], start);
        for seconds in [4, 8] {
            assert_eq!(schedule.take_due(start + seconds * SECOND), [CheckId(1)]);
            schedule.put_off(CheckId(1), start + seconds * SECOND);
        }
        assert_eq!(schedule.take_due(start + 10 * SECOND), [], "it is due at 12");
        assert_eq!(schedule.take_due(start + 12 * SECOND), [CheckId(1)]);
    }

    #[test]
    fn a_shorter_interval_holds_from_the_reload_on() {
        let start = Instant::now();
        let mut schedule = of([(1, 3600 * SECOND)], start);
        let begun = begin(&mut schedule, start);
        schedule.finished(CheckId(1), begun[0].1, start);
        schedule.install([(CheckId(1), 2 * SECOND)], start + SECOND);
        assert_eq!(begin(&mut schedule, start + 2 * SECOND), []);
        assert_eq!(ids(&begin(&mut schedule, start + 3 * SECOND)), [1]);
        assert_eq!(begin(&mut schedule, start + 3600 * SECOND), [], "it is in flight");
    }

    #[test]
    fn first_runs_are_spread_but_not_beyond_the_interval() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.install((0..10_000).map(|id| (CheckId(id), 5 * SECOND)), start);
        assert!(begin(&mut schedule, start).len() < 10);
        assert_eq!(begin(&mut schedule, start + 5 * SECOND).len() + 1, 10_000);
        let mut schedule = Schedule::default();
        schedule.install((0..10_000).map(|id| (CheckId(id), SECOND)), start);
        assert!(begin(&mut schedule, start).len() < 10);
        assert_eq!(begin(&mut schedule, start + SECOND).len() + 1, 10_000);
    }

    #[test]
    fn an_answer_that_comes_late_or_twice_is_none() {
        let start = Instant::now();
        let mut schedule = of([(1, 5 * SECOND)], start);
        let (id, run) = begin(&mut schedule, start)[0];
        assert_eq!(schedule.take_overdue(start + SECOND), [], "within its timeout");
        assert_eq!(schedule.take_overdue(start + 2 * SECOND), [(id, run, start)]);
        assert!(schedule.lost(id, run, start + 2 * SECOND));
        let again = begin(&mut schedule, start + 2 * SECOND);
        assert_eq!(ids(&again), [1], "it is run again at once");
        assert!(!schedule.finished(id, run, start + 2 * SECOND), "the late answer");
        assert!(schedule.finished(id, again[0].1, start + 2 * SECOND));
        assert!(!schedule.finished(id, again[0].1, start + 2 * SECOND), "the same once more");
        assert_eq!(schedule.in_flight, 0);
    }

    #[test]
    fn a_check_that_is_never_answered_is_run_again_with_growing_pauses() {
        let mut now = Instant::now();
        let mut schedule = of([(1, 5 * SECOND)], now);
        for pause in [0, 1, 2, 4, 8, 16, 32, 64, 64] {
            let (id, run) = begin(&mut schedule, now)[0];
            now += 2 * SECOND;
            assert_eq!(schedule.take_overdue(now).len(), 1);
            assert!(schedule.lost(id, run, now));
            assert_eq!(schedule.next(now).map(|wait| wait.as_secs()), Some(pause));
            now += Duration::from_secs(pause);
        }
    }

    #[test]
    fn a_check_in_a_hurry_is_due_sooner_once_and_never_later() {
        let start = Instant::now();
        let mut schedule = of([(1, 10 * SECOND)], start);
        let id = CheckId(1);
        assert_eq!(schedule.take_due(start), [id]);
        let run = schedule.begin(id, SECOND, start);
        schedule.hurry(id, SECOND, start);
        assert!(schedule.finished(id, run, start));
        schedule.hurry(id, SECOND, start);
        schedule.hurry(id, 20 * SECOND, start);
        assert_eq!(schedule.take_due(start + SECOND), [id]);
        let run = schedule.begin(id, SECOND, start + SECOND);
        assert!(schedule.finished(id, run, start + SECOND));
        assert_eq!(schedule.take_due(start + 10 * SECOND), []);
        assert_eq!(schedule.take_due(start + 11 * SECOND), [id], "the usual pause again");
    }

    #[test]
    fn runs_that_wait_for_a_worker_are_not_overdue_until_later_ones_are_answered() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.install((0..1000).map(|id| (CheckId(id), 5 * SECOND)), start);
        let mut begun = Vec::new();
        for millisecond in 0..1000 {
            let now = start + Duration::from_millis(millisecond);
            begun.extend(begin(&mut schedule, now).into_iter().map(|(id, run)| (id, run, now)));
        }
        assert_eq!((begun.len(), schedule.in_flight), (1000, 1000));
        assert_eq!(schedule.take_overdue(start + 60 * SECOND), []);
        let (id, run, last) = begun[999];
        assert!(schedule.finished(id, run, start + 60 * SECOND));
        assert_eq!(schedule.take_overdue(start + 62 * SECOND), [], "now they are taken up");
        // Those begun in the same moment as the last one may still wait.
        let earlier = begun.iter().filter(|(.., at)| *at < last).count();
        assert!(earlier > 800);
        assert_eq!(schedule.take_overdue(start + 65 * SECOND).len(), earlier);
    }

    #[test]
    fn a_stall_of_all_checks_is_given_up_in_the_end() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.install((0..1000).map(|id| (CheckId(id), 5 * SECOND)), start);
        begin(&mut schedule, start + 5 * SECOND);
        assert_eq!(schedule.take_overdue(start + 600 * SECOND), []);
        assert_eq!(schedule.take_overdue(start + 605 * SECOND), []);
        assert_eq!(schedule.take_overdue(start + 606 * SECOND).len(), 1000);
    }

    #[test]
    fn jitter_moves_each_run_and_not_their_mean() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.keep(Rhythm { jitter: 20, seed: 7, ..Rhythm::default() });
        schedule.install([(CheckId(1), SECOND)], start);
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..1000 {
            assert_eq!(schedule.take_due(now), [CheckId(1)]);
            let run = schedule.begin(CheckId(1), SECOND, now);
            assert!(schedule.finished(CheckId(1), run, now));
            let due = schedule.slots[&CheckId(1)].due;
            pauses.push(due - now);
            now = due;
        }
        let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        assert!((800..820).contains(&least.as_millis()), "{least:?}");
        assert!((1180..=1200).contains(&most.as_millis()), "{most:?}");
        let mean = (now - start) / 1000;
        assert!((980..1020).contains(&mean.as_millis()), "{mean:?}");
        let other = Rhythm { jitter: 20, seed: 8, ..Rhythm::default() };
        assert_ne!(other.vary(SECOND, 1), pauses[0]);
        assert_eq!(other.vary(Duration::MAX, 1), Duration::from_micros(u64::MAX));
        assert_eq!(Rhythm::default().vary(Duration::MAX, 1), Duration::MAX);
    }

    #[test]
    fn the_first_checks_are_spread_over_the_time_that_is_given() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.keep(Rhythm { spread: Some(10 * SECOND), ..Rhythm::default() });
        schedule.install((0..100).map(|id| (CheckId(id), SECOND)), start);
        let due: Vec<_> = (0..100).map(|id| schedule.slots[&CheckId(id)].due - start).collect();
        assert_eq!((due[0], due[1], due[99]), (Duration::ZERO, SECOND / 10, 99 * SECOND / 10));
        // Nothing comes of a time that no clock can say.
        schedule.keep(Rhythm { spread: Some(Duration::MAX), ..Rhythm::default() });
        schedule.install((0..102).map(|id| (CheckId(id), SECOND)), start);
    }
}
