//! The operator's commands to a running daemon, over the memory table.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

#[path = "support/sandbox.rs"]
mod sandbox;

use sandbox::{Sandbox, wait_for};
use serde_json::Value;
use std::fs;

const CONFIG: &str = "checkinterval=1
checktimeout=1
quiescent=yes
virtual=10.9.0.1:80
    real=127.0.0.2:80 masq 2
    real=127.0.0.3:80 masq 3
    checktype=on
    scheduler=rr
virtual=10.9.0.2:80
    real=127.0.0.3:80 masq
    checktype=on
    fallbackcommand=\"/bin/echo told >> /run/told\"
";

fn machine() -> Sandbox {
    let sandbox = Sandbox::new();
    write(&sandbox, CONFIG);
    start(&sandbox);
    sandbox
}

fn write(sandbox: &Sandbox, config: &str) {
    fs::write(sandbox.seen("/etc/ha.d/web.cf"), config).unwrap();
}

fn start(sandbox: &Sandbox) {
    sandbox.ldirectord("--table memory web.cf start").expect(0, "", "");
    wait_for("all servers to be up", || {
        let report = status(sandbox);
        servers(&report).iter().all(|(_, _, server)| server["state"] != "unknown")
    });
}

fn status(sandbox: &Sandbox) -> Value {
    let json = sandbox.ldirectord("web.cf status --json").succeeds().stdout;
    serde_json::from_str(&json).unwrap()
}

/// Service, server and what is known of it.
fn servers(report: &Value) -> Vec<(String, String, Value)> {
    let text = |value: &Value| value["address"].as_str().unwrap().to_owned();
    let mut all = Vec::new();
    for service in report["services"].as_array().unwrap() {
        for server in service["servers"].as_array().unwrap() {
            all.push((text(service), text(server), server.clone()));
        }
    }
    all
}

/// The weights that the table lists: of both servers of the first service, and of the second's.
fn weights(sandbox: &Sandbox) -> Vec<Option<u64>> {
    let report = status(sandbox);
    servers(&report).iter().map(|(_, _, server)| server["weight_listed"].as_u64()).collect()
}

fn log(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.seen("/var/log/ldirectord.log")).unwrap_or_default()
}

#[test]
fn drain_weight_disable_and_enable_change_what_the_table_lists() {
    let machine = machine();
    assert_eq!(weights(&machine), [Some(2), Some(3), Some(1)]);
    machine.ldirectord("web.cf drain 127.0.0.2:80 --reason disks").expect(
        0,
        "drain: 1 real server in 1 virtual service\n",
        "",
    );
    assert_eq!(weights(&machine), [Some(0), Some(3), Some(1)]);
    let table = machine.ldirectord("web.cf status --table").succeeds().stdout;
    assert!(table.contains("drained  127.0.0.2:80"), "{table}");
    assert!(table.contains("drained by root"), "{table}");
    assert!(table.contains(": disks"), "{table}");
    assert!(log(&machine).contains("operator root: drain 127.0.0.2:80 (disks)"));
    machine.ldirectord("web.cf weight 127.0.0.3:80 7 of 10.9.0.1:80").succeeds();
    assert_eq!(weights(&machine), [Some(0), Some(7), Some(1)]);
    machine.ldirectord("web.cf disable 10.9.0.2:80").succeeds();
    wait_for("the hook", || {
        fs::read_to_string(machine.seen("/run/told")).is_ok_and(|told| told.contains("start"))
    });
    assert_eq!(weights(&machine), [Some(0), Some(7), Some(0)]);
    machine.ldirectord("web.cf enable 127.0.0.2").succeeds();
    machine.ldirectord("web.cf enable 10.9.0.2:80").succeeds();
    machine.ldirectord("web.cf enable 127.0.0.3:80").succeeds();
    wait_for("everything as configured", || weights(&machine) == [Some(2), Some(3), Some(1)]);
    assert_eq!(status(&machine)["overrides"], Value::Array(Vec::new()));
}

#[test]
fn the_last_server_stays_unless_it_is_forced_out() {
    let machine = machine();
    let refusal = "it is the last server of 10.9.0.2:80 that serves; use --force to take it out\n";
    for command in ["drain 127.0.0.3", "disable 127.0.0.3:80", "weight 127.0.0.3:80 0"] {
        machine.ldirectord(&format!("web.cf {command}")).expect(1, "", refusal);
    }
    assert_eq!(weights(&machine), [Some(2), Some(3), Some(1)]);
    machine.ldirectord("web.cf disable 127.0.0.3 --force").succeeds();
    assert_eq!(weights(&machine), [Some(2), Some(0), Some(0)]);
}

#[test]
fn what_was_said_survives_reload_restart_kill_and_reboot() {
    let machine = machine();
    machine.ldirectord("web.cf drain 127.0.0.2:80 --for 1h --reason disks").succeeds();
    let expected = [Some(0), Some(3), Some(1)];
    write(&machine, &format!("{CONFIG}    comment=x\n"));
    machine.ldirectord("web.cf reload").succeeds();
    wait_for("the reload", || log(&machine).contains("reload: 1 of 2 services changed"));
    assert_eq!(weights(&machine), expected);
    machine.ldirectord("--table memory web.cf restart").succeeds();
    wait_for("the same after a restart", || weights(&machine) == expected);
    let pid = machine.pid("web.cf");
    machine.shell(&format!("kill -9 {pid}")).succeeds();
    start(&machine);
    wait_for("the same after a kill", || weights(&machine) == expected);
    machine.ldirectord("web.cf stop").succeeds();
    // What a reboot leaves.
    machine.shell("rm -rf /run/ldirectord*").succeeds();
    start(&machine);
    wait_for("the same after a reboot", || weights(&machine) == expected);
    let said = &status(&machine)["overrides"][0];
    assert_eq!((&said["what"], &said["reason"]), (&"drain".into(), &"disks".into()));
    assert!(said["until"].is_i64());
}

#[test]
fn what_was_said_for_a_time_ends_by_itself() {
    let machine = machine();
    machine.ldirectord("web.cf drain 127.0.0.2:80 --for 2s").succeeds();
    assert_eq!(weights(&machine), [Some(0), Some(3), Some(1)]);
    wait_for("its end", || weights(&machine) == [Some(2), Some(3), Some(1)]);
    assert!(log(&machine).contains("127.0.0.2:80 is no longer drained by root"));
}

#[test]
fn wait_ends_when_no_connection_is_left() {
    let machine = machine();
    let ran = machine.ldirectord("web.cf drain 127.0.0.2:80 --wait");
    ran.expect(
        0,
        "drain: 1 real server in 1 virtual service\n0 active connections, 0 inactive\n",
        "",
    );
}

#[test]
fn a_state_file_that_cannot_be_written_is_said_and_the_command_holds_all_the_same() {
    let machine = machine();
    machine.shell("rm -rf /var/lib/ldirectord-rs; touch /var/lib/ldirectord-rs").succeeds();
    let ran = machine.ldirectord("web.cf drain 127.0.0.2:80").succeeds();
    assert!(ran.stdout.contains("NOT KEPT over a restart"), "{}", ran.stdout);
    assert_eq!(weights(&machine), [Some(0), Some(3), Some(1)]);
}

#[test]
fn plan_says_what_a_reload_would_do_and_does_nothing() {
    let machine = machine();
    let nothing = "a reload would change nothing\n";
    machine.ldirectord("web.cf plan").expect(0, nothing, "");
    write(
        &machine,
        &CONFIG.replace("scheduler=rr", "scheduler=wlc").replace("127.0.0.2", "127.0.0.4"),
    );
    let plan = machine.ldirectord("web.cf reload --plan").succeeds().stdout;
    for line in [
        "~ tcp:10.9.0.1:80",
        "    - scheduler rr",
        "    + scheduler wlc",
        "    - real server 127.0.0.2:80 masq weight 2",
        "    + real server 127.0.0.4:80 masq weight 2",
    ] {
        assert!(plan.lines().any(|it| it == line), "{line} is missing in:\n{plan}");
    }
    assert!(!plan.contains("10.9.0.2"), "it does not change: {plan}");
    let json = machine.ldirectord("web.cf plan --json").succeeds().stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["services"][0]["change"], "changed");
    assert_eq!(weights(&machine), [Some(2), Some(3), Some(1)], "nothing was done");
    write(&machine, "virtual=nonsense\n");
    let refused = machine.ldirectord("web.cf plan");
    assert_eq!(refused.status, 1);
    assert!(!refused.stderr.is_empty());
}

#[test]
fn a_reload_that_is_not_confirmed_is_taken_back() {
    let machine = machine();
    let heavier = CONFIG.replace("masq 2", "masq 5");
    write(&machine, &heavier);
    let ran = machine.ldirectord("web.cf reload --confirm 2").succeeds();
    assert!(ran.stdout.contains("taken back in 2 s unless it is confirmed"), "{}", ran.stdout);
    wait_for("the new weight", || weights(&machine)[0] == Some(5));
    assert!(status(&machine)["unconfirmed"].is_i64());
    wait_for("the old weight", || weights(&machine)[0] == Some(2));
    machine.ldirectord("web.cf confirm").expect(1, "", "no reload waits for a confirmation\n");
    machine.ldirectord("web.cf reload --confirm 60").succeeds();
    machine.ldirectord("web.cf confirm").expect(0, "the reload is confirmed\n", "");
    wait_for("the new weight", || weights(&machine)[0] == Some(5));
    assert!(status(&machine)["unconfirmed"].is_null());
    write(&machine, "nonsense\n");
    assert_eq!(machine.ldirectord("web.cf reload --confirm 60").status, 1);
}

#[test]
fn events_tell_what_has_happened_with_stable_names() {
    let machine = machine();
    machine.ldirectord("web.cf drain 127.0.0.2:80").succeeds();
    machine.ldirectord("web.cf reload --confirm 60").succeeds();
    let lines = machine.ldirectord("web.cf events --json").succeeds().stdout;
    let events: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], number as u64 + 1);
        assert!(event["time_ms"].is_u64());
    }
    let has = |kind: &str| events.iter().find(|event| event["event"] == kind).cloned();
    assert_eq!(events[0]["event"], "started");
    let up = has("transition").unwrap();
    assert_eq!((&up["from"], &up["to"]), (&"unknown".into(), &"up".into()));
    assert!(has("table").unwrap()["text"].as_str().unwrap().contains("virtual server"));
    let operator = events.iter().filter(|event| event["event"] == "operator");
    let said: Vec<&Value> = operator.map(|event| &event["text"]).collect();
    assert_eq!(said, ["operator root: drain 127.0.0.2:80", "operator root: reload confirm=60"]);
    assert_eq!(has("reload").unwrap()["accepted"], true);
    let none = machine.ldirectord("web.cf events --since 2100-01-01T00:00").succeeds();
    assert_eq!(none.stdout, "");
    let text = machine.ldirectord("web.cf events").succeeds().stdout;
    assert_eq!(text.lines().count(), events.len());
}

#[test]
fn without_a_daemon_each_command_says_so() {
    let sandbox = Sandbox::new();
    write(&sandbox, CONFIG);
    for command in ["drain 127.0.0.2", "enable 127.0.0.2", "events", "plan", "confirm"] {
        let line = "ldirectord is not running for web.cf\n";
        sandbox.ldirectord(&format!("web.cf {command}")).expect(3, "", line);
    }
    let usage = sandbox.ldirectord("web.cf drain");
    assert_eq!(usage.status, 255);
    assert!(usage.stderr.contains("SERVER|SERVICE"), "{}", usage.stderr);
}
