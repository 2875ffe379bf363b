//! Which hook runs next. Pure: the clock is an argument, the threads are elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Jobs that may wait for one key; a longer queue loses its oldest pair, which would undo itself.
const WAITING: usize = 16;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One queue for each key: its jobs begin in order, the next one when the one before is over.
#[derive(Debug)]
pub(super) struct Queues<K, J> {
    lanes: BTreeMap<K, Lane<J>>,
    retries: Retries,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retries {
    Allowed,
    Refused,
}

#[derive(Debug)]
struct Lane<J> {
    waiting: VecDeque<J>,
    state: LaneState<J>,
}

#[derive(Debug)]
enum LaneState<J> {
    Idle,
    Running,
    /// A failed job, to be begun again at an instant.
    Pausing {
        job: J,
        attempt: u32,
        until: Instant,
    },
}

/// A job to begin, and which attempt it is, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Begun<K, J> {
    pub(super) key: K,
    pub(super) job: J,
    pub(super) attempt: u32,
}

impl<K: Clone + Ord, J> Queues<K, J> {
    pub(super) fn new() -> Self {
        Self { lanes: BTreeMap::new(), retries: Retries::Allowed }
    }

    /// Queues a job. Tells how many older ones were dropped because the queue was full.
    pub(super) fn push(&mut self, key: K, job: J) -> usize {
        let lane = self
            .lanes
            .entry(key)
            .or_insert_with(|| Lane { waiting: VecDeque::new(), state: LaneState::Idle });
        // Whatever the failed job was for, the newer one knows better.
        if matches!(lane.state, LaneState::Pausing { .. }) {
            lane.state = LaneState::Idle;
        }
        lane.waiting.push_back(job);
        let full = lane.waiting.len() > WAITING;
        if full { lane.waiting.drain(..2).count() } else { 0 }
    }

    /// The next job to begin now, if any.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Begun<K, J>> {
        let (key, lane) = self.lanes.iter_mut().find(|(_, lane)| match &lane.state {
            LaneState::Idle => !lane.waiting.is_empty(),
            LaneState::Running => false,
            LaneState::Pausing { until, .. } => *until <= now,
        })?;
        let (job, attempt) = match std::mem::replace(&mut lane.state, LaneState::Running) {
            LaneState::Pausing { job, attempt, .. } => (job, attempt),
            LaneState::Idle | LaneState::Running => (lane.waiting.pop_front()?, 1),
        };
        Some(Begun { key: key.clone(), job, attempt })
    }

    /// A job is over, for good.
    pub(super) fn finished(&mut self, key: &K) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.state = LaneState::Idle;
        if lane.waiting.is_empty() {
            self.lanes.remove(key);
        }
    }

    /// A job has failed and asks to be begun again after 1 s, 2 s, 4 s … Tells whether it will: not
    /// if a newer one waits. If not, [`Queues::finished`] is still to be called.
    pub(super) fn failed(&mut self, begun: Begun<K, J>, now: Instant) -> bool {
        let Some(lane) = self.lanes.get_mut(&begun.key) else { return false };
        if !lane.waiting.is_empty() || self.retries == Retries::Refused {
            return false;
        }
        let pause = Duration::from_secs(1 << (begun.attempt - 1).min(6)).min(LONGEST_PAUSE);
        let attempt = begun.attempt.saturating_add(1);
        lane.state = LaneState::Pausing { job: begun.job, attempt, until: now + pause };
        true
    }

    /// Gives up the jobs that wait or pause unless `keep` says otherwise; it may change the others.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut J) -> bool) {
        self.lanes.retain(|_, lane| {
            lane.waiting.retain_mut(&mut keep);
            if let LaneState::Pausing { job, .. } = &mut lane.state
                && !keep(job)
            {
                lane.state = LaneState::Idle;
            }
            !(lane.waiting.is_empty() && matches!(lane.state, LaneState::Idle))
        });
    }

    /// Gives up every pause: failed jobs are no longer begun again.
    pub(super) fn refuse_retries(&mut self) {
        self.retries = Retries::Refused;
        self.lanes.retain(|_, lane| !matches!(lane.state, LaneState::Pausing { .. }));
    }

    /// When the next pause is over.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let pauses = self.lanes.values().filter_map(|lane| match &lane.state {
            LaneState::Pausing { until, .. } => Some(*until),
            LaneState::Idle | LaneState::Running => None,
        });
        pauses.min()
    }

    /// Keys with a job that runs, waits or pauses.
    pub(super) fn busy(&self) -> usize {
        self.lanes.len()
    }

    /// Whether this key has a job that runs, waits or pauses.
    pub(super) fn is_busy(&self, key: &K) -> bool {
        self.lanes.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Jobs = Queues<char, &'static str>;

    fn begin(queues: &mut Jobs, now: Instant) -> Option<(&'static str, u32)> {
        queues.begin(now).map(|begun| (begun.job, begun.attempt))
    }

    #[test]
    fn jobs_of_one_key_run_in_order_and_one_at_a_time() {
        let now = Instant::now();
        let mut queues = Jobs::new();
        queues.push('a', "first");
        queues.push('a', "second");
        assert_eq!(begin(&mut queues, now), Some(("first", 1)));
        assert_eq!(begin(&mut queues, now), None);
        queues.push('b', "other");
        assert_eq!(begin(&mut queues, now), Some(("other", 1)));
        queues.finished(&'a');
        assert_eq!(begin(&mut queues, now), Some(("second", 1)));
        queues.finished(&'a');
        queues.finished(&'b');
        assert_eq!(queues.busy(), 0);
    }

    #[test]
    fn a_failed_job_is_repeated_with_growing_pauses() {
        let mut now = Instant::now();
        let mut queues = Jobs::new();
        queues.push('a', "job");
        for (attempt, pause) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60)]
        {
            let begun = queues.begin(now).unwrap();
            assert_eq!(begun.attempt, attempt);
            assert!(queues.failed(begun, now));
            assert_eq!(queues.next_due(), Some(now + Duration::from_secs(pause)));
            assert_eq!(queues.begin(now), None);
            now += Duration::from_secs(pause);
        }
    }

    #[test]
    fn a_newer_job_ends_the_repetition() {
        let now = Instant::now();
        let mut queues = Jobs::new();
        queues.push('a', "start");
        let begun = queues.begin(now).unwrap();
        assert!(queues.failed(begun, now));
        queues.push('a', "stop");
        assert_eq!(begin(&mut queues, now), Some(("stop", 1)), "while pausing");
        let running = Begun { key: 'a', job: "stop", attempt: 1 };
        queues.push('a', "start");
        assert!(!queues.failed(running, now), "while running");
        queues.finished(&'a');
        assert_eq!(begin(&mut queues, now), Some(("start", 1)));
    }

    #[test]
    fn a_drained_queue_repeats_nothing_but_begins_what_waits() {
        let now = Instant::now();
        let mut queues = Jobs::new();
        queues.push('a', "pausing");
        let begun = queues.begin(now).unwrap();
        queues.failed(begun, now);
        queues.push('b', "waiting");
        queues.refuse_retries();
        let begun = queues.begin(now).unwrap();
        assert_eq!(begun.job, "waiting");
        assert!(!queues.failed(begun, now));
        queues.finished(&'b');
        assert_eq!(queues.busy(), 0);
    }

    #[test]
    fn a_long_queue_loses_its_oldest_pair() {
        let now = Instant::now();
        let mut queues = Jobs::new();
        queues.push('a', "running");
        queues.begin(now);
        for _ in 0..WAITING {
            assert_eq!(queues.push('a', "job"), 0);
        }
        assert_eq!(queues.push('a', "job"), 2);
        assert_eq!(queues.push('a', "job"), 0, "there is room again");
        assert!(queues.is_busy(&'a'));
    }
}
