//! `status` with services, servers and colours, over the memory table.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

#[path = "support/sandbox.rs"]
mod sandbox;

use sandbox::{PROGRAM, Ran, Sandbox, wait_for};
use serde_json::Value;
use std::fs;

const CONFIG: &str = "checkinterval=1
checktimeout=1
quiescent=yes
virtual=10.9.0.1:80
    real=127.0.0.2:80 masq
    real=127.0.0.3:80 masq
    checktype=on
virtual=10.9.0.2:80
    real=127.0.0.3:80 masq
    real=127.0.0.4:81 masq
    checktype=connect
virtual=7
    real=127.0.0.5:80 gate
    checktype=on
";

/// Nothing listens in it, so the servers of the second service are down.
fn machine() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::write(sandbox.seen("/etc/ha.d/web.cf"), CONFIG).unwrap();
    sandbox.ldirectord("--table memory web.cf start").expect(0, "", "");
    wait_for("all servers to be checked", || {
        !sandbox.ldirectord("web.cf status --json").succeeds().stdout.contains("\"unknown\"")
    });
    sandbox
}

/// `SERVICE SERVER…` of each service in the table.
fn shown(table: &str) -> Vec<String> {
    let mut services: Vec<String> = Vec::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["tcp" | "fwm", address, ..] => services.push((*address).to_owned()),
            ["up" | "DOWN", server, ..] => *services.last_mut().unwrap() += &format!(" {server}"),
            _ => {}
        }
    }
    services
}

#[test]
fn a_service_a_server_or_what_is_down_is_shown_alone() {
    let machine = machine();
    let down = "10.9.0.2:80 127.0.0.3:80 127.0.0.4:81";
    for (words, expected) in [
        ("127.0.0.2:80", &["10.9.0.1:80 127.0.0.2:80"][..]),
        ("127.0.0.3", &["10.9.0.2:80 127.0.0.3:80", "10.9.0.1:80 127.0.0.3:80"]),
        ("127.0.0.3 of 10.9.0.1:80", &["10.9.0.1:80 127.0.0.3:80"]),
        ("tcp:10.9.0.2:80", &[down]),
        ("fwm:7", &["7 127.0.0.5:80"]),
        ("--down", &[down]),
        ("127.0.0.3:80 --down", &["10.9.0.2:80 127.0.0.3:80"]),
        ("--table", &[down, "10.9.0.1:80 127.0.0.2:80 127.0.0.3:80", "7 127.0.0.5:80"]),
    ] {
        let ran = machine.ldirectord(&format!("web.cf status {words}")).succeeds();
        assert_eq!(shown(&ran.stdout), expected, "{words}:\n{}", ran.stdout);
        assert!(ran.stdout.contains("3 services, 5 real servers: 2 down"), "{}", ran.stdout);
    }
    let json = machine.ldirectord("web.cf status --json --down 127.0.0.4").succeeds().stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["services"].as_array().unwrap().len(), 1);
    assert_eq!(json["services"][0]["servers"].as_array().unwrap().len(), 1);
    assert_eq!(json["services"][0]["servers"][0]["address"], "127.0.0.4:81");
}

#[test]
fn what_is_not_there_is_said_and_a_failure() {
    let machine = machine();
    let line = "there is no real server or virtual service 10.9.0.9\n";
    machine.ldirectord("web.cf status 10.9.0.9").expect(1, "", line);
    let nothing = "no such real server is down\n";
    machine.ldirectord("web.cf status --down 127.0.0.2").expect(1, "", nothing);
    let ran = machine.ldirectord("web.cf status 127.0.0.2 10.9.0.9");
    assert_eq!((ran.status, ran.stderr.as_str()), (1, line));
    assert_eq!(shown(&ran.stdout), ["10.9.0.1:80 127.0.0.2:80"], "the rest is shown");
    let ran = machine.ldirectord("web.cf status --json 10.9.0.9");
    assert_eq!((ran.status, ran.stderr.as_str()), (1, line));
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["services"], Value::Array(Vec::new()));
    let ran = machine.ldirectord("web.cf status --watch");
    assert_eq!((ran.status, ran.stderr.as_str()), (1, "status --watch needs a terminal\n"));
    machine.ldirectord("web.cf stop").succeeds();
    machine.ldirectord("web.cf status 127.0.0.2").expect(
        3,
        "ldirectord is stopped for /etc/ha.d/web.cf\n",
        "",
    );
}

#[test]
fn other_words_behind_status_are_ignored_as_in_the_original() {
    let machine = machine();
    let pid = machine.pid("web.cf");
    let line = format!("ldirectord for /etc/ha.d/web.cf is running with pid: {pid}\n");
    for words in ["", "stop", "7", "80 web", "of 10", "-x"] {
        machine.ldirectord(&format!("web.cf status {words}")).expect(0, "", &line);
    }
}

#[test]
fn colours_are_for_terminals_unless_somebody_says_otherwise() {
    let machine = machine();
    let run = |variables: &[(&str, &str)]| {
        let mut command = machine.command(PROGRAM);
        command.args(["web.cf", "status", "--table"]).env_remove("NO_COLOR");
        command.env_remove("CLICOLOR_FORCE").envs(variables.iter().copied());
        Ran::new(&mut command).succeeds().stdout
    };
    let plain = run(&[]);
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let forced = run(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")]);
    assert!(forced.contains("\u{1b}[1;31m  DOWN\u{1b}[0m   127.0.0.3:80"), "{forced}");
    for variables in [&[("CLICOLOR_FORCE", "0")][..], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]]
    {
        assert!(!run(variables).contains('\u{1b}'), "{variables:?}");
    }
}

#[test]
fn completions_know_what_the_daemon_watches() {
    let machine = machine();
    let lines = machine.ldirectord("--complete web.cf drain 127.0.0.3").succeeds().stdout;
    assert!(lines.starts_with("127.0.0.3:80\treal server, "), "{lines}");
    // The file as it is now is another matter.
    fs::write(machine.seen("/etc/ha.d/web.cf"), CONFIG.replace("127.0.0.2", "127.0.0.9")).unwrap();
    let known = |word: &str| machine.ldirectord(&format!("--complete web.cf drain {word}")).stdout;
    assert_eq!(known("127.0.0.9"), "");
    assert_eq!(known("127.0.0.2"), "127.0.0.2:80\treal server, up\n");
    machine.ldirectord("web.cf stop").succeeds();
    assert_eq!(known("127.0.0.9"), "127.0.0.9:80\treal server\n");
    fs::write(machine.seen("/etc/ha.d/web.cf"), "nonsense\n").unwrap();
    machine.ldirectord("--complete web.cf drain 1").expect(0, "", "");
}

/// The value of the one sample that has all of these words.
fn metric(text: &str, words: &[&str]) -> u64 {
    let fits = |line: &&str| words.iter().all(|word| line.contains(word));
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).filter(fits);
    let line = lines.next().unwrap_or_else(|| panic!("no {words:?} in {text}"));
    assert_eq!(lines.next(), None, "{words:?}");
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn metrics_count_and_a_restart_keeps_them_and_a_stop_does_not() {
    let machine = machine();
    let metrics = || machine.ldirectord("web.cf status --metrics").succeeds().stdout;
    let failed = ["ldirectord_real_server_checks_total", "127.0.0.4", "result=\"failed\""];
    wait_for("checks to fail", || metric(&metrics(), &failed) >= 3);
    let text = metrics();
    let service = ["ldirectord_virtual_service_real_servers", "tcp:10.9.0.2:80", "\"down\""];
    assert_eq!(metric(&text, &service), 2);
    let cause = ["ldirectord_virtual_service_check_failures_total", "cause=\"refused\""];
    assert!(metric(&text, &cause) >= 6, "{text}");
    assert_eq!(metric(&text, &["ldirectord_up"]), 1);

    let reloads = |result| metric(&metrics(), &["ldirectord_reloads_total", result]);
    machine.ldirectord("web.cf reload --json").succeeds();
    wait_for("a reload", || reloads("accepted") == 1);

    let before = metric(&metrics(), &failed);
    machine.ldirectord("--table memory web.cf restart").succeeds();
    let text = metrics();
    assert!(metric(&text, &failed) >= before, "{before}: {text}");
    assert_eq!(metric(&text, &["ldirectord_reloads_total", "accepted"]), 1 + 1, "the restart's");
    assert!(!machine.seen("/run/ldirectord-rs/web.cf.counters").exists());

    machine.ldirectord("web.cf stop").succeeds();
    let none = machine.ldirectord("web.cf status --metrics");
    assert_eq!((none.status, metric(&none.stdout, &["ldirectord_up"])), (3, 0));
    machine.ldirectord("--table memory web.cf start").succeeds();
    assert!(metric(&metrics(), &failed) < before);
    assert_eq!(reloads("accepted"), 0);
    assert_ne!(machine.ldirectord("web.cf status --metrics --down").status, 0);
}
