//! The worker pool: synchronous threads that grow with what is stuck.
//!
//! Most exchanges take less time than waking a thread does. So one worker is woken for a burst of jobs, and as
//! long as jobs are taken one after the other, it does them all. Only when none has been taken for [`PATIENCE`]
//! while some wait, more workers are woken or started, by a thread that does nothing else: workers
//! that all hang cannot start others.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Workers at most. A server that accepts and then hangs costs one of them until its deadline.
pub(super) const MAX_WORKERS: usize = 1024;

/// How long the workers that there are may take no job while some wait.
const PATIENCE: Duration = Duration::from_millis(1);

/// Jobs that are taken, but not fast enough: so many times [`PATIENCE`] with some waiting bring
/// more workers too.
const SLOW: u32 = 10;

/// How long no worker is started after the system refused one.
const REFUSED: Duration = Duration::from_secs(1);

/// A worker that has had nothing to do for this long ends.
const IDLE: Duration = Duration::from_secs(10);

/// Bytes of a worker's stack; only what is used is resident.
const STACK: usize = 512 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// A pool; its workers end after idling.
#[derive(Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// For idle workers: there is a job.
    ready: Condvar,
    /// For the starter: jobs wait.
    short: Condvar,
    max: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// How many jobs have been taken, ever.
    taken: u64,
    idle: usize,
    workers: usize,
    /// Whether the starter sleeps until jobs wait.
    starter_sleeps: bool,
}

impl Pool {
    /// A pool of at most `max` workers, none of them started yet.
    ///
    /// # Errors
    /// When the kernel has no thread left for the one that starts workers.
    pub(super) fn start(max: usize) -> io::Result<Self> {
        let (state, ready, short) = (Mutex::default(), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { state, ready, short, max });
        let starter = Arc::clone(&shared);
        thread::Builder::new().name("starter".to_owned()).spawn(move || starter.start_workers())?;
        Ok(Self { shared })
    }

    /// Runs a job on a worker, as soon as one is free. A job must not panic.
    pub(super) fn submit(&self, job: Job) {
        let mut state = self.shared.lock();
        state.jobs.push_back(job);
        if state.jobs.len() == 1 && state.idle > 0 {
            self.shared.ready.notify_one();
        } else if std::mem::take(&mut state.starter_sleeps) {
            self.shared.short.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The starter's life: doubles the workers each time that they are stuck, so that any number of
    /// hanging servers is met in a few milliseconds.
    fn start_workers(self: Arc<Self>) {
        let mut state = self.lock();
        let (mut seen, mut looks) = (0, 0);
        loop {
            let full = state.idle == 0 && state.workers == self.max;
            if state.jobs.is_empty() || full {
                state.starter_sleeps = true;
                state = self.short.wait(state).unwrap_or_else(PoisonError::into_inner);
                looks = 0;
            }
            let mut pause = PATIENCE;
            let stuck = state.workers == 0 || looks == SLOW || looks > 0 && state.taken == seen;
            if stuck && !state.jobs.is_empty() {
                let wanted = (state.workers - state.idle).max(1).min(state.jobs.len());
                let woken = wanted.min(state.idle);
                (0..woken).for_each(|_| self.ready.notify_one());
                let many = (wanted - woken).min(self.max - state.workers);
                state.workers += many;
                drop(state);
                let refused = self.spawn(many);
                state = self.lock();
                state.workers -= refused;
                if refused > 0 {
                    pause = REFUSED;
                }
                looks = 0;
            }
            (seen, looks) = (state.taken, looks + 1);
            drop(state);
            thread::sleep(pause);
            state = self.lock();
        }
    }

    /// Starts so many workers; returns how many the system refused.
    fn spawn(self: &Arc<Self>, many: usize) -> usize {
        for started in 0..many {
            let shared = Arc::clone(self);
            let worker = thread::Builder::new().name("worker".to_owned()).stack_size(STACK);
            if let Err(error) = worker.spawn(move || shared.work()) {
                log::warn!(
                    "cannot start a worker thread: {error}; checks wait for those there are"
                );
                return many - started;
            }
        }
        0
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.taken += 1;
                drop(state);
                job();
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (back, wait) =
                self.ready.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if wait.timed_out() && state.jobs.is_empty() {
                state.workers -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_hanging_job_does_not_delay_the_others() {
        let pool = Pool::start(8).expect("a thread");
        let (release, hang) = mpsc::channel::<()>();
        pool.submit(Box::new(move || {
            let _ = hang.recv();
        }));
        let (sender, receiver) = mpsc::channel();
        for number in 0..20 {
            let sender = sender.clone();
            pool.submit(Box::new(move || {
                let _ = sender.send(number);
            }));
        }
        let mut seen: Vec<i32> = (0..20)
            .map(|_| receiver.recv_timeout(Duration::from_secs(20)).expect("done"))
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        drop(release);
    }

    #[test]
    fn jobs_that_all_hang_get_a_worker_each() {
        const JOBS: usize = 100;
        let pool = Pool::start(JOBS).expect("a thread");
        let all = Arc::new(std::sync::Barrier::new(JOBS));
        let (sender, receiver) = mpsc::channel();
        for _ in 0..JOBS {
            let (all, sender) = (Arc::clone(&all), sender.clone());
            pool.submit(Box::new(move || {
                all.wait();
                let _ = sender.send(());
            }));
        }
        for _ in 0..JOBS {
            receiver.recv_timeout(Duration::from_secs(20)).expect("all are at the barrier");
        }
    }

    #[test]
    fn there_are_never_more_workers_than_the_maximum() {
        let pool = Pool::start(3).expect("a thread");
        let (sender, receiver) = mpsc::channel();
        for _ in 0..30 {
            let sender = sender.clone();
            pool.submit(Box::new(move || {
                thread::sleep(Duration::from_millis(2));
                let _ = sender.send(thread::current().id());
            }));
        }
        let threads: std::collections::HashSet<_> = (0..30)
            .map(|_| receiver.recv_timeout(Duration::from_secs(20)).expect("done"))
            .collect();
        assert!(threads.len() <= 3, "{threads:?}");
    }
}
