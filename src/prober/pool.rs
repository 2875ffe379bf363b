//! The worker pool: synchronous threads that grow with what is stuck.
//!
//! Most exchanges take less time than waking a thread does. So one worker is woken for a burst of
//! jobs, and as long as it gets on, it does them all. When it does not, more workers are woken or
//! started, by a thread that does nothing else: workers that all hang cannot start others. Threads
//! help against waiting, not against too little processor time: as long as jobs are taken at all, a
//! process that computes all the time gets no more of them.

use super::jobs::Jobs;
use crate::sync::{Arc, thread};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// Workers at most. A server that accepts and then hangs costs one of them until its deadline.
pub(crate) const MAX_WORKERS: usize = 1024;

/// Time between two looks at the queue.
const PATIENCE: Duration = Duration::from_millis(5);

/// All that wait should have been taken after so many times [`PATIENCE`], at the pace that was
/// seen.
const PACES: usize = 10;

/// How long no worker is started after the system refused one.
const REFUSED: Duration = Duration::from_secs(1);

/// A worker that has had nothing to do for this long ends.
const IDLE: Duration = Duration::from_secs(10);

/// Bytes of a worker's stack; only what is used is resident.
const STACK: usize = 512 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// A pool; its workers end after idling.
#[derive(Clone)]
pub(crate) struct Pool {
    jobs: Arc<Jobs<Job>>,
}

impl Pool {
    /// A pool of at most `max` workers, none of them started yet.
    ///
    /// # Errors
    /// When the kernel has no thread left for the one that starts workers.
    pub(crate) fn start(max: usize) -> io::Result<Self> {
        let jobs = Arc::new(Jobs::new(max));
        let starter = Arc::clone(&jobs);
        thread::Builder::new().name("starter".to_owned()).spawn(move || start_workers(&starter))?;
        Ok(Self { jobs })
    }

    /// Runs a job on a worker, as soon as one is free. A job must not panic.
    pub(crate) fn submit(&self, job: Job) {
        self.jobs.submit(job);
    }

    /// How many jobs wait for a worker.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.look().waiting
    }
}

/// The starter's life: doubles the workers each time that the jobs do not get on, so that a
/// thousand hanging servers are met in some fifty milliseconds.
fn start_workers(jobs: &Arc<Jobs<Job>>) {
    let processors = available_parallelism().map_or(1, NonZero::get);
    let mut meter = Meter::default();
    // For how many looks no job has been taken.
    let mut still = 0;
    loop {
        let before = jobs.wait_until_short().taken;
        thread::sleep(PATIENCE);
        meter.look();
        let now = jobs.look();
        let pace = usize::try_from(now.taken - before).unwrap_or(usize::MAX);
        still = if pace == 0 { still + 1 } else { 0 };
        let computes = now.active >= processors && still < PACES && meter.is_busy(processors);
        if pace.saturating_mul(PACES) >= now.waiting || computes {
            continue;
        }
        let refused = spawn(jobs, jobs.reinforce());
        jobs.not_started(refused);
        if refused > 0 {
            thread::sleep(REFUSED);
        }
    }
}

/// Starts so many workers; returns how many the system refused.
fn spawn(jobs: &Arc<Jobs<Job>>, many: usize) -> usize {
    for started in 0..many {
        let jobs = Arc::clone(jobs);
        let work = move || {
            while let Some(job) = jobs.take(IDLE) {
                job();
            }
        };
        let worker = thread::Builder::new().name("worker".to_owned()).stack_size(STACK);
        if let Err(error) = worker.spawn(work) {
            log::warn!("cannot start a worker thread: {error}; checks wait for those there are");
            return many - started;
        }
    }
    0
}

/// How much processor time this process has used lately, in all its threads: over some ten looks,
/// for kernels account in steps as long as a look.
#[derive(Default)]
struct Meter {
    /// In microseconds, what is older counting less.
    used: usize,
    passed: usize,
    last: Option<(Instant, i64)>,
}

impl Meter {
    /// Whether more than half of all the time there was has been used.
    fn is_busy(&self, processors: usize) -> bool {
        self.used * 2 > self.passed * processors
    }

    fn look(&mut self) {
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return };
        let now = (Instant::now(), (usage.user_time() + usage.system_time()).num_microseconds());
        if let Some((then, used_then)) = self.last.replace(now) {
            let fade = |sum: usize| sum - sum / 8;
            self.used = fade(self.used) + usize::try_from(now.1 - used_then).unwrap_or_default();
            let passed = (now.0 - then).as_micros();
            self.passed = fade(self.passed) + usize::try_from(passed).unwrap_or_default();
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
