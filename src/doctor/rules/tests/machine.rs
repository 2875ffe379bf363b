//! Commands, files, clock and limits.

use super::super::hooks::program_of;
use super::*;

#[test]
fn commands_that_cannot_be_run() {
    let program = |name: &'static str, state| {
        move |it: &mut Facts| {
            it.programs.insert(name.to_owned(), state);
        }
    };
    let with = |line: &str| format!("{SOUND}\t{line}\n");
    let hook = "fallbackcommand=\"exec /etc/ha.d/sorry.sh now\"";
    let check = "checktype=external\n\tcheckcommand=\"/etc/ha.d/check\"";
    for (id, state) in
        [("hook-missing", Program::Missing), ("hook-not-executable", Program::NotExecutable)]
    {
        finds(id, &with(hook), WEB, program("/etc/ha.d/sorry.sh", state));
        finds(id, &with(check), WEB, program("/etc/ha.d/check", state));
        let callback = format!("callback=\"/etc/ha.d/called\"\n{SOUND}");
        finds(id, &callback, NOBODY, program("/etc/ha.d/called", state));
        quiet(id, &with(hook), program("/etc/ha.d/sorry.sh", Program::Fine));
        quiet(id, SOUND, program("/etc/ha.d/sorry.sh", state));
    }
}

#[test]
fn only_plain_words_name_a_program() {
    for (command, program) in [
        ("/a/b c", Some("/a/b")),
        ("  sorry.sh ", Some("sorry.sh")),
        ("exec /a/b", Some("/a/b")),
        ("A=1 /a/b", None),
        ("$HOOK", None),
        ("[ -e /x ] && y", None),
        ("if true; then x; fi", None),
        ("'/a b/c'", None),
        ("", None),
    ] {
        assert_eq!(program_of(command), program, "{command}");
    }
}

#[test]
fn anycast_hooks() {
    let refused = "anycast-refused";
    finds(refused, &ANYCAST.replace("198.51.100.0/24", "203.0.113.0/24"), DNS, |_| {});
    finds(refused, &ANYCAST.replace("--subnet", "--sub"), DNS, |_| {});
    // What a shell makes of this is not known here.
    quiet(refused, &ANYCAST.replace("198.51.100.0/24", "$SUBNET"), |_| {});
    quiet(refused, &ANYCAST.replace("ldirectord-anycast", "other"), |_| {});

    let interface = "anycast-interface";
    let named = ANYCAST.replace("--subnet", "--interface anycast0 --subnet");
    let missing = finds(interface, &named, DNS, |_| {});
    assert!(missing.mend.starts_with("ip link add anycast0 type dummy"), "{missing:?}");
    let with = |up| {
        move |it: &mut Facts| {
            let added = Interface { up, ..Interface::default() };
            it.network.interfaces.insert("anycast0".to_owned(), added);
        }
    };
    let down = finds(interface, &named, DNS, with(false));
    assert_eq!(down.mend, "ip link set anycast0 up");
    quiet(interface, &named, with(true));
    quiet(interface, &named, |it| it.network.interfaces.clear());
}

#[test]
fn routing_daemons() {
    let down = "routing-daemon-down";
    let installed = |it: &mut Facts| {
        it.routing.installed.insert("vtysh");
    };
    finds(down, ANYCAST, NOBODY, installed);
    quiet(down, SOUND, installed);
    quiet(down, ANYCAST, |it| {
        installed(it);
        it.routing.running.insert("bgpd".to_owned());
    });

    let nothing = "routing-announces-nothing";
    let frr = |text: &'static str| move |it: &mut Facts| it.routing.frr = Some(text.to_owned());
    let announcing = "router bgp 1\n address-family ipv4 unicast\n  redistribute connected\n";
    finds(nothing, ANYCAST, DNS, frr("router bgp 1\n"));
    quiet(nothing, ANYCAST, frr(announcing));
    quiet(nothing, SOUND, frr("router bgp 1\n"));
    let bird = |it: &mut Facts| it.routing.bird = Some("BIRD 2.0.12 ready.\n".to_owned());
    finds(nothing, ANYCAST, DNS, bird);
    // One that announces is enough.
    quiet(nothing, ANYCAST, |it| {
        bird(it);
        frr(announcing)(it);
    });
}

#[test]
fn files_that_cannot_be_written() {
    let cannot = |path: &'static str| {
        move |it: &mut Facts| {
            it.unwritable.insert(path.into(), "Read-only file system".to_owned());
        }
    };
    for (id, config, path) in [
        ("log-unwritable", SOUND, "/var/log/ldirectord.log"),
        ("pid-unwritable", SOUND, "/var/run/ldirectord.web.cf.pid"),
        ("run-unwritable", SOUND, "/run/ldirectord-rs"),
        ("overrides-unwritable", SOUND, "/var/lib/ldirectord-rs"),
        ("state-unwritable", ANYCAST, "/run/ldirectord-anycast"),
    ] {
        let finding = finds(id, config, NOBODY, cannot(path));
        assert!(finding.what.contains(path) && finding.what.contains("Read-only"), "{finding:?}");
        quiet(id, config, cannot("/elsewhere"));
    }
    quiet("state-unwritable", SOUND, cannot("/run/ldirectord-anycast"));
    let syslog = format!("logfile=\"local0\"\n{SOUND}");
    finds("log-unwritable", &syslog, NOBODY, cannot("/dev/log"));
    quiet("log-unwritable", &format!("supervised=yes\n{SOUND}"), cannot("/var/log/ldirectord.log"));
}

#[test]
fn clock() {
    let now = |now| move |it: &mut Facts| it.clock.now = now;
    let day = 24 * 60 * 60;
    finds("clock-behind", SOUND, NOBODY, now(900_000 - day));
    quiet("clock-behind", SOUND, now(900_001 - day));
    quiet("clock-behind", SOUND, |it| {
        now(0)(it);
        it.clock.config_changed = None;
    });
    let synchronised = |value| move |it: &mut Facts| it.clock.synchronised = value;
    finds("clock-unsynchronised", SOUND, NOBODY, synchronised(Some(false)));
    quiet("clock-unsynchronised", SOUND, synchronised(None));
}

#[test]
fn limits() {
    let descriptors = |limit| move |it: &mut Facts| it.limits.descriptors = limit;
    // A quarter is for connects, until there are so many that there is room for all workers.
    finds("descriptors-few", SOUND, NOBODY, descriptors(Some(7)));
    finds("descriptors-few", SOUND, NOBODY, descriptors(Some(127)));
    quiet("descriptors-few", SOUND, descriptors(Some(128)));
    quiet("descriptors-few", SOUND, descriptors(None));
    // Commands take more, and of them a thousand run at a time.
    let external = SOUND.replace("checktype=connect", "checktype=external\n\tcheckcommand=\"/a\"");
    finds("descriptors-few", &external, NOBODY, descriptors(Some(135)));
    quiet("descriptors-few", &external, descriptors(Some(136)));
    quiet("descriptors-few", &SOUND.replace("connect", "on"), descriptors(Some(128)));

    let memory = |limit| move |it: &mut Facts| it.limits.memory = limit;
    finds("memory-little", SOUND, NOBODY, memory(Some(32 << 20)));
    quiet("memory-little", SOUND, memory(Some(33 << 20)));
    quiet("memory-little", SOUND, memory(None));
}
