//! What operators do to the table by hand, between two changes of health.

use std::time::Duration;

use super::director::{Director, PATIENCE, ipvsadm};
use super::server::Server;
use super::world::World;
use super::{SEEN, Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    what_an_operator_changes_is_left_alone_until_the_server_changes,
    reconcile_puts_right_what_was_changed_behind_our_back,
    a_quiesced_server_that_an_operator_removes_stays_removed,
];

const CONFIG: &str = "checkinterval=1
checktimeout=5
virtual=10.9.0.1:80
    real=127.0.0.11:80 masq 5
    real=127.0.0.12:80 masq 5
    scheduler=rr
    checktype=connect
    quiescent=";

const BOTH: &str = "tcp 10.9.0.1:80 rr -> 127.0.0.11:80 masq 5, 127.0.0.12:80 masq 5";

fn what_an_operator_changes_is_left_alone_until_the_server_changes() {
    let world = World::director("hands");
    let rs1 = Server::start(&world, "director", "127.0.0.11:80");
    let _rs2 = Server::start(&world, "director", "127.0.0.12:80");
    let director = Director::start(&world, &format!("{CONFIG}no"));
    director.expect(&[BOTH], PATIENCE);
    ipvsadm(&world, "-e -t 10.9.0.1:80 -r 127.0.0.11:80 -m -w 9");
    ipvsadm(&world, "-d -t 10.9.0.1:80 -r 127.0.0.12:80");
    director.stays(&["tcp 10.9.0.1:80 rr -> 127.0.0.11:80 masq 9"], 3 * SECOND);
    drop(rs1);
    director.expect(&["tcp 10.9.0.1:80 rr ->"], SEEN);
    let _rs1 = Server::start(&world, "director", "127.0.0.11:80");
    director.expect(&["tcp 10.9.0.1:80 rr -> 127.0.0.11:80 masq 5"], SEEN);
    director.reload(&format!("{CONFIG}no\n    comment=again"));
    director.expect(&[BOTH], SEEN);
}

fn reconcile_puts_right_what_was_changed_behind_our_back() {
    let world = World::director("reconcile");
    let _rs1 = Server::start(&world, "director", "127.0.0.11:80");
    let _rs2 = Server::start(&world, "director", "127.0.0.12:80");
    let director = Director::start(&world, &format!("{CONFIG}no\n    reconcile=yes"));
    director.expect(&[BOTH], PATIENCE);
    for behind_our_back in [
        "-e -t 10.9.0.1:80 -r 127.0.0.11:80 -m -w 9",
        "-d -t 10.9.0.1:80 -r 127.0.0.12:80",
        "-E -t 10.9.0.1:80 -s wlc",
        "-D -t 10.9.0.1:80",
    ] {
        ipvsadm(&world, behind_our_back);
        director.expect(&[BOTH], SEEN);
    }
    // Another's service is another's business.
    ipvsadm(&world, "-A -t 10.9.0.2:80 -s rr");
    director.stays(&[BOTH, "tcp 10.9.0.2:80 rr ->"], 2 * SECOND);
}

fn a_quiesced_server_that_an_operator_removes_stays_removed() {
    let world = World::director("drained");
    let rs1 = Server::start(&world, "director", "127.0.0.11:80");
    let _rs2 = Server::start(&world, "director", "127.0.0.12:80");
    let director = Director::start(&world, &format!("{CONFIG}yes"));
    director.expect(&[BOTH], PATIENCE);
    drop(rs1);
    let drained = "tcp 10.9.0.1:80 rr -> 127.0.0.11:80 masq 0, 127.0.0.12:80 masq 5";
    director.expect(&[drained], SEEN);
    ipvsadm(&world, "-d -t 10.9.0.1:80 -r 127.0.0.11:80");
    director.stays(&["tcp 10.9.0.1:80 rr -> 127.0.0.12:80 masq 5"], 3 * SECOND);
    let _rs1 = Server::start(&world, "director", "127.0.0.11:80");
    director.expect(&[BOTH], SEEN);
}

const SECOND: Duration = Duration::from_secs(1);
