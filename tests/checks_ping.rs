//! ping, as root: of this machine, and of nobody, in a network of its own.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use ldirectord::model::CheckMethod;
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
    packages(&["iproute2", "util-linux"]);
    // What is sent to 192.0.2.0/24 comes back on lo, where nobody has that address.
    let network =
        "ip link set lo up && ip route add 192.0.2.0/24 dev lo && exec \"$0\" --nocapture";
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", network])
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
