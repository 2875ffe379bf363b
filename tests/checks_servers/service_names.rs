//! Names of services (SRV records), followed; the name server is Unbound.

use crate::sandbox::{Sandbox, wait_for};
use crate::server::install;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

const ZONE: &str = "local-data: \"one.example. A 127.0.0.2\"
local-data: \"two.example. A 127.0.0.3\"
local-data: \"_web._tcp.example. 1 SRV 20 1 8009 one.example.\"
";

/// Unbound with these SRV records of `_web._tcp.example`, until it is dropped.
struct NameServer(Child);

impl NameServer {
    fn start(machine: &Sandbox, records: &str) -> Self {
        let file = machine.write(
            "unbound.conf",
            &format!(
                "server:\ninterface: 127.0.0.99\ndo-daemonize: no\nuse-syslog: no\nusername: \"\"\n\
                 chroot: \"\"\npidfile: \"\"\nmodule-config: \"iterator\"\nmax-udp-size: 512\n\
                 local-zone: example. static\n{ZONE}{records}remote-control:\ncontrol-enable: no\n"
            ),
        );
        let mut command = machine.command("unbound");
        command
            .process_group(0)
            .args(["-d", "-c", &file])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

fn records(records: &[(u16, u16, &str)]) -> String {
    let line = |(weight, port, target): &(u16, u16, &str)| {
        format!("local-data: \"_web._tcp.example. 1 SRV 10 {weight} {port} {target}.example.\"\n")
    };
    records.iter().map(line).collect()
}

/// What the table lists, one line for each server.
fn listed(machine: &Sandbox) -> Vec<String> {
    let listing = machine.ldirectord("srv.cf status --listing").succeeds().stdout;
    let servers = listing.lines().filter(|line| line.contains("->") && line.contains("127"));
    servers.map(|line| line.split_whitespace().collect::<Vec<_>>()[1..4].join(" ")).collect()
}

#[test]
fn a_service_s_name_is_followed_with_ports_and_weights() {
    install(&["unbound"]);
    let machine = Sandbox::new();
    fs::write(machine.seen("/etc/nsswitch.conf"), "hosts: dns\n").unwrap();
    let resolv_conf = "options timeout:1 attempts:2\nnameserver 127.0.0.99\n";
    fs::write(machine.seen("/etc/resolv.conf"), resolv_conf).unwrap();
    let text = "checkinterval=1\nlogfile=/var/log/srv.log\nresolveinterval=1\nvirtual=10.9.9.9:80\n\
                \treal=_web._tcp.example masq\n\tchecktype=on\n";
    fs::write(machine.seen("/etc/ha.d/srv.cf"), text).unwrap();

    let first = NameServer::start(&machine, &records(&[(5, 8001, "one"), (0, 8002, "two")]));
    wait_for("the name server", || machine.ldirectord("--check srv.cf").status == 0);
    machine.ldirectord("--table memory srv.cf start").succeeds();
    assert_eq!(listed(&machine), ["127.0.0.2:8001 Masq 5", "127.0.0.3:8002 Masq 1"]);
    let log = || fs::read_to_string(machine.seen("/var/log/srv.log")).unwrap_or_default();

    drop(first);
    wait_for("it is told", || log().contains("cannot look up _web._tcp.example: 127.0.0.99:53: "));
    assert_eq!(listed(&machine).len(), 2, "they stay");

    let second = NameServer::start(&machine, &records(&[(7, 8001, "one"), (3, 8003, "two")]));
    let expected = ["127.0.0.2:8001 Masq 7", "127.0.0.3:8003 Masq 3"];
    wait_for("they are followed", || listed(&machine) == expected);
    assert!(log().contains("_web._tcp.example can be looked up again"), "{}", log());

    // More than a datagram of 512 bytes holds.
    drop(second);
    let many: Vec<_> = (1..=40).map(|port| (1, 9000 + port, "one")).collect();
    let _third = NameServer::start(&machine, &records(&many));
    wait_for("all of them", || listed(&machine).len() == 40);
}
