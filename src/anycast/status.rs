//! What `status` prints: addresses, what they are, and why. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::ledger::{Entry, Ledger, newest};
use super::policy::{Policy, Verdict};
use crate::model::ServiceAddress;

/// The report, and the addresses that are not as they were decided.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) text: String,
    pub(super) differing: Vec<IpAddr>,
}

/// Renders the report. `present` tells the interfaces that have an address, `listed` is what ip_vs
/// lists (nothing where it cannot be listed), `lapsed` what the guard has lowered, `time` renders seconds since 1970.
pub(super) fn render(
    ledger: &Ledger,
    present: &BTreeMap<IpAddr, Vec<String>>,
    listed: &[ServiceAddress],
    lapsed: &BTreeSet<IpAddr>,
    time: impl Fn(i64) -> String,
) -> Report {
    let mut report = Report { text: String::new(), differing: Vec::new() };
    for (address, services) in ledger.addresses() {
        let Some(newest) = newest(services) else { continue };
        let wanted = newest.policy.decide(services.values().map(|entry| entry.verdict));
        let interfaces = present.get(&address).map_or(&[][..], Vec::as_slice);
        let lapsed = wanted == Verdict::Up && lapsed.contains(&address);
        let place =
            place(if lapsed { Verdict::Down } else { wanted }, &newest.interface, interfaces);
        if place.differs {
            report.differing.push(address);
        }
        let reason = match lapsed {
            true => "the guard: no living director stands for it".to_owned(),
            false => reason(newest.policy, wanted, services),
        };
        report.text += &format!("{address}  {} ({reason})\n", place.text);
        for (service, entry) in services {
            let word = service.protocol_word();
            let since = time(entry.since);
            report.text += &format!("    {word} {service}  {}  since {since}", entry.verdict);
            // As at a call: a table that lists none of them tells nothing.
            if services.keys().any(|other| listed.contains(other)) && !listed.contains(service) {
                report.text += "  (not in ip_vs any more, forgotten at the next call)";
            }
            report.text.push('\n');
        }
    }
    if report.text.is_empty() {
        report.text.push_str("no service has been reported yet\n");
    }
    if ledger.damaged > 0 {
        report.text += &format!("{} lines of the state could not be read\n", ledger.damaged);
    }
    report
}

struct Place {
    text: String,
    differs: bool,
}

fn place(wanted: Verdict, interface: &str, interfaces: &[String]) -> Place {
    let there = interfaces.iter().any(|name| name == interface);
    let names = interfaces.join(", ");
    let (text, differs) = match (wanted, there, interfaces.is_empty()) {
        (Verdict::Up, true, _) => (format!("up on {names}"), false),
        (Verdict::Up, false, true) => (format!("MISSING, should be on {interface}"), true),
        (Verdict::Up, false, false) => {
            (format!("MISPLACED on {names}, should be on {interface}"), true)
        }
        (Verdict::Down, _, true) => ("down".to_owned(), false),
        (Verdict::Down, _, false) => (format!("STILL on {names}, should be down"), true),
    };
    Place { text, differs }
}

fn reason(policy: Policy, wanted: Verdict, services: &BTreeMap<ServiceAddress, Entry>) -> String {
    // One witness is reason enough where the policy asks for one.
    let witness = |verdict| {
        services
            .iter()
            .find(|(_, entry)| entry.verdict == verdict)
            .map_or_else(String::new, |(service, _)| {
                format!("{} {service} is {verdict}", service.protocol_word())
            })
    };
    let because = match (policy, wanted) {
        (Policy::All, Verdict::Up) => "every service is up".to_owned(),
        (Policy::Any, Verdict::Down) => "no service is up".to_owned(),
        (Policy::All, Verdict::Down) => witness(Verdict::Down),
        (Policy::Any, Verdict::Up) => witness(Verdict::Up),
    };
    format!("policy {policy}: {because}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(state: &str, present: &[(&str, &str)], listed: &[ServiceAddress]) -> Report {
        let mut interfaces: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
        for (address, name) in present {
            interfaces.entry(address.parse().unwrap()).or_default().push((*name).to_owned());
        }
        let time = |seconds| format!("second {seconds}");
        render(&Ledger::parse(state), &interfaces, listed, &BTreeSet::new(), time)
    }

    #[test]
    fn what_the_guard_has_lowered_is_down_as_it_should_be() {
        let address: IpAddr = "198.51.100.1".parse().unwrap();
        let ledger = Ledger::parse("198.51.100.1 tcp 198.51.100.1:53 up 5 lo any\n");
        let lapsed = BTreeSet::from([address]);
        let of = |present: &[&str]| {
            let interfaces = present.iter().map(ToString::to_string).collect();
            let present = BTreeMap::from([(address, interfaces)]);
            render(&ledger, &present, &[], &lapsed, |_| String::new())
        };
        let down = of(&[]);
        assert!(down.text.starts_with("198.51.100.1  down (the guard: no living"), "{}", down.text);
        assert!(down.differing.is_empty());
        assert_eq!(of(&["lo"]).differing, [address]);
    }

    const DNS: &str = "198.51.100.1 tcp 198.51.100.1:53 up 5 lo all\n\
                       198.51.100.1 udp 198.51.100.1:53 down 7 lo all\n";

    #[test]
    fn an_address_is_shown_with_its_services_and_the_reason() {
        let Report { text, differing } = report(DNS, &[], &[]);
        assert_eq!(
            text,
            "198.51.100.1  down (policy all: udp 198.51.100.1:53 is down)\n    \
             tcp 198.51.100.1:53  up  since second 5\n    \
             udp 198.51.100.1:53  down  since second 7\n"
        );
        assert_eq!(differing, Vec::<IpAddr>::new());
    }

    #[test]
    fn an_address_that_is_not_as_decided_stands_out() {
        let up = "198.51.100.1 tcp 198.51.100.1:53 up 5 lo any\n";
        for (state, present, expected, differs) in [
            (up, &[("198.51.100.1", "lo")][..], "up on lo (policy any: tcp", false),
            (up, &[], "MISSING, should be on lo", true),
            (up, &[("198.51.100.1", "eth0")], "MISPLACED on eth0", true),
            (DNS, &[("198.51.100.1", "lo")], "STILL on lo, should be down", true),
        ] {
            let Report { text, differing } = report(state, present, &[]);
            assert!(text.contains(expected), "{text}");
            assert_eq!(!differing.is_empty(), differs, "{text}");
        }
    }

    #[test]
    fn a_service_that_left_ip_vs_is_marked_if_the_table_can_be_believed() {
        let tcp = ServiceAddress::Address {
            protocol: crate::model::Protocol::Tcp,
            address: "198.51.100.1:53".parse().unwrap(),
        };
        assert!(
            report(DNS, &[], &[tcp])
                .text
                .contains("udp 198.51.100.1:53  down  since second 7  (not in")
        );
        assert!(!report(DNS, &[], &[]).text.contains("not in"));
    }

    #[test]
    fn nothing_known_and_damage_are_said() {
        assert_eq!(report("", &[], &[]).text, "no service has been reported yet\n");
        assert!(report("rubbish\n", &[], &[]).text.contains("1 lines of the state"));
    }
}
