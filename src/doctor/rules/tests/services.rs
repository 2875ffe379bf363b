//! Weights, daemons and what the loader says.

use super::*;

fn server(address: &str, state: ServerState) -> ServerStatus {
    ServerStatus {
        address: address.to_owned(),
        forwarding: "masq".to_owned(),
        state,
        since: None,
        checked: None,
        check_duration_us: None,
        why: None,
        failures: 0,
        weight_wanted: None,
        weight_listed: None,
        active: 0,
        inactive: 0,
        connections_per_second: 0,
        operator: None,
        certificate: None,
    }
}

fn daemon(instance: &str, states: [ServerState; 2]) -> Daemon {
    let servers = vec![server("10.0.0.1:80", states[0]), server("10.0.0.2:80", states[1])];
    let service = ServiceStatus {
        address: "192.0.2.1:80".to_owned(),
        protocol: "tcp".to_owned(),
        scheduler: "wlc".to_owned(),
        listed: true,
        fallback: None,
        fallbacks: Vec::new(),
        hook: None,
        drift: Vec::new(),
        servers,
    };
    let status = StatusReport {
        instance: instance.to_owned(),
        config: format!("/etc/ha.d/{instance}"),
        pid: 42,
        since: 0,
        phase: Phase::Running,
        table: "kernel".to_owned(),
        table_error: None,
        last_reload: None,
        faults: Default::default(),
        prober: None,
        services: vec![service],
        overrides: Vec::new(),
        unconfirmed: None,
    };
    Daemon { instance: instance.to_owned(), pid: 42, status: Some(status) }
}

#[test]
fn weights() {
    let weighted = |one: u32, two: u32| {
        SOUND
            .replace("10.0.0.1:80 masq", &format!("10.0.0.1:80 masq {one}"))
            .replace("10.0.0.2:80 masq", &format!("10.0.0.2:80 masq {two}"))
    };
    finds("weights-all-zero", &weighted(0, 0), WEB, |_| {});
    quiet("weights-all-zero", &weighted(0, 1), |_| {});
    finds("weight-zero", &weighted(0, 1), RS1, |_| {});
    quiet("weight-zero", &weighted(0, 0), |_| {});
    // With a fallback it is a warning of the configuration.
    quiet("weight-zero", &format!("{}\tfallback=127.0.0.1:80\n", weighted(0, 1)), |_| {});
    finds("weights-apart", &weighted(1, 100), WEB, |_| {});
    quiet("weights-apart", &weighted(1, 99), |_| {});
    quiet("weights-apart", &weighted(0, 100), |_| {});
    quiet("weights-apart", &weighted(1, 100).replace("wlc", "fo"), |_| {});
}

#[test]
fn only_weight_zero_up() {
    use ServerState::{Down, Up};
    let id = "only-weight-zero-up";
    let runs = |states, weights: [u32; 2]| {
        move |it: &mut Facts| {
            let mut daemon = daemon("web.cf", states);
            let servers = &mut daemon.status.as_mut().unwrap().services[0].servers;
            for (server, weight) in servers.iter_mut().zip(weights) {
                server.weight_wanted = Some(weight);
            }
            it.surroundings.daemon = Some(daemon);
        }
    };
    finds(id, SOUND, WEB, runs([Up, Down], [0, 1]));
    for (states, weights) in [
        ([Up, Down], [1, 0]),
        ([Up, Up], [0, 1]),
        ([Up, Up], [0, 0]),
        ([Down, Up], [0, 1]),
        ([Down, Down], [0, 0]),
    ] {
        quiet(id, SOUND, runs(states, weights));
    }
    quiet(id, ANYCAST, runs([Up, Down], [0, 1]));
}

#[test]
fn two_daemons() {
    let id = "two-daemons";
    let states = [ServerState::Up; 2];
    let finding = finds(id, SOUND, WEB, |it| it.surroundings.others = vec![daemon("x.cf", states)]);
    assert!(finding.mend.contains("ldirectord /etc/ha.d/x.cf stop"), "{finding:?}");
    quiet(id, SOUND, |it| it.surroundings.daemon = Some(daemon("web.cf", states)));
    quiet(id, ANYCAST, |it| it.surroundings.others = vec![daemon("x.cf", states)]);
    quiet(id, SOUND, |it| {
        it.surroundings.others = vec![Daemon { status: None, ..daemon("x.cf", states) }];
    });
    let keepalived = |it: &mut Facts| {
        let service = model(SOUND).services[0].address;
        it.keepalived = BTreeSet::from([service]);
    };
    let finding = finds(id, SOUND, WEB, keepalived);
    assert!(finding.what.contains("keepalived"), "{finding:?}");
    quiet(id, ANYCAST, keepalived);
}

#[test]
fn table_unwatched() {
    let id = "table-unwatched";
    let states = [ServerState::Up; 2];
    let listed = |it: &mut Facts| it.table = BTreeSet::from([model(SOUND).services[0].address]);
    let finding = finds(id, SOUND, WEB, listed);
    assert_eq!(finding.mend, "ldirectord web.cf start");
    quiet(id, ANYCAST, listed);
    quiet(id, SOUND, |it| {
        listed(it);
        it.surroundings.daemon = Some(daemon("web.cf", states));
    });
    for status in [daemon("x.cf", states).status, None] {
        quiet(id, SOUND, |it| {
            listed(it);
            let other = Daemon { status: status.clone(), ..daemon("x.cf", states) };
            it.surroundings.others = vec![other];
        });
    }
}

#[test]
fn name_changed() {
    let id = "name-changed";
    let named = |addresses: &[&str]| {
        let addresses: Vec<IpAddr> = addresses.iter().map(|it| address(it)).collect();
        move |it: &mut Facts| {
            it.surroundings.daemon = Some(daemon("web.cf", [ServerState::Up; 2]));
            let name = "rs1.example".to_owned();
            it.surroundings.names = vec![HostName { name, addresses: addresses.clone() }];
        }
    };
    let finding = finds(id, SOUND, NOBODY, named(&["10.0.0.3"]));
    assert_eq!(finding.mend, "ldirectord web.cf reload");
    quiet(id, SOUND, named(&["10.0.0.1"]));
    quiet(id, SOUND, named(&["10.0.0.3", "10.0.0.2"]));
    quiet(id, SOUND, named(&[]));
    quiet(id, SOUND, |it| {
        named(&["10.0.0.3"])(it);
        it.surroundings.daemon = None;
    });
}

#[test]
fn configuration_warning() {
    let doubt = Doubt { line: Some("line 7".to_owned()), text: "odd".to_owned(), hint: None };
    let finding = finds("configuration-warning", SOUND, NOBODY, |it| {
        it.surroundings.doubts = vec![doubt.clone()];
    });
    assert_eq!(finding.what, "/etc/ha.d/web.cf, line 7: odd.");
}

/// A mark has no address to be missing, and its servers are looked at all the same.
#[test]
fn a_mark_is_a_service_too() {
    let mark = "virtual=7\n\treal=10.0.0.1:80 masq 0\n\tscheduler=wlc\n\tchecktype=connect\n";
    assert!(matches!(model(mark).services[0].address, ServiceAddress::Fwmark { mark: 7, .. }));
    finds("weights-all-zero", mark, [Some("fwm:7"), None], |_| {});
}
