//! Start, stop, crash and reload, over a table that is in use.

use super::director::{Director, PATIENCE, ipvsadm, table, wait_for};
use super::server::{Connection, Server};
use super::world::World;
use super::{Test, seen, tests};

pub(crate) const TESTS: &[Test] = tests![
    a_start_takes_over_the_table_that_it_finds,
    a_killed_daemon_leaves_its_table_and_the_next_takes_it_over_with_its_connections,
    a_restart_hands_the_table_over_with_its_connections,
    a_stop_purges_what_is_ours_or_leaves_it_as_cleanstop_says,
    a_reload_keeps_the_connections_of_what_is_unchanged,
    a_refused_reload_leaves_everything_as_it_is,
];

const SERVERS: [(&str, &str); 3] =
    [("rs1", "10.0.2.11:80"), ("rs2", "10.0.2.12:80"), ("rs3", "10.0.2.13:80")];

const CONFIG: &str = "checkinterval=1
checktimeout=1
virtual=10.9.0.1:80
    real=10.0.2.11:80 masq
    real=10.0.2.12:80 masq
    scheduler=rr
    checktype=connect
";
/// A service more, with the first server of the other.
const SECOND: &str = "virtual=10.9.0.1:81
    real=10.0.2.11:80 masq
    scheduler=rr
    checktype=connect
";

const OURS: &str = "tcp 10.9.0.1:80 rr -> 10.0.2.11:80 masq 1, 10.0.2.12:80 masq 1";
const FOREIGN: &str = "tcp 10.9.0.9:80 sh -> 10.0.2.13:80 gate 7";

fn world(name: &str) -> (World, Vec<Server>) {
    let world = World::full(name);
    let servers =
        SERVERS.iter().map(|(name, address)| Server::start(&world, name, address)).collect();
    ipvsadm(&world, "-A -t 10.9.0.9:80 -s sh");
    ipvsadm(&world, "-a -t 10.9.0.9:80 -r 10.0.2.13:80 -g -w 7");
    (world, servers)
}

/// One connection through the virtual address to each of the two servers.
fn connections(world: &World) -> Vec<(Connection, String)> {
    let open = || {
        let mut connection = Connection::open(world, "client", "10.9.0.1:80").expect("connected");
        let name = connection.who().expect("an answer");
        (connection, name)
    };
    let open: Vec<_> = (0..2).map(|_| open()).collect();
    assert_ne!(open[0].1, open[1].1);
    open
}

fn assert_alive(connections: &mut [(Connection, String)], story: &str) {
    for (connection, name) in connections {
        assert_eq!(connection.who().as_ref(), Some(&*name), "{story}");
    }
}

fn a_start_takes_over_the_table_that_it_finds() {
    let (world, _servers) = world("adopt");
    for command in [
        "-A -t 10.9.0.1:80 -s wlc -p 300",
        "-a -t 10.9.0.1:80 -r 10.0.2.11:80 -m -w 5",
        "-a -t 10.9.0.1:80 -r 10.0.2.13:80 -m -w 5",
        "-A -t 10.9.0.5:80 -s rr",
    ] {
        ipvsadm(&world, command);
    }
    let mut before: Vec<_> = (0..2)
        .map(|_| Connection::open(&world, "client", "10.9.0.1:80").expect("connected"))
        .collect();
    // Persistence: both are with the same server, which is either the kept or the purged one.
    let names: Vec<_> = before.iter_mut().map(|open| open.who().expect("an answer")).collect();
    let director = Director::start(&world, CONFIG);
    director.expect(&[OURS, "tcp 10.9.0.5:80 rr ->", FOREIGN], PATIENCE);
    if names[0] == "rs1" {
        assert_eq!(before[0].who().as_deref(), Some("rs1"));
    }
    assert_eq!(director.logged("Changed virtual server: 10.9.0.1:80"), 1, "{}", director.story());
    assert_eq!(director.logged("Purged real server (start): 10.0.2.13:80 (10.9.0.1:80)"), 1);
    assert_eq!(director.logged("10.9.0.9"), 0);
}

fn a_killed_daemon_leaves_its_table_and_the_next_takes_it_over_with_its_connections() {
    let (world, servers) = world("killed");
    let director = Director::start(&world, CONFIG);
    director.expect(&[OURS, FOREIGN], PATIENCE);
    let mut open = connections(&world);
    director.kill();
    assert_eq!(director.table(), [OURS, FOREIGN]);
    assert_alive(&mut open, "after the kill");
    let logged = director.logged("Deleted") + director.logged("Purged");
    director.command("start");
    director.pid();
    let checks = servers[0].accepted();
    wait_for("a check", PATIENCE, || (servers[0].accepted() > checks + 1).then_some(()).ok_or(""));
    assert_eq!(director.table(), [OURS, FOREIGN], "{}", director.story());
    assert_alive(&mut open, &director.story());
    assert_eq!(director.logged("Deleted") + director.logged("Purged"), logged);
    drop(servers);
    director.expect(&["tcp 10.9.0.1:80 rr ->", FOREIGN], seen());
}

fn a_restart_hands_the_table_over_with_its_connections() {
    let (world, servers) = world("restart");
    let hook = "/run/kernel-tests/restart.calls";
    let hooked = format!("fallbackcommandonstop=yes\nfallbackcommand=/bin/echo >>{hook}\n{CONFIG}");
    let director = Director::start(&world, &format!("{hooked}{SECOND}"));
    director.expect(&[OURS, "tcp 10.9.0.1:81 rr -> 10.0.2.11:80 masq 1", FOREIGN], PATIENCE);
    let mut open = connections(&world);
    let (before, removed) = (director.pid(), director.logged("Deleted"));
    // The second service is no more, and goes with the process that has it.
    director.configure(&hooked);
    director.command("restart");
    assert_ne!(director.pid(), before);
    director.expect(&[OURS, FOREIGN], PATIENCE);
    let checks = servers[0].accepted();
    wait_for("a check", PATIENCE, || (servers[0].accepted() > checks + 1).then_some(()).ok_or(""));
    assert_eq!(director.table(), [OURS, FOREIGN], "{}", director.story());
    assert_alive(&mut open, &director.story());
    assert_eq!(director.logged("Deleted"), removed);
    assert_eq!(director.logged("Purged virtual server (start): 10.9.0.1:81"), 1);
    assert_eq!(director.logged("Purged virtual server (stop)"), 0);
    let calls = std::fs::read_to_string(hook).expect("calls of the hook");
    let of_ours = calls.lines().filter(|line| line.contains("10.9.0.1:80 "));
    assert_eq!(of_ours.collect::<Vec<_>>(), ["stop 10.9.0.1:80 tcp"]);
}

fn a_stop_purges_what_is_ours_or_leaves_it_as_cleanstop_says() {
    let (world, _servers) = world("stop");
    let director = Director::start(&world, CONFIG);
    director.expect(&[OURS, FOREIGN], PATIENCE);
    director.stop();
    assert_eq!(table(&world), [FOREIGN]);
    let kept = format!("{CONFIG}    cleanstop=no\n");
    director.configure(&kept);
    director.command("start");
    director.expect(&[OURS, FOREIGN], PATIENCE);
    let mut open = connections(&world);
    director.stop();
    assert_eq!(table(&world), [OURS, FOREIGN]);
    assert_alive(&mut open, "stopped");
    director.command("start");
    director.pid();
    director.stays(&[OURS, FOREIGN], seen());
    assert_alive(&mut open, "started again");
}

fn a_reload_keeps_the_connections_of_what_is_unchanged() {
    let (world, _servers) = world("reload");
    let director = Director::start(&world, &format!("{CONFIG}{SECOND}"));
    let removed = "tcp 10.9.0.1:81 rr -> 10.0.2.11:80 masq 1";
    director.expect(&[OURS, removed, FOREIGN], PATIENCE);
    let mut open = connections(&world);
    let third = SECOND.replace("10.9.0.1:81", "10.9.0.1:82").replace(".11", ".13");
    director.reload(&format!("{CONFIG}{third}"));
    let added = "tcp 10.9.0.1:82 rr -> 10.0.2.13:80 masq 1";
    director.expect(&[OURS, added, FOREIGN], PATIENCE);
    assert_alive(&mut open, &director.story());
    // A server less and a weight more; the connection to the server that stays is kept.
    let changed =
        CONFIG.replace("    real=10.0.2.11:80 masq\n", "").replace(".12:80 masq", ".12:80 masq 4");
    director.reload(&changed);
    director.expect(&["tcp 10.9.0.1:80 rr -> 10.0.2.12:80 masq 4", FOREIGN], PATIENCE);
    let kept = open.iter_mut().find(|(_, name)| name == "rs2").expect("one to rs2");
    assert_alive(std::slice::from_mut(kept), &director.story());
}

fn a_refused_reload_leaves_everything_as_it_is() {
    let (world, mut servers) = world("refused");
    let director = Director::start(&world, CONFIG);
    director.expect(&[OURS, FOREIGN], PATIENCE);
    let mut open = connections(&world);
    director.configure("checkinterval=never\nvirtual=nonsense\n");
    director.signal("HUP");
    director.stays(&[OURS, FOREIGN], seen());
    assert_alive(&mut open, &director.story());
    assert!(director.logged("Error") >= 1, "{}", director.story());
    servers.remove(0);
    director.expect(&["tcp 10.9.0.1:80 rr -> 10.0.2.12:80 masq 1", FOREIGN], seen());
}
