//! `guard`: lowers an address when no living director stands for its services any more, and raises
//! it again when one does.
//!
//! A killed director says nothing: its addresses stay up and its table stays as it was, whatever
//! becomes of its servers. So directors are asked, again and again, which services they stand for.
//! What the guard has lowered is remembered in the state directory, because a director that comes
//! back has nothing new to say and will not call.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::act::{apply, check, raise};
use super::failure::Failure;
use super::invocation::Site;
use super::kernel::Kernel;
use super::ledger::{Entry, Ledger, newest};
use super::policy::Verdict;
use super::say;
use super::store::Store;
use crate::daemon::Paths;
use crate::daemon::control::ask_within;
use crate::daemon::request::Request;
use crate::model::ServiceAddress;

/// The pause between two looks is a tenth of the lease, and in this range.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a director has to answer at least.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(50);

/// Guards for ever.
pub(super) fn run(
    site: &Site,
    lease: Duration,
    store: &Store,
    paths: &Paths,
) -> Result<(), Failure> {
    // What cannot work is told before anything is waited for.
    drop(store.lock()?);
    let mut leases = Leases { lease, last: BTreeMap::new() };
    let mut told = BTreeMap::new();
    loop {
        let serving = serving(paths, lease);
        let now = Instant::now();
        match store.read().and_then(|ledger| Ok((ledger, store.lapsed()?))) {
            Ok((ledger, lapsed)) => {
                leases.renew(&ledger, &lapsed, &serving, now);
                for (address, services) in ledger.addresses() {
                    let before = lapsed.contains(&address);
                    if leases.needs_a_look(services, before, now) {
                        let result = act(address, before, &leases, now, site, store);
                        tell(&mut told, Some(address), result);
                    } else {
                        tell(&mut told, Some(address), Ok(()));
                    }
                }
                let gone = lapsed.iter().any(|address| ledger.of(*address).is_none());
                let forgotten = if gone { store.forget_lapsed() } else { Ok(()) };
                tell(&mut told, None, forgotten);
            }
            Err(failure) => tell(&mut told, None, Err(failure)),
        }
        sleep((lease / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
    }
}

/// The services that living directors stand for.
fn serving(paths: &Paths, lease: Duration) -> BTreeSet<String> {
    let directors = paths.control_sockets();
    // All of them may hang, and there must be time for several looks in a lease.
    let many = u32::try_from(directors.len()).unwrap_or(u32::MAX).max(1);
    let patience = (lease / 4 / many).max(SHORTEST_PATIENCE);
    let answers =
        directors.iter().map(|director| ask_within(director, &Request::Serving, patience));
    let lines = |answer: io::Result<String>| {
        answer.unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    answers.flat_map(lines).collect()
}

/// Says a failure once, until it is over or another one comes.
fn tell(
    told: &mut BTreeMap<Option<IpAddr>, String>,
    about: Option<IpAddr>,
    result: Result<(), Failure>,
) {
    let Err(failure) = result else {
        told.remove(&about);
        return;
    };
    let line = failure.to_string();
    if told.get(&about) != Some(&line) {
        say(&line);
        told.insert(about, line);
    }
}

/// When a director stood for each service last.
#[derive(Debug)]
struct Leases {
    lease: Duration,
    /// `None`: not since the guard has lowered its address.
    last: BTreeMap<ServiceAddress, Option<Instant>>,
}

impl Leases {
    /// Takes what directors stand for now. A service that is seen for the first time has a whole
    /// lease, but where the guard has lowered the address: it may have been started anew.
    fn renew(
        &mut self,
        ledger: &Ledger,
        lapsed: &BTreeSet<IpAddr>,
        serving: &BTreeSet<String>,
        now: Instant,
    ) {
        let mut known = BTreeMap::new();
        for (address, services) in ledger.addresses() {
            for &service in services.keys() {
                let first = (!lapsed.contains(&address)).then_some(now);
                let before = self.last.get(&service).copied().unwrap_or(first);
                let last = if serving.contains(&service.id()) { Some(now) } else { before };
                known.insert(service, last);
            }
        }
        self.last = known;
    }

    fn has_lapsed(&self, service: ServiceAddress, now: Instant) -> bool {
        let is_over = |last: Option<Instant>| {
            last.is_none_or(|last| now.saturating_duration_since(last) > self.lease)
        };
        self.last.get(&service).copied().is_some_and(is_over)
    }

    /// Whether there may be something to do for an address that the guard has lowered before, or has
    /// not.
    fn needs_a_look(
        &self,
        services: &BTreeMap<ServiceAddress, Entry>,
        before: bool,
        now: Instant,
    ) -> bool {
        let differs = |wanted: Wanted| (wanted.said, wanted.living) == (Verdict::Up, Verdict::Down);
        before || self.wanted(services, now).is_some_and(differs)
    }

    /// What an address should be by what was said, and by what living directors say; and why.
    fn wanted(&self, services: &BTreeMap<ServiceAddress, Entry>, now: Instant) -> Option<Wanted> {
        let newest = newest(services)?;
        let lapsed = services.keys().copied().find(|service| self.has_lapsed(*service, now));
        let verdicts =
            services.iter().map(|(service, entry)| match self.has_lapsed(*service, now) {
                true => Verdict::Down,
                false => entry.verdict,
            });
        Some(Wanted {
            said: newest.policy.decide(services.values().map(|entry| entry.verdict)),
            living: newest.policy.decide(verdicts),
            lapsed,
            interface: newest.interface.clone(),
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    said: Verdict,
    living: Verdict,
    /// A service that nobody stands for.
    lapsed: Option<ServiceAddress>,
    interface: String,
}

/// Sees that an address is as it should be, while no director changes it.
fn act(
    address: IpAddr,
    before: bool,
    leases: &Leases,
    now: Instant,
    site: &Site,
    store: &Store,
) -> Result<(), Failure> {
    // Others may be another site's, with a guard of its own.
    if check(address, site).is_err() {
        return Ok(());
    }
    let locked = store.lock()?;
    let ledger = locked.read()?;
    let wanted = ledger.of(address).and_then(|services| leases.wanted(services, now));
    let Some(Wanted { said, living, lapsed, interface }) = wanted else { return Ok(()) };
    let site = Site { interface, ..site.clone() };
    match (said, living) {
        (Verdict::Up, Verdict::Down) => {
            locked.note_lapsed(address, true)?;
            if before && Kernel::open()?.placements(address)?.is_empty() {
                return Ok(());
            }
            let service = lapsed.map(ServiceAddress::id).unwrap_or_default();
            let seconds = leases.lease.as_secs_f64();
            say(&format!("lowers {address}: no director has stood for {service} for {seconds} s"));
            apply(address, Verdict::Down, &site, store, locked)
        }
        (Verdict::Up, Verdict::Up) if before => {
            say(&format!("raises {address} again: a director stands for its services"));
            raise(address, &site, &mut Kernel::open()?)?;
            locked.note_lapsed(address, false)
        }
        // What a director has lowered itself is not the guard's any more.
        (Verdict::Down, _) if before => locked.note_lapsed(address, false),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn ledger(policy: &str, tcp: &str, udp: &str) -> Ledger {
        Ledger::parse(&format!(
            "198.51.100.1 tcp 198.51.100.1:53 {tcp} 5 lo {policy}\n\
             198.51.100.1 udp 198.51.100.1:53 {udp} 6 any0 {policy}\n"
        ))
    }

    /// What is wanted after so long without a word of the udp service, while tcp is stood for.
    fn after(seconds: u64, ledger: &Ledger) -> (Verdict, Verdict, bool) {
        let begun = Instant::now();
        let mut leases = Leases { lease: LEASE, last: BTreeMap::new() };
        leases.renew(ledger, &BTreeSet::new(), &BTreeSet::new(), begun);
        let now = begun + Duration::from_secs(seconds);
        let tcp = BTreeSet::from(["tcp:198.51.100.1:53".to_owned()]);
        leases.renew(ledger, &BTreeSet::new(), &tcp, now);
        let services = ledger.of("198.51.100.1".parse().unwrap()).unwrap();
        let wanted = leases.wanted(services, now).unwrap();
        assert_eq!(wanted.interface, "any0", "the latest call's");
        (wanted.said, wanted.living, wanted.lapsed.is_some())
    }

    #[test]
    fn an_address_is_down_when_the_lease_of_a_service_it_needs_is_over() {
        use Verdict::{Down, Up};
        let all = ledger("all", "up", "up");
        assert_eq!(after(10, &all), (Up, Up, false));
        assert_eq!(after(11, &all), (Up, Down, true));
        assert_eq!(after(11, &ledger("any", "up", "up")), (Up, Up, true), "tcp is enough");
        assert_eq!(after(11, &ledger("any", "down", "up")), (Up, Down, true));
        assert_eq!(after(11, &ledger("all", "down", "up")), (Down, Down, true));
    }

    #[test]
    fn a_service_that_is_new_has_a_whole_lease() {
        let mut leases = Leases { lease: LEASE, last: BTreeMap::new() };
        let begun = Instant::now();
        leases.renew(&Ledger::default(), &BTreeSet::new(), &BTreeSet::new(), begun);
        let late = begun + 10 * LEASE;
        let both = ledger("all", "up", "up");
        leases.renew(&both, &BTreeSet::new(), &BTreeSet::new(), late);
        let address = "198.51.100.1".parse().unwrap();
        let living =
            |leases: &Leases, at| leases.wanted(both.of(address).unwrap(), at).unwrap().living;
        assert_eq!(living(&leases, late + LEASE), Verdict::Up);
        assert_eq!(living(&leases, late + 2 * LEASE), Verdict::Down);
    }

    #[test]
    fn a_guard_that_is_started_anew_raises_nothing_without_a_director() {
        let address: IpAddr = "198.51.100.1".parse().unwrap();
        let both = ledger("all", "up", "up");
        let lapsed = BTreeSet::from([address]);
        let mut leases = Leases { lease: LEASE, last: BTreeMap::new() };
        let now = Instant::now();
        let mut living = |serving: &[&str]| {
            let serving = serving.iter().map(ToString::to_string).collect();
            leases.renew(&both, &lapsed, &serving, now);
            leases.wanted(both.of(address).unwrap(), now).unwrap().living
        };
        assert_eq!(living(&[]), Verdict::Down);
        assert_eq!(living(&["tcp:198.51.100.1:53"]), Verdict::Down, "one of two");
        assert_eq!(
            living(&["udp:198.51.100.1:53"]),
            Verdict::Up,
            "the other is still in its lease"
        );
    }
}
