//! Wanted against listed: the operations between. Pure.

use super::{DestinationVerb, Notice, Operation, Stage};
use crate::director::{Role, Want, WantedDestination, WantedService};
use crate::model::{
    DestinationAddress, Family, ForwardingMethod, Netmask, Protocol, ServiceAddress, Thresholds,
    VirtualService,
};
use ipvs_rs::{Destination, Forwarding, SchedulerFlags, Service, ServiceKey};
use std::collections::{HashMap, HashSet};

/// An operation, and what it is called when it has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What to do first, without a word.
    pub before: Option<Operation>,
    /// What to do.
    pub operation: Operation,
    /// What to say.
    pub notice: Notice,
}

impl Planned {
    fn new(operation: Operation, notice: Notice) -> Self {
        Self { before: None, operation, notice }
    }

    /// All operations, in their order.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.before.iter().chain([&self.operation])
    }
}

/// The operations that make the table list a service and its destinations as wanted, and nothing
/// else in that service.
///
/// `listed` is `None` if the table does not list the service.
pub fn plan_service(
    wanted: &WantedService<'_>,
    listed: Option<(&Service, &[Destination])>,
) -> Vec<Planned> {
    let address = wanted.service.address;
    let entry = wanted_entry(wanted.service);
    let mut planned = Vec::new();
    match listed {
        None => {
            let operation = Operation::AddService(entry);
            planned.push(Planned::new(operation, Notice::ServiceAdded(address)));
        }
        Some((listed, _)) if differs(&entry, listed) => {
            let operation = Operation::SetService(entry);
            planned.push(Planned::new(operation, Notice::ServiceChanged(address)));
        }
        Some(_) => {}
    }
    let mut leftover: HashMap<DestinationAddress, &Destination> = listed
        .map_or(&[][..], |(_, destinations)| destinations)
        .iter()
        .map(|destination| (destination.socket_address(), destination))
        .collect();
    let before: Vec<DestinationAddress> = listed
        .map_or(&[][..], |(_, destinations)| destinations)
        .iter()
        .map(Destination::socket_address)
        .collect();
    for destination in &wanted.destinations {
        let listed = leftover.remove(&destination.listed);
        planned.extend(plan_destination(address, destination, listed));
    }
    for listed in before.into_iter().filter(|listed| leftover.contains_key(listed)) {
        let notice = Notice::Destination {
            verb: DestinationVerb::Purged(Stage::Start),
            role: Role::RealServer,
            listed,
            configured: listed,
            weight: 0,
            service: address,
        };
        let operation = Operation::DeleteDestination(service_key(address), listed);
        planned.push(Planned::new(operation, notice));
    }
    planned
}

/// The operations for some destinations of a service; the others stay as they are.
pub fn plan_changes(
    service: ServiceAddress,
    wanted: &[WantedDestination],
    listed: &[Destination],
) -> Vec<Planned> {
    let listed: HashMap<DestinationAddress, &Destination> =
        listed.iter().map(|destination| (destination.socket_address(), destination)).collect();
    wanted
        .iter()
        .filter_map(|wanted| plan_destination(service, wanted, listed.get(&wanted.listed).copied()))
        .collect()
}

/// The operations that remove a service: its real servers that are in service one by one, as the
/// original names them in its log, then the service with the rest. `serving` are their listed and
/// their configured addresses.
pub fn plan_removal(
    service: &VirtualService,
    serving: impl IntoIterator<Item = (DestinationAddress, DestinationAddress)>,
    listed: &[Destination],
    stage: Stage,
) -> Vec<Planned> {
    let key = service_key(service.address);
    // Each once: a configuration may name a server twice.
    let mut left: HashSet<DestinationAddress> =
        listed.iter().map(Destination::socket_address).collect();
    let is_listed = |(address, _): &(DestinationAddress, DestinationAddress)| left.remove(address);
    let mut planned: Vec<Planned> = serving
        .into_iter()
        .filter(is_listed)
        .map(|(listed, configured)| {
            let notice = Notice::Destination {
                verb: DestinationVerb::Purged(stage),
                role: Role::RealServer,
                listed,
                configured,
                weight: 0,
                service: service.address,
            };
            Planned::new(Operation::DeleteDestination(key, listed), notice)
        })
        .collect();
    let notice = Notice::ServicePurged(service.address, stage);
    planned.push(Planned::new(Operation::DeleteService(key), notice));
    planned
}

fn plan_destination(
    service: ServiceAddress,
    wanted: &WantedDestination,
    listed: Option<&Destination>,
) -> Option<Planned> {
    let entry = |weight| destination_entry(wanted, weight);
    let key = service_key(service);
    let mut before = None;
    let (operation, verb, weight) = match (wanted.want, listed) {
        (Want::Serve { weight }, None) => {
            (Operation::AddDestination(key, entry(weight)), DestinationVerb::Added, weight)
        }
        (Want::Serve { weight }, Some(listed)) if !same(&entry(weight), listed) => {
            (Operation::SetDestination(key, entry(weight)), DestinationVerb::Restored, weight)
        }
        (Want::Quiesce { relist: true }, None) => {
            // Added with weight 0, it would have no place: a director that was restarted would hash
            // otherwise than the others, which had it in service before.
            before = wanted.place.map(|weight| Operation::AddDestination(key, entry(weight)));
            let operation = match before {
                Some(_) => Operation::SetDestination(key, entry(0)),
                None => Operation::AddDestination(key, entry(0)),
            };
            (operation, DestinationVerb::ReaddQuiescent, 0)
        }
        // compat: an entry of weight 0 with the right forwarding is left alone (spec 5.5)
        (Want::Quiesce { .. }, Some(listed))
            if listed.weight != 0 || !same_forwarding(&entry(0), listed) =>
        {
            (Operation::SetDestination(key, entry(0)), DestinationVerb::Quiescent, 0)
        }
        (Want::Absent, Some(_)) => {
            (Operation::DeleteDestination(key, wanted.listed), DestinationVerb::Deleted, 0)
        }
        (
            Want::Serve { .. } | Want::Quiesce { .. } | Want::Absent | Want::AsFound,
            None | Some(_),
        ) => return None,
    };
    let notice = Notice::Destination {
        verb,
        role: wanted.role,
        listed: wanted.listed,
        configured: wanted.configured,
        weight,
        service,
    };
    Some(Planned { before, operation, notice })
}

/// Whether a listed destination is as wanted. `Local` is the kernel's own word for a destination on
/// this machine and stands for any method.
fn same(wanted: &Destination, listed: &Destination) -> bool {
    wanted.weight == listed.weight
        && wanted.upper_threshold == listed.upper_threshold
        && wanted.lower_threshold == listed.lower_threshold
        && same_forwarding(wanted, listed)
}

pub(super) fn same_forwarding(wanted: &Destination, listed: &Destination) -> bool {
    wanted.forwarding == listed.forwarding || listed.forwarding == Forwarding::Local
}

/// Whether a listed service differs in anything that the configuration can say. The persistence
/// engine is nobody's directive and stays.
fn differs(wanted: &Service, listed: &Service) -> bool {
    wanted.scheduler != listed.scheduler
        || wanted.scheduler_flags != listed.scheduler_flags
        || wanted.persistence != listed.persistence
        || wanted.one_packet != listed.one_packet
}

fn destination_entry(wanted: &WantedDestination, weight: u32) -> Destination {
    let forwarding = forwarding(wanted.forwarding);
    let Thresholds { lower, upper } = wanted.thresholds;
    Destination {
        weight,
        upper_threshold: upper,
        lower_threshold: lower,
        ..Destination::new(wanted.listed.ip(), wanted.listed.port(), forwarding)
    }
}

/// The kernel's name of a method.
pub(super) fn forwarding(method: ForwardingMethod) -> Forwarding {
    match method {
        ForwardingMethod::Gate => Forwarding::Gate,
        ForwardingMethod::Masq => Forwarding::Masq,
        ForwardingMethod::Ipip => Forwarding::Ipip,
    }
}

/// The kernel's key of a service.
pub fn service_key(address: ServiceAddress) -> ServiceKey {
    match address {
        ServiceAddress::Address { protocol, address } => ServiceKey::Address {
            protocol: match protocol {
                Protocol::Tcp => ipvs_rs::Protocol::Tcp,
                Protocol::Udp => ipvs_rs::Protocol::Udp,
            },
            address: address.ip(),
            port: address.port(),
        },
        ServiceAddress::Fwmark { family, mark } => ServiceKey::Fwmark {
            family: match family {
                Family::Inet => ipvs_rs::Family::Inet,
                Family::Inet6 => ipvs_rs::Family::Inet6,
            },
            mark,
        },
    }
}

/// A service as the kernel shall list it.
pub fn wanted_entry(service: &VirtualService) -> Service {
    let flags = [
        (service.sched_flags.flag1, SchedulerFlags::FLAG_1),
        (service.sched_flags.flag2, SchedulerFlags::FLAG_2),
        (service.sched_flags.flag3, SchedulerFlags::FLAG_3),
    ];
    let scheduler_flags = flags
        .into_iter()
        .filter(|(set, _)| *set)
        .fold(SchedulerFlags::default(), |flags, (_, flag)| flags | flag);
    let persistence = service.persistence.map(|persistence| ipvs_rs::Persistence {
        timeout_seconds: persistence.timeout,
        netmask: match persistence.netmask {
            Netmask::Inet(mask) => ipvs_rs::Netmask::V4(mask),
            Netmask::Inet6(prefix) => ipvs_rs::Netmask::V6(prefix),
        },
    });
    Service {
        scheduler_flags,
        persistence,
        one_packet: service.one_packet,
        ..Service::new(service_key(service.address), service.scheduler.clone())
    }
}
