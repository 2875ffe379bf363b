//! Large tables, and how long they take.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use ipvs_rs::{
    Change, Destination, Error, Family, Forwarding, Ipvs, Protocol, Service, ServiceKey,
};

use super::{Test, saved, tests, web};

pub(crate) const TESTS: &[Test] = tests![
    ten_thousand_destinations_are_listed,
    five_thousand_services_are_listed,
    a_listing_of_a_changing_table_repeats_nothing,
    fifteen_hundred_servers_are_added_to_an_empty_table,
];

fn ten_thousand_destinations_are_listed() {
    let mut ipvs = Ipvs::open().unwrap();
    ipvs.add_service(&web()).unwrap();
    let wanted: Vec<Destination> = (0..10_000u32)
        .map(|index| {
            let address = IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + index));
            Destination { weight: index, ..Destination::new(address, 80, Forwarding::Gate) }
        })
        .collect();
    let started = Instant::now();
    for destination in &wanted {
        ipvs.add_destination(&web().key, destination).unwrap();
    }
    println!("added 10,000 destinations in {:?}", started.elapsed());
    ipvs.flush().unwrap();
    let add = |destination: &Destination| Change::AddDestination(web().key, *destination);
    let changes: Vec<Change> =
        [Change::AddService(web())].into_iter().chain(wanted.iter().map(add)).collect();
    let started = Instant::now();
    assert!(ipvs.apply(&changes).iter().all(Result::is_ok));
    println!("added 10,000 destinations together in {:?}", started.elapsed());

    let started = Instant::now();
    let mut listed: Vec<_> =
        ipvs.destinations(&web().key).unwrap().iter().map(|entry| entry.destination).collect();
    println!("listed 10,000 destinations in {:?}", started.elapsed());
    listed.sort_by_key(|destination| destination.weight);
    assert!(listed == wanted);
    assert_eq!(saved().lines().count(), 10_001);
}

fn five_thousand_services_are_listed() {
    let mut ipvs = Ipvs::open().unwrap();
    let wanted: Vec<Service> = (0..5_000u32)
        .map(|index| {
            let key = match index % 4 {
                0 => ServiceKey::Fwmark { family: Family::Inet, mark: index + 1 },
                1 => ServiceKey::Fwmark { family: Family::Inet6, mark: index + 1 },
                2 => ServiceKey::Address {
                    protocol: Protocol::Tcp,
                    address: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + index)),
                    port: 80,
                },
                _ => ServiceKey::Address {
                    protocol: Protocol::Udp,
                    address: IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(index))),
                    port: 53,
                },
            };
            Service::new(key, "wlc")
        })
        .collect();
    let started = Instant::now();
    for service in &wanted {
        ipvs.add_service(service).unwrap();
    }
    println!("added 5,000 services in {:?}", started.elapsed());

    let started = Instant::now();
    let listed = ipvs.services().unwrap();
    println!("listed 5,000 services in {:?}", started.elapsed());
    let mut keys: Vec<_> = listed.iter().map(|entry| entry.service.key).collect();
    let mut wanted_keys: Vec<_> = wanted.iter().map(|service| service.key).collect();
    keys.sort();
    wanted_keys.sort();
    assert!(keys == wanted_keys);
    assert_eq!(saved().lines().count(), 5_000);
}

fn a_listing_of_a_changing_table_repeats_nothing() {
    let mut ipvs = Ipvs::open().unwrap();
    ipvs.add_service(&web()).unwrap();
    for index in 0..2_000u32 {
        let address = IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + index));
        ipvs.add_destination(&web().key, &Destination::new(address, 80, Forwarding::Gate)).unwrap();
    }
    let adder = std::thread::spawn(|| {
        let mut ipvs = Ipvs::open().unwrap();
        for index in 0..2_000u32 {
            let address = IpAddr::V4(Ipv4Addr::from(0x0a02_0000 + index));
            ipvs.add_destination(&web().key, &Destination::new(address, 80, Forwarding::Gate))
                .unwrap();
        }
    });
    let mut complete = 0;
    loop {
        let last = adder.is_finished();
        match ipvs.destinations(&web().key) {
            Ok(entries) => {
                let mut addresses: Vec<_> =
                    entries.iter().map(|entry| entry.destination.address).collect();
                addresses.sort();
                let before = addresses.len();
                addresses.dedup();
                assert_eq!(addresses.len(), before);
                assert!(before >= 2_000);
                complete += 1;
            }
            Err(error) => assert!(matches!(error, Error::Unstable(_)), "{error}"),
        }
        if last {
            break;
        }
    }
    adder.join().unwrap();
    println!("{complete} complete listings");
    assert_eq!(ipvs.destinations(&web().key).unwrap().len(), 4_000);
}

fn fifteen_hundred_servers_are_added_to_an_empty_table() {
    for (services, servers) in [(150, 10), (1_500, 1)] {
        let started = Instant::now();
        let mut ipvs = Ipvs::open().unwrap();
        assert_eq!(ipvs.services().unwrap(), []);
        for service in 0..services {
            let address = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + service));
            let key = ServiceKey::Address { protocol: Protocol::Tcp, address, port: 80 };
            ipvs.add_service(&Service::new(key, "wlc")).unwrap();
            for server in 0..servers {
                let address = IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + service * servers + server));
                ipvs.add_destination(&key, &Destination::new(address, 80, Forwarding::Gate))
                    .unwrap();
            }
        }
        println!("added {services} services of {servers} destinations in {:?}", started.elapsed());

        let started = Instant::now();
        let keys: Vec<_> = ipvs.services().unwrap().iter().map(|entry| entry.service.key).collect();
        let listed: usize = keys.iter().map(|key| ipvs.destinations(key).unwrap().len()).sum();
        println!("listed them in {:?}", started.elapsed());
        assert_eq!(listed, 1_500);
        ipvs.flush().unwrap();
    }
}
