//! Looking names up, side by side and away from everything else: a resolver may take its time.

use super::input::{Input, Name};
use super::runtime::Message;
use crate::sync::mpsc::Sender;
use dns_lookup::{LookupError, LookupErrorKind, getnameinfo};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Threads that look names up, all together; a resolver that hangs costs no more.
const THREADS: usize = 16;

/// A thread calls the system's resolver, which needs room.
const STACK: usize = 256 * 1024;

/// Looks names up.
pub(super) struct Names {
    threads: Arc<AtomicUsize>,
    resolver: Resolver,
}

type Resolver = Arc<dyn Fn(IpAddr) -> Name + Send + Sync>;

type Queue = Arc<Mutex<VecDeque<IpAddr>>>;

impl Names {
    /// With the system's resolver.
    pub(super) fn new() -> Self {
        Self::with(|address| {
            name(getnameinfo(&SocketAddr::new(address, 0), nix::libc::NI_NAMEREQD))
        })
    }

    fn with(resolver: impl Fn(IpAddr) -> Name + Send + Sync + 'static) -> Self {
        Self { threads: Arc::default(), resolver: Arc::new(resolver) }
    }

    /// Has the owner told the names of these addresses, each as soon as it is known.
    pub(super) fn look_up(&self, addresses: Vec<IpAddr>, owner: &Sender<Message>) {
        let wanted = addresses.len().min(THREADS);
        let queue: Queue = Arc::new(Mutex::new(addresses.into()));
        if (0..wanted).take_while(|_| self.start(&queue, owner)).count() == 0 {
            let addresses = queue.lock().unwrap_or_else(PoisonError::into_inner).split_off(0);
            let failed = addresses.into_iter().map(|address| (address, Name::Failed)).collect();
            let _ = owner.send(Message::Input(Input::Names(failed)));
        }
    }

    /// Starts one more thread; false if there are enough, or the system refuses.
    fn start(&self, queue: &Queue, owner: &Sender<Message>) -> bool {
        if self.threads.fetch_add(1, Ordering::SeqCst) >= THREADS {
            self.threads.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        let (queue, owner) = (Arc::clone(queue), owner.clone());
        let (threads, resolver) = (Arc::clone(&self.threads), Arc::clone(&self.resolver));
        let work = move || {
            while let Some(address) = next(&queue) {
                let names = vec![(address, resolver(address))];
                if owner.send(Message::Input(Input::Names(names))).is_err() {
                    break;
                }
            }
            threads.fetch_sub(1, Ordering::SeqCst);
        };
        let thread = thread::Builder::new().name("names".into()).stack_size(STACK).spawn(work);
        if thread.is_err() {
            self.threads.fetch_sub(1, Ordering::SeqCst);
        }
        thread.is_ok()
    }
}

fn next(queue: &Queue) -> Option<IpAddr> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// What the system's answer says of an address.
fn name(answer: Result<(String, String), LookupError>) -> Name {
    match answer {
        Ok((name, _)) => Name::Known(name),
        Err(error) if matches!(error.kind(), LookupErrorKind::NoName) => Name::Nameless,
        Err(_) => Name::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::mpsc::channel;
    use std::collections::BTreeMap;
    use std::sync::Barrier;

    fn addresses(count: usize) -> Vec<IpAddr> {
        (1..=count).map(|host| [127, 0, 0, u8::try_from(host).expect("few")].into()).collect()
    }

    /// The answers, until all threads have ended.
    fn answers(names: Names, addresses: Vec<IpAddr>) -> BTreeMap<IpAddr, Name> {
        let (owner, inbox) = channel();
        let count = addresses.len();
        names.look_up(addresses, &owner);
        drop((names, owner));
        let answers: Vec<_> = inbox
            .into_iter()
            .flat_map(|message| match message {
                Message::Input(Input::Names(names)) => names,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(answers.len(), count, "one for each address");
        answers.into_iter().collect()
    }

    #[test]
    fn every_address_has_its_answer() {
        let names = Names::with(|address| Name::Known(format!("name of {address}")));
        let expected = addresses(40)
            .into_iter()
            .map(|address| (address, Name::Known(format!("name of {address}"))));
        assert_eq!(answers(names, addresses(40)), expected.collect());
    }

    #[test]
    fn names_are_looked_up_side_by_side_by_no_more_threads_than_there_may_be() {
        for (count, side_by_side) in [(1, 1), (3, 3), (THREADS, THREADS), (2 * THREADS, THREADS)] {
            // No answer comes before so many threads have asked.
            let barrier = Arc::new(Barrier::new(side_by_side));
            let (asking, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
            let seen = Arc::clone(&most);
            let names = Names::with(move |_| {
                let now = asking.fetch_add(1, Ordering::SeqCst) + 1;
                seen.fetch_max(now, Ordering::SeqCst);
                barrier.wait();
                asking.fetch_sub(1, Ordering::SeqCst);
                Name::Nameless
            });
            let threads = Arc::clone(&names.threads);
            answers(names, addresses(count));
            assert_eq!(most.load(Ordering::SeqCst), side_by_side);
            assert_eq!(threads.load(Ordering::SeqCst), 0);
        }
    }

    #[test]
    fn while_all_threads_are_busy_a_look_up_fails_at_once() {
        let names = Names::with(|_| Name::Nameless);
        let threads = Arc::clone(&names.threads);
        threads.store(THREADS, Ordering::SeqCst);
        let failed = addresses(3).into_iter().map(|address| (address, Name::Failed));
        assert_eq!(answers(names, addresses(3)), failed.collect());
        assert_eq!(threads.load(Ordering::SeqCst), THREADS);
    }

    #[test]
    fn an_address_without_a_name_is_not_one_whose_name_cannot_be_had() {
        use nix::libc::{EAI_AGAIN, EAI_FAIL, EAI_NONAME};
        let known = ("web.example".to_owned(), String::new());
        assert_eq!(name(Ok(known)), Name::Known("web.example".to_owned()));
        assert_eq!(name(Err(LookupError::new(EAI_NONAME))), Name::Nameless);
        for error in [EAI_AGAIN, EAI_FAIL] {
            assert_eq!(name(Err(LookupError::new(error))), Name::Failed);
        }
    }
}
