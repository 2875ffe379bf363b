//! Addresses and routes.

use super::*;

#[test]
fn vip_missing() {
    let id = "vip-missing";
    let way = |gateway: Option<&str>| Route::Out {
        interface: "eth0".to_owned(),
        gateway: gateway.map(address),
    };
    for gateway in [None, Some("192.0.2.254")] {
        let finding = finds(id, SOUND, WEB, |it| {
            it.network.routes.insert(address("192.0.2.1"), way(gateway));
        });
        assert!(finding.mend.starts_with("ip address add 192.0.2.1/32 dev lo"), "{finding:?}");
    }
    quiet(id, SOUND, |it| it.network.routes.clear());
    quiet(id, ANYCAST, |it| {
        it.network.routes.insert(address("198.51.100.1"), way(None));
    });
    quiet(id, &SOUND.replace("192.0.2.1:80", "7"), |_| {});
}

#[test]
fn no_route() {
    let nowhere = |it: &mut Facts| {
        let why = "Network is unreachable".to_owned();
        it.network.routes.insert(address("10.0.0.1"), Route::Nowhere(why));
    };
    let finding = finds("no-route", SOUND, RS1, nowhere);
    assert!(finding.what.contains("Network is unreachable"), "{finding:?}");
}

#[test]
fn gate_behind_router() {
    let id = "gate-behind-router";
    let behind = |it: &mut Facts| {
        let gateway = Some(address("10.0.0.253"));
        let way = Route::Out { interface: "eth1".to_owned(), gateway };
        it.network.routes.insert(address("10.0.0.1"), way);
    };
    finds(id, GATE, RS1, behind);
    quiet(id, &GATE.replace("gate", "ipip"), behind);
    quiet(id, SOUND, behind);
    let fallback = format!("{SOUND}\tfallback=10.0.0.1:80 gate\n");
    finds(id, &fallback, RS1, behind);
}

#[test]
fn accept_local_off() {
    let id = "accept-local-off";
    let through = format!("{GATE}\tcheckpath=service\n");
    let finding = finds(id, &through, NOBODY, |_| {});
    assert_eq!(finding.mend, "sysctl -w net.ipv4.conf.eth1.accept_local=1");
    for interface in ["all", "eth1"] {
        quiet(id, &through, |it| set(it, &format!("net/ipv4/conf/{interface}/accept_local"), 1));
    }
    quiet(id, GATE, |_| {});
    quiet(id, &format!("{SOUND}\tcheckpath=service\n"), |_| {});
    let elsewhere = |it: &mut Facts| {
        it.network.routes.insert(address("192.0.2.1"), Route::Nowhere("none".to_owned()));
    };
    quiet(id, &through, elsewhere);
}

#[test]
fn masq_way_back() {
    let id = "masq-way-back";
    let same_link = |it: &mut Facts| {
        let way = Route::Out { interface: "eth0".to_owned(), gateway: None };
        it.network.routes.insert(address("10.0.0.1"), way);
    };
    let finding = finds(id, SOUND, RS1, same_link);
    assert!(finding.mend.contains("default via 192.0.2.10"), "{finding:?}");
    quiet(id, GATE, same_link);
    quiet(id, SOUND, |it| {
        same_link(it);
        it.network.interfaces.get_mut("eth0").unwrap().addresses.pop();
    });
    finds(id, SOUND, RS1, |it| {
        let gateway = Some(address("10.0.0.253"));
        let way = Route::Out { interface: "eth1".to_owned(), gateway };
        it.network.routes.insert(address("10.0.0.1"), way);
    });
}
