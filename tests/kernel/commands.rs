//! What operators do by command, with real connections.

use super::director::{Director, PATIENCE, wait_for};
use super::server::{Connection, Server, who_answers};
use super::world::World;
use super::{SEEN, Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    a_drained_server_keeps_its_connections_and_gets_no_new_ones,
    a_disabled_service_and_a_plan_say_what_is_lost,
];

const CONFIG: &str = "checkinterval=1
checktimeout=5
virtual=10.9.0.1:80
    real=10.0.2.11:80 masq
    real=10.0.2.12:80 masq
    scheduler=rr
    checktype=connect
";

const BOTH: &str = "tcp 10.9.0.1:80 rr -> 10.0.2.11:80 masq 1, 10.0.2.12:80 masq 1";
const DRAINED: &str = "tcp 10.9.0.1:80 rr -> 10.0.2.11:80 masq 0, 10.0.2.12:80 masq 1";

fn world(name: &str) -> (World, Vec<Server>) {
    let world = World::full(name);
    let servers = [("rs1", "10.0.2.11:80"), ("rs2", "10.0.2.12:80")];
    let servers =
        servers.iter().map(|(name, address)| Server::start(&world, name, address)).collect();
    (world, servers)
}

/// A connection through the virtual address to this server.
fn connect(world: &World, name: &str) -> Connection {
    (0..8)
        .find_map(|_| {
            let mut connection = Connection::open(world, "client", "10.9.0.1:80")?;
            (connection.who().as_deref() == Some(name)).then_some(connection)
        })
        .expect("every server gets its share")
}

fn a_drained_server_keeps_its_connections_and_gets_no_new_ones() {
    let (world, _servers) = world("drain");
    let director = Director::start(&world, CONFIG);
    director.expect(&[BOTH], PATIENCE);
    let mut open = connect(&world, "rs1");
    director.command("drain 10.0.2.11 --for 1h --reason disks");
    assert_eq!(director.table(), [DRAINED], "at once: {}", director.story());
    assert_eq!(who_answers(&world, "10.9.0.1:80", 6), "rs2");
    assert_eq!(open.who().as_deref(), Some("rs1"), "it stays: {}", director.story());
    // Whatever becomes of the daemon.
    director.kill();
    director.command("start");
    director.expect(&[DRAINED], PATIENCE);
    director.command("restart");
    director.reload(&format!("{CONFIG}    comment=x"));
    wait_for("the reload", SEEN, || {
        (director.logged("reload: ") > 0).then_some(()).ok_or_else(|| director.story())
    });
    assert_eq!(director.table(), [DRAINED], "{}", director.story());
    assert_eq!(open.who().as_deref(), Some("rs1"), "{}", director.story());
    let status = director.status();
    let server = &status["services"][0]["servers"][0];
    assert_eq!(server["override"]["what"], "drain");
    assert!(server["active"].as_u64() >= Some(1), "{server}");
    director.command("enable 10.0.2.11");
    director.expect(&[BOTH], SEEN);
    assert_eq!(who_answers(&world, "10.9.0.1:80", 6), "rs1 rs2");
    director.command("weight 10.0.2.12 7");
    let heavy = "tcp 10.9.0.1:80 rr -> 10.0.2.11:80 masq 1, 10.0.2.12:80 masq 7";
    assert_eq!(director.table(), [heavy], "{}", director.story());
    let said = |command| String::from_utf8(director.command(command).stdout).expect("text");
    let events = said("events");
    for what in ["enable 10.0.2.11", "weight 7 10.0.2.12"] {
        assert!(events.contains(&format!("operator root: {what}")), "{what}:\n{events}");
    }
    let probed = said("probe 10.0.2.11");
    assert!(probed.contains("connected from ") && probed.contains(" up: "), "{probed}");
    let shown = said("status 10.0.2.12 --table");
    assert!(shown.contains("weight set by root") && !shown.contains("10.0.2.11:80"), "{shown}");
}

fn a_disabled_service_and_a_plan_say_what_is_lost() {
    let (world, _servers) = world("disable");
    let director = Director::start(&world, CONFIG);
    director.expect(&[BOTH], PATIENCE);
    let _open = connect(&world, "rs1");
    director.configure(&CONFIG.replace("    real=10.0.2.11:80 masq\n", ""));
    let plan = String::from_utf8(director.command("plan").stdout).expect("text");
    assert!(plan.contains("- real server 10.0.2.11:80 masq weight 1"), "{plan}");
    assert!(plan.contains("LOSES "), "{plan}");
    assert_eq!(director.table(), [BOTH], "a plan does nothing: {}", director.story());
    director.command("disable 10.9.0.1:80");
    assert_eq!(director.table(), ["tcp 10.9.0.1:80 rr ->"], "{}", director.story());
    director.command("enable 10.9.0.1:80");
    director.expect(&[BOTH], SEEN);
}
