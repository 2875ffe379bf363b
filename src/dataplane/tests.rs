//! Plans and the table, over the memory backend.

use super::*;
use crate::director::{Change, Director, HookState, Role, Want, WantedDestination, WantedService};
use crate::model::{
    Fallback, ForwardingMethod, Model, Netmask, Persistence, Protocol, SchedFlags, ServiceAddress,
    Thresholds, VirtualService,
};
use ipvs_rs::{Destination, Forwarding};
use nix::errno::Errno;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

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
        place: None,
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
fn what_begins_at_weight_0_has_its_place_first_where_the_scheduler_keeps_it() {
    let quiet = WantedDestination { place: Some(3), ..wanted(2, Want::Quiesce { relist: true }) };
    let key = service_key(vip());
    let planned = plan_changes(vip(), &[quiet], &[]);
    let operations: Vec<&Operation> = planned.iter().flat_map(Planned::operations).collect();
    assert_eq!(
        operations,
        [
            &Operation::AddDestination(key, listed(2, 3)),
            &Operation::SetDestination(key, listed(2, 0))
        ]
    );
    assert_eq!(
        notices(&planned),
        ["Readd Quiescent real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 0)"]
    );
    let memory = Memory::new();
    let mut table = Table::new(Box::new(memory));
    let service = service();
    let synchronised = WantedService { service: &service, destinations: vec![quiet] };
    let done = table.synchronise(&[synchronised], &Snapshot::default());
    assert_eq!(done.len(), 2, "{done:?}");
    let entries = table.entries(vip()).expect("it is listed");
    assert_eq!(entries[0].destination, listed(2, 0));
    assert_eq!(plan_changes(vip(), &[quiet], &[listed(2, 0)]), [], "and stays");
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
        place: None,
    };
    let entry = Destination::new([127, 0, 0, 1].into(), 80, Forwarding::Gate);
    assert_eq!(
        notices(&plan_changes(vip(), &[fallback], &[entry])),
        ["Deleted fallback server: 127.0.0.1:80 mapped from 127.0.0.1:8080 (10.0.0.1:80)"]
    );
}

#[test]
fn another_weight_of_one_fallback_changes_its_entry_and_no_other() {
    let fallback = |host: u8, weight| {
        let address = ([10, 0, 0, host], 80).into();
        Fallback { address, forwarding: ForwardingMethod::Masq, weight }
    };
    let with = |weight| VirtualService {
        fallbacks: vec![fallback(8, 3), fallback(9, weight)],
        ..service()
    };
    let model = |weight| Model { services: vec![with(weight)], ..Model::default() };
    let (told, now) = (|_: &VirtualService| HookState::default(), Instant::now());
    let mut director = Director::new(&model(1), &(), Default::default(), told, now);
    let mut table = Table::new(Box::new(Memory::new()));
    let mut synchronise = |director: &Director| {
        let wanted = [director.services()[0].wanted()];
        let snapshot = table.snapshot([wanted[0].service]).expect("a listing");
        table.synchronise(&wanted, &snapshot)
    };
    let notices = |done: &[Done]| -> Vec<String> {
        let said = done.iter().filter_map(|done| match done {
            Done::Applied(notice) => Some(notice.to_string()),
            Done::Kept(_) | Done::Failed { .. } | Done::Recovered(_) => None,
        });
        said.collect()
    };
    assert_eq!(
        notices(&synchronise(&director)),
        [
            "Added virtual server: 10.0.0.1:80",
            "Added fallback server: 10.0.0.8:80 (10.0.0.1:80) (Weight set to 3)",
            "Added fallback server: 10.0.0.9:80 (10.0.0.1:80) (Weight set to 1)"
        ]
    );
    director.reload(&model(1), &(), Default::default(), now);
    assert_eq!(notices(&synchronise(&director)), [""; 0], "nothing has changed");
    director.reload(&model(2), &(), Default::default(), now);
    assert_eq!(
        notices(&synchronise(&director)),
        ["Restored fallback server: 10.0.0.9:80 (10.0.0.1:80) (Weight set to 2)"]
    );
}

#[test]
fn what_the_table_refuses_is_reported_once_and_tried_until_it_succeeds() {
    let broken = Arc::new(Mutex::new(true));
    let is_broken = Arc::clone(&broken);
    let mut memory = Memory::new();
    memory.apply(&Operation::AddService(wanted_entry(&service()))).expect("an empty table");
    let memory = memory
        .refusing(Box::new(move |_| is_broken.lock().expect("a lock").then_some(Errno::ENOMEM)));
    let mut table = Table::new(Box::new(memory));
    let change = Change { service: vip(), destination: wanted(2, Want::Serve { weight: 1 }) };
    let failure = "add destination 10.0.0.2:80 to tcp 10.0.0.1:80: Out of memory (ENOMEM)";
    assert_eq!(
        table.change([change]),
        [Done::Failed { service: vip(), error: TableError::new(failure, Some(Errno::ENOMEM)) }]
    );
    assert!(table.owes());
    assert_eq!(table.change([change]), [], "the same cause is not told again");
    *broken.lock().expect("a lock") = false;
    let done = table.change([change]);
    assert!(matches!(done[..], [Done::Applied(_), Done::Recovered(_)]), "{done:?}");
    assert!(!table.owes());
}

/// A table over a memory in which `service()` is listed, with a switch for its refusals.
fn refusing(
    refuse: impl Fn(&Operation) -> Option<Errno> + Send + 'static,
) -> (Table, Arc<Mutex<bool>>) {
    let broken = Arc::new(Mutex::new(true));
    let is_broken = Arc::clone(&broken);
    let mut memory = Memory::new();
    memory.apply(&Operation::AddService(wanted_entry(&service()))).expect("an empty table");
    let memory = memory.refusing(Box::new(move |operation| {
        refuse(operation).filter(|_| *is_broken.lock().expect("a lock"))
    }));
    (Table::new(Box::new(memory)), broken)
}

fn services(table: &mut Table) -> usize {
    table.backend().services().expect("a table").len()
}

#[test]
fn a_removal_that_is_owed_does_not_touch_the_service_once_it_is_wanted_again() {
    for failing_return in [false, true] {
        let (mut table, broken) = refusing(|_| Some(Errno::EPERM));
        let gone = service();
        let done = table.remove([(&gone, None)], Stage::Start);
        assert!(matches!(done[..], [Done::Failed { .. }]), "{done:?}");
        assert!(table.owes());
        let wanted = [WantedService {
            service: &gone,
            destinations: vec![wanted(2, Want::Serve { weight: 1 })],
        }];
        *broken.lock().expect("a lock") = failing_return;
        let snapshot = table.snapshot([&gone]).expect("a table");
        table.synchronise(&wanted, &snapshot);
        *broken.lock().expect("a lock") = false;
        let model = Model { services: vec![gone.clone()], ..Default::default() };
        let told = |_: &VirtualService| Default::default();
        let now = Instant::now();
        let director = Director::new(&model, &(), Default::default(), told, now);
        table.retry(&director);
        assert_eq!(services(&mut table), 1, "it lives");
        assert!(!table.owes());
    }
}

#[test]
fn a_removal_that_is_owed_is_made_as_soon_as_it_can_be() {
    let (mut table, broken) = refusing(|_| Some(Errno::EPERM));
    let gone = service();
    table.remove([(&gone, None)], Stage::Start);
    *broken.lock().expect("a lock") = false;
    let model = Model::default();
    let told = |_: &VirtualService| Default::default();
    let now = Instant::now();
    let director = Director::new(&model, &(), Default::default(), told, now);
    table.retry(&director);
    assert_eq!(services(&mut table), 0);
    assert!(!table.owes());
}

#[test]
fn what_is_so_already_is_no_failure() {
    let (mut table, _) = refusing(|operation| match operation {
        Operation::DeleteDestination(..) => Some(Errno::ENOENT),
        Operation::DeleteService(_) => Some(Errno::ESRCH),
        Operation::AddDestination(..) => Some(Errno::EEXIST),
        _ => None,
    });
    let key = service_key(vip());
    let change = |host, want| Change { service: vip(), destination: wanted(host, want) };
    // Somebody was quicker: it is there, and is set to what is wanted.
    let done = table.change([change(2, Want::Serve { weight: 3 })]);
    assert!(matches!(done[..], [Done::Failed { .. }]), "there is none to set: {done:?}");
    let (mut table, broken) = refusing(|operation| match operation {
        Operation::DeleteDestination(..) => Some(Errno::ENOENT),
        Operation::DeleteService(_) => Some(Errno::ESRCH),
        _ => None,
    });
    table.backend().apply(&Operation::AddDestination(key, listed(2, 3))).expect("a service");
    assert_eq!(table.change([change(2, Want::Absent)]), [], "it is gone, and nobody is told");
    assert!(!table.owes());
    let service = service();
    assert_eq!(table.remove([(&service, None)], Stage::Start), []);
    assert!(!table.owes());
    *broken.lock().expect("a lock") = false;
    assert_eq!(table.remove([(&service, None)], Stage::Start).len(), 1);
}

#[test]
fn a_server_that_is_named_twice_is_purged_once() {
    let address: crate::model::DestinationAddress = ([10, 0, 0, 2], 80).into();
    let planned = plan_removal(&service(), [(address, address); 2], &[listed(2, 1)], Stage::Stop);
    assert_eq!(
        notices(&planned),
        [
            "Purged real server (stop): 10.0.0.2:80 (10.0.0.1:80)",
            "Purged virtual server (stop): 10.0.0.1:80"
        ]
    );
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

#[test]
fn a_cause_is_reported_once_however_many_things_are_owed_and_nothing_recovers_before_all_is_done() {
    // The service may not be changed, one destination not be added, another one may.
    let refused = Arc::new(Mutex::new(true));
    let refuses = Arc::clone(&refused);
    let mut backend = Memory::new().refusing(Box::new(move |operation| {
        let owed = matches!(operation, Operation::SetService(_))
            || matches!(operation, Operation::AddDestination(_, to) if to.weight == 3);
        (owed && *refuses.lock().expect("one thread")).then_some(Errno::EPERM)
    }));
    let before = VirtualService { scheduler: "rr".to_owned(), ..service() };
    backend.apply(&Operation::AddService(wanted_entry(&before))).expect("not refused");
    let mut table = Table::new(Box::new(backend));
    let service = service();
    let synchronise = |table: &mut Table| {
        let snapshot = table.snapshot([&service]).expect("memory");
        let destinations = vec![wanted(2, Want::Serve { weight: 3 })];
        table.synchronise(&[WantedService { service: &service, destinations }], &snapshot)
    };
    let change = |table: &mut Table, host, weight| {
        let destination = wanted(host, Want::Serve { weight });
        table.change([Change { service: vip(), destination }])
    };
    let is_failed = |done: &Done| matches!(done, Done::Failed { .. });
    assert_eq!(synchronise(&mut table).iter().filter(|done| is_failed(done)).count(), 1);
    for round in 0..3 {
        assert!(
            change(&mut table, 4, 5 + round).iter().all(|done| matches!(done, Done::Applied(_)))
        );
        let other = change(&mut table, 2, 3);
        assert_eq!(other.iter().filter(|done| is_failed(done)).count(), usize::from(round == 0));
        assert!(!synchronise(&mut table).iter().any(is_failed), "{round}");
    }
    *refused.lock().expect("one thread") = false;
    assert!(synchronise(&mut table).contains(&Done::Recovered(vip())));
}

#[test]
fn the_listing_says_what_is_unusual_of_a_service_and_how_a_destination_is_reached() {
    let tcp = |address: &str| ServiceAddress::Address {
        protocol: Protocol::Tcp,
        address: address.parse().expect("an address"),
    };
    let mark = |family, mark| ServiceAddress::Fwmark { family, mark };
    let persistent = |netmask| Some(Persistence { timeout: 600, netmask });
    let base = VirtualService { scheduler: "rr".to_owned(), ..service() };
    let inet6 = crate::model::Family::Inet6;
    let cases = [
        (VirtualService { one_packet: true, ..base.clone() }, "TCP  10.0.0.1:80 rr ops"),
        (
            VirtualService {
                persistence: persistent(Netmask::Inet([255; 4].into())),
                ..base.clone()
            },
            "TCP  10.0.0.1:80 rr persistent 600",
        ),
        (
            VirtualService {
                address: tcp("[fd00::1]:80"),
                persistence: persistent(Netmask::Inet6(128)),
                ..base.clone()
            },
            "TCP  [fd00::1]:80 rr persistent 600",
        ),
        (
            VirtualService {
                address: mark(inet6, 7),
                persistence: persistent(Netmask::Inet6(64)),
                ..base.clone()
            },
            "FWM  7 IPv6 rr persistent 600 mask 64",
        ),
        (VirtualService { address: mark(crate::model::Family::Inet, 7), ..base }, "FWM  7 rr"),
    ];
    for (service, line) in cases {
        let mut memory = Memory::new();
        memory.apply(&Operation::AddService(wanted_entry(&service))).expect("an empty table");
        let text = listing(&mut memory).expect("a table");
        assert_eq!(text.lines().nth(2), Some(line));
    }
    for (forwarding, word) in [
        (Forwarding::Masq, "Masq"),
        (Forwarding::Local, "Local"),
        (Forwarding::Gate, "Route"),
        (Forwarding::Ipip, "Tunnel"),
        (Forwarding::Bypass, "Bypass"),
    ] {
        let mut memory = Memory::new();
        memory.apply(&Operation::AddService(wanted_entry(&service()))).expect("an empty table");
        let destination = Destination { forwarding, ..listed(2, 3) };
        let add = Operation::AddDestination(service_key(vip()), destination);
        memory.apply(&add).expect("a service");
        let text = listing(&mut memory).expect("a table");
        let words: Vec<_> = text.lines().last().expect("a line").split_whitespace().collect();
        assert_eq!(words, ["->", "10.0.0.2:80", word, "3", "0", "0"]);
    }
}

#[test]
fn an_error_says_whether_its_object_is_absent_or_present() {
    for (errno, is_absent, is_present) in [
        (Some(Errno::ESRCH), true, false),
        (Some(Errno::ENOENT), true, false),
        (Some(Errno::EEXIST), false, true),
        (Some(Errno::EPERM), false, false),
        (None, false, false),
    ] {
        let error = TableError::new("set service 7: no", errno);
        assert_eq!((error.is_absent(), error.is_present()), (is_absent, is_present), "{errno:?}");
        assert_eq!(error.to_string(), "set service 7: no");
    }
}

#[test]
fn the_memory_table_refuses_an_unsound_service() {
    let mut memory = Memory::new();
    let mut unsound = wanted_entry(&service());
    unsound.scheduler = String::new();
    let problem = unsound.problem().expect("a service needs a scheduler");
    let error = memory.apply(&Operation::AddService(unsound.clone())).expect_err("unsound");
    assert_eq!(error.to_string(), format!("add service tcp 10.0.0.1:80: {problem}"));
    assert_eq!(memory.services().expect("a table"), []);
    memory.apply(&Operation::AddService(wanted_entry(&service()))).expect("a sound one");
    memory.apply(&Operation::SetService(unsound)).expect_err("unsound");
    assert_eq!(memory.services().expect("a table"), [wanted_entry(&service())]);
}

/// A second service, beside [`service`].
fn other() -> VirtualService {
    let address = ServiceAddress::Fwmark { family: crate::model::Family::Inet, mark: 7 };
    VirtualService::new(address)
}

fn director(services: &[&VirtualService]) -> Director {
    let services = services.iter().map(|&service| service.clone()).collect();
    let model = Model { services, ..Default::default() };
    let told = |_: &VirtualService| Default::default();
    let now = Instant::now();
    Director::new(&model, &(), Default::default(), told, now)
}

/// What the table lists in `service()`, by address.
fn weights(table: &mut Table) -> Vec<(SocketAddr, u32)> {
    let entries = table.entries(vip()).expect("a table");
    let destinations = entries.into_iter().map(|entry| entry.destination);
    destinations.map(|listed| (listed.socket_address(), listed.weight)).collect()
}

#[test]
fn what_the_table_lists_already_is_not_changed_and_is_found() {
    use crate::director::Found;
    let (mut table, _) = refusing(|_| None);
    let change = |host, weight| {
        let destination = wanted(host, Want::Serve { weight });
        Change { service: vip(), destination }
    };
    assert_eq!(table.change([change(2, 3), change(3, 0)]).len(), 2);
    assert_eq!(table.change([change(2, 3), change(3, 0)]), []);
    let at = |host: u8| SocketAddr::from(([10, 0, 0, host], 80));
    assert_eq!(weights(&mut table), [(at(2), 3), (at(3), 0)]);
    let snapshot = table.snapshot([&service(), &other()]).expect("a table");
    let found = [2, 3, 4].map(|host| snapshot.weight(vip(), at(host)));
    assert_eq!(found, [Some(3), Some(0), None]);
    assert_eq!(snapshot.weight(other().address, at(2)), None);
    let destinations = vec![wanted(2, Want::Serve { weight: 3 }), wanted(3, Want::AsFound)];
    let wanted = WantedService { service: &service(), destinations };
    assert_eq!(table.synchronise(&[wanted], &snapshot), [Done::Kept(vip())]);
}

#[test]
fn of_a_service_that_is_added_or_changed_it_is_not_said_that_it_was_kept() {
    let mut table = Table::new(Box::new(Memory::new()));
    let synchronise = |table: &mut Table, scheduler: &str| {
        let service = VirtualService { scheduler: scheduler.to_owned(), ..service() };
        let snapshot = table.snapshot([&service]).expect("a table");
        let wanted = WantedService { service: &service, destinations: Vec::new() };
        table.synchronise(&[wanted], &snapshot)
    };
    assert_eq!(synchronise(&mut table, "rr"), [Done::Applied(Notice::ServiceAdded(vip()))]);
    assert_eq!(synchronise(&mut table, "rr"), [Done::Kept(vip())]);
    assert_eq!(synchronise(&mut table, "wlc"), [Done::Applied(Notice::ServiceChanged(vip()))]);
}

#[test]
fn what_is_owed_to_one_service_is_not_what_is_owed_to_another() {
    let (mut table, broken) = refusing(|_| Some(Errno::EPERM));
    let (lives, gone) = (service(), other());
    *broken.lock().expect("a lock") = false;
    table.backend().apply(&Operation::AddService(wanted_entry(&gone))).expect("a new one");
    *broken.lock().expect("a lock") = true;
    table.remove([(&lives, None), (&gone, None)], Stage::Start);
    let refused = |table: &Table, service| table.failure(service).map(ToString::to_string);
    assert_eq!(
        refused(&table, vip()).as_deref(),
        Some("delete service tcp 10.0.0.1:80: Operation not permitted (EPERM)")
    );
    assert!(refused(&table, gone.address).is_some());
    *broken.lock().expect("a lock") = false;
    // One of the two is wanted again.
    let snapshot = table.snapshot([&lives]).expect("a table");
    let wanted = WantedService { service: &lives, destinations: Vec::new() };
    let done = table.synchronise(&[wanted], &snapshot);
    assert_eq!(done, [Done::Kept(vip()), Done::Recovered(vip())]);
    assert_eq!(table.failure(vip()), None);
    assert!(refused(&table, gone.address).is_some());
    assert!(table.owes());
    let done = table.retry(&director(&[&lives]));
    let purged = Notice::ServicePurged(gone.address, Stage::Start);
    assert_eq!(done, [Done::Applied(purged), Done::Recovered(gone.address)]);
    assert_eq!(services(&mut table), 1);
    assert!(!table.owes());
}

#[test]
fn a_service_that_is_owed_whole_is_synchronised_at_the_next_round() {
    let mut table = Table::new(Box::new(Memory::new()));
    let director = director(&[&service()]);
    assert_eq!(table.retry(&director), []);
    table.owe([vip(), other().address]);
    assert!(table.owes());
    assert_eq!(
        table.retry(&director),
        [Done::Applied(Notice::ServiceAdded(vip()))],
        "the other one is not in the configuration"
    );
    assert!(!table.owes());
}

#[test]
fn what_was_owed_of_a_server_that_is_gone_does_not_come_back_with_the_next_change() {
    let adds = |operation: &Operation| matches!(operation, Operation::AddDestination(..));
    let (mut table, broken) = refusing(move |operation| adds(operation).then_some(Errno::EPERM));
    let serve =
        |host| Change { service: vip(), destination: wanted(host, Want::Serve { weight: 1 }) };
    assert!(matches!(table.change([serve(2)])[..], [Done::Failed { .. }]));
    // A reload takes the server out and cannot list the table: the service is owed whole.
    table.owe([vip()]);
    *broken.lock().expect("a lock") = false;
    table.change([serve(3)]);
    let entries = table.entries(vip()).expect("it is listed");
    let listed: Vec<_> = entries.iter().map(|it| it.destination.socket_address()).collect();
    assert_eq!(listed, [wanted(3, Want::Absent).listed]);
}

#[test]
fn what_somebody_else_has_added_meanwhile_is_set_as_wanted() {
    let (mut table, _) = refusing(|_| None);
    let gone = service();
    table.remove([(&gone, None)], Stage::Start);
    let before = table.snapshot([&gone]).expect("a table");
    let theirs = VirtualService { scheduler: "rr".to_owned(), ..service() };
    let key = service_key(vip());
    for operation in
        [Operation::AddService(wanted_entry(&theirs)), Operation::AddDestination(key, listed(2, 1))]
    {
        table.backend().apply(&operation).expect("an empty table");
    }
    let destinations = vec![wanted(2, Want::Serve { weight: 3 })];
    let done = table.synchronise(&[WantedService { service: &gone, destinations }], &before);
    assert!(done.iter().all(|done| matches!(done, Done::Applied(_))), "{done:?}");
    assert_eq!(done.len(), 2);
    assert_eq!(table.backend().services().expect("a table"), [wanted_entry(&gone)]);
    assert_eq!(weights(&mut table), [(([10, 0, 0, 2], 80).into(), 3)]);
    assert!(!table.owes());
}

#[test]
fn a_quiescent_server_that_somebody_else_has_added_meanwhile_ends_with_weight_0() {
    let (mut table, _) = refusing(|_| None);
    let before = table.snapshot([&service()]).expect("a table");
    let key = service_key(vip());
    let theirs = Operation::AddDestination(key, listed(2, 1));
    table.backend().apply(&theirs).expect("a service");
    let quiesce = Want::Quiesce { relist: true };
    let destination = WantedDestination { place: Some(3), ..wanted(2, quiesce) };
    let wanted = WantedService { service: &service(), destinations: vec![destination] };
    table.synchronise(&[wanted], &before);
    assert_eq!(weights(&mut table), [(([10, 0, 0, 2], 80).into(), 0)]);
    assert!(!table.owes());
}

#[test]
fn what_is_refused_for_another_reason_is_not_tried_in_another_way() {
    let tried = Arc::new(Mutex::new(Vec::new()));
    let trying = Arc::clone(&tried);
    let memory = Memory::new().refusing(Box::new(move |operation| {
        trying.lock().expect("a lock").push(operation.to_string());
        Some(Errno::EPERM)
    }));
    let mut table = Table::new(Box::new(memory));
    let service = service();
    let snapshot = table.snapshot([&service]).expect("a table");
    let destinations = vec![wanted(2, Want::Serve { weight: 3 })];
    table.synchronise(&[WantedService { service: &service, destinations }], &snapshot);
    // All go to the table together; what stands on the service is refused with it.
    let add = "add destination 10.0.0.2:80 to tcp 10.0.0.1:80";
    assert_eq!(*tried.lock().expect("a lock"), ["add service tcp 10.0.0.1:80", add]);
    let operations = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&operations);
    let (mut table, _) = refusing(move |operation| {
        seen.lock().expect("a lock").push(operation.to_string());
        Some(Errno::EPERM)
    });
    operations.lock().expect("a lock").clear();
    let destination = wanted(2, Want::Serve { weight: 3 });
    table.change([Change { service: vip(), destination }]);
    assert_eq!(
        *operations.lock().expect("a lock"),
        ["add destination 10.0.0.2:80 to tcp 10.0.0.1:80"]
    );
}

#[test]
fn sixty_four_causes_are_remembered_as_told() {
    let (mut table, _) = refusing(|_| Some(Errno::EPERM));
    let mut told = |host, want| {
        let done = table.change([Change { service: vip(), destination: wanted(host, want) }]);
        done.into_iter().any(|done| matches!(done, Done::Failed { .. }))
    };
    // The lowest address is tried first, and the first failure is the cause.
    for host in (2..=66).rev() {
        assert!(told(host, Want::Serve { weight: 1 }), "{host} is the cause now");
    }
    assert!(told(2, Want::AsFound), "3 is, and has had to give way to 2");
    assert!(!told(3, Want::AsFound), "4 is, and has been told");
}

#[test]
fn somebody_always_serves_while_a_fallback_comes_or_goes() {
    let fallback = |host, want| WantedDestination { role: Role::Fallback, ..wanted(host, want) };
    let serve = Want::Serve { weight: 1 };
    for (real, fall) in [(2, 3), (3, 2)] {
        let (mut table, _) = refusing(|_| None);
        let mut change = |destinations: [WantedDestination; 2]| -> Vec<_> {
            let change = |destination| Change { service: vip(), destination };
            let done = table.change(destinations.map(change)).into_iter();
            done.map(|done| match done {
                Done::Applied(Notice::Destination { verb, role, .. }) => (verb, role),
                other => panic!("{other:?}"),
            })
            .collect()
        };
        let (added, deleted) = (DestinationVerb::Added, DestinationVerb::Deleted);
        change([fallback(fall, serve), wanted(9, serve)]);
        assert_eq!(
            change([fallback(fall, Want::Absent), wanted(real, serve)]),
            [(added, Role::RealServer), (deleted, Role::Fallback)]
        );
        assert_eq!(
            change([wanted(real, Want::Absent), fallback(fall, serve)]),
            [(added, Role::Fallback), (deleted, Role::RealServer)]
        );
        change([wanted(real, serve), wanted(9, serve)]);
        assert_eq!(
            change([fallback(fall, Want::Absent), wanted(real, Want::Absent)]),
            [(deleted, Role::RealServer), (deleted, Role::Fallback)]
        );
    }
}

/// A table that answers none of what it is asked together.
struct Mute(Memory);

impl Dataplane for Mute {
    fn services(&mut self) -> Result<Vec<Service>, TableError> {
        self.0.services()
    }

    fn destinations(&mut self, service: &ServiceKey) -> Result<Vec<DestinationEntry>, TableError> {
        self.0.destinations(service)
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TableError> {
        self.0.apply(operation)
    }

    fn apply_all(&mut self, _: &[Operation]) -> Vec<Result<(), TableError>> {
        Vec::new()
    }
}

#[test]
fn what_has_no_answer_is_not_done() {
    let mut table = Table::new(Box::new(Mute(Memory::new())));
    let service = service();
    let snapshot = table.snapshot([&service]).expect("a table");
    let wanted = WantedService { service: &service, destinations: Vec::new() };
    let done = table.synchronise(&[wanted], &snapshot);
    assert!(matches!(done[..], [Done::Failed { .. }]), "{done:?}");
    assert!(table.owes());
}
