//! Modules and switches of the kernel.

use super::*;

#[test]
fn ip_vs_missing() {
    let id = "ip-vs-missing";
    let modules =
        |available| Modules { release: "6.1".to_owned(), available, ..Modules::default() };
    finds(id, SOUND, NOBODY, |it| it.modules = modules(Some(BTreeSet::new())));
    let there = finds(id, SOUND, NOBODY, |it| it.modules = modules(None));
    assert!(there.mend.starts_with("modprobe ip_vs"), "{there:?}");
    quiet(id, SOUND, |it| it.modules.ip_vs = false);
    quiet(id, SOUND, |it| it.modules.available = None);
}

#[test]
fn scheduler_missing() {
    let id = "scheduler-missing";
    let without = |it: &mut Facts| {
        it.modules.available.as_mut().unwrap().remove("ip_vs_wlc");
    };
    finds(id, SOUND, WEB, without);
    quiet(id, SOUND, |it| {
        without(it);
        it.modules.loaded.insert("ip_vs_wlc".to_owned(), 1);
    });
    quiet(id, SOUND, |it| it.modules.available = None);
    // Told once: there is no ip_vs at all.
    quiet(id, SOUND, |it| {
        it.modules = Modules { available: Some(BTreeSet::new()), ..Modules::default() };
    });
}

#[test]
fn ip_forward_off() {
    let id = "ip-forward-off";
    let off = |it: &mut Facts| set(it, "net/ipv4/ip_forward", 0);
    let finding = finds(id, SOUND, NOBODY, off);
    assert_eq!(finding.mend, "sysctl -w net.ipv4.ip_forward=1");
    quiet(id, GATE, off);
    quiet(id, SOUND, |it| {
        off(it);
        it.network.routes.insert(address("10.0.0.1"), Route::Local);
        it.network.routes.insert(address("10.0.0.2"), Route::Local);
    });
    let v6 = "virtual6=[2001:db8::1]:80\n\treal6=[fd00::1]:80 masq\n\tscheduler=wlc\n\tchecktype=connect\n";
    let off = |it: &mut Facts| set(it, "net/ipv6/conf/all/forwarding", 0);
    let finding = finds(id, v6, NOBODY, off);
    assert_eq!(finding.mend, "sysctl -w net.ipv6.conf.all.forwarding=1");
    quiet(id, SOUND, off);
}

#[test]
fn rp_filter_strict() {
    let id = "rp-filter-strict";
    let strict = |it: &mut Facts| set(it, "net/ipv4/conf/eth0/rp_filter", 1);
    for config in [GATE, ANYCAST] {
        let finding = finds(id, config, NOBODY, strict);
        assert_eq!(finding.mend, "sysctl -w net.ipv4.conf.eth0.rp_filter=2");
    }
    quiet(id, SOUND, strict);
    quiet(id, GATE, |it| {
        strict(it);
        set(it, "net/ipv4/conf/all/rp_filter", 2);
    });
    quiet(id, GATE, |it| {
        strict(it);
        it.network.interfaces.remove("eth1");
    });
    let both = found(id, GATE, |it| set(it, "net/ipv4/conf/all/rp_filter", 1));
    assert_eq!(both.len(), 2, "{both:?}");
}

#[test]
fn conntrack_off() {
    let id = "conntrack-off";
    let off = |it: &mut Facts| {
        set(it, "net/ipv4/vs/conntrack", 0);
        it.modules.loaded.insert("nft_ct".to_owned(), 2);
    };
    let finding = finds(id, SOUND, NOBODY, off);
    assert!(finding.what.contains("nft_ct"), "{finding:?}");
    quiet(id, GATE, off);
    quiet(id, SOUND, |it| {
        off(it);
        it.modules.loaded.insert("nft_ct".to_owned(), 0);
    });
    quiet(id, SOUND, |it| {
        off(it);
        set(it, "net/ipv4/vs/conntrack", 1);
    });
}

#[test]
fn conntrack_full() {
    let id = "conntrack-full";
    let count = |count| move |it: &mut Facts| set(it, "net/netfilter/nf_conntrack_count", count);
    let finding = finds(id, SOUND, NOBODY, count(900));
    assert_eq!(finding.mend, "sysctl -w net.netfilter.nf_conntrack_max=2000");
    quiet(id, SOUND, count(899));
    quiet(id, SOUND, |it| set(it, "net/netfilter/nf_conntrack_max", 0));
    quiet(id, SOUND, |it| it.sysctls.retain(|path, _| !path.ends_with("_max")));
}

#[test]
fn quiescent_persistent() {
    let id = "quiescent-persistent";
    let off = |it: &mut Facts| set(it, "net/ipv4/vs/expire_quiescent_template", 0);
    let both = format!("{SOUND}\tquiescent=yes\n\tpersistent=60\n");
    finds(id, &both, NOBODY, off);
    quiet(id, &both, |_| {});
    quiet(id, &format!("{SOUND}\tquiescent=yes\n"), off);
    quiet(id, &format!("{SOUND}\tquiescent=no\n\tpersistent=60\n"), off);
    // Before ip_vs is loaded, it is as the kernel will have it.
    finds(id, &both, NOBODY, |it| it.modules.ip_vs = false);
}

#[test]
fn expire_nodest_conn() {
    let id = "expire-nodest-conn";
    let off = |it: &mut Facts| set(it, "net/ipv4/vs/expire_nodest_conn", 0);
    finds(id, &format!("{SOUND}\tquiescent=no\n"), NOBODY, off);
    quiet(id, &format!("{SOUND}\tquiescent=yes\n"), off);
    quiet(id, &format!("{SOUND}\tquiescent=no\n"), |_| {});
}

#[test]
fn sloppy_tcp() {
    let id = "sloppy-tcp";
    let off = |it: &mut Facts| set(it, "net/ipv4/vs/sloppy_tcp", 0);
    finds(id, GATE, NOBODY, off);
    finds(id, &ANYCAST.replace("wlc", "sh"), NOBODY, off);
    quiet(id, SOUND, off);
    quiet(id, &GATE.replace("=mh", "=sh"), off);
    quiet(id, &format!("{GATE}\tprotocol=udp\n"), off);
}
