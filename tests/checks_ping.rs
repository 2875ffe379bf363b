//! ping and connect, as root: of this machine, of nobody, and where it is forbidden, in a network of
//! its own.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use ldirectord::check::{self, CheckOutcome, Deadline, Failure};
use ldirectord::model::{CheckMethod, Step};
use std::process::Command;
use std::time::{Duration, Instant};
use support::daemon::packages;
use support::plan::{plan, run, words};

/// Set in the process that has the network of its own.
const INSIDE: &str = "TEST_PING_INSIDE";

#[test]
fn a_reply_is_up_and_none_is_down_after_all_attempts() {
    if std::env::var_os(INSIDE).is_some() {
        return ping_everybody();
    }
    // What is sent to 192.0.2.0/24 comes back on lo, where nobody has that address.
    let network = "ip link set lo up && ip route add 192.0.2.0/24 dev lo";
    in_own_network(network, "", "a_reply_is_up_and_none_is_down_after_all_attempts");
}

#[test]
fn a_ping_that_may_not_be_sent_is_no_verdict_on_the_server() {
    if std::env::var_os(INSIDE).is_some() {
        for target in ["127.0.0.1:0", "[::1]:0"] {
            let method = CheckMethod::Ping { attempts: 2 };
            let verdict = run(&plan(method, target.parse().unwrap(), Duration::from_secs(5)));
            let outcome = verdict.outcome;
            assert!(matches!(outcome, CheckOutcome::Down(Failure::Local(_))), "{outcome:?}");
            assert!(words(&outcome).contains("CAP_NET_RAW"), "{outcome:?}");
        }
        return;
    }
    // In a new network nobody is in `ping_group_range`.
    let without = "setpriv --bounding-set -net_raw --inh-caps -net_raw --";
    let network = "ip link set lo up";
    in_own_network(network, without, "a_ping_that_may_not_be_sent_is_no_verdict_on_the_server");
}

#[test]
fn a_packet_filter_before_a_server_is_a_verdict_as_it_is_for_those_that_are_forwarded() {
    if std::env::var_os(INSIDE).is_some() {
        let method = CheckMethod::Ping { attempts: 1 };
        let outcome =
            run(&plan(method, "127.0.0.1:0".parse().unwrap(), Duration::from_secs(5))).outcome;
        assert_eq!(words(&outcome), "Operation not permitted (os error 1)");
        return;
    }
    packages(&["iptables"]);
    let name = "a_packet_filter_before_a_server_is_a_verdict_as_it_is_for_those_that_are_forwarded";
    in_own_network("ip link set lo up && iptables-legacy -A OUTPUT -p icmp -j DROP", "", name);
}

#[test]
fn what_this_machine_forbids_is_no_verdict_and_what_a_router_forbids_is_one() {
    if std::env::var_os(INSIDE).is_some() {
        let connect = |target: &str| {
            let plan = plan(CheckMethod::Connect, target.parse().unwrap(), Duration::from_secs(5));
            check::run(&plan, Step::Full, None, Deadline::after(Duration::from_secs(5)))
        };
        let ours = connect("192.0.2.1:80");
        assert!(matches!(ours, CheckOutcome::Down(Failure::Local(_))), "{ours:?}");
        // The same error, but it came back with a packet.
        let theirs = connect("[::1]:80");
        assert!(matches!(theirs, CheckOutcome::Down(Failure::Io(_))), "{theirs:?}");
        return;
    }
    packages(&["iptables"]);
    let network = "ip link set lo up && ip route add prohibit 192.0.2.0/24 && \
         ip6tables-legacy -A INPUT -p tcp -j REJECT --reject-with icmp6-adm-prohibited";
    let name = "what_this_machine_forbids_is_no_verdict_and_what_a_router_forbids_is_one";
    in_own_network(network, "", name);
}

/// Runs a test again in a network of its own, as a program that this one starts.
fn in_own_network(network: &str, through: &str, test: &str) {
    packages(&["iproute2", "util-linux"]);
    let shell = format!("{network} && exec {through} \"$0\" --exact {test} --nocapture");
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", &shell])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn ping_everybody() {
    let each = Duration::from_millis(300);
    for (address, attempts, expected) in [
        ("127.0.0.1:0", 1, "up"),
        ("[::1]:0", 1, "up"),
        ("192.0.2.1:0", 2, "no reply to ping"),
        ("198.51.100.1:0", 2, "no route to host"),
    ] {
        let begun = Instant::now();
        let verdict = run(&plan(CheckMethod::Ping { attempts }, address.parse().unwrap(), each));
        let words = words(&verdict.outcome);
        assert_eq!(words, expected, "{address}");
        assert!(begun.elapsed() < Duration::from_secs(10));
        if words.contains("reply") {
            assert!(verdict.took >= 2 * each, "asked once only: {:?}", verdict.took);
        }
    }
}
