//! `ldirectord-anycast` as a process, where it needs neither root nor a network.
#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;

/// Runs the program with an empty state directory: exit status, standard output, standard error.
fn run(words: &[&str]) -> (i32, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::cargo_bin("ldirectord-anycast")
        .unwrap()
        .arg("--state-dir")
        .arg(directory.path().join("state"))
        .args(words)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_address_outside_the_subnets_is_refused_in_one_line() {
    for (subnet, service) in [
        ("198.51.100.0/24", "192.0.2.1:53"),
        ("198.51.100.0/24", "198.51.101.0:53"),
        ("198.51.100.0/24", "[2001:db8:53::1]:53"),
        ("2001:db8:53::/64", "[2001:db8:54::1]:53"),
        ("2001:db8:53::/64", "198.51.100.1:53"),
        ("127.0.0.0/8", "127.0.0.1:53"),
        ("::/1", "[::1]:53"),
    ] {
        for word in ["start", "stop", "forget"] {
            let (status, stdout, stderr) = run(&["--subnet", subnet, word, service, "udp"]);
            assert_eq!((status, stdout.as_str()), (2, ""), "{subnet} {word} {service}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            assert!(stderr.starts_with("ldirectord-anycast: refused "), "{stderr}");
        }
    }
}

#[test]
fn a_firewall_mark_needs_an_address() {
    let (status, _, stderr) = run(&["--subnet", "198.51.100.0/24", "start", "7:0", "fwm"]);
    assert_eq!(status, 2);
    assert_eq!(
        stderr,
        "ldirectord-anycast: refused 7:0 fwm: a firewall mark has no address; say which one stands \
         for it with --address\n"
    );
}

#[test]
fn hostile_words_make_one_line_without_control_characters() {
    for word in ["\n\n", "\u{1b}[2J", "a\rb", "x\ny:53", ""] {
        let (status, _, stderr) = run(&["--subnet", "198.51.100.0/24", "start", word, "tcp"]);
        assert_eq!(status, 2);
        assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
        assert!(!stderr.trim_end().contains(char::is_control), "{stderr:?}");
    }
}

#[test]
fn forgetting_an_unknown_service_says_so() {
    let (status, _, stderr) =
        run(&["--subnet", "198.51.100.0/24", "forget", "198.51.100.1:53", "tcp"]);
    assert_eq!(status, 1);
    assert!(stderr.contains("no such service"), "{stderr}");
}

#[test]
fn the_status_of_nothing_is_no_failure() {
    assert_eq!(run(&["status"]), (0, "no service has been reported yet\n".into(), String::new()));
}

#[test]
fn the_manual_names_every_option_and_command_of_the_help() {
    let (status, help, _) = run(&["--help"]);
    assert_eq!(status, 0);
    let manual = include_str!("../man/ldirectord-anycast.8").replace("\\-", "-");
    let words = help.split_whitespace().filter(|word| word.starts_with("--"));
    for word in words.chain(["start", "stop", "forget", "status"]) {
        assert!(manual.contains(word.trim_end_matches(',')), "{word} is not in the manual");
    }
}

#[test]
fn the_configuration_of_the_example_is_accepted() {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/examples/anycast-frr/load-balancer/ldirectord.cf");
    let output =
        Command::cargo_bin("ldirectord").unwrap().args(["--check", file]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
