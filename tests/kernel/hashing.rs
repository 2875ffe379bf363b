//! Directors that hash must place every flow alike, whatever each of them has seen.

use super::director::{Director, PATIENCE};
use super::server::{answer_datagrams, who_answers_datagram_from};
use super::world::World;
use super::{SEEN, Test, tests};

pub(crate) const TESTS: &[Test] =
    tests![a_director_that_starts_while_a_server_is_down_hashes_as_one_that_saw_it_die];

const CONFIG: &str = "checkinterval=1
checktimeout=3
quiescent=yes
virtual=10.9.0.1:5000
    real=10.0.2.11:5000 masq 2
    real=10.0.2.12:5000 masq 3
    real=10.0.2.13:5000 masq 4
    protocol=udp
    ops=yes
    scheduler=mh
    schedflags=mh-fallback,mh-port
    checktype=connect
";

const THIRD_IS_DOWN: &str =
    "udp 10.9.0.1:5000 mh -> 10.0.2.11:5000 masq 2, 10.0.2.12:5000 masq 3, 10.0.2.13:5000 masq 0";

/// Flows that are placed, by the port of the client. Each datagram is placed anew.
const FLOWS: std::ops::Range<u16> = 20_000..20_150;

fn a_director_that_starts_while_a_server_is_down_hashes_as_one_that_saw_it_die() {
    let world = World::full("hashing");
    for server in ["rs1", "rs2", "rs3"] {
        answer_datagrams(&world, server, "0.0.0.0:5000");
    }
    let map = || -> Vec<String> {
        FLOWS.map(|port| who_answers_datagram_from(&world, port, "10.9.0.1:5000")).collect()
    };
    let director = Director::start(&world, CONFIG);
    director.expect(&[&THIRD_IS_DOWN.replace("masq 0", "masq 4")], PATIENCE);
    world.sysctl("rs3", "ipv4/icmp_echo_ignore_all", "1");
    director.expect(&[THIRD_IS_DOWN], SEEN);
    let saw_it_die = map();
    for name in ["rs1", "rs2"] {
        assert!(saw_it_die.iter().any(|it| it == name), "{name} has its share: {saw_it_die:?}");
    }
    assert!(!saw_it_die.iter().any(|it| it == "-" || it == "rs3"), "{saw_it_die:?}");
    director.stop();
    director.command("start");
    director.expect(&[THIRD_IS_DOWN], PATIENCE);
    let started_later = map();
    let moved = saw_it_die.iter().zip(&started_later).filter(|(one, other)| one != other).count();
    assert_eq!(moved, 0, "of {}: {}", FLOWS.len(), director.story());
}
