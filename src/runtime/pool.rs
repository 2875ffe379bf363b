//! The worker pool: synchronous threads, started when a job is ready and none is idle.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Workers at most. A server that accepts and then hangs costs one of them until its deadline.
pub(super) const MAX_WORKERS: usize = 1024;

/// A worker that has had nothing to do for this long ends.
const IDLE: Duration = Duration::from_secs(10);

/// Bytes of a worker's stack; only what is used is resident.
const STACK: usize = 512 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// A pool; its workers end after idling.
#[derive(Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    max: usize,
}

struct Shared {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    workers: usize,
}

impl Pool {
    /// A pool of at most `max` workers; none is started yet.
    pub(super) fn new(max: usize) -> Self {
        let shared = Shared { state: Mutex::default(), ready: Condvar::new() };
        Self { shared: Arc::new(shared), max }
    }

    /// Runs a job on a worker, as soon as one is free. A job must not panic.
    pub(super) fn submit(&self, job: Job) {
        let mut state = self.shared.lock();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.shared.ready.notify_one();
            return;
        }
        if state.workers >= self.max {
            return;
        }
        state.workers += 1;
        let name = format!("worker {}", state.workers);
        drop(state);
        let shared = Arc::clone(&self.shared);
        let spawned =
            std::thread::Builder::new().name(name).stack_size(STACK).spawn(move || shared.work());
        if let Err(error) = spawned {
            let mut state = self.shared.lock();
            state.workers -= 1;
            // The job waits for a worker that there is; without any, it waits for the next try.
            log::warn!("cannot start a worker thread ({} running): {error}", state.workers);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
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
        let pool = Pool::new(8);
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
    fn there_are_never_more_workers_than_the_maximum() {
        let pool = Pool::new(3);
        let (sender, receiver) = mpsc::channel();
        for _ in 0..30 {
            let sender = sender.clone();
            pool.submit(Box::new(move || {
                std::thread::sleep(Duration::from_millis(2));
                let _ = sender.send(std::thread::current().name().map(str::to_owned));
            }));
        }
        let names: std::collections::HashSet<_> = (0..30)
            .map(|_| receiver.recv_timeout(Duration::from_secs(20)).expect("done"))
            .collect();
        assert!(names.len() <= 3, "{names:?}");
    }
}
