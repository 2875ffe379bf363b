//! Whether the machine lets us run at all: on one that does not, a check may fail for no reason of
//! anybody's.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Between two beats.
const BEAT: Duration = Duration::from_millis(50);

/// A beat so late says that the machine was busy with something else.
const LATE: Duration = Duration::from_millis(500);

/// A thread that sleeps, and notes when it is woken too late.
#[derive(Clone, Default)]
pub(crate) struct Pulse(Arc<Mutex<Vec<(Instant, Duration)>>>);

impl Pulse {
    pub(crate) fn start() -> Self {
        let pulse = Self::default();
        let beats = pulse.clone();
        thread::spawn(move || {
            loop {
                let begun = Instant::now();
                thread::sleep(BEAT);
                let late = begun.elapsed() - BEAT;
                if late > LATE {
                    beats.lock().push((Instant::now(), late));
                }
            }
        });
        pulse
    }

    /// How often it was late since then.
    pub(crate) fn late_since(&self, then: Instant) -> usize {
        self.lock().iter().filter(|(at, _)| *at >= then).count()
    }

    /// How often, and the latest.
    pub(crate) fn summary(&self) -> String {
        let beats = self.lock();
        let most = beats.iter().map(|(_, late)| *late).max().unwrap_or_default();
        format!(
            "the machine stood still {} times, {:.1} s at most",
            beats.len(),
            most.as_secs_f64()
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Duration)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
