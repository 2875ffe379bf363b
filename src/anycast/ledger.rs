//! What the directors have said: one line per service, in a text file that people can read.
//!
//! ```text
//! # address protocol service-or-mark up|down since interface policy
//! 198.51.100.1 udp 198.51.100.1:53 up 1763836966 lo all
//! 198.51.100.1 fwm 7 down 1763836970 anycast0 any
//! ```
//!
//! Lines that cannot be read are left out, and counted; they are gone with the next write.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::called::Called;
use super::policy::{self, Policy, Verdict};
use crate::model::{Family, Protocol, ServiceAddress};

const HEADING: &str = "# address protocol service-or-mark up|down since interface policy\n";

/// What is known about one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) verdict: Verdict,
    /// When the verdict became what it is; seconds since 1970.
    pub(super) since: i64,
    /// `--interface` of the latest call.
    pub(super) interface: String,
    /// `--policy` of the latest call.
    pub(super) policy: Policy,
}

/// The newest entry: it carries the options in force.
pub(super) fn newest(services: &BTreeMap<ServiceAddress, Entry>) -> Option<&Entry> {
    services.values().max_by_key(|entry| entry.since)
}

/// All services, by the address that stands for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    entries: BTreeMap<IpAddr, BTreeMap<ServiceAddress, Entry>>,
    /// Lines of the file that could not be read.
    pub(super) damaged: usize,
}

impl Ledger {
    /// Reads the file's text, whatever it holds.
    pub(super) fn parse(text: &str) -> Self {
        let mut ledger = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match parse_line(line) {
                Some((called, entry)) => {
                    ledger.entries.entry(called.address).or_default().insert(called.service, entry);
                }
                None => ledger.damaged += 1,
            }
        }
        ledger
    }

    /// The file's text.
    pub(super) fn to_text(&self) -> String {
        let mut text = HEADING.to_owned();
        for (address, services) in &self.entries {
            for (service, entry) in services {
                let number = match service {
                    ServiceAddress::Address { address, .. } => address.to_string(),
                    ServiceAddress::Fwmark { mark, .. } => mark.to_string(),
                };
                let Entry { verdict, since, interface, policy } = entry;
                let protocol = service.protocol_word();
                // Writing into a String cannot fail.
                let _ = writeln!(
                    text,
                    "{address} {protocol} {number} {verdict} {since} {interface} {policy}"
                );
            }
        }
        text
    }

    /// Notes what a director said.
    pub(super) fn note(&mut self, called: Called, mut entry: Entry) {
        let services = self.entries.entry(called.address).or_default();
        if let Some(before) = services.get(&called.service)
            && before.verdict == entry.verdict
        {
            entry.since = before.since;
        }
        services.insert(called.service, entry);
    }

    /// Forgets one service; false if it was not known.
    pub(super) fn forget(&mut self, called: Called) -> bool {
        let Some(services) = self.entries.get_mut(&called.address) else { return false };
        let known = services.remove(&called.service).is_some();
        if services.is_empty() {
            self.entries.remove(&called.address);
        }
        known
    }

    /// Forgets the services on the called address that are gone (see [`policy::is_gone`]).
    pub(super) fn forget_gone(&mut self, called: Called, listed: &[ServiceAddress]) {
        if let Some(services) = self.entries.get_mut(&called.address) {
            services.retain(|service, _| !policy::is_gone(*service, called.service, listed));
        }
    }

    /// The services on an address, in the order of their identities.
    pub(super) fn services(
        &self,
        address: IpAddr,
    ) -> impl Iterator<Item = (&ServiceAddress, &Entry)> {
        self.entries.get(&address).into_iter().flatten()
    }

    /// The services on an address, if there are any.
    pub(super) fn of(&self, address: IpAddr) -> Option<&BTreeMap<ServiceAddress, Entry>> {
        self.entries.get(&address)
    }

    /// All services, by address.
    pub(super) fn addresses(
        &self,
    ) -> impl Iterator<Item = (IpAddr, &BTreeMap<ServiceAddress, Entry>)> {
        self.entries.iter().map(|(address, services)| (*address, services))
    }

    /// What the address should be.
    pub(super) fn decide(&self, address: IpAddr, policy: Policy) -> Verdict {
        policy.decide(self.services(address).map(|(_, entry)| entry.verdict))
    }
}

/// Whether the text can be an interface's name (`dev_valid_name` of the kernel), and one word.
pub(super) fn is_interface_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 16
        && text != "."
        && text != ".."
        && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}

fn parse_line(line: &str) -> Option<(Called, Entry)> {
    let mut words = line.split_ascii_whitespace();
    let address: IpAddr = words.next()?.parse().ok()?;
    let protocol = words.next()?;
    let number = words.next()?;
    let of_address = |protocol| {
        let address: SocketAddr = number.parse().ok()?;
        let address = SocketAddr::new(address.ip(), address.port());
        Some(ServiceAddress::Address { protocol, address })
    };
    let service = match protocol {
        "tcp" => of_address(Protocol::Tcp)?,
        "udp" => of_address(Protocol::Udp)?,
        "fwm" => ServiceAddress::Fwmark { family: Family::of(address), mark: number.parse().ok()? },
        _ => return None,
    };
    let entry = Entry {
        verdict: words.next()?.parse().ok()?,
        since: words.next()?.parse().ok()?,
        interface: words.next().filter(|name| is_interface_name(name))?.to_owned(),
        policy: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some((Called { service, address }, entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Down, Up};
    use proptest::prelude::*;

    fn called(target: &str, protocol: &str) -> Called {
        Called::read(target, protocol, Some("198.51.100.1".parse().unwrap())).unwrap()
    }

    fn entry(verdict: Verdict, since: i64) -> Entry {
        Entry { verdict, since, interface: "lo".to_owned(), policy: Policy::All }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut ledger = Ledger::default();
        ledger.note(called("198.51.100.1:53", "tcp"), entry(Up, 5));
        ledger.note(called("198.51.100.1:53", "udp"), entry(Down, -7));
        ledger.note(called("10.0.0.1:80", "tcp"), entry(Up, 9));
        ledger.note(called("7:0", "fwm"), entry(Up, i64::MAX));
        let v6 = Called::read("[2001:db8:53::1]:53", "udp", None).unwrap();
        ledger.note(v6, entry(Down, 0));
        assert_eq!(Ledger::parse(&ledger.to_text()), ledger);
    }

    #[test]
    fn since_is_the_time_of_the_change_and_not_of_the_call() {
        let udp = called("198.51.100.1:53", "udp");
        let mut ledger = Ledger::default();
        let since = |ledger: &Ledger| {
            let first = ledger.services(udp.address).next().map(|(_, entry)| entry.since);
            first.unwrap()
        };
        for (verdict, now, expected) in [(Up, 1, 1), (Up, 2, 1), (Down, 3, 3), (Down, 4, 3)] {
            ledger.note(udp, entry(verdict, now));
            assert_eq!(since(&ledger), expected);
        }
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out_and_counted() {
        let good = "198.51.100.1 udp 198.51.100.1:53 up 5 lo all";
        let ledger = Ledger::parse(good);
        assert_eq!(
            (ledger.damaged, ledger.services("198.51.100.1".parse().unwrap()).count()),
            (0, 1)
        );
        for damaged in [
            "198.51.100.1 udp 198.51.100.1:53 up 5 lo",
            "198.51.100.1 udp 198.51.100.1:53 up 5 lo all more",
            "198.51.100.1 udp 198.51.100.1:53 up 5 ../lo all",
            "198.51.100.1 udp 198.51.100.1:53 up 5 averyverylongname all",
            "198.51.100.1 udp 198.51.100.1:53 up 99999999999999999999 lo all",
            "198.51.100.1 udp 198.51.100.1:53 sideways 5 lo all",
            "198.51.100.1 udp 53 up 5 lo all",
            "198.51.100.1 fwm -7 up 5 lo all",
            "nobody udp 198.51.100.1:53 up 5 lo all",
            "\u{0}\u{1b}[2J",
        ] {
            let ledger = Ledger::parse(&format!("{damaged}\n{good}\n"));
            assert_eq!(ledger.damaged, 1, "{damaged:?}");
            assert_eq!(ledger.services("198.51.100.1".parse().unwrap()).count(), 1, "{damaged:?}");
        }
    }

    #[test]
    fn forgetting_lets_the_others_decide() {
        let (tcp, udp) = (called("198.51.100.1:53", "tcp"), called("198.51.100.1:53", "udp"));
        let mut ledger = Ledger::default();
        ledger.note(tcp, entry(Down, 1));
        ledger.note(udp, entry(Up, 1));
        assert_eq!(ledger.decide(udp.address, Policy::All), Down);
        assert!(ledger.forget(tcp));
        assert_eq!(ledger.decide(udp.address, Policy::All), Up);
        assert!(!ledger.forget(tcp));
        assert!(ledger.forget(udp));
        assert_eq!(ledger.decide(udp.address, Policy::Any), Down);
        assert_eq!(ledger.addresses().count(), 0);
    }

    #[test]
    fn a_service_that_ip_vs_no_longer_lists_has_no_say() {
        let (tcp, udp) = (called("198.51.100.1:53", "tcp"), called("198.51.100.1:53", "udp"));
        let mut ledger = Ledger::default();
        ledger.note(tcp, entry(Down, 1));
        ledger.note(udp, entry(Up, 1));
        ledger.forget_gone(udp, &[]);
        assert_eq!(ledger.services(udp.address).count(), 2);
        ledger.forget_gone(udp, &[udp.service]);
        assert_eq!(ledger.services(udp.address).count(), 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,200}") {
            let ledger = Ledger::parse(&text);
            prop_assert_eq!(Ledger::parse(&ledger.to_text()).to_text(), ledger.to_text());
        }
    }
}
