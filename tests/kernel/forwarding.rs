//! Connections of a client through the virtual address: to living real servers, never to a dead
//! one, and to the fallback when all are dead.

use super::director::{Director, PATIENCE, wait_for};
use super::server::{Connection, Server, answer_datagrams, who_answers, who_answers_datagrams};
use super::world::World;
use super::{SEEN, SEVERAL_CHECKS, Test, tests};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = tests![
    masq_gate_ipip_and_marks_reach_living_servers_or_the_fallback,
    several_fallbacks_share_the_connections_by_their_weights,
    with_quiescent_a_dead_server_stays_listed_and_gets_nothing,
    a_udp_service_follows_its_servers,
    an_http_check_takes_out_a_server_that_accepts_but_does_not_answer,
];

/// The services of one configuration: how the table names them, their forwarding, family, and
/// where a client connects.
const SERVICES: [(&str, &str, bool, &str); 8] = [
    ("fwm 7", "masq", false, "10.9.0.4:80"),
    ("fwm6 7", "masq", true, "[fd00:9::4]:80"),
    ("tcp 10.9.0.1:80", "masq", false, "10.9.0.1:80"),
    ("tcp 10.9.0.2:80", "gate", false, "10.9.0.2:80"),
    ("tcp 10.9.0.3:80", "ipip", false, "10.9.0.3:80"),
    ("tcp [fd00:9::1]:80", "masq", true, "[fd00:9::1]:80"),
    ("tcp [fd00:9::2]:80", "gate", true, "[fd00:9::2]:80"),
    ("tcp [fd00:9::3]:80", "ipip", true, "[fd00:9::3]:80"),
];

/// What netfilter marks for the two services by mark: nftables' families are not in the guest's
/// kernel.
const MARKS: [(&str, &str); 2] =
    [("iptables-legacy-restore", "10.9.0.4"), ("ip6tables-legacy-restore", "fd00:9::4")];

fn masq_gate_ipip_and_marks_reach_living_servers_or_the_fallback() {
    follow_the_servers("forward", "no");
}

fn with_quiescent_a_dead_server_stays_listed_and_gets_nothing() {
    follow_the_servers("quiescent", "yes");
}

fn follow_the_servers(name: &str, quiescent: &str) {
    let world = World::full(name);
    for (restore, address) in MARKS {
        let rule = format!("-A PREROUTING -d {address} -p tcp --dport 80:81 -j MARK --set-mark 7");
        world.feed("director", &[restore], &format!("*mangle\n{rule}\nCOMMIT\n"));
    }
    let [rs1, rs2, rs3, _rs4] = ["rs1", "rs2", "rs3", "rs4"].map(|server| listen(&world, server));
    let director = Director::start(&world, &config(quiescent));
    let dead = if quiescent == "yes" { Some(0) } else { None };
    let reach = |weights: [Option<u32>; 4], who: &str, limit| {
        director.expect(&table(weights).iter().map(String::as_str).collect::<Vec<_>>(), limit);
        for (service, _, _, address) in SERVICES {
            assert_eq!(who_answers(&world, address, 6), who, "{service}\n{}", director.story());
        }
    };
    reach([Some(1), Some(1), Some(1), None], "rs1 rs2 rs3", PATIENCE);
    // Both ports with the mark are one service.
    assert_eq!(who_answers(&world, "10.9.0.4:81", 6), "rs1 rs2 rs3");
    drop(rs2);
    reach([Some(1), dead, Some(1), None], "rs1 rs3", SEEN);
    drop(rs1);
    drop(rs3);
    reach([dead, dead, dead, Some(1)], "rs4", SEEN);
    let _rs3 = listen(&world, "rs3");
    reach([dead, dead, Some(1), None], "rs3", SEEN);
    director.stop();
    assert_eq!(director.table(), Vec::<String>::new());
}

fn listen(world: &World, server: &'static str) -> Server {
    Server::start(world, server, "[::]:80")
}

fn config(quiescent: &str) -> String {
    let mut text = format!("checkinterval=1\nchecktimeout=5\nquiescent={quiescent}\n");
    for (service, forwarding, v6, address) in SERVICES {
        let six = if v6 { "6" } else { "" };
        let virtual_address = if service.starts_with("fwm") { "7" } else { address };
        let real = |last: u8| {
            if v6 { format!("[fd00:2::{last}]:80") } else { format!("10.0.2.{last}:80") }
        };
        text += &format!("virtual{six}={virtual_address}\n");
        for last in [11, 12, 13] {
            text += &format!("    real{six}={} {forwarding}\n", real(last));
        }
        text += &format!("    fallback{six}={} {forwarding}\n", real(14));
        text += "    scheduler=rr\n    checktype=connect\n";
    }
    text
}

/// The whole table with these weights for rs1, rs2, rs3 and the fallback rs4.
fn table(weights: [Option<u32>; 4]) -> Vec<String> {
    SERVICES
        .iter()
        .map(|(service, forwarding, v6, _)| {
            let destinations: Vec<String> = (11..=14)
                .zip(weights)
                .filter_map(|(last, weight)| {
                    let (net, end) = if *v6 { ("[fd00:2::", "]") } else { ("10.0.2.", "") };
                    weight.map(|weight| format!("{net}{last}{end}:80 {forwarding} {weight}"))
                })
                .collect();
            format!("{service} rr -> {}", destinations.join(", "))
        })
        .collect()
}

fn several_fallbacks_share_the_connections_by_their_weights() {
    let world = World::full("fallbacks");
    let [rs1, _rs3, _rs4] = ["rs1", "rs3", "rs4"].map(|server| listen(&world, server));
    let config = |last: &str| {
        format!(
            "checkinterval=1
checktimeout=5
fallback=10.0.2.12:80 masq
virtual=10.9.0.1:80
    real=10.0.2.11:80 masq
    fallbackserver=10.0.2.13:80 masq 3
    fallbackserver=10.0.2.14:80 {last}
    scheduler=wrr
    checktype=connect
"
        )
    };
    let both = "tcp 10.9.0.1:80 wrr -> 10.0.2.13:80 masq 3, 10.0.2.14:80 masq 1";
    let up = "tcp 10.9.0.1:80 wrr -> 10.0.2.11:80 masq 1";
    let director = Director::start(&world, &config("masq"));
    director.expect(&[up], PATIENCE);
    drop(rs1);
    director.expect(&[both], SEEN);
    let mut open: Vec<Connection> = (0..8)
        .map(|_| Connection::open(&world, "client", "10.9.0.1:80").expect("connected"))
        .collect();
    let names: Vec<String> = open.iter_mut().map(|it| it.who().expect("an answer")).collect();
    let of_rs3 = names.iter().filter(|name| *name == "rs3").count();
    assert_eq!(of_rs3, 6, "{names:?}");
    let status = &director.status()["services"][0];
    assert_eq!(status["fallback"]["address"], "10.0.2.13:80");
    assert_eq!(status["fallbacks"][0]["active"], 6, "{status}");
    assert_eq!(status["fallbacks"][1]["weight_listed"], 1, "{status}");

    director.reload(&config("masq 5"));
    let more = "tcp 10.9.0.1:80 wrr -> 10.0.2.13:80 masq 3, 10.0.2.14:80 masq 5";
    director.expect(&[more], PATIENCE);
    let changed = "Restored fallback server: 10.0.2.14:80 (10.9.0.1:80) (Weight set to 5)";
    // The log follows the table.
    let told = || (director.logged(changed) == 1).then_some(()).ok_or_else(|| director.story());
    wait_for("a line of the log", PATIENCE, told);
    assert_eq!(director.logged("Restored fallback server: "), 1, "{}", director.story());

    // The next process takes them over as they are.
    let touched = |director: &Director<'_>| {
        ["Added fallback", "Deleted fallback", "Restored", "Purged"]
            .map(|word| director.logged(word))
    };
    let before = touched(&director);
    director.kill();
    director.command("start");
    director.pid();
    director.stays(&[more], SEVERAL_CHECKS);
    assert_eq!(touched(&director), before, "{}", director.story());
    for (open, name) in open.iter_mut().zip(&names) {
        assert_eq!(open.who().as_ref(), Some(name), "{}", director.story());
    }

    let _rs1 = listen(&world, "rs1");
    director.expect(&[up], SEEN);
    director.stop();
    assert_eq!(director.table(), Vec::<String>::new());
}

fn a_udp_service_follows_its_servers() {
    let world = World::full("udp");
    for server in ["rs1", "rs2"] {
        answer_datagrams(&world, server, "0.0.0.0:5000");
    }
    let director = Director::start(
        &world,
        "checkinterval=1
checktimeout=3
virtual=10.9.0.1:5000
    real=10.0.2.11:5000 masq
    real=10.0.2.12:5000 masq
    protocol=udp
    scheduler=rr
    checktype=connect",
    );
    let both = "udp 10.9.0.1:5000 rr -> 10.0.2.11:5000 masq 1, 10.0.2.12:5000 masq 1";
    director.expect(&[both], PATIENCE);
    assert_eq!(who_answers_datagrams(&world, "10.9.0.1:5000", 6), "rs1 rs2");
    // A udp service is checked by ping.
    world.sysctl("rs1", "ipv4/icmp_echo_ignore_all", "1");
    director.expect(&["udp 10.9.0.1:5000 rr -> 10.0.2.12:5000 masq 1"], SEEN);
    assert_eq!(who_answers_datagrams(&world, "10.9.0.1:5000", 6), "rs2");
    world.sysctl("rs1", "ipv4/icmp_echo_ignore_all", "0");
    director.expect(&[both], SEEN);
    assert_eq!(who_answers_datagrams(&world, "10.9.0.1:5000", 6), "rs1 rs2");
}

fn an_http_check_takes_out_a_server_that_accepts_but_does_not_answer() {
    let world = World::full("http");
    let _rs1 = Server::start(&world, "rs1", "10.0.2.11:80");
    let rs2 = Server::start(&world, "rs2", "10.0.2.12:80");
    let director = Director::start(
        &world,
        "checkinterval=1
negotiatetimeout=3
virtual=10.9.0.1:80
    real=10.0.2.11:80 masq
    real=10.0.2.12:80 masq
    scheduler=rr
    request=\"status\"
    receive=\"^rs\\d$\"",
    );
    let both = "tcp 10.9.0.1:80 rr -> 10.0.2.11:80 masq 1, 10.0.2.12:80 masq 1";
    director.expect(&[both], PATIENCE);
    drop(rs2);
    // Accepts by its backlog alone.
    let silent = world.inside("rs2", || std::net::TcpListener::bind("10.0.2.12:80").unwrap());
    director.expect(&["tcp 10.9.0.1:80 rr -> 10.0.2.11:80 masq 1"], SEEN);
    drop(silent);
    let other = Server::named(&world, "rs2", "unexpected", "10.0.2.12:80");
    let wrong = other.accepted();
    wait_for("two checks", PATIENCE, || (other.accepted() > wrong + 1).then_some(()).ok_or(""));
    director.stays(&["tcp 10.9.0.1:80 rr -> 10.0.2.11:80 masq 1"], Duration::from_millis(200));
    drop(other);
    let _rs2 = Server::start(&world, "rs2", "10.0.2.12:80");
    director.expect(&[both], SEEN);
}
