//! The examples do what they say.

use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::Duration;

use ipvs_rs::{Destination, Forwarding, Ipvs, Service};

use super::options::{destinations, services};
use super::traffic::loopback;
use super::{Test, ipvsadm, tests, web};

#[path = "../../examples/add_service.rs"]
#[allow(dead_code)]
mod add_service;
#[path = "../../examples/drain.rs"]
#[allow(dead_code)]
mod drain;
#[path = "../../examples/list.rs"]
#[allow(dead_code)]
mod list;

pub(crate) const TESTS: &[Test] = tests![
    example_list_prints_what_ipvsadm_lists,
    example_add_service_brings_a_service_to_what_is_asked,
    example_drain_waits_for_the_last_connection,
];

fn example_list_prints_what_ipvsadm_lists() {
    let mut ipvs = Ipvs::open().unwrap();
    for (service, _) in services() {
        ipvs.add_service(&service).unwrap();
    }
    for (destination, _) in destinations() {
        ipvs.add_destination(&web().key, &destination).unwrap();
    }
    let mut printed = Vec::new();
    list::print(&mut ipvs, &mut printed).unwrap();
    assert_eq!(String::from_utf8(printed).unwrap(), ipvsadm(&["-Ln"]));
}

fn example_add_service_brings_a_service_to_what_is_asked() {
    let mut ipvs = Ipvs::open().unwrap();
    let server =
        |last| Destination::new(IpAddr::V4(Ipv4Addr::new(10, 1, 0, last)), 80, Forwarding::Masq);
    let heavier = Destination { weight: 5, ..server(2) };
    let steps: [(&str, &[Destination]); 4] = [
        ("wlc", &[server(1), server(2), server(3)]),
        ("wlc", &[server(1), server(2), server(3)]),
        ("rr", &[server(1), heavier, server(4)]),
        ("rr", &[]),
    ];
    for (scheduler, wanted) in steps {
        let service = Service { scheduler: scheduler.into(), ..web() };
        add_service::apply(&mut ipvs, &service, wanted).unwrap();
        assert_eq!(ipvs.service(&service.key).unwrap().unwrap().service, service);
        let mut listed: Vec<_> = ipvs
            .destinations(&service.key)
            .unwrap()
            .iter()
            .map(|entry| entry.destination)
            .collect();
        listed.sort_by_key(Destination::socket_address);
        assert_eq!(listed, wanted);
    }
}

fn example_drain_waits_for_the_last_connection() {
    let mut ipvs = Ipvs::open().unwrap();
    let (service, listener) = loopback(&mut ipvs, None);
    let server = "127.0.0.1:9000".parse().unwrap();
    let client = TcpStream::connect("127.0.0.1:8000").unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let closer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        drop((client, accepted));
    });
    let left = drain::drain(&mut ipvs, &service.key, server, Duration::from_secs(60)).unwrap();
    assert_eq!(left, 0);
    assert!(closer.is_finished());
    assert_eq!(ipvs.destinations(&service.key).unwrap(), []);
    assert_eq!(drain::drain(&mut ipvs, &service.key, server, Duration::ZERO).unwrap(), 0);
}
