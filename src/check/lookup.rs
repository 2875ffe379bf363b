//! Names to addresses within a deadline. The system's resolver has none of its own, so a thread waits
//! for it, and goes on waiting when nobody listens any more.

use super::{Deadline, Failure};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

/// The look-ups for one purpose; never more than so many at a time, however long they hang.
#[derive(Debug)]
pub struct LookUps {
    running: AtomicUsize,
    at_once: usize,
}

/// Why a name has no address.
#[derive(Debug)]
pub enum Unresolved {
    /// The resolver's answer.
    Unknown(io::Error),
    /// No answer by the deadline.
    Late,
    /// It was not even asked: too many names are being looked up, or there is no thread.
    NotAsked(String),
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(error) => write!(f, "{error}"),
            Self::Late => f.write_str("the name was not looked up in time"),
            Self::NotAsked(why) => f.write_str(why),
        }
    }
}

impl LookUps {
    /// At most `at_once` at a time.
    pub const fn new(at_once: usize) -> Self {
        Self { running: AtomicUsize::new(0), at_once }
    }

    /// The addresses of a host, at least one.
    ///
    /// # Errors
    /// When there is none by the deadline.
    pub fn addresses(
        &'static self,
        host: &str,
        port: u16,
        deadline: Deadline,
    ) -> Result<Vec<SocketAddr>, Unresolved> {
        let host = host.to_owned();
        self.ask(deadline, move || {
            let found: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
            if found.is_empty() { Err(io::Error::other("no address")) } else { Ok(found) }
        })
    }

    /// What any call into the system's name services gives.
    ///
    /// # Errors
    /// When that is an error, or has not come by the deadline.
    pub fn ask<T: Send + 'static>(
        &'static self,
        deadline: Deadline,
        resolve: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Unresolved> {
        let left = deadline.remaining().map_err(|_| Unresolved::Late)?;
        let place = Place::take(self)
            .ok_or_else(|| Unresolved::NotAsked("too many names are being looked up".to_owned()))?;
        let (answer, answered) = sync_channel(1);
        let ask = move || {
            let found = resolve();
            drop(place);
            // Nobody listens after the deadline.
            let _ = answer.send(found);
        };
        thread::Builder::new()
            .name("resolve".to_owned())
            .spawn(ask)
            .map_err(|error| Unresolved::NotAsked(format!("cannot start a thread: {error}")))?;
        match answered.recv_timeout(left) {
            Ok(found) => found.map_err(Unresolved::Unknown),
            Err(_) => Err(Unresolved::Late),
        }
    }
}

impl Unresolved {
    /// What it means to a check that came upon this name.
    pub(super) fn failure(self, host: &str) -> Failure {
        match self {
            Self::Unknown(_) => Failure::Io(format!("cannot resolve {host}")).or_want(),
            Self::Late => Failure::TimedOut,
            Self::NotAsked(why) => Failure::Local(why),
        }
    }
}

/// The right to one look-up.
struct Place(&'static AtomicUsize);

impl Place {
    fn take(all: &'static LookUps) -> Option<Self> {
        // Given back at once if it was one too many.
        let place = Self(&all.running);
        (all.running.fetch_add(1, Ordering::Relaxed) < all.at_once).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    #[test]
    fn a_resolver_that_hangs_costs_its_deadline_and_a_bounded_number_of_threads() {
        static TWO: LookUps = LookUps::new(2);
        let (release, hang) = channel::<()>();
        let hang = std::sync::Arc::new(std::sync::Mutex::new(hang));
        let begun = Instant::now();
        let ask = || {
            let hang = hang.clone();
            TWO.ask(Deadline::after(Duration::from_millis(50)), move || {
                let _ = hang.lock().unwrap().recv();
                Ok(vec![SocketAddr::from(([192, 0, 2, 1], 25))])
            })
        };
        assert!(matches!(ask(), Err(Unresolved::Late)));
        assert!(matches!(ask(), Err(Unresolved::Late)));
        assert!(matches!(ask(), Err(Unresolved::NotAsked(_))));
        assert!(begun.elapsed() < Duration::from_secs(20));
        drop(release);
        while TWO.running.load(Ordering::Relaxed) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "the places are given back");
            thread::sleep(Duration::from_millis(1));
        }
        let deadline = Deadline::after(Duration::from_secs(20));
        assert_eq!(TWO.addresses("127.0.0.1", 25, deadline).unwrap().len(), 1);
        assert!(matches!(
            TWO.addresses("no.such.host.invalid", 25, deadline),
            Err(Unresolved::Unknown(_))
        ));
    }
}
