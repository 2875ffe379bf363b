//! A bounded queue and the thread that works it off, so that nobody waits for mail or disks.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const STACK: usize = 256 * 1024;

/// The sender's side; the thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct Worker<T> {
    queue: SyncSender<T>,
    unfinished: Arc<Unfinished>,
}

#[derive(Debug, Default)]
struct Unfinished {
    count: Mutex<usize>,
    changed: Condvar,
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread that calls `work` with everything that waits, in order. If it cannot be
    /// started, that is logged, and the queue takes nothing.
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
                work(batch);
                done.add(-count.cast_signed());
            }
        };
        if let Err(error) = thread::Builder::new().name(name.into()).stack_size(STACK).spawn(run) {
            log::error!("cannot start the thread {name}: {error}");
        }
        Self { queue, unfinished }
    }

    /// Queues a job; gives it back if the queue is full or the thread is gone.
    pub(super) fn push(&self, job: T) -> Result<(), T> {
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
            count = self
                .unfinished
                .changed
                .wait_timeout(count, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
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

fn batch<T>(inbox: &Receiver<T>) -> Option<Vec<T>> {
    let first = inbox.recv().ok()?;
    Some(std::iter::once(first).chain(inbox.try_iter()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

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
