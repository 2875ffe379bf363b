//! Start, stop, crash and reload, over a table that is in use.

use super::director::{Director, PATIENCE, ipvsadm, table, wait_for};
use super::server::{Connection, Server};
use super::world::World;
use super::{SEEN, SEVERAL_CHECKS, Test, tests};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, SystemTime};

pub(crate) const TESTS: &[Test] = tests![
    a_start_takes_over_the_table_that_it_finds,
    a_killed_daemon_leaves_its_table_and_the_next_takes_it_over_with_its_connections,
    a_restart_hands_the_table_over_with_its_connections,
    after_a_fault_the_same_process_goes_on_with_table_hooks_and_connections,
    a_prober_that_is_killed_ten_times_under_500_servers_changes_nothing,
    a_stop_purges_what_is_ours_or_leaves_it_as_cleanstop_says,
    a_reload_keeps_the_connections_of_what_is_unchanged,
    a_refused_reload_leaves_everything_as_it_is,
];

const SERVERS: [(&str, &str); 3] =
    [("rs1", "10.0.2.11:80"), ("rs2", "10.0.2.12:80"), ("rs3", "10.0.2.13:80")];

const CONFIG: &str = "checkinterval=1
checktimeout=5
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
    director.expect(&["tcp 10.9.0.1:80 rr ->", FOREIGN], SEEN);
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

fn after_a_fault_the_same_process_goes_on_with_table_hooks_and_connections() {
    let (world, mut servers) = world("fault");
    let hook = "/run/kernel-tests/fault.calls";
    let hooked = format!("fallbackcommand=/bin/echo >>{hook}\n{CONFIG}");
    let calls = || std::fs::read_to_string(hook).unwrap_or_default();
    let director = Director::start(&world, &format!("{hooked}{SECOND}"));
    director.expect(&[OURS, "tcp 10.9.0.1:81 rr -> 10.0.2.11:80 masq 1", FOREIGN], PATIENCE);
    wait_for("the hooks", PATIENCE, || (calls().lines().count() == 2).then_some(()).ok_or(""));
    let mut open = connections(&world);
    // The second service is no more by the time of the fault, and nobody has reloaded.
    director.configure(&hooked);
    let (pid, removed) = (director.pid(), director.logged("Deleted"));
    for time in 1..=3 {
        director.fail();
        // New connections come through all the while, and the old ones live.
        let anew = "the daemon starts itself anew";
        wait_for("a new start", PATIENCE, || {
            Connection::open(&world, "client", "10.9.0.1:80").expect("connected").who();
            assert_alive(&mut open, "while it starts");
            let ready = director.logged("Starting Linux Director") == time + 1;
            (ready && director.logged(anew) == time).then_some(()).ok_or_else(|| director.story())
        });
        let checks = servers[0].accepted();
        wait_for("a check", PATIENCE, || {
            (servers[0].accepted() > checks + 2).then_some(()).ok_or("")
        });
        assert_eq!(director.table(), [OURS, FOREIGN], "{}", director.story());
        assert_alive(&mut open, &director.story());
        assert_eq!(director.pid(), pid);
    }
    assert_eq!(director.logged("Deleted"), removed);
    assert_eq!(calls().matches("stop 10.9.0.1:80 tcp\n").count(), 1, "no route came or went");
    assert_eq!(calls().lines().count(), 2, "{}", calls());
    assert_eq!(director.logged("Purged virtual server (start): 10.9.0.1:81"), 1);
    servers.remove(0);
    director.expect(&["tcp 10.9.0.1:80 rr -> 10.0.2.12:80 masq 1", FOREIGN], SEEN);
    director.stop();
    assert_eq!(table(&world), [FOREIGN]);
}

fn a_prober_that_is_killed_ten_times_under_500_servers_changes_nothing() {
    /// Seconds. A check is as old at most and 2 s older, and what a loaded machine may add.
    const INTERVAL: i64 = 2;
    let limit = INTERVAL + 2 + SEEN.as_secs().cast_signed();
    let mut highest = 0;
    let world = World::director("prober");
    // One socket for all of 127.0.0.0/8.
    let listener = world.inside("director", || TcpListener::bind("0.0.0.0:8000").unwrap());
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let hook = "/run/kernel-tests/prober.calls";
    let reals: String = (0..500)
        .map(|server| format!("    real=127.1.{}.{}:8000 masq\n", server / 250, server % 250 + 1))
        .collect();
    let director = Director::start(
        &world,
        &format!(
            "checkinterval={INTERVAL}\nchecktimeout=5\nfallbackcommand=/bin/echo >>{hook}\n\
             virtual=10.9.0.1:80\n{reals}    scheduler=rr\n    checktype=connect\n"
        ),
    );
    let servers = |status: &serde_json::Value| {
        status["services"][0]["servers"].as_array().expect("servers").clone()
    };
    let all_up =
        |status: &serde_json::Value| servers(status).iter().all(|server| server["state"] == "up");
    wait_for("all up", PATIENCE, || {
        all_up(&director.status()).then_some(()).ok_or_else(|| director.story())
    });
    let changes = || {
        let words = ["Added", "Deleted", "Quiescent", "Restored", "Purged", "Soft failure"];
        words.map(|word| director.logged(word))
    };
    let said = || std::fs::read_to_string(hook).unwrap_or_default();
    wait_for("the hook", PATIENCE, || (said() == "stop 10.9.0.1:80 tcp\n").then_some(()).ok_or(""));
    let (before, table_before) = (changes(), director.table());
    let mut killed = std::collections::HashSet::new();
    while killed.len() < 10 {
        let status = director.status();
        let prober = status["prober"]["pid"].as_u64();
        if let Some(pid) = prober.filter(|pid| killed.insert(*pid)) {
            Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill");
        }
        // How old the oldest check becomes until the next one is there.
        for _ in 0..3 {
            let asked = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
            let status = director.status();
            let oldest =
                servers(&status).iter().filter_map(|server| server["checked"].as_i64()).min();
            let age = asked.as_secs().cast_signed() - oldest.expect("checked");
            assert!(age <= limit, "{age} s after kill {}", killed.len());
            highest = highest.max(age);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    println!("the oldest check of 500 in ten kills of the prober: {highest} s");
    assert_eq!(changes(), before, "{}", director.story());
    assert_eq!(director.table(), table_before);
    assert_eq!(said(), "stop 10.9.0.1:80 tcp\n");
    let status = director.status();
    assert!(all_up(&status));
    assert!(status["prober"]["starts"].as_u64() >= Some(11), "{}", status["prober"]);
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
    director.stays(&[OURS, FOREIGN], SEVERAL_CHECKS);
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
    director.stays(&[OURS, FOREIGN], SEVERAL_CHECKS);
    assert_alive(&mut open, &director.story());
    assert!(director.logged("Error") >= 1, "{}", director.story());
    servers.remove(0);
    director.expect(&["tcp 10.9.0.1:80 rr -> 10.0.2.12:80 masq 1", FOREIGN], SEEN);
}
