//! Every option there is, sent, listed, saved by `ipvsadm` and replaced.

use std::net::{IpAddr, Ipv4Addr};

use ipvs_rs::{
    Destination, Family, Forwarding, Ipvs, Netmask, Persistence, SchedulerFlags, Service, Tunnel,
    TunnelFlags, TunnelKind,
};

use super::{Test, ip, ipvsadm, key, saved, tests, web};

pub(crate) const TESTS: &[Test] = tests![
    every_scheduler_of_the_kernel_is_set_and_listed,
    what_is_added_is_what_ipvsadm_saves,
    what_ipvsadm_restores_is_listed_and_added_again_unchanged,
    set_service_replaces_every_option,
    set_destination_replaces_every_option,
    one_mark_is_two_services_in_two_families,
    delete_takes_the_named_entry_only,
];

fn every_scheduler_of_the_kernel_is_set_and_listed() {
    let mut ipvs = Ipvs::open().unwrap();
    let schedulers = [
        "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh",
        "none",
    ];
    for scheduler in schedulers {
        let service = Service { scheduler: scheduler.into(), ..web() };
        ipvs.add_service(&service).unwrap();
        assert_eq!(ipvs.service(&service.key).unwrap().unwrap().service, service);
        assert_eq!(saved(), format!("-A -t 10.0.0.1:80 -s {scheduler}\n"));
        ipvs.delete_service(&service.key).unwrap();
    }
}

fn what_is_added_is_what_ipvsadm_saves() {
    let mut ipvs = Ipvs::open().unwrap();
    for (service, line) in services() {
        ipvs.add_service(&service).unwrap();
        assert_eq!(saved(), format!("{line}\n"));
        assert_eq!(ipvs.service(&service.key).unwrap().unwrap().service, service);
        assert_eq!(ipvs.services().unwrap()[0].service, service);
        ipvs.flush().unwrap();
    }

    ipvs.add_service(&web()).unwrap();
    for (destination, line) in destinations() {
        ipvs.add_destination(&web().key, &destination).unwrap();
        // ipvsadm takes thresholds, but does not save them.
        let saved_line = line.split(" -x ").next().unwrap();
        assert_eq!(saved(), format!("-A -t 10.0.0.1:80 -s wlc\n-a -t 10.0.0.1:80 {saved_line}\n"));
        if destination.upper_threshold != 0 {
            let listed = ipvsadm(&["-Ln", "--thresholds"]);
            let line = listed.lines().last().unwrap();
            let words: Vec<_> = line.split_whitespace().collect();
            assert_eq!(words, ["->", "10.1.0.3:80", "2000", "1000", "0", "0"]);
        }
        let entry = ipvs.destinations(&web().key).unwrap()[0];
        assert_eq!(entry.destination, destination);
        assert_eq!(
            (entry.active_connections, entry.inactive_connections, entry.persistent_connections),
            (0, 0, 0)
        );
        ipvs.delete_destination(&web().key, destination.address, destination.port).unwrap();
    }

    let local = Destination::new(ip("127.0.0.1"), 80, Forwarding::Local);
    let bypass = Destination::new(ip("10.1.0.9"), 80, Forwarding::Bypass);
    for destination in [local, bypass] {
        ipvs.add_destination(&web().key, &destination).unwrap();
        assert_eq!(ipvs.destinations(&web().key).unwrap()[0].destination, destination);
        ipvs.delete_destination(&web().key, destination.address, destination.port).unwrap();
    }
}

fn what_ipvsadm_restores_is_listed_and_added_again_unchanged() {
    let mut ipvs = Ipvs::open().unwrap();
    let mut table: String = services().iter().map(|(_, line)| format!("{line}\n")).collect();
    for (_, line) in destinations() {
        table += &format!("-a -t 10.0.0.1:80 {line}\n");
    }
    restore(&table);
    let before = sorted(&saved());

    let listed = ipvs.services().unwrap();
    let wanted = services();
    assert_eq!(listed.len(), wanted.len());
    for (service, _) in &wanted {
        assert!(listed.iter().any(|entry| entry.service == *service), "{service:?} in {listed:?}");
    }
    let real: Vec<_> =
        ipvs.destinations(&web().key).unwrap().iter().map(|entry| entry.destination).collect();
    assert_eq!(real.len(), destinations().len());
    for (destination, _) in destinations() {
        assert!(real.contains(&destination), "{destination:?} in {real:?}");
    }

    ipvs.flush().unwrap();
    assert_eq!(saved(), "");
    for entry in &listed {
        ipvs.add_service(&entry.service).unwrap();
    }
    for destination in &real {
        ipvs.add_destination(&web().key, destination).unwrap();
    }
    assert_eq!(sorted(&saved()), before);
}

fn set_service_replaces_every_option() {
    let mut ipvs = Ipvs::open().unwrap();
    let key = key("udp 10.0.0.1:5060");
    let plain = Service::new(key, "rr");
    let full = Service {
        scheduler_flags: SchedulerFlags::FLAG_1 | SchedulerFlags::FLAG_2 | SchedulerFlags::FLAG_3,
        persistence: Some(Persistence {
            timeout_seconds: 77,
            netmask: Netmask::V4([255, 0, 0, 0].into()),
        }),
        one_packet: true,
        persistence_engine: Some("sip".into()),
        ..Service::new(key, "sh")
    };
    ipvs.add_service(&plain).unwrap();
    ipvs.add_destination(&key, &Destination::new(ip("10.1.0.1"), 5060, Forwarding::Masq)).unwrap();
    for service in [&full, &plain, &full] {
        ipvs.set_service(service).unwrap();
        assert_eq!(&ipvs.service(&key).unwrap().unwrap().service, service);
        assert_eq!(ipvs.destinations(&key).unwrap().len(), 1);
    }
    let line = "-A -u 10.0.0.1:5060 -s sh -p 77 -M 255.0.0.0 --pe sip -o -b sh-fallback,sh-port";
    assert_eq!(saved().lines().next(), Some(line));
}

fn set_destination_replaces_every_option() {
    let mut ipvs = Ipvs::open().unwrap();
    ipvs.add_service(&web()).unwrap();
    let plain = Destination::new(ip("10.1.0.1"), 80, Forwarding::Masq);
    let full = Destination {
        forwarding: Forwarding::Ipip,
        weight: 9,
        upper_threshold: 8,
        lower_threshold: 7,
        tunnel: Tunnel { kind: TunnelKind::Gue, port: 6, flags: TunnelFlags::CHECKSUM },
        ..plain
    };
    ipvs.add_destination(&web().key, &plain).unwrap();
    for destination in [full, plain, full] {
        ipvs.set_destination(&web().key, &destination).unwrap();
        assert_eq!(ipvs.destinations(&web().key).unwrap()[0].destination, destination);
    }
}

fn one_mark_is_two_services_in_two_families() {
    let mut ipvs = Ipvs::open().unwrap();
    let (v4, v6) = (key("fwm 7"), key("fwm6 7"));
    ipvs.add_service(&Service::new(v4, "rr")).unwrap();
    ipvs.add_service(&Service::new(v6, "wlc")).unwrap();
    ipvs.add_destination(&v4, &Destination::new(ip("10.1.0.1"), 0, Forwarding::Gate)).unwrap();
    ipvs.add_destination(&v6, &Destination::new(ip("2001:db8::1"), 0, Forwarding::Gate)).unwrap();
    assert_eq!(
        sorted(&saved()),
        [
            "-A -f 7 -6 -s wlc",
            "-A -f 7 -s rr",
            "-a -f 7 -6 -r [2001:db8::1]:0 -g -w 1",
            "-a -f 7 -r 10.1.0.1:0 -g -w 1"
        ]
    );
    assert_eq!(ipvs.destinations(&v4).unwrap()[0].destination.address, ip("10.1.0.1"));
    assert_eq!(ipvs.destinations(&v6).unwrap()[0].destination.address, ip("2001:db8::1"));
    ipvs.delete_service(&v4).unwrap();
    assert_eq!(ipvs.services().unwrap()[0].service.key, v6);
    assert_eq!(ipvs.service(&v4).unwrap(), None);
}

fn delete_takes_the_named_entry_only() {
    let mut ipvs = Ipvs::open().unwrap();
    let other = Service { key: key("udp 10.0.0.1:80"), ..web() };
    let first = Destination::new(ip("10.1.0.1"), 80, Forwarding::Masq);
    let second = Destination { port: 81, ..first };
    for service in [&web(), &other] {
        ipvs.add_service(service).unwrap();
        ipvs.add_destination(&service.key, &first).unwrap();
        ipvs.add_destination(&service.key, &second).unwrap();
    }
    ipvs.delete_destination(&web().key, first.address, first.port).unwrap();
    ipvs.delete_service(&other.key).unwrap();
    assert_eq!(saved(), "-A -t 10.0.0.1:80 -s wlc\n-a -t 10.0.0.1:80 -r 10.1.0.1:81 -m -w 1\n");
}

/// One service of each kind with the line that `ipvsadm -Sn` prints for it.
pub(crate) fn services() -> Vec<(Service, &'static str)> {
    let persistence = |timeout_seconds, netmask| Some(Persistence { timeout_seconds, netmask });
    vec![
        (web(), "-A -t 10.0.0.1:80 -s wlc"),
        (Service::new(key("udp 10.0.0.1:53"), "rr"), "-A -u 10.0.0.1:53 -s rr"),
        (
            Service::new(key("sctp 10.0.0.1:36412"), "wrr"),
            "-A --sctp-service 10.0.0.1:36412 -s wrr",
        ),
        (Service::new(key("tcp [2001:db8::1]:443"), "sed"), "-A -t [2001:db8::1]:443 -s sed"),
        (Service::new(key("udp [2001:db8::1]:53"), "nq"), "-A -u [2001:db8::1]:53 -s nq"),
        (Service::new(key("fwm 7"), "rr"), "-A -f 7 -s rr"),
        (Service::new(key("fwm6 2147483647"), "rr"), "-A -f 2147483647 -6 -s rr"),
        (
            Service {
                persistence: persistence(360, Netmask::host(Family::Inet)),
                ..Service::new(key("tcp 10.0.0.2:443"), "wlc")
            },
            "-A -t 10.0.0.2:443 -s wlc -p 360",
        ),
        (
            Service {
                persistence: persistence(50, Netmask::V4([255, 255, 240, 0].into())),
                ..Service::new(key("tcp 10.0.0.2:0"), "wlc")
            },
            "-A -t 10.0.0.2:0 -s wlc -p 50 -M 255.255.240.0",
        ),
        (
            Service {
                persistence: persistence(60, Netmask::V6(48)),
                ..Service::new(key("tcp [2001:db8::2]:80"), "rr")
            },
            "-A -t [2001:db8::2]:80 -s rr -p 60 -M 48",
        ),
        (
            Service {
                persistence: persistence(61, Netmask::V6(128)),
                ..Service::new(key("fwm6 9"), "rr")
            },
            "-A -f 9 -6 -s rr -p 61",
        ),
        (
            Service { one_packet: true, ..Service::new(key("udp 10.0.0.2:514"), "rr") },
            "-A -u 10.0.0.2:514 -s rr -o",
        ),
        (
            Service {
                scheduler_flags: SchedulerFlags::SH_FALLBACK | SchedulerFlags::SH_PORT,
                ..Service::new(key("tcp 10.0.0.3:80"), "sh")
            },
            "-A -t 10.0.0.3:80 -s sh -b sh-fallback,sh-port",
        ),
        (
            Service {
                scheduler_flags: SchedulerFlags::MH_PORT,
                ..Service::new(key("tcp 10.0.0.4:80"), "mh")
            },
            "-A -t 10.0.0.4:80 -s mh -b mh-port",
        ),
        (
            Service {
                scheduler_flags: SchedulerFlags::FLAG_1 | SchedulerFlags::FLAG_3,
                ..Service::new(key("tcp 10.0.0.5:80"), "rr")
            },
            "-A -t 10.0.0.5:80 -s rr -b flag-1,flag-3",
        ),
        (
            Service {
                persistence: persistence(30, Netmask::host(Family::Inet)),
                persistence_engine: Some("sip".into()),
                ..Service::new(key("udp 10.0.0.6:5060"), "rr")
            },
            "-A -u 10.0.0.6:5060 -s rr -p 30 --pe sip",
        ),
    ]
}

/// One destination of each kind with what `ipvsadm -Sn` prints after its service.
pub(crate) fn destinations() -> Vec<(Destination, &'static str)> {
    let destination = |last, forwarding| {
        Destination::new(IpAddr::V4(Ipv4Addr::new(10, 1, 0, last)), 80, forwarding)
    };
    let tunnel = |last, kind, port, flags| Destination {
        tunnel: Tunnel { kind, port, flags },
        ..destination(last, Forwarding::Ipip)
    };
    vec![
        (destination(1, Forwarding::Gate), "-r 10.1.0.1:80 -g -w 1"),
        (
            Destination { port: 81, weight: 65535, ..destination(1, Forwarding::Masq) },
            "-r 10.1.0.1:81 -m -w 65535",
        ),
        (
            Destination { weight: 0, ..destination(2, Forwarding::Ipip) },
            "-r 10.1.0.2:80 -i -w 0 --tun-type ipip",
        ),
        (
            Destination {
                upper_threshold: 2000,
                lower_threshold: 1000,
                ..destination(3, Forwarding::Gate)
            },
            "-r 10.1.0.3:80 -g -w 1 -x 2000 -y 1000",
        ),
        (
            Destination { weight: i32::MAX as u32, ..destination(4, Forwarding::Gate) },
            "-r 10.1.0.4:80 -g -w 2147483647",
        ),
        (
            tunnel(5, TunnelKind::Gue, 6080, TunnelFlags::default()),
            "-r 10.1.0.5:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum",
        ),
        (
            tunnel(6, TunnelKind::Gue, 6081, TunnelFlags::CHECKSUM),
            "-r 10.1.0.6:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-csum",
        ),
        (
            tunnel(7, TunnelKind::Gue, 6082, TunnelFlags::REMOTE_CHECKSUM),
            "-r 10.1.0.7:80 -i -w 1 --tun-type gue --tun-port 6082 --tun-remcsum",
        ),
        (
            tunnel(8, TunnelKind::Gre, 0, TunnelFlags::CHECKSUM),
            "-r 10.1.0.8:80 -i -w 1 --tun-type gre --tun-csum",
        ),
        (
            Destination::new(ip("2001:db8::7"), 80, Forwarding::Ipip),
            "-r [2001:db8::7]:80 -i -w 1 --tun-type ipip",
        ),
    ]
}

/// Loads a table in `ipvsadm -Sn` form.
fn restore(table: &str) {
    for line in table.lines() {
        ipvsadm(&line.split_whitespace().collect::<Vec<_>>());
    }
}

fn sorted(table: &str) -> Vec<String> {
    let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
