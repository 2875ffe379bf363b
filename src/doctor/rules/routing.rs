//! Routing daemons, which announce what `ldirectord-anycast` raises.

use super::Symptom;
use super::hooks::{anycast_words, is_anycast};
use crate::anycast::foresee;
use crate::doctor::facts::{Facts, Routing};
use crate::model::Model;
use std::net::IpAddr;

/// Processes that speak a routing protocol.
pub(in crate::doctor) const SPEAKERS: [&str; 13] = [
    "bgpd", "ospfd", "ospf6d", "isisd", "ripd", "ripngd", "babeld", "eigrpd", "bird", "bird6",
    "gobgpd", "exabgp", "openbgpd",
];

pub(super) fn daemon_down(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let Routing { installed, running, .. } = &facts.routing;
    if !model.services.iter().any(is_anycast) || installed.is_empty() || !running.is_empty() {
        return Vec::new();
    }
    let (names, mend) = match (installed.contains("vtysh"), installed.contains("birdc")) {
        (true, false) => ("FRR is", "systemctl start frr, with bgpd=yes in /etc/frr/daemons"),
        (false, true) => ("BIRD is", "systemctl start bird"),
        _ => ("FRR and BIRD are", "systemctl start frr, or systemctl start bird"),
    };
    vec![Symptom::new(
        format!("{names} installed, and no routing daemon runs."),
        "ldirectord-anycast raises addresses, and nobody announces them.",
        mend,
    )]
}

pub(super) fn announces_nothing(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let Routing { frr, bird, .. } = &facts.routing;
    let mut symptoms = Vec::new();
    for service in &model.services {
        let Some(words) = anycast_words(service) else { continue };
        let Ok(foreseen) = foresee(&words, service.address) else { continue };
        let (address, interface) = (foreseen.address, foreseen.interface);
        let by_frr = frr.as_ref().map(|text| frr_announces(text, address, &interface));
        let by_bird = bird.as_ref().map(|text| bird_announces(text));
        let why = "The address is raised, and no router hears of it.";
        let symptom = match (by_frr, by_bird) {
            (Some(false), None | Some(Err(_))) => Symptom::new(
                format!(
                    "FRR redistributes no connected addresses, and {address} is in no network of it."
                ),
                why,
                redistribute(frr.as_deref().unwrap_or_default(), address),
            ),
            (None, Some(Err(what))) => {
                Symptom::new(what, why, "correct /etc/bird/bird.conf, then birdc configure")
            }
            _ => continue,
        };
        symptoms.push(symptom.of(service.address));
    }
    symptoms
}

/// The command that has FRR announce addresses of interfaces.
fn redistribute(config: &str, address: IpAddr) -> String {
    let is_plain = |line: &&str| !line.contains(['\'', '\\']) && !line.contains(char::is_control);
    let mut routers = config.lines().filter(|line| line.starts_with("router ")).filter(is_plain);
    let router = routers.next().unwrap_or("router bgp NUMBER");
    let family = match (router.starts_with("router bgp"), address.is_ipv4()) {
        (true, true) => "-c 'address-family ipv4 unicast' ",
        (true, false) => "-c 'address-family ipv6 unicast' ",
        (false, _) => "",
    };
    format!(
        "vtysh -c 'configure terminal' -c '{router}' {family}-c 'redistribute connected'; \
         with a route-map, only the addresses of services pass"
    )
}

/// Whether FRR's configuration announces an address of this interface.
fn frr_announces(config: &str, address: IpAddr, interface: &str) -> bool {
    let mut block = "";
    let mut is_ipv4 = true;
    for line in config.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(' ') {
            block = line;
            is_ipv4 = !matches!(words[..], ["router", "ospf6" | "ripng", ..]);
        }
        let of_family = is_ipv4 == address.is_ipv4();
        let on_interface = block.split_whitespace().take(2).eq(["interface", interface]);
        match words[..] {
            ["address-family", family, ..] => is_ipv4 = family != "ipv6",
            ["exit-address-family"] => is_ipv4 = true,
            ["redistribute", "connected" | "kernel" | "table" | "local", ..] if of_family => {
                return true;
            }
            ["network", prefix, ..] if block.starts_with("router") && covers(prefix, address) => {
                return true;
            }
            ["ip", "ospf", "area", ..] if on_interface && address.is_ipv4() => return true,
            ["ipv6", "ospf6", "area", ..] if on_interface && address.is_ipv6() => return true,
            ["ip", "router", "isis", ..] if on_interface && address.is_ipv4() => return true,
            ["ipv6", "router", "isis", ..] if on_interface && address.is_ipv6() => return true,
            _ => {}
        }
    }
    false
}

/// Whether a prefix, `198.51.100.0/24`, has the address.
fn covers(prefix: &str, address: IpAddr) -> bool {
    let Some((network, length)) = prefix.split_once('/') else { return false };
    let (Ok(network), Ok(length)) = (network.parse(), length.parse::<u32>()) else { return false };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            (network.to_bits() ^ address.to_bits()) & mask == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            (network.to_bits() ^ address.to_bits()) & mask == 0
        }
        _ => false,
    }
}

/// Whether BIRD's protocols (`show protocols`) announce addresses of interfaces; if not, why.
fn bird_announces(protocols: &str) -> Result<(), &'static str> {
    let is_up = |kinds: &[&str]| {
        let mut rows = protocols.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.any(|row| matches!(row[..], [_, kind, _, "up", ..] if kinds.contains(&kind)))
    };
    if !is_up(&["BGP", "OSPF", "RIP", "Babel"]) {
        return Err("BIRD has no BGP, OSPF, RIP or Babel protocol that is up.");
    }
    // OSPF announces the addresses of its interfaces by itself.
    if !is_up(&["Direct", "OSPF"]) {
        return Err(
            "BIRD has no direct protocol that is up, so it knows no addresses of interfaces.",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frr_announces_what_is_redistributed_in_the_right_family_or_covered_by_a_network() {
        let bgp = |lines: &str| format!("frr version 8.4\n!\nrouter bgp 65001\n{lines}exit\n!\n");
        let ospf = "interface anycast0\n ip ospf area 0\nexit\n!\nrouter ospf\nexit\n";
        for (config, v4, v6) in [
            (
                bgp(
                    " address-family ipv4 unicast\n  redistribute connected\n exit-address-family\n",
                ),
                true,
                false,
            ),
            (
                bgp(
                    " address-family ipv6 unicast\n  redistribute connected route-map X\n exit-address-family\n",
                ),
                false,
                true,
            ),
            (bgp(" address-family ipv4 unicast\n  network 198.51.100.0/24\n"), true, false),
            (bgp(" address-family ipv4 unicast\n  network 203.0.113.0/24\n"), false, false),
            (bgp(" address-family ipv4 unicast\n  redistribute static\n"), false, false),
            (bgp(""), false, false),
            (ospf.to_owned(), true, false),
            (ospf.replace("anycast0", "eth0"), false, false),
            ("router ospf6\n redistribute connected\n".to_owned(), false, true),
            (String::new(), false, false),
        ] {
            let of = |address: &str| frr_announces(&config, address.parse().unwrap(), "anycast0");
            assert_eq!((of("198.51.100.1"), of("2001:db8::1")), (v4, v6), "{config}");
        }
    }

    #[test]
    fn the_router_that_there_is_is_told_to_redistribute() {
        for (config, address, words) in [
            ("!\nrouter bgp 65001\n", "192.0.2.1", "-c 'router bgp 65001' -c 'address-family ipv4"),
            ("router bgp 65001\n", "2001:db8::1", "-c 'address-family ipv6 unicast' -c 'redistr"),
            ("router ospf\n", "192.0.2.1", "-c 'router ospf' -c 'redistribute connected'"),
            ("router bgp ';x\n", "192.0.2.1", "router bgp NUMBER"),
            ("", "192.0.2.1", "router bgp NUMBER"),
        ] {
            let mend = redistribute(config, address.parse().unwrap());
            assert!(mend.contains(words), "{mend}");
        }
    }

    #[test]
    fn bird_announces_with_a_routing_protocol_and_a_direct_one() {
        let head = "BIRD 2.0.12 ready.\nName       Proto      Table      State  Since         Info\n\
                    device1    Device     ---        up     10:00:00.000\n";
        let direct = "direct1    Direct     ---        up     10:00:00.000\n";
        let bgp = "edge       BGP        ---        up     10:00:00.000  Established\n";
        let idle = "edge       BGP        ---        start  10:00:00.000  Active\n";
        let ospf = "ospf1      OSPF       master4    up     10:00:00.000  Running\n";
        assert_eq!(bird_announces(&[head, direct, bgp].concat()), Ok(()));
        assert_eq!(bird_announces(&[head, ospf].concat()), Ok(()));
        assert!(bird_announces(&[head, bgp].concat()).unwrap_err().contains("direct"));
        assert!(bird_announces(&[head, direct, idle].concat()).unwrap_err().contains("BGP"));
        assert!(bird_announces("").is_err());
    }
}
