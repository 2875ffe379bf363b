//! Plans and the table, over the memory backend.

use super::*;
use crate::director::{Change, Role, Want, WantedDestination, WantedService};
use crate::model::{
    ForwardingMethod, Netmask, Persistence, Protocol, SchedFlags, ServiceAddress, Thresholds,
    VirtualService,
};
use ipvs_rs::{Destination, Forwarding};
use std::sync::{Arc, Mutex};

fn vip() -> ServiceAddress {
    let address = "10.0.0.1:80".parse().expect("an address");
    ServiceAddress::Address { protocol: Protocol::Tcp, address }
}

fn service() -> VirtualService {
    VirtualService::new(vip())
}

fn wanted(host: u8, want: Want) -> WantedDestination {
    let address = ([10, 0, 0, host], 80).into();
    WantedDestination {
        listed: address,
        configured: address,
        role: Role::RealServer,
        forwarding: ForwardingMethod::Masq,
        thresholds: Thresholds { lower: 5, upper: 10 },
        want,
    }
}

fn listed(host: u8, weight: u32) -> Destination {
    Destination {
        weight,
        upper_threshold: 10,
        lower_threshold: 5,
        ..Destination::new([10, 0, 0, host].into(), 80, Forwarding::Masq)
    }
}

fn notices(planned: &[Planned]) -> Vec<String> {
    planned.iter().map(|planned| planned.notice.to_string()).collect()
}

#[test]
fn a_change_is_planned_only_where_the_listing_differs() {
    let relist = Want::Quiesce { relist: true };
    let drain = Want::Quiesce { relist: false };
    let route = Destination { forwarding: Forwarding::Gate, ..listed(2, 0) };
    let limited = Destination { upper_threshold: 99, ..listed(2, 3) };
    let local = Destination { forwarding: Forwarding::Local, ..listed(2, 3) };
    let cases: &[(Want, Option<Destination>, Option<&str>)] = &[
        (
            Want::Serve { weight: 3 },
            None,
            Some("Added real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 3)"),
        ),
        (Want::Serve { weight: 3 }, Some(listed(2, 3)), None),
        (Want::Serve { weight: 3 }, Some(local), None),
        (
            Want::Serve { weight: 3 },
            Some(listed(2, 0)),
            Some("Restored real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 3)"),
        ),
        (
            Want::Serve { weight: 3 },
            Some(limited),
            Some("Restored real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 3)"),
        ),
        (
            drain,
            Some(listed(2, 3)),
            Some("Quiescent real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 0)"),
        ),
        (drain, Some(listed(2, 0)), None),
        (
            drain,
            Some(route),
            Some("Quiescent real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 0)"),
        ),
        (drain, None, None),
        (
            relist,
            None,
            Some("Readd Quiescent real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 0)"),
        ),
        (Want::Absent, None, None),
        (Want::Absent, Some(listed(2, 3)), Some("Deleted real server: 10.0.0.2:80 (10.0.0.1:80)")),
        (Want::AsFound, None, None),
        (Want::AsFound, Some(listed(2, 3)), None),
    ];
    for (want, listing, notice) in cases {
        let listing: Vec<Destination> = listing.iter().copied().collect();
        let planned = plan_changes(vip(), &[wanted(2, *want)], &listing);
        let expected: Vec<String> = notice.iter().map(|notice| (*notice).to_owned()).collect();
        assert_eq!(notices(&planned), expected, "{want:?} over {listing:?}");
    }
}

#[test]
fn a_whole_service_is_added_changed_and_rid_of_leftovers() {
    let service = service();
    let all = WantedService {
        service: &service,
        destinations: vec![wanted(2, Want::Serve { weight: 1 }), wanted(3, Want::AsFound)],
    };
    assert_eq!(
        notices(&plan_service(&all, None)),
        [
            "Added virtual server: 10.0.0.1:80",
            "Added real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 1)"
        ]
    );
    let same = wanted_entry(&service);
    let listing = [listed(2, 1), listed(3, 7), listed(9, 1)];
    assert_eq!(
        notices(&plan_service(&all, Some((&same, &listing)))),
        ["Purged real server (start): 10.0.0.9:80 (10.0.0.1:80)"]
    );
    let mut other = same;
    other.scheduler = "rr".to_owned();
    assert_eq!(
        notices(&plan_service(&all, Some((&other, &listing[..2])))),
        ["Changed virtual server: 10.0.0.1:80"]
    );
}

#[test]
fn a_service_differs_by_each_thing_the_configuration_can_say() {
    let persistent =
        |timeout, mask: [u8; 4]| Some(Persistence { timeout, netmask: Netmask::Inet(mask.into()) });
    let base = VirtualService { persistence: persistent(600, [255; 4]), ..service() };
    let others = [
        VirtualService { scheduler: "sh".to_owned(), ..base.clone() },
        VirtualService { persistence: None, ..base.clone() },
        VirtualService { persistence: persistent(60, [255; 4]), ..base.clone() },
        VirtualService { persistence: persistent(600, [255, 255, 255, 0]), ..base.clone() },
        VirtualService { one_packet: true, ..base.clone() },
        VirtualService {
            sched_flags: SchedFlags { flag2: true, ..SchedFlags::default() },
            ..base.clone()
        },
    ];
    let entry = wanted_entry(&base);
    let plan = |service: &VirtualService| {
        let all = WantedService { service, destinations: Vec::new() };
        plan_service(&all, Some((&entry, &[]))).len()
    };
    assert_eq!(plan(&base), 0);
    for other in &others {
        assert_eq!(plan(other), 1, "{other:?}");
    }
}

#[test]
fn a_taken_out_fallback_is_named_as_listed_with_the_configured_port_behind() {
    let fallback = WantedDestination {
        listed: "127.0.0.1:80".parse().expect("an address"),
        configured: "127.0.0.1:8080".parse().expect("an address"),
        role: Role::Fallback,
        forwarding: ForwardingMethod::Gate,
        thresholds: Thresholds::default(),
        want: Want::Absent,
    };
    let entry = Destination::new([127, 0, 0, 1].into(), 80, Forwarding::Gate);
    assert_eq!(
        notices(&plan_changes(vip(), &[fallback], &[entry])),
        ["Deleted fallback server: 127.0.0.1:80 mapped from 127.0.0.1:8080 (10.0.0.1:80)"]
    );
}

#[test]
fn what_the_table_refuses_is_reported_once_and_tried_until_it_succeeds() {
    let broken = Arc::new(Mutex::new(true));
    let is_broken = Arc::clone(&broken);
    let mut memory = Memory::new();
    memory.apply(&Operation::AddService(wanted_entry(&service()))).expect("an empty table");
    let memory = memory.refusing(Box::new(move |_| {
        is_broken.lock().expect("a lock").then(|| "out of memory (ENOMEM)".to_owned())
    }));
    let mut table = Table::new(Box::new(memory));
    let change = Change { service: vip(), destination: wanted(2, Want::Serve { weight: 1 }) };
    let failure = "add destination 10.0.0.2:80 to tcp 10.0.0.1:80: out of memory (ENOMEM)";
    assert_eq!(
        table.change([change]),
        [Done::Failed { service: vip(), error: TableError(failure.to_owned()) }]
    );
    assert!(table.owes());
    assert_eq!(table.change([change]), [], "the same cause is not told again");
    *broken.lock().expect("a lock") = false;
    let done = table.change([change]);
    assert!(matches!(done[..], [Done::Applied(_), Done::Recovered(_)]), "{done:?}");
    assert!(!table.owes());
}

#[test]
fn a_service_is_removed_with_its_serving_servers_named_and_foreign_ones_stay() {
    let foreign = ServiceAddress::Fwmark { family: crate::model::Family::Inet, mark: 7 };
    let mut memory = Memory::new();
    for service in [service(), VirtualService { address: foreign, ..service() }] {
        memory.apply(&Operation::AddService(wanted_entry(&service))).expect("an empty table");
    }
    let mut table = Table::new(Box::new(memory));
    let service = service();
    let done = table.remove([(&service, None)], Stage::Stop);
    assert_eq!(done, [Done::Applied(Notice::ServicePurged(vip(), Stage::Stop))]);
    assert_eq!(table.backend().services().expect("a table").len(), 1);
    assert_eq!(table.remove([(&service, None)], Stage::Stop), [], "it is gone");
}

#[test]
fn the_listing_has_the_form_of_ipvsadm() {
    let mut memory = Memory::new();
    let service = VirtualService {
        persistence: Some(Persistence {
            timeout: 600,
            netmask: Netmask::Inet([255, 255, 255, 0].into()),
        }),
        ..service()
    };
    memory.apply(&Operation::AddService(wanted_entry(&service))).expect("an empty table");
    let key = service_key(vip());
    memory.apply(&Operation::AddDestination(key, listed(2, 3))).expect("a service");
    assert_eq!(
        listing(&mut memory).expect("a table"),
        "Prot LocalAddress:Port Scheduler Flags\n  \
         -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n\
         TCP  10.0.0.1:80 wrr persistent 600 mask 255.255.255.0\n  \
         -> 10.0.0.2:80                  Masq    3      0          0         \n"
            .replace("0         \n", "0\n")
    );
}
