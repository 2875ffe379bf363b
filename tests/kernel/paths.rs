//! Checks through the service: what a server has lost of the way that clients' packets take.

use super::director::{Director, PATIENCE, wait_for};
use super::server::{Server, answer_datagrams};
use super::world::World;
use super::{SEEN, SEVERAL_CHECKS, Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    a_server_without_the_virtual_address_is_down_through_the_service_only,
    where_no_answer_can_come_back_there_is_no_verdict,
    paths_are_gone_with_their_service_and_their_daemon,
];

/// Virtual address, forwarding and family of the services that have both kinds of checks.
const SERVICES: [(u8, &str, &str); 4] =
    [(2, "gate", ""), (3, "ipip", ""), (2, "gate", "6"), (3, "ipip", "6")];

fn address(last: u8, six: &str) -> String {
    if six.is_empty() { format!("10.9.0.{last}") } else { format!("[fd00:9::{last}]") }
}

fn real(last: u8, six: &str) -> String {
    if six.is_empty() { format!("10.0.2.{last}") } else { format!("[fd00:2::{last}]") }
}

/// Each service twice: on port 80 checked through the service, on port 81 directly.
fn config() -> String {
    let mut text = "checkinterval=1\nchecktimeout=5\nquiescent=no\n".to_owned();
    for (last, forwarding, six) in SERVICES {
        for (port, path) in [(80, "service"), (81, "direct")] {
            text += &format!("virtual{six}={}:{port}\n", address(last, six));
            for server in [11, 12] {
                text += &format!("    real{six}={}:{port} {forwarding}\n", real(server, six));
            }
            text += &format!("    scheduler=rr\n    checktype=connect\n    checkpath={path}\n");
        }
    }
    text
}

/// The table with these servers in the services of port 80, and both in those of port 81.
fn table(through: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for (last, forwarding, six) in SERVICES {
        for (port, servers) in [(80, through), (81, &[11, 12])] {
            let destination = |server: &u8| format!("{}:{port} {forwarding} 1", real(*server, six));
            let destinations: Vec<String> = servers.iter().map(destination).collect();
            let line =
                format!("tcp {}:{port} rr -> {}", address(last, six), destinations.join(", "));
            lines.push(line.trim_end().to_owned());
        }
    }
    lines.sort();
    lines
}

fn expect(director: &Director<'_>, through: &[u8], limit: std::time::Duration) {
    let table = table(through);
    director.expect(&table.iter().map(String::as_str).collect::<Vec<_>>(), limit);
}

fn prepare(name: &str) -> (World, Vec<Server>) {
    let world = World::full(name);
    world.sysctl("director", "ipv4/conf/br0/accept_local", "1");
    let ports = ["[::]:80", "[::]:81"];
    let servers = ["rs1", "rs2"]
        .iter()
        .flat_map(|server| ports.map(|port| Server::start(&world, server, port)))
        .collect();
    (world, servers)
}

fn a_server_without_the_virtual_address_is_down_through_the_service_only() {
    let (world, _servers) = prepare("lostvip");
    let director = Director::start(&world, &config());
    expect(&director, &[11, 12], PATIENCE);
    assert_eq!(director.paths(), 8, "{}", director.story());
    world.ip(
        "rs1",
        "addr del 10.9.0.2/32 dev lo
        addr del fd00:9::2/128 dev lo
        link set tunnel4 down
        link set tunnel6 down
        ",
    );
    expect(&director, &[12], SEEN);
    let probed = director.output("probe 10.0.2.11:80 10.9.0.2:80");
    assert!(probed.contains("connect to 10.9.0.2:80") && probed.contains("down: "), "{probed}");
    world.ip(
        "rs1",
        "addr add 10.9.0.2/32 dev lo
        addr add fd00:9::2/128 dev lo nodad
        link set tunnel4 up
        link set tunnel6 up
        ",
    );
    expect(&director, &[11, 12], SEEN);
    // Datagrams, and a conversation on the connection.
    answer_datagrams(&world, "rs1", "10.9.0.2:5000");
    director.reload(
        "checkinterval=1
virtual=10.9.0.2:5000
    real=10.0.2.11 gate
    protocol=udp
    scheduler=rr
    service=simpletcp
    checktype=negotiate
    request=\"who\"
    receive=\"rs1\"
    checkpath=service
virtual=10.9.0.2:80
    real=10.0.2.12 gate
    scheduler=rr
    service=http
    receive=\"rs2\"
    checkpath=service",
    );
    let both = [
        "tcp 10.9.0.2:80 rr -> 10.0.2.12:80 gate 1",
        "udp 10.9.0.2:5000 rr -> 10.0.2.11:5000 gate 1",
    ];
    director.expect(&both, SEEN);
    director.stays(&both, SEVERAL_CHECKS);
    assert_eq!(director.paths(), 2, "{}", director.story());
}

fn where_no_answer_can_come_back_there_is_no_verdict() {
    let (world, servers) = prepare("noreply");
    let director = Director::start(&world, &config());
    expect(&director, &[11, 12], PATIENCE);
    world.sysctl("director", "ipv4/conf/br0/accept_local", "0");
    let told = "net.ipv4.conf.br0.accept_local is 0";
    wait_for("the reason", SEEN, || {
        (director.logged(told) > 0).then_some(()).ok_or_else(|| director.story())
    });
    expect(&director, &[11, 12], PATIENCE);
    let probed = director.output("probe 10.0.2.11:80 10.9.0.2:80");
    assert!(probed.contains(told), "{probed}");
    // IPv6 has no such switch.
    drop(servers);
    wait_for("the dead", SEEN, || {
        let table = director.table();
        let left =
            |six| table.iter().filter(|line| line.contains(six) && line.contains("11:80 ")).count();
        (left("fd00:9:") == 0).then_some(()).ok_or_else(|| director.story())?;
        assert_eq!(left("10.9.0."), 2, "{}", director.story());
        Ok::<_, String>(())
    });
    // Now there is a verdict.
    world.sysctl("director", "ipv4/conf/br0/accept_local", "1");
    wait_for("the dead of IPv4", SEEN, || {
        let left = director.table().iter().filter(|line| line.contains(":80 gate")).count();
        (left == 0).then_some(()).ok_or_else(|| director.story())
    });
}

fn paths_are_gone_with_their_service_and_their_daemon() {
    let (world, _servers) = prepare("pathsgone");
    let director = Director::start(&world, &config());
    expect(&director, &[11, 12], PATIENCE);
    // Whoever clears the table takes the paths, too; without them there is no verdict, until they
    // are back.
    super::director::ipvsadm(&world, "-C");
    wait_for("the paths", SEEN, || {
        (director.paths() == 8).then_some(()).ok_or_else(|| director.story())
    });
    director.kill();
    assert_eq!(director.paths(), 8, "nobody is left to remove them");
    director.configure(
        "checkinterval=1
virtual=10.9.0.2:80
    real=10.0.2.11:80 gate
    scheduler=rr
    checktype=connect
    checkpath=service",
    );
    director.command("start");
    wait_for("one path", PATIENCE, || {
        (director.paths() == 1).then_some(()).ok_or_else(|| director.story())
    });
    director.reload("virtual=10.9.0.2:80\n    real=10.0.2.11:80 gate\n    checktype=connect");
    wait_for("no path", PATIENCE, || {
        (director.paths() == 0).then_some(()).ok_or_else(|| director.story())
    });
    director.reload(&config());
    wait_for("the paths", PATIENCE, || {
        (director.paths() == 8).then_some(()).ok_or_else(|| director.story())
    });
    director.stop();
    assert_eq!(director.paths(), 0);
    let probed = director.output("probe 10.0.2.11:80 10.9.0.2:80");
    assert!(probed.contains("ip_vs does not have the path"), "{probed}");
}
