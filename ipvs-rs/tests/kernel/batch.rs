//! Many changes in few exchanges: what the kernel refuses keeps no other from being made.

use ipvs_rs::{Change, Destination, Error, Forwarding, Ipvs, Service, ServiceKey};

use super::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    each_change_of_a_batch_is_made_or_refused_by_itself,
    a_batch_is_as_long_as_it_likes,
    what_cannot_be_said_is_not_sent_and_nothing_else_is_kept,
];

fn web() -> ServiceKey {
    "tcp 10.0.0.1:80".parse().unwrap()
}

fn destination(number: u32) -> Destination {
    let [_, _, high, low] = number.to_be_bytes();
    Destination::new([10, 1, high, low].into(), 80, Forwarding::Masq)
}

fn errno(result: &Result<(), Error>) -> Option<i32> {
    result.as_ref().err().and_then(Error::errno)
}

fn weights(ipvs: &mut Ipvs) -> Vec<(String, u32)> {
    let entries = ipvs.destinations(&web()).unwrap();
    let mut weights: Vec<_> = entries
        .iter()
        .map(|it| (it.destination.address.to_string(), it.destination.weight))
        .collect();
    weights.sort();
    weights
}

fn each_change_of_a_batch_is_made_or_refused_by_itself() {
    let mut ipvs = Ipvs::open().unwrap();
    ipvs.flush().unwrap();
    let other: ServiceKey = "tcp 10.0.0.9:80".parse().unwrap();
    let heavy = |number, weight| Destination { weight, ..destination(number) };
    let changes = [
        (Change::AddService(Service::new(web(), "rr")), None),
        (Change::AddDestination(web(), destination(1)), None),
        (Change::AddService(Service::new(web(), "rr")), Some(17)),
        (Change::AddDestination(other, destination(1)), Some(3)),
        (Change::AddDestination(web(), destination(1)), Some(17)),
        (Change::AddDestination(web(), destination(2)), None),
        (Change::SetDestination(web(), heavy(3, 1)), Some(2)),
        (Change::AddService(Service::new(other, "nosuch")), Some(2)),
        (Change::AddDestination(web(), heavy(4, u32::MAX)), Some(34)),
        (Change::SetDestination(web(), heavy(1, 7)), None),
        (Change::DeleteDestination(web(), destination(5).socket_address()), Some(2)),
        (Change::AddDestination(web(), destination(6)), None),
        (Change::DeleteDestination(web(), destination(2).socket_address()), None),
        (Change::DeleteService(other), Some(3)),
        (Change::SetService(Service::new(web(), "wrr")), None),
    ];
    let all: Vec<Change> = changes.iter().map(|(change, _)| change.clone()).collect();
    let results = ipvs.apply(&all);
    for ((change, expected), result) in changes.iter().zip(&results) {
        assert_eq!(errno(result), *expected, "{change:?}: {result:?}");
        if let Err(error) = result {
            assert_eq!(error.operation(), change.operation());
        }
    }
    assert_eq!(weights(&mut ipvs), [("10.1.0.1".into(), 7), ("10.1.0.6".into(), 1)]);
    assert_eq!(ipvs.service(&web()).unwrap().unwrap().service.scheduler, "wrr");
    assert!(ipvs.apply(&[]).is_empty());
}

fn a_batch_is_as_long_as_it_likes() {
    let mut ipvs = Ipvs::open().unwrap();
    ipvs.flush().unwrap();
    let count = 3000;
    let add = |number| Change::AddDestination(web(), destination(number));
    let mut changes = vec![Change::AddService(Service::new(web(), "wlc"))];
    // Each twice: the second is refused, with the whole request in the refusal.
    changes.extend((1..=count).flat_map(|number| [add(number), add(number)]));
    let results = ipvs.apply(&changes);
    assert_eq!(results.len(), changes.len());
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), count as usize + 1);
    assert!(results.iter().all(|it| it.is_ok() || it.as_ref().is_err_and(Error::is_exists)));
    assert_eq!(ipvs.destinations(&web()).unwrap().len(), count as usize);
    ipvs.flush().unwrap();
}

fn what_cannot_be_said_is_not_sent_and_nothing_else_is_kept() {
    let mut ipvs = Ipvs::open().unwrap();
    ipvs.flush().unwrap();
    let long = Service::new("tcp 10.0.0.9:80".parse().unwrap(), "a-name-that-is-too-long-for-it");
    let changes = [
        Change::AddService(Service::new(web(), "rr")),
        Change::AddService(long.clone()),
        Change::AddDestination(web(), destination(1)),
    ];
    let results = ipvs.apply(&changes);
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert!(matches!(results[1], Err(Error::Invalid(..))), "{results:?}");
    assert!(matches!(ipvs.apply(&[Change::SetService(long)])[..], [Err(Error::Invalid(..))]));
    assert_eq!(weights(&mut ipvs).len(), 1);
    ipvs.flush().unwrap();
}
