//! Who may ask a running daemon what: root, the group of `controlgroup`, the group `ldirectord`, others.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

#[path = "support/sandbox.rs"]
mod sandbox;

use sandbox::{PROGRAM, Ran, Sandbox, wait_for};
use std::fs;

const CONFIG: &str = "checkinterval=1
controlgroup=operators
virtual=10.9.0.1:80
    real=127.0.0.2:80 masq
    real=127.0.0.3:80 masq
    checktype=on
";

fn machine() -> Sandbox {
    let sandbox = Sandbox::new();
    // Added to the sandbox's own /etc only.
    sandbox
        .shell(
            "getent group ldirectord >/dev/null || groupadd --system ldirectord
             groupadd operators
             useradd --no-create-home --groups operators alice
             useradd --no-create-home --groups ldirectord bob
             useradd --no-create-home carol
             getent passwd ldirectord >/dev/null ||
                useradd --system --no-create-home --gid ldirectord ldirectord",
        )
        .succeeds();
    fs::write(sandbox.seen("/etc/ha.d/web.cf"), CONFIG).unwrap();
    sandbox.ldirectord("--table memory web.cf start").expect(0, "", "");
    wait_for("the servers", || {
        sandbox.ldirectord("web.cf status --json").stdout.matches("\"state\":\"up\"").count() == 2
    });
    sandbox
}

/// The program, called by a user; it is copied to where everybody can execute it.
fn by(machine: &Sandbox, user: &str, arguments: &str) -> Ran {
    let program = machine.path("ldirectord");
    if !fs::exists(&program).unwrap() {
        fs::copy(PROGRAM, &program).unwrap();
    }
    let mut command = machine.command("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}")]);
    command.args(["--init-groups", "--", &program]).args(arguments.split_whitespace());
    Ran::new(&mut command)
}

#[test]
fn the_group_ldirectord_reads_the_group_of_controlgroup_changes_and_others_may_nothing() {
    let machine = machine();
    for reading in [
        "status --json",
        "status --table",
        "status --listing",
        "status --metrics",
        "events",
        "plan",
    ] {
        let command = format!("web.cf {reading}");
        for user in ["alice", "bob"] {
            let ran = by(&machine, user, &command).succeeds();
            assert!(!ran.stdout.is_empty(), "{user}: {reading}");
        }
        assert_ne!(by(&machine, "carol", &command).status, 0, "{reading}");
    }
    for user in ["bob", "carol"] {
        let refused = by(&machine, user, "web.cf drain 127.0.0.2:80");
        assert_eq!((refused.status, refused.stdout.as_str()), (1, ""), "{user}");
        assert!(refused.stderr.contains("denied"), "{}", refused.stderr);
    }
    by(&machine, "alice", "web.cf drain 127.0.0.2:80").succeeds();
    let log = fs::read_to_string(machine.seen("/var/log/ldirectord.log")).unwrap();
    assert!(log.contains("operator alice: drain 127.0.0.2:80"), "{log}");
    by(&machine, "alice", "web.cf enable 127.0.0.2:80").succeeds();
}

#[test]
fn a_reload_follows_controlgroup_and_the_prober_s_user_may_not_ask() {
    let machine = machine();
    let without = CONFIG.replace("controlgroup=operators\n", "");
    fs::write(machine.seen("/etc/ha.d/web.cf"), without).unwrap();
    by(&machine, "alice", "web.cf reload --confirm 60").succeeds();
    wait_for("the reload", || by(&machine, "alice", "web.cf confirm").status == 1);
    machine.ldirectord("web.cf confirm").succeeds();
    assert_eq!(by(&machine, "alice", "web.cf drain 127.0.0.2:80").status, 1);
    let asked = by(&machine, "ldirectord", "web.cf status --json");
    assert!(asked.stderr.contains("the prober may not ask"), "{asked:?}");
}
