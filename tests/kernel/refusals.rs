//! A kernel that refuses, and servers that swallow packets: each test has the guest to itself.

use std::fs;
use std::time::Duration;

use super::director::{Director, PATIENCE};
use super::server::Server;
use super::world::World;
use super::{SEEN, Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    thirty_servers_that_swallow_packets_do_not_delay_another_ones_death,
    a_refused_operation_is_reported_once_and_repeated_until_it_succeeds,
];

/// Within which a death must be seen among servers that swallow packets: the interval, 1 s, and what
/// a loaded machine may add. One after the other, the checks of those servers would take 30 s.
const AMONG_HOLES: Duration = Duration::from_secs(15);

const GOOD: &str = "virtual=10.9.0.1:80
    real=127.0.0.11:80 masq
    scheduler=rr
    checktype=connect
";

fn thirty_servers_that_swallow_packets_do_not_delay_another_ones_death() {
    let world = World::director("holes");
    let mut config = format!("checkinterval=1\nchecktimeout=1\n{GOOD}virtual=10.9.0.2:80\n");
    for last in 1..=30 {
        config += &format!("    real=10.66.1.{last}:80 masq\n");
    }
    config += "    scheduler=rr\n    checktype=connect\n";
    let up = "tcp 10.9.0.1:80 rr -> 127.0.0.11:80 masq 1";
    let down = "tcp 10.9.0.1:80 rr ->";
    let holes = "tcp 10.9.0.2:80 rr ->";
    let server = Server::start(&world, "director", "127.0.0.11:80");
    let director = Director::start(&world, &config);
    director.expect(&[up, holes], PATIENCE);
    let mut server = Some(server);
    for _ in 0..3 {
        drop(server.take());
        director.expect(&[down, holes], AMONG_HOLES);
        server = Some(Server::start(&world, "director", "127.0.0.11:80"));
        director.expect(&[up, holes], SEEN);
    }
}

fn a_refused_operation_is_reported_once_and_repeated_until_it_succeeds() {
    const MODPROBE: &str = "/proc/sys/kernel/modprobe";
    let world = World::director("refusing");
    let _server = Server::start(&world, "director", "127.0.0.11:80");
    // A scheduler whose module cannot be loaded for now, and one that there is not.
    let helper = fs::read_to_string(MODPROBE).unwrap();
    fs::write(MODPROBE, "/bin/false").unwrap();
    let other = |port: u16, scheduler: &str| {
        let virtual_address = format!("10.9.0.1:{port}");
        GOOD.replace("10.9.0.1:80", &virtual_address).replace("=rr", &format!("={scheduler}"))
    };
    let config = format!("checkinterval=1\n{GOOD}{}{}", other(81, "nosuch"), other(82, "sed"));
    let director = Director::start(&world, &config);
    let good = "tcp 10.9.0.1:80 rr -> 127.0.0.11:80 masq 1";
    director.expect(&[good], PATIENCE);
    director.stays(&[good], Duration::from_secs(3));
    fs::write(MODPROBE, helper.trim()).unwrap();
    director.expect(&[good, "tcp 10.9.0.1:82 sed -> 127.0.0.11:80 masq 1"], SEEN);
    let refusals: Vec<String> = director
        .log()
        .lines()
        .filter(|line| line.contains("10.9.0.1:81") && line.contains("ENOENT"))
        .map(str::to_owned)
        .collect();
    assert_eq!(refusals.len(), 1, "{}", director.story());
}
