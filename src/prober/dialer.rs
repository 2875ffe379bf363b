//! The dialer: one thread that holds every pending TCP connect, and takes the orders for them.
//!
//! A dead host is the commonest failure, and waiting for one must not cost a thread. Connects are
//! non-blocking; those that do not succeed at once wait in an epoll set, each with its deadline.

use crate::check::{Failure, begin_connect};
use crate::model::Way;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{getsockopt, sockopt};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// A connect to be made for `tag`.
#[derive(Debug)]
pub(crate) struct Dial<T> {
    /// Whatever the caller wants back with the answer.
    pub(crate) tag: T,
    /// Where to.
    pub(crate) target: SocketAddr,
    /// `checkfrom` and `checkpath`.
    pub(crate) way: Way,
    /// How long it may take from the moment it is begun.
    pub(crate) timeout: Duration,
}

/// The answer to a [`Dial`].
#[derive(Debug)]
pub(crate) struct Dialled<T> {
    /// The caller's own.
    pub(crate) tag: T,
    /// The connection, which does not block, or why there is none.
    pub(crate) result: Result<TcpStream, Failure>,
    /// When the connect was begun.
    pub(crate) begun: Instant,
}

/// Token of the event that orders have arrived.
const SOURCE: u64 = u64::MAX;

/// Connects that are begun before the first of them is looked at.
const BATCH: usize = 64;

/// Dials on this thread until there will be no more: `feed` is asked for more at first and whenever
/// `source` is readable, and says `None` for the end. `answer` is called with the answers of one round together.
/// Neither may block. At most `limit` connects are pending at a time; more wait their turn, and their
/// deadline begins with it.
///
/// # Errors
/// When the kernel has no descriptor left.
pub(crate) fn dial<T>(
    limit: usize,
    source: &impl AsFd,
    feed: impl FnMut() -> Option<Vec<Dial<T>>>,
    answer: impl FnMut(Vec<Dialled<T>>),
) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(source, EpollEvent::new(EpollFlags::EPOLLIN, SOURCE))?;
    let work = Work {
        feed,
        epoll,
        limit: limit.max(1),
        waiting: VecDeque::new(),
        pending: Vec::new(),
        free: Vec::new(),
        deadlines: BinaryHeap::new(),
        answers: Vec::new(),
        answer,
    };
    work.run();
    Ok(())
}

struct Pending<T> {
    socket: OwnedFd,
    tag: T,
    begun: Instant,
}

struct Work<T, F, A> {
    feed: F,
    epoll: Epoll,
    limit: usize,
    waiting: VecDeque<Dial<T>>,
    /// Slots with a generation, so that a deadline finds the connect it was made for or nothing.
    pending: Vec<(u32, Option<Pending<T>>)>,
    free: Vec<u32>,
    deadlines: BinaryHeap<Reverse<(Instant, u32, u32)>>,
    answers: Vec<Dialled<T>>,
    answer: A,
}

impl<T, F, A> Work<T, F, A>
where
    F: FnMut() -> Option<Vec<Dial<T>>>,
    A: FnMut(Vec<Dialled<T>>),
{
    fn run(mut self) {
        let mut events = vec![EpollEvent::empty(); 256];
        // What was read together with what came before.
        let Some(first) = (self.feed)() else { return };
        self.waiting.extend(first);
        loop {
            let timeout = self.timeout();
            let ready = match self.epoll.wait(&mut events, timeout) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    log::error!("dialer: epoll_wait: {error}");
                    std::thread::sleep(Duration::from_millis(100));
                    0
                }
            };
            for event in &events[..ready] {
                if event.data() == SOURCE {
                    match (self.feed)() {
                        Some(dials) => self.waiting.extend(dials),
                        None => return,
                    }
                } else {
                    self.ready(event.data(), event.events());
                }
            }
            self.expire(Instant::now());
            self.begin();
            if !self.answers.is_empty() {
                (self.answer)(std::mem::take(&mut self.answers));
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.pending.len() - self.free.len()
    }

    fn timeout(&self) -> EpollTimeout {
        if !self.waiting.is_empty() && self.in_flight() < self.limit {
            return EpollTimeout::ZERO;
        }
        let longest = Duration::from_secs(60);
        let wait = self.deadlines.peek().map_or(longest, |Reverse((at, ..))| {
            // Rounded up: waking before the deadline would only mean waiting again.
            at.saturating_duration_since(Instant::now()) + Duration::from_millis(1)
        });
        EpollTimeout::try_from(wait.min(longest)).unwrap_or(EpollTimeout::ZERO)
    }

    /// Begins the connects that are waiting, as far as the limit allows.
    fn begin(&mut self) {
        while !self.waiting.is_empty() && self.in_flight() < self.limit {
            let room = (self.limit - self.in_flight()).min(BATCH).min(self.waiting.len());
            let begun: Vec<(Dial<T>, OwnedFd, Instant)> = self
                .waiting
                .drain(..room)
                .collect::<Vec<_>>()
                .into_iter()
                .filter_map(|dial| {
                    let now = Instant::now();
                    match begin_connect(dial.target, &dial.way) {
                        Ok(socket) => Some((dial, socket, now)),
                        Err(failure) => {
                            let result = Err(failure);
                            self.answers.push(Dialled { tag: dial.tag, result, begun: now });
                            None
                        }
                    }
                })
                .collect();
            let states = poll_once(&begun);
            for ((dial, socket, begun), state) in begun.into_iter().zip(states) {
                let pending = Pending { socket, tag: dial.tag, begun };
                if state.is_empty() {
                    self.wait_for(pending, dial.timeout);
                } else {
                    let failed = state.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
                    self.answers.push(finish(pending, failed));
                }
            }
        }
    }

    fn wait_for(&mut self, pending: Pending<T>, timeout: Duration) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.pending.push((0, None));
            (self.pending.len() - 1) as u32
        });
        let (generation, entry) = &mut self.pending[slot as usize];
        *generation = generation.wrapping_add(1);
        let token = (u64::from(*generation) << 32) | u64::from(slot);
        let event = EpollEvent::new(EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT, token);
        if let Err(error) = self.epoll.add(pending.socket.as_fd(), event) {
            let Pending { tag, begun, .. } = pending;
            let result = Err(Failure::local(error.into()));
            self.answers.push(Dialled { tag, result, begun });
            self.free.push(slot);
            return;
        }
        if let Some(deadline) = pending.begun.checked_add(timeout) {
            self.deadlines.push(Reverse((deadline, slot, *generation)));
        }
        *entry = Some(pending);
    }

    fn ready(&mut self, token: u64, events: EpollFlags) {
        let (slot, generation) = (token as u32, (token >> 32) as u32);
        if let Some(pending) = self.take(slot, generation) {
            let failed = events.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
            self.answers.push(finish(pending, failed));
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&Reverse((at, slot, generation))) = self.deadlines.peek()
            && at <= now
        {
            self.deadlines.pop();
            if let Some(Pending { tag, begun, .. }) = self.take(slot, generation) {
                let result = Err(Failure::ConnectTimedOut);
                self.answers.push(Dialled { tag, result, begun });
            }
        }
    }

    fn take(&mut self, slot: u32, generation: u32) -> Option<Pending<T>> {
        let (current, entry) = self.pending.get_mut(slot as usize)?;
        if *current != generation {
            return None;
        }
        // One shot: the set does not report it again, and forgets it when it is closed.
        let pending = entry.take()?;
        self.free.push(slot);
        Some(pending)
    }
}

/// Which of these connects are done already: on a local network most are.
fn poll_once<T>(begun: &[(Dial<T>, OwnedFd, Instant)]) -> Vec<PollFlags> {
    let mut set: Vec<PollFd<'_>> = begun
        .iter()
        .map(|(_, socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLOUT))
        .collect();
    if set.is_empty() || poll(&mut set, PollTimeout::ZERO).is_err() {
        return vec![PollFlags::empty(); begun.len()];
    }
    set.iter().map(|entry| entry.revents().unwrap_or(PollFlags::empty())).collect()
}

fn finish<T>(pending: Pending<T>, failed: bool) -> Dialled<T> {
    let Pending { socket, tag, begun } = pending;
    let error = if failed {
        // An error without a cause: the connection came and went before it was looked at.
        match getsockopt(&socket, sockopt::SocketError) {
            Ok(0) => None,
            Ok(code) => Some(Errno::from_raw(code)),
            Err(error) => Some(error),
        }
    } else {
        None
    };
    let result = match error {
        Some(error) => Err(failure(error)),
        None => Ok(TcpStream::from(socket)),
    };
    Dialled { tag, result, begun }
}

fn failure(error: Errno) -> Failure {
    match error {
        Errno::ETIMEDOUT => Failure::ConnectTimedOut,
        other => io::Error::from(other).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use std::net::TcpListener;
    use std::sync::{Arc, mpsc};

    /// The dialer as the tests want it: dials go in, answers come out.
    struct Dialer {
        dials: mpsc::Sender<Vec<Dial<u32>>>,
        wake: Arc<EventFd>,
    }

    impl Dialer {
        fn dial(&self, dials: Vec<Dial<u32>>) {
            self.dials.send(dials).expect("it lives");
            self.wake.write(1).expect("a wake");
        }
    }

    fn dialer(limit: usize) -> (Dialer, mpsc::Receiver<Vec<Dialled<u32>>>) {
        let (sender, receiver) = mpsc::channel();
        let (dials, orders) = mpsc::channel();
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = Arc::new(EventFd::from_value_and_flags(0, flags).expect("a descriptor"));
        let source = Arc::clone(&wake);
        std::thread::spawn(move || {
            let feed = || {
                let _ = source.read();
                match orders.try_recv() {
                    Err(mpsc::TryRecvError::Disconnected) => None,
                    more => Some(more.unwrap_or_default()),
                }
            };
            let answer = |answers| {
                let _ = sender.send(answers);
            };
            dial(limit, &*source, feed, answer)
        });
        (Dialer { dials, wake }, receiver)
    }

    fn results(
        receiver: &mpsc::Receiver<Vec<Dialled<u32>>>,
        count: usize,
    ) -> Vec<(u32, Result<(), Failure>)> {
        let mut all = Vec::new();
        while all.len() < count {
            let answers = receiver.recv_timeout(Duration::from_secs(20)).expect("an answer");
            all.extend(answers.into_iter().map(|answer| (answer.tag, answer.result.map(|_| ()))));
        }
        all.sort_by_key(|(tag, _)| *tag);
        all
    }

    #[test]
    fn listening_refused_and_silent_targets_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let open = listener.local_addr().expect("its address");
        let closed = {
            let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
            gone.local_addr().expect("its address")
        };
        // A listener with a full queue swallows what comes after.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        nix::sys::socket::listen(&silent, nix::sys::socket::Backlog::new(0).expect("a backlog"))
            .expect("a shorter queue");
        let swallowing = silent.local_addr().expect("its address");
        let _fill: Vec<_> = (0..4)
            .map(|_| TcpStream::connect_timeout(&swallowing, Duration::from_millis(200)))
            .collect();
        let (dialer, receiver) = dialer(10);
        let dial = |tag, target| Dial {
            tag,
            target,
            way: Way::default(),
            timeout: Duration::from_millis(300),
        };
        dialer.dial(vec![dial(1, open), dial(2, closed), dial(3, swallowing)]);
        assert_eq!(
            results(&receiver, 3),
            vec![(1, Ok(())), (2, Err(Failure::Refused)), (3, Err(Failure::ConnectTimedOut))]
        );
    }

    #[test]
    fn more_connects_than_the_limit_wait_their_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let target = listener.local_addr().expect("its address");
        let (dialer, receiver) = dialer(2);
        let timeout = Duration::from_secs(10);
        dialer
            .dial((0..50).map(|tag| Dial { tag, target, way: Way::default(), timeout }).collect());
        let accept = std::thread::spawn(move || listener.incoming().take(50).count());
        assert!(results(&receiver, 50).iter().all(|(_, result)| result.is_ok()));
        assert_eq!(accept.join().expect("no panic"), 50);
    }
}
