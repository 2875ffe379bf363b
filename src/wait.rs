//! Waiting for a descriptor, and never beyond a given moment.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Waits until a descriptor is ready for one of these events, or has failed; at most until `end`.
/// Tells whether it is ready. Signals do not cut the wait short.
///
/// # Errors
/// When the kernel cannot wait for it.
pub(crate) fn ready(descriptor: impl AsFd, events: PollFlags, end: Instant) -> io::Result<bool> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // Rounded up: poll counts whole milliseconds, and a wait of none would spin.
        let timeout =
            PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(descriptor.as_fd(), events)], timeout) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The moment this long from now, or, beyond what the clock can hold, a very late one.
pub(crate) fn moment_after(time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 86_400);
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + FAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_wait_ends_with_the_event_or_with_its_time() {
        let (reader, mut writer) = io::pipe().unwrap();
        let time = Duration::from_millis(30);
        let begun = Instant::now();
        assert!(!ready(&reader, PollFlags::POLLIN, begun + time).unwrap());
        assert!(begun.elapsed() >= time);
        writer.write_all(b"x").unwrap();
        assert!(ready(&reader, PollFlags::POLLIN, begun).unwrap(), "also when its time is over");
        assert!(moment_after(Duration::MAX) > begun);
    }
}
