//! A history is run, and one that fails is made as short as it can be.

use crate::event::Event;
use crate::file::Size;
use crate::oracle::Violation;
use crate::world::World;
use std::time::{Duration, Instant};

/// What is not short by then is shown as it is.
const PATIENCE: Duration = Duration::from_secs(60);

/// What has become of a history.
pub(crate) struct Outcome {
    pub(crate) steps: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) digest: u64,
}

/// Runs a history; with `trace` every step of it is shown.
pub(crate) fn run(seed: u64, size: Size, events: &[Event], trace: bool) -> Outcome {
    let mut world = World::new(seed, size);
    world.trace = trace;
    let violation = world.live(events).err();
    Outcome { steps: world.steps, violation, digest: world.digest }
}

/// Leaves out what is not needed for the same kind of violation: halves, quarters and so on down to
/// single events, then the time between them.
pub(crate) fn shorten(
    seed: u64,
    size: Size,
    mut events: Vec<Event>,
    violation: &Violation,
) -> Vec<Event> {
    let kind = violation.kind();
    let begun = Instant::now();
    let fails = |events: &[Event]| {
        begun.elapsed() < PATIENCE
            && run(seed, size, events, false).violation.is_some_and(|it| it.kind() == kind)
    };
    let mut length = events.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut shorter = false;
        while at < events.len() {
            let end = (at + length).min(events.len());
            let mut fewer = events.clone();
            let left_out: u32 = fewer.drain(at..end).map(|event| event.after_ms).sum();
            let mut later = fewer.clone();
            if let Some(next) = later.get_mut(at) {
                next.after_ms += left_out;
            }
            if fails(&fewer) {
                (events, shorter) = (fewer, true);
            } else if fails(&later) {
                (events, shorter) = (later, true);
            } else {
                at = end;
            }
        }
        if length == 1 && !shorter {
            break;
        }
        length = length.div_ceil(2);
    }
    for at in 0..events.len() {
        for after_ms in [0, 1000] {
            let mut quicker = events.clone();
            if quicker[at].after_ms > after_ms {
                quicker[at].after_ms = after_ms;
                if fails(&quicker) {
                    events = quicker;
                }
            }
        }
    }
    events
}

/// Shows a history step by step.
pub(crate) fn show(seed: u64, size: Size, events: &[Event]) {
    eprintln!("-- the shortest history of this kind: {size:?}");
    for event in events {
        eprintln!("   after {:>6} ms  {:?}", event.after_ms, event.what);
    }
    let outcome = run(seed, size, events, true);
    if let Some(violation) = outcome.violation {
        eprintln!("-- {}", violation.0);
    }
}
