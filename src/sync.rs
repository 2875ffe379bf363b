//! What threads meet through: std's, or shuttle's where schedules are tested.
//!
//! `make shuttle` builds the library with `--cfg shuttle` and runs the hand-over code that imports
//! from here under thousands of schedules, one thread at a time. That reaches what memory holds: the
//! jobs of the prober's workers, its outbox, the queues of mail and monitor files, the inbox of the
//! owner. It does not reach what waits in the kernel: the dialer (epoll) and the keeper (poll, a
//! process). Those two hand over in one and the same way, for which this is the reason that nothing
//! is lost: who adds something to the list does so under its lock and writes to an eventfd
//! afterwards; who takes reads the eventfd, which is a counter, and empties the list under its lock
//! afterwards. Whatever is added after the list was emptied leaves a counter above zero, and the next
//! wait in the kernel ends at once.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, mpsc},
    thread,
};

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::{Arc, Condvar, Mutex, MutexGuard, mpsc},
    thread,
};

use std::sync::PoisonError;
use std::time::Duration;

/// Waits to be notified, for so long at most. Tells whether the time was over.
#[cfg(not(all(test, shuttle)))]
pub(crate) fn wait_timeout<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    limit: Duration,
) -> (MutexGuard<'a, T>, bool) {
    let waited = condition.wait_timeout(guard, limit);
    let (guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
    (guard, result.timed_out())
}

/// The same, without time: now and then it is over at once, or just as somebody notifies.
#[cfg(all(test, shuttle))]
pub(crate) fn wait_timeout<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    _: Duration,
) -> (MutexGuard<'a, T>, bool) {
    use shuttle::rand::Rng;
    match shuttle::rand::thread_rng().gen_range(0..4) {
        0 => (guard, true),
        chance => (condition.wait(guard).unwrap_or_else(PoisonError::into_inner), chance == 1),
    }
}

/// Runs a test under many schedules: at random, and with few changes from one thread to another at
/// chosen moments, which finds what needs a rare order. `SHUTTLE_SCHEDULES` says how many of each.
#[cfg(all(test, shuttle))]
pub(crate) fn schedules(test: impl Fn() + Send + Sync + 'static) {
    let count = std::env::var("SHUTTLE_SCHEDULES").ok().and_then(|text| text.parse().ok());
    let count = count.unwrap_or(5000);
    let test = Arc::new(test);
    let again = Arc::clone(&test);
    shuttle::check_random(move || again(), count);
    shuttle::check_pct(move || test(), count, 3);
}
