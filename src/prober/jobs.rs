//! Jobs on their way to workers. The hand-over alone: whether there are workers enough is the pool's
//! to decide.

use crate::sync::{Condvar, Mutex, MutexGuard, wait_timeout};
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

/// Queued jobs, and the workers that wait for one.
pub(super) struct Jobs<J> {
    state: Mutex<State<J>>,
    /// For idle workers: there is a job.
    ready: Condvar,
    /// For the starter: jobs wait.
    short: Condvar,
    max: usize,
}

struct State<J> {
    jobs: VecDeque<J>,
    /// How many jobs have been taken, ever.
    taken: u64,
    idle: usize,
    workers: usize,
    /// Whether the starter sleeps until jobs wait.
    starter_sleeps: bool,
    #[cfg(all(test, shuttle))]
    closed: bool,
}

/// How things stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Jobs that wait.
    pub(super) waiting: usize,
    /// Jobs that were taken, ever.
    pub(super) taken: u64,
    /// Workers that have a job.
    pub(super) active: usize,
}

impl<J> Jobs<J> {
    /// No job, and no worker; there may be so many.
    pub(super) fn new(max: usize) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            taken: 0,
            idle: 0,
            workers: 0,
            starter_sleeps: false,
            #[cfg(all(test, shuttle))]
            closed: false,
        };
        Self { state: Mutex::new(state), ready: Condvar::new(), short: Condvar::new(), max }
    }

    /// Adds a job. An idle worker hears of the first that waits, the starter of more.
    pub(super) fn submit(&self, job: J) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        if state.jobs.len() == 1 && state.idle > 0 {
            self.ready.notify_one();
        } else if std::mem::take(&mut state.starter_sleeps) {
            self.short.notify_one();
        }
    }

    /// A worker's next job; `None` if there was none for so long, and the worker is to end.
    pub(super) fn take(&self, idle: Duration) -> Option<J> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.taken += 1;
                return Some(job);
            }
            #[cfg(all(test, shuttle))]
            if state.closed {
                state.workers -= 1;
                return None;
            }
            state.idle += 1;
            let (back, over) = wait_timeout(&self.ready, state, idle);
            state = back;
            state.idle -= 1;
            if over && state.jobs.is_empty() {
                state.workers -= 1;
                return None;
            }
        }
    }

    /// For the starter: waits until there is a job, and a worker to be woken or started for it.
    pub(super) fn wait_until_short(&self) -> Look {
        let mut state = self.lock();
        let full = state.idle == 0 && state.workers == self.max;
        if state.jobs.is_empty() || full {
            #[cfg(all(test, shuttle))]
            if state.closed {
                return state.look();
            }
            state.starter_sleeps = true;
            state = self.short.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.look()
    }

    /// How things stand now.
    pub(super) fn look(&self) -> Look {
        self.lock().look()
    }

    /// Doubles the workers, at most to one for each job that waits: idle ones are woken, and so many
    /// are to be started now.
    pub(super) fn reinforce(&self) -> usize {
        let mut state = self.lock();
        let active = state.workers - state.idle;
        let wanted = active.max(1).min(state.jobs.len());
        let woken = wanted.min(state.idle);
        (0..woken).for_each(|_| self.ready.notify_one());
        let many = (wanted - woken).min(self.max - state.workers);
        state.workers += many;
        many
    }

    /// So many of those that were to be started do not exist.
    pub(super) fn not_started(&self, many: usize) {
        self.lock().workers -= many;
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> State<J> {
    fn look(&self) -> Look {
        Look { waiting: self.jobs.len(), taken: self.taken, active: self.workers - self.idle }
    }
}

#[cfg(all(test, shuttle))]
mod shuttle_tests {
    use super::*;
    use crate::sync::{Arc, mpsc, thread};

    impl<J> Jobs<J> {
        /// Workers end when nothing waits any more, and the starter is not kept waiting.
        fn close(&self) {
            self.lock().closed = true;
            self.ready.notify_all();
            self.short.notify_all();
        }

        fn is_over(&self) -> bool {
            let state = self.lock();
            state.closed && state.jobs.is_empty()
        }
    }

    type Job = Box<dyn FnOnce() + Send>;

    /// The pool without its policy: whenever jobs wait, there are more workers.
    fn start(max: usize) -> (Arc<Jobs<Job>>, thread::JoinHandle<()>) {
        let jobs = Arc::new(Jobs::<Job>::new(max));
        let starter = Arc::clone(&jobs);
        let work = move || {
            let mut workers = Vec::new();
            while !starter.is_over() {
                starter.wait_until_short();
                for _ in 0..starter.reinforce() {
                    let jobs = Arc::clone(&starter);
                    workers.push(thread::spawn(move || {
                        while let Some(job) = jobs.take(Duration::ZERO) {
                            job();
                        }
                    }));
                }
                thread::yield_now();
            }
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        };
        (jobs, thread::spawn(work))
    }

    #[test]
    fn shuttle_every_job_is_done_once_by_whomever() {
        crate::sync::schedules(|| {
            let (jobs, starter) = start(2);
            let (sender, done) = mpsc::channel();
            let submitters: Vec<_> = (0..2)
                .map(|who| {
                    let (jobs, sender) = (Arc::clone(&jobs), sender.clone());
                    thread::spawn(move || {
                        for number in 0..3 {
                            let sender = sender.clone();
                            jobs.submit(Box::new(move || sender.send((who, number)).unwrap()));
                        }
                    })
                })
                .collect();
            let mut all: Vec<(i32, i32)> = (0..6).map(|_| done.recv().unwrap()).collect();
            all.sort_unstable();
            assert_eq!(
                all,
                (0..2).flat_map(|who| (0..3).map(move |n| (who, n))).collect::<Vec<_>>()
            );
            submitters.into_iter().for_each(|it| it.join().unwrap());
            jobs.close();
            starter.join().unwrap();
            let look = jobs.look();
            assert_eq!((look.waiting, look.taken, look.active), (0, 6, 0));
        });
    }

    #[test]
    fn shuttle_a_job_that_hangs_keeps_no_other_waiting() {
        crate::sync::schedules(|| {
            let (jobs, starter) = start(2);
            let (release, hang) = mpsc::channel::<()>();
            let (sender, done) = mpsc::channel();
            jobs.submit(Box::new(move || hang.recv().unwrap()));
            for number in 0..3 {
                let sender = sender.clone();
                jobs.submit(Box::new(move || sender.send(number).unwrap()));
            }
            let mut all: Vec<i32> = (0..3).map(|_| done.recv().unwrap()).collect();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2]);
            release.send(()).unwrap();
            jobs.close();
            starter.join().unwrap();
        });
    }
}
