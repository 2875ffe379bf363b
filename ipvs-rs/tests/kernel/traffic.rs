//! Real connections.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ipvs_rs::{Destination, Family, Forwarding, Ipvs, Netmask, Persistence, Service};

use super::{Test, ip, key, tests};

pub(crate) const TESTS: &[Test] =
    tests![connections_are_counted_and_zeroed, a_persistent_client_is_counted,];

fn connections_are_counted_and_zeroed() {
    let mut ipvs = Ipvs::open().unwrap();
    let (service, listener) = loopback(&mut ipvs, None);
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect("127.0.0.1:8000").unwrap()).collect();
    let accepted: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();

    let entry = ipvs.destinations(&service.key).unwrap()[0];
    assert_eq!((entry.active_connections, entry.inactive_connections), (3, 0));
    // The kernel brings counters up to date every two seconds.
    let deadline = Instant::now() + Duration::from_secs(30);
    while ipvs.destinations(&service.key).unwrap()[0].stats.connections < 3 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(100));
    }
    let stats = ipvs.destinations(&service.key).unwrap()[0].stats;
    assert_eq!(stats.connections, 3);
    // SYN and ACK from each client, SYN+ACK to each; at least 40 bytes each.
    assert!(stats.incoming_packets >= 6 && stats.incoming_bytes >= 240, "{stats:?}");
    assert!(stats.outgoing_packets >= 3 && stats.outgoing_bytes >= 120, "{stats:?}");

    drop(clients);
    for (mut stream, _) in accepted {
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    let entry = ipvs.destinations(&service.key).unwrap()[0];
    assert_eq!(entry.active_connections + entry.inactive_connections, 3);
    for key in [Some(&service.key), None] {
        ipvs.zero(key).unwrap();
        let stats = ipvs.service(&service.key).unwrap().unwrap().stats;
        assert_eq!((stats.connections, stats.incoming_bytes), (0, 0));
    }
}

fn a_persistent_client_is_counted() {
    let mut ipvs = Ipvs::open().unwrap();
    let persistence = Persistence { timeout_seconds: 100, netmask: Netmask::host(Family::Inet) };
    let (service, listener) = loopback(&mut ipvs, Some(persistence));
    let _client = TcpStream::connect("127.0.0.1:8000").unwrap();
    listener.accept().unwrap();
    assert_eq!(ipvs.destinations(&service.key).unwrap()[0].persistent_connections, 1);
}

/// A service on loopback whose only destination listens on port 9000, and that listener.
pub(crate) fn loopback(
    ipvs: &mut Ipvs,
    persistence: Option<Persistence>,
) -> (Service, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:9000").unwrap();
    let service = Service { persistence, ..Service::new(key("tcp 127.0.0.1:8000"), "rr") };
    ipvs.add_service(&service).unwrap();
    ipvs.add_destination(&service.key, &Destination::new(ip("127.0.0.1"), 9000, Forwarding::Masq))
        .unwrap();
    (service, listener)
}
