//! What the kernel refuses, and what is not even sent.

use ipvs_rs::{
    Destination, Error, Family, Forwarding, Ipvs, Netmask, Persistence, Service, ServiceKey,
    Tunnel, TunnelKind,
};

use super::{Test, ip, key, saved, tests, web};

pub(crate) const TESTS: &[Test] = tests![
    a_service_that_is_not_there_reads_as_none_and_lists_nothing,
    every_refusal_names_operation_and_errno,
    what_the_kernel_would_misread_is_not_sent,
];

fn a_service_that_is_not_there_reads_as_none_and_lists_nothing() {
    let mut ipvs = Ipvs::open().unwrap();
    assert_eq!(ipvs.services().unwrap(), []);
    assert_eq!(ipvs.service(&web().key).unwrap(), None);
    assert_eq!(ipvs.destinations(&web().key).unwrap(), []);
}

fn every_refusal_names_operation_and_errno() {
    let mut ipvs = Ipvs::open().unwrap();
    let absent = Service { key: key("tcp 10.0.0.9:80"), ..web() };
    let there = Destination::new(ip("10.0.0.2"), 80, Forwarding::Masq);
    let missing = Destination { port: 81, ..there };
    let v6 = Service::new(key("tcp [2001:db8::1]:80"), "wlc");
    let prefix = |length| Service {
        persistence: Some(Persistence { timeout_seconds: 1, netmask: Netmask::V6(length) }),
        key: key("tcp [2001:db8::2]:80"),
        ..web()
    };
    let gue = Tunnel { kind: TunnelKind::Gue, ..Tunnel::default() };
    ipvs.add_service(&web()).unwrap();
    ipvs.add_service(&v6).unwrap();
    ipvs.add_destination(&web().key, &there).unwrap();
    let (web, add, set) = (web().key, Ipvs::add_destination, Ipvs::set_destination);
    let new = Destination::new;

    let refused: Vec<(Result<(), Error>, &str)> = vec![
        (ipvs.set_service(&absent), "set service tcp 10.0.0.9:80: no such service (ESRCH)"),
        (
            ipvs.delete_service(&absent.key),
            "delete service tcp 10.0.0.9:80: no such service (ESRCH)",
        ),
        (ipvs.zero(Some(&absent.key)), "zero counters of tcp 10.0.0.9:80: no such service (ESRCH)"),
        (
            add(&mut ipvs, &absent.key, &there),
            "add destination 10.0.0.2:80 to tcp 10.0.0.9:80: no such service (ESRCH)",
        ),
        (
            set(&mut ipvs, &absent.key, &there),
            "set destination 10.0.0.2:80 of tcp 10.0.0.9:80: no such service (ESRCH)",
        ),
        (
            ipvs.delete_destination(&absent.key, there.address, 80),
            "delete destination 10.0.0.2:80 from tcp 10.0.0.9:80: no such service (ESRCH)",
        ),
        (ipvs.delete_service(&key("fwm6 7")), "delete service fwm6 7: no such service (ESRCH)"),
        (ipvs.add_service(&self::web()), "add service tcp 10.0.0.1:80: service exists (EEXIST)"),
        (
            add(&mut ipvs, &web, &there),
            "add destination 10.0.0.2:80 to tcp 10.0.0.1:80: destination exists (EEXIST)",
        ),
        (
            ipvs.add_service(&Service::new(absent.key, "nonesuch")),
            "add service tcp 10.0.0.9:80: no such scheduler or persistence engine (ENOENT)",
        ),
        (
            ipvs.set_service(&Service::new(web, "nonesuch")),
            "set service tcp 10.0.0.1:80: no such scheduler or persistence engine (ENOENT)",
        ),
        (
            ipvs.add_service(&Service {
                persistence_engine: Some("nonesuch".into()),
                ..absent.clone()
            }),
            "add service tcp 10.0.0.9:80: no such scheduler or persistence engine (ENOENT)",
        ),
        (
            set(&mut ipvs, &web, &missing),
            "set destination 10.0.0.2:81 of tcp 10.0.0.1:80: no such destination (ENOENT)",
        ),
        (
            ipvs.delete_destination(&web, missing.address, missing.port),
            "delete destination 10.0.0.2:81 from tcp 10.0.0.1:80: no such destination (ENOENT)",
        ),
        (
            add(&mut ipvs, &web, &new(ip("2001:db8::2"), 80, Forwarding::Gate)),
            "add destination [2001:db8::2]:80 to tcp 10.0.0.1:80: invalid argument (EINVAL)",
        ),
        (
            add(&mut ipvs, &v6.key, &new(ip("224.0.0.1"), 80, Forwarding::Masq)),
            "add destination 224.0.0.1:80 to tcp [2001:db8::1]:80: invalid argument (EINVAL)",
        ),
        (
            add(&mut ipvs, &web, &new(ip("224.0.0.1"), 80, Forwarding::Masq)),
            "add destination 224.0.0.1:80 to tcp 10.0.0.1:80: invalid argument (EINVAL)",
        ),
        (
            add(
                &mut ipvs,
                &web,
                &Destination { tunnel: gue, ..new(ip("10.0.0.3"), 80, Forwarding::Ipip) },
            ),
            "add destination 10.0.0.3:80 to tcp 10.0.0.1:80: invalid argument (EINVAL)",
        ),
        (
            ipvs.add_service(&prefix(0)),
            "add service tcp [2001:db8::2]:80: invalid argument (EINVAL)",
        ),
        (
            ipvs.add_service(&prefix(129)),
            "add service tcp [2001:db8::2]:80: invalid argument (EINVAL)",
        ),
        (
            add(&mut ipvs, &web, &Destination { weight: 1 << 31, ..missing }),
            "add destination 10.0.0.2:81 to tcp 10.0.0.1:80: weight or threshold out of range (ERANGE)",
        ),
        (
            set(&mut ipvs, &web, &Destination { upper_threshold: 1, lower_threshold: 2, ..there }),
            "set destination 10.0.0.2:80 of tcp 10.0.0.1:80: weight or threshold out of range (ERANGE)",
        ),
    ];
    for (result, text) in refused {
        assert_eq!(result.map_err(|error| error.to_string()), Err(text.to_owned()));
    }
    // Nothing was changed by what was refused, and the socket is fit for more.
    assert_eq!(ipvs.services().unwrap().len(), 2);
    assert_eq!(ipvs.destinations(&web).unwrap()[0].destination, there);

    assert!(ipvs.delete_service(&absent.key).unwrap_err().is_no_such_service());
    assert!(set(&mut ipvs, &web, &missing).unwrap_err().is_no_such_destination());
    assert!(add(&mut ipvs, &web, &there).unwrap_err().is_exists());
}

fn what_the_kernel_would_misread_is_not_sent() {
    let mut ipvs = Ipvs::open().unwrap();
    let mark = ServiceKey::Fwmark { family: Family::Inet, mark: 0 };
    let named = |scheduler: &str| Service { scheduler: scheduler.into(), ..web() };
    let netmask = Persistence { timeout_seconds: 1, netmask: Netmask::V6(64) };
    let long = "x".repeat(70_000);
    for service in [
        Service::new(mark, "rr"),
        named(""),
        named("sixteen-bytes-xx"),
        named("rr\0x"),
        named(&long),
        Service { persistence_engine: Some(String::new()), ..web() },
        Service { persistence: Some(netmask), ..web() },
        Service::new(key("tcp 10.0.0.1:0"), "rr"),
    ] {
        assert!(service.problem().is_some());
        let error = ipvs.add_service(&service).unwrap_err();
        assert!(matches!(error, Error::Invalid(..)), "{error}");
    }
    assert!(matches!(ipvs.delete_service(&mark), Err(Error::Invalid(..))));
    assert!(matches!(ipvs.destinations(&mark), Err(Error::Invalid(..))));
    assert_eq!(saved(), "");
}
