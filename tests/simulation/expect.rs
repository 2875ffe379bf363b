//! What must be, from the configuration and the verdicts alone. Written for the simulation, without a
//! look at how the program does it.

use crate::world::key_of;
use ipvs_rs::{Destination, Forwarding, Netmask, Persistence, Service};
use ldirectord::model::{self, CheckMethod, ForwardingMethod, HookArgument, VirtualService};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What is known of a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not checked, and not in service.
    Unknown,
    /// Not checked, and in service because the table had it so.
    Adopted,
    Up,
    Down,
    Maintained,
    /// Up or adopted, and an operator keeps new connections from it.
    Drained,
}

impl Verdict {
    pub(crate) fn serves(self) -> bool {
        matches!(self, Self::Adopted | Self::Up)
    }

    /// After a check has passed, the `successes`th in a row.
    pub(crate) fn passed(self, service: &VirtualService, successes: u32) -> Self {
        match self {
            Self::Maintained => self,
            Self::Down if successes < service.rise_count => self,
            _ => Self::Up,
        }
    }

    /// After a check has failed, the `failures`th in a row.
    pub(crate) fn failed(self, service: &VirtualService, failures: u32) -> Self {
        match self {
            Self::Maintained => self,
            Self::Up | Self::Adopted if failures < service.failure_count => self,
            _ => Self::Down,
        }
    }
}

/// What the fallback command must have been told last; `None` while that is open.
pub(crate) fn argument(service: &VirtualService, verdicts: &[Verdict]) -> Option<HookArgument> {
    let needed = match service.fallback_minimum {
        model::FallbackMinimum::Count(count) => (count as usize).max(1),
        model::FallbackMinimum::Percent(percent) => {
            (verdicts.len() * percent as usize).div_ceil(100).max(1)
        }
    };
    let mut passed = 0;
    let mut open = 0;
    for (real, verdict) in service.real_servers.iter().zip(verdicts) {
        match verdict {
            Verdict::Up => passed += 1,
            Verdict::Adopted => open += 1,
            Verdict::Unknown if real.check.method != CheckMethod::Off => open += 1,
            Verdict::Unknown | Verdict::Down | Verdict::Maintained | Verdict::Drained => {}
        }
    }
    if passed >= needed {
        Some(HookArgument::Stop)
    } else if passed + open < needed {
        Some(HookArgument::Start)
    } else {
        None
    }
}

/// How a destination must be listed.
#[derive(Debug)]
enum Entry {
    Exactly(Destination),
    /// So, with a weight that may still rise (`slowstart`), and is at least 1.
    AtMost(Destination),
    /// Weight 0, forwarded so.
    Quiet(Forwarding),
    Absent,
    /// Nobody knows yet.
    Any,
}

fn forwarding(method: ForwardingMethod) -> Forwarding {
    match method {
        ForwardingMethod::Gate => Forwarding::Gate,
        ForwardingMethod::Masq => Forwarding::Masq,
        ForwardingMethod::Ipip => Forwarding::Ipip,
    }
}

/// Gate and ipip cannot change the port.
pub(crate) fn listed_address(
    service: &VirtualService,
    address: SocketAddr,
    method: ForwardingMethod,
) -> SocketAddr {
    match service.address {
        model::ServiceAddress::Address { address: virtual_, .. }
            if method != ForwardingMethod::Masq =>
        {
            SocketAddr::new(address.ip(), virtual_.port())
        }
        _ => address,
    }
}

fn entry(
    address: SocketAddr,
    method: ForwardingMethod,
    weight: u32,
    thresholds: model::Thresholds,
) -> Destination {
    Destination {
        weight,
        upper_threshold: thresholds.upper,
        lower_threshold: thresholds.lower,
        ..Destination::new(address.ip(), address.port(), forwarding(method))
    }
}

fn entries(service: &VirtualService, verdicts: &[Verdict]) -> BTreeMap<SocketAddr, Entry> {
    let mut groups: BTreeMap<SocketAddr, Vec<usize>> = BTreeMap::new();
    for (index, real) in service.real_servers.iter().enumerate() {
        let listed = listed_address(service, real.address, real.forwarding);
        groups.entry(listed).or_default().push(index);
    }
    let mut entries = BTreeMap::new();
    for (listed, group) in groups {
        let serving = group.iter().rev().find(|&&index| verdicts[index].serves());
        let drained = group.iter().rev().find(|&&index| verdicts[index] == Verdict::Drained);
        let wanted = match serving {
            Some(&index) => {
                let real = &service.real_servers[index];
                let entry = entry(listed, real.forwarding, real.weight, real.thresholds);
                match service.slow_start {
                    Some(_) if real.weight > 1 => Entry::AtMost(entry),
                    _ => Entry::Exactly(entry),
                }
            }
            None if service.quiescent || drained.is_some() => {
                // All agree with the first of them; one that is drained decides, as if it served.
                let decisive = drained.copied().unwrap_or(group[0]);
                Entry::Quiet(forwarding(service.real_servers[decisive].forwarding))
            }
            // One that is decided decides for those that are not yet.
            None if group.iter().all(|&index| {
                verdicts[index] == Verdict::Unknown
                    && service.real_servers[index].check.method != CheckMethod::Off
            }) =>
            {
                Entry::Any
            }
            None => Entry::Absent,
        };
        entries.insert(listed, wanted);
    }
    if verdicts.iter().any(|verdict| verdict.serves()) {
        return entries;
    }
    // Under one address, the last one is listed.
    for fallback in &service.fallbacks {
        let listed = listed_address(service, fallback.address, fallback.forwarding);
        let none = model::Thresholds::default();
        let wanted = entry(listed, fallback.forwarding, fallback.weight, none);
        entries.insert(listed, Entry::Exactly(wanted));
    }
    entries
}

/// In what the table does not list a service as it must; `None` if it does.
pub(crate) fn difference(
    service: &VirtualService,
    verdicts: &[Verdict],
    listed: Option<&(Service, Vec<Destination>)>,
) -> Option<String> {
    let Some((entry, destinations)) = listed else { return Some("it is not listed".to_owned()) };
    let wanted = Service {
        persistence: service.persistence.map(|persistence| Persistence {
            timeout_seconds: persistence.timeout,
            netmask: match persistence.netmask {
                model::Netmask::Inet(mask) => Netmask::V4(mask),
                model::Netmask::Inet6(prefix) => Netmask::V6(prefix),
            },
        }),
        ..Service::new(key_of(service.address), service.scheduler.clone())
    };
    if *entry != wanted {
        return Some(format!("it is listed as {entry:?}"));
    }
    let mut left: BTreeMap<SocketAddr, &Destination> =
        destinations.iter().map(|it| (it.socket_address(), it)).collect();
    for (address, wanted) in entries(service, verdicts) {
        let listed = left.remove(&address);
        let fits = match (&wanted, listed) {
            (Entry::Exactly(wanted), Some(listed)) => wanted == listed,
            (Entry::AtMost(wanted), Some(listed)) => {
                let weight = listed.weight;
                (1..=wanted.weight).contains(&weight)
                    && Destination { weight, ..*wanted } == *listed
            }
            (Entry::Quiet(way), Some(listed)) => listed.weight == 0 && *way == listed.forwarding,
            (Entry::Absent, None) | (Entry::Any, _) => true,
            (Entry::Exactly(_) | Entry::AtMost(_) | Entry::Quiet(_), None)
            | (Entry::Absent, Some(_)) => false,
        };
        if !fits {
            return Some(format!("{address}: {listed:?}, not {wanted:?}"));
        }
    }
    left.keys().next().map(|address| format!("{address} is listed, whom nobody knows"))
}
