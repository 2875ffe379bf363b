//! A bounded queue and the thread that works it off, so that nobody waits for mail or disks.

use crate::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use crate::sync::{Arc, Condvar, Mutex, thread, wait_timeout};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

const STACK: usize = 256 * 1024;

/// The sender's side; the thread ends when it is dropped.
pub(super) struct Worker<T> {
    name: &'static str,
    queue: SyncSender<T>,
    unfinished: Arc<Unfinished>,
    /// What the thread does, until there is one.
    life: Arc<Mutex<Option<Life>>>,
    thread: Mutex<Thread>,
}

type Life = Box<dyn FnOnce() + Send>;

#[derive(Debug, Clone, Copy)]
enum Thread {
    Alive,
    None,
    /// The system had none at that moment.
    Refused(Instant),
}

/// How long no thread is started after the system refused one.
const REFUSED: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Unfinished {
    count: Mutex<usize>,
    changed: Condvar,
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread that calls `work` with everything that waits, in order. If it cannot be
    /// started, that is logged, and tried again with each job.
    pub(super) fn start(
        name: &'static str,
        capacity: usize,
        mut work: impl FnMut(Vec<T>) + Send + 'static,
    ) -> Self {
        let (queue, inbox) = sync_channel(capacity);
        let unfinished = Arc::<Unfinished>::default();
        let done = Arc::clone(&unfinished);
        let run = move || {
            while let Some(batch) = batch(&inbox) {
                let count = batch.len();
                // A fault, which is logged, costs this batch and not the thread.
                let _ = catch_unwind(AssertUnwindSafe(|| work(batch)));
                done.add(-count.cast_signed());
            }
        };
        let life: Life = Box::new(run);
        let (life, thread) = (Arc::new(Mutex::new(Some(life))), Mutex::new(Thread::None));
        let worker = Self { name, queue, unfinished, life, thread };
        worker.come_alive();
        worker
    }

    fn come_alive(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        match *thread {
            Thread::Alive => return,
            Thread::Refused(at) if at.elapsed() < REFUSED => return,
            Thread::None | Thread::Refused(_) => {}
        }
        let life = Arc::clone(&self.life);
        let live = move || {
            let life = life.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(life) = life {
                life();
            }
        };
        match thread::Builder::new().name(self.name.into()).stack_size(STACK).spawn(live) {
            Ok(_) => *thread = Thread::Alive,
            Err(error) => {
                if matches!(*thread, Thread::None) {
                    log::error!("cannot start the thread {}: {error}", self.name);
                }
                *thread = Thread::Refused(Instant::now());
            }
        }
    }

    /// Queues a job; gives it back if the queue is full.
    pub(super) fn push(&self, job: T) -> Result<(), T> {
        self.come_alive();
        self.unfinished.add(1);
        self.queue.try_send(job).map_err(|error| {
            self.unfinished.add(-1);
            match error {
                TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
            }
        })
    }

    /// Waits until everything queued is done, at most this long. Tells whether it is.
    pub(super) fn drain(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut count = self.unfinished.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            count = wait_timeout(&self.unfinished.changed, count, left).0;
        }
        true
    }
}

impl Unfinished {
    fn add(&self, change: isize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_add_signed(change);
        self.changed.notify_all();
    }
}

impl<T> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("name", &self.name).finish_non_exhaustive()
    }
}

fn batch<T>(inbox: &Receiver<T>) -> Option<Vec<T>> {
    let first = inbox.recv().ok()?;
    Some(std::iter::once(first).chain(inbox.try_iter()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_fault_in_one_job_costs_no_other() {
        let (sender, done) = channel();
        let worker = Worker::start("test", 10, move |batch: Vec<u32>| {
            assert!(!batch.contains(&0), "a fault");
            sender.send(batch).unwrap();
        });
        worker.push(0).unwrap();
        assert!(worker.drain(Duration::from_secs(60)));
        worker.push(1).unwrap();
        assert_eq!(done.recv_timeout(Duration::from_secs(60)), Ok(vec![1]));
    }

    #[test]
    fn jobs_keep_their_order_and_a_full_queue_gives_them_back() {
        let (release, gate) = channel::<()>();
        let (sender, done) = channel();
        let worker = Worker::start("test", 2, move |batch: Vec<u32>| {
            gate.recv().unwrap();
            sender.send(batch).unwrap();
        });
        worker.push(0).unwrap();
        let refused = (1..10).find_map(|job| worker.push(job).err()).unwrap();
        assert!(refused >= 2);
        assert!(!worker.drain(Duration::from_millis(20)));
        for _ in 0..10 {
            release.send(()).unwrap();
        }
        assert!(worker.drain(Duration::from_secs(60)));
        let all: Vec<u32> = done.try_iter().flatten().collect();
        assert_eq!(all, (0..refused).collect::<Vec<_>>());
    }
}

#[cfg(all(test, shuttle))]
mod shuttle_tests {
    use super::*;

    #[test]
    fn shuttle_every_job_is_done_or_given_back_and_a_drain_sees_its_end() {
        crate::sync::schedules(|| {
            let done = Arc::new(Mutex::new(Vec::new()));
            let told = Arc::clone(&done);
            let worker = Arc::new(Worker::start("test", 2, move |batch: Vec<u32>| {
                told.lock().unwrap().extend(batch);
            }));
            let other = Arc::clone(&worker);
            let other = thread::spawn(move || {
                (10..13).filter(|job| other.push(*job).is_ok()).collect::<Vec<u32>>()
            });
            let mut taken: Vec<u32> = (0..3).filter(|job| worker.push(*job).is_ok()).collect();
            let others = other.join().unwrap();
            assert!(worker.drain(Duration::from_secs(3600)));
            let done = done.lock().unwrap();
            let of = |tens: u32| done.iter().copied().filter(move |job| job / 10 == tens);
            assert!(of(0).eq(taken.iter().copied()) && of(1).eq(others.iter().copied()));
            taken.extend(&others);
            assert_eq!(done.len(), taken.len());
        });
    }
}
