//! The daemon between its parts: kills, reloads, hand-overs and faults in the middle of something.
//! Over the memory table, each in a machine of its own.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

#[path = "support/sandbox.rs"]
mod sandbox;

use sandbox::{Sandbox, wait_for};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A server that listens inside.
struct Listener(Child);

impl Listener {
    fn start(machine: &Sandbox, socket: &str) -> Self {
        let script = format!("use Socket; {socket} $| = 1; print \"ready\\n\"; sleep 1000 while 1");
        let mut command = machine.command("perl");
        command.args(["-e", &script]).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    /// The kernel accepts for it.
    fn web(machine: &Sandbox, address: &str) -> Self {
        Self::start(
            machine,
            &format!(
                "socket(my $s, PF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1); \
                 bind($s, sockaddr_in(8001, inet_aton('{address}'))) or die; listen($s, 1000); \
                 $SIG{{ALRM}} = sub {{ while (1) {{ my $c; accept($c, $s); close $c }} }}; alarm 1;"
            ),
        )
    }

    /// A resolver that never answers.
    fn silent_resolver(machine: &Sandbox) -> Self {
        fs::write(machine.seen("/etc/resolv.conf"), "nameserver 127.0.0.99\n").unwrap();
        fs::write(machine.seen("/etc/nsswitch.conf"), "hosts: dns\n").unwrap();
        Self::start(
            machine,
            "socket(my $s, PF_INET, SOCK_DGRAM, 0); \
             bind($s, sockaddr_in(53, inet_aton('127.0.0.99'))) or die;",
        )
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

const CONFIG: &str = "/etc/ha.d/web.cf";

fn service(vip: &str, real: &str, more: &str) -> String {
    format!("virtual={vip}:80\n\treal={real}:8001 masq\n\tchecktype=connect\n{more}")
}

fn global(more: &str) -> String {
    format!("checkinterval=1\nchecktimeout=2\nlogfile=/var/log/web.log\n{more}")
}

fn machine(text: &str) -> Sandbox {
    let machine = Sandbox::new();
    fs::write(machine.seen(CONFIG), text).unwrap();
    machine
}

fn start(machine: &Sandbox) {
    machine.ldirectord("--table memory web.cf start").succeeds();
}

fn log(machine: &Sandbox) -> String {
    fs::read_to_string(machine.seen("/var/log/web.log")).unwrap_or_default()
}

fn status(machine: &Sandbox) -> serde_json::Value {
    let ran = machine.ldirectord("web.cf status --json").succeeds();
    serde_json::from_str(&ran.stdout).unwrap()
}

fn state(machine: &Sandbox, service: usize) -> String {
    status(machine)["services"][service]["servers"][0]["state"].as_str().unwrap_or("?").to_owned()
}

/// A hook that takes a moment and then writes what it was told.
fn slow_hook(machine: &Sandbox, seconds: f32) -> String {
    let calls = machine.path("calls");
    machine.program("hook", &format!("sleep {seconds}\necho \"$1\" >> {calls}"))
}

fn told(machine: &Sandbox) -> Vec<String> {
    machine.read("calls").lines().map(Into::into).collect()
}

#[test]
fn what_a_hook_was_being_told_at_a_kill_is_put_right_by_the_next_process() {
    let machine = Sandbox::new();
    let hook = slow_hook(&machine, 2.0);
    let own = format!("\tfallbackcommand={hook}\n");
    fs::write(machine.seen(CONFIG), global("") + &service("10.9.9.9", "127.0.0.2", &own)).unwrap();
    let web = Listener::web(&machine, "127.0.0.2");
    start(&machine);
    wait_for("the first run", || told(&machine) == ["stop"]);
    drop(web);
    wait_for("the run at the death has begun", || {
        log(&machine).contains("up -> down")
            && status(&machine)["services"][0]["hook"]["running"] == true
    });
    // It comes back and the daemon is killed while the hook still says start.
    let _web = Listener::web(&machine, "127.0.0.2");
    machine.signal("web.cf", "KILL");
    wait_for("it is dead", || machine.daemons() == 0);
    start(&machine);
    wait_for("stop is said again, after the start that was left behind", || {
        told(&machine) == ["stop", "start", "stop"]
    });
}

#[test]
fn a_restart_in_the_middle_of_a_hook_says_it_again_too() {
    let machine = Sandbox::new();
    let hook = slow_hook(&machine, 8.0);
    let own = format!("\tfallbackcommand={hook}\n");
    fs::write(machine.seen(CONFIG), global("") + &service("10.9.9.9", "127.0.0.2", &own)).unwrap();
    start(&machine);
    wait_for("a run at the death has begun", || {
        status(&machine)["services"][0]["hook"]["running"] == true
    });
    let _web = Listener::web(&machine, "127.0.0.2");
    machine.ldirectord("--table memory web.cf restart").succeeds();
    wait_for("stop after start", || told(&machine) == ["start", "stop"]);
}

#[test]
fn a_maintenance_file_that_comes_or_goes_around_a_reload_counts() {
    let machine = Sandbox::new();
    let maintenance = machine.path("maint");
    fs::create_dir(&maintenance).unwrap();
    let file = machine.path("maint/127.0.0.2");
    let settings = global(&format!("maintenancedir={maintenance}\n"));
    fs::write(machine.seen(CONFIG), settings + &service("10.9.9.9", "127.0.0.2", "")).unwrap();
    let _web = Listener::web(&machine, "127.0.0.2");
    start(&machine);
    wait_for("up", || state(&machine, 0) == "up");
    for _ in 0..3 {
        fs::write(&file, "").unwrap();
        machine.ldirectord("web.cf reload").succeeds();
        std::thread::sleep(Duration::from_millis(200));
        fs::remove_file(&file).unwrap();
        wait_for("in service, for the file is gone", || state(&machine, 0) == "up");
        fs::write(&file, "").unwrap();
        wait_for("in maintenance", || state(&machine, 0) == "maintenance");
        assert_eq!(status(&machine)["phase"], "running", "maintenance is no unfinished start");
        fs::remove_file(&file).unwrap();
        machine.ldirectord("web.cf reload").succeeds();
        std::thread::sleep(Duration::from_millis(200));
        fs::write(&file, "").unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(state(&machine, 0), "maintenance", "for the file is there");
        fs::remove_file(&file).unwrap();
        wait_for("up again", || state(&machine, 0) == "up");
    }
    let log = log(&machine);
    assert!(log.contains(": a file in maintenancedir: up -> maintenance"), "{log}");
    assert!(log.contains(": no file in maintenancedir any more: maintenance -> unknown"), "{log}");
}

#[test]
fn a_maintenance_directory_that_cannot_be_read_changes_nothing() {
    let machine = Sandbox::new();
    let maintenance = machine.path("maint");
    fs::create_dir(&maintenance).unwrap();
    fs::write(machine.path("maint/127.0.0.2"), "").unwrap();
    let settings = global(&format!("maintenancedir={maintenance}\n"));
    fs::write(machine.seen(CONFIG), settings + &service("10.9.9.9", "127.0.0.2", "")).unwrap();
    let _web = Listener::web(&machine, "127.0.0.2");
    start(&machine);
    wait_for("in maintenance", || state(&machine, 0) == "maintenance");
    fs::rename(&maintenance, machine.path("away")).unwrap();
    fs::write(&maintenance, "no directory").unwrap();
    wait_for("it is told", || log(&machine).contains("read maintenancedir"));
    machine.ldirectord("web.cf reload").succeeds();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(state(&machine, 0), "maintenance");
    assert_eq!(log(&machine).matches("read maintenancedir").count(), 1, "once");
    fs::remove_file(&maintenance).unwrap();
    fs::rename(machine.path("away"), &maintenance).unwrap();
    wait_for("it can be read again", || log(&machine).contains("can be read again"));
    assert_eq!(state(&machine, 0), "maintenance");
}

#[test]
fn a_resolver_that_does_not_answer_delays_neither_table_nor_restart_nor_reload() {
    let machine = Sandbox::new();
    let maintenance = machine.path("maint");
    fs::create_dir(&maintenance).unwrap();
    fs::write(machine.path("maint/README"), "what this is for").unwrap();
    let settings = global(&format!("maintenancedir={maintenance}\n"));
    let both = service("10.9.9.9", "127.0.0.2", "") + "\n" + &service("10.9.9.8", "127.0.0.3", "");
    fs::write(machine.seen(CONFIG), settings + &both).unwrap();
    let _resolver = Listener::silent_resolver(&machine);
    let _webs = ["127.0.0.2", "127.0.0.3"].map(|address| Listener::web(&machine, address));
    start(&machine);
    let listing = machine.ldirectord("web.cf status --listing").succeeds().stdout;
    assert!(listing.contains("10.9.9.9:80") && listing.contains("10.9.9.8:80"), "{listing}");
    wait_for("up", || state(&machine, 0) == "up" && state(&machine, 1) == "up");
    machine.ldirectord("web.cf reload").succeeds();
    wait_for("reloaded", || status(&machine)["last_reload"]["error"].is_null());
    let pid = machine.pid("web.cf");
    machine.ldirectord("--table memory web.cf restart").succeeds();
    assert_ne!(machine.pid("web.cf"), pid);
    let log = log(&machine);
    assert!(log.contains("the next process takes over the table as it is"), "{log}");
    assert!(!log.contains("Purged"), "{log}");
}

#[test]
fn names_of_real_servers_are_looked_up_side_by_side() {
    let machine = Sandbox::new();
    let reals: String =
        (0..20).map(|number| format!("\treal=server{number}.example:80 masq\n")).collect();
    let text = global("") + "virtual=10.9.9.9:80\n" + &reals;
    fs::write(machine.seen(CONFIG), text).unwrap();
    let _resolver = Listener::silent_resolver(&machine);
    let options = "options timeout:1 attempts:1\nnameserver 127.0.0.99\n";
    fs::write(machine.seen("/etc/resolv.conf"), options).unwrap();
    let begun = std::time::Instant::now();
    let checked = machine.ldirectord("--check web.cf");
    assert_eq!(checked.status, 2, "{checked:?}");
    assert_eq!(checked.stderr.matches("Error").count(), 20, "{checked:?}");
    // One after another they would take twenty times as long.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn names_are_followed_whatever_becomes_of_the_file() {
    let text = global("resolveinterval=1\n")
        + "virtual=vip.example:80\n\treal=pool.example:8001 masq\n\tchecktype=connect\n\
           \tfallback=sorry.example:8001\n";
    let machine = machine(&text);
    fs::write(machine.seen("/etc/nsswitch.conf"), "hosts: files\n").unwrap();
    fs::write(machine.seen("/etc/host.conf"), "multi on\n").unwrap();
    let hosts = |vip: u8, pool: &[u8], sorry: u8| {
        let pool = pool.iter().map(|host| format!("127.0.0.{host} pool.example\n"));
        let others = format!("10.9.9.{vip} vip.example\n127.0.0.{sorry} sorry.example\n");
        let text = pool.collect::<String>() + &others;
        // In one step, as it is looked up all the time.
        fs::write(machine.seen("/etc/hosts.new"), text).unwrap();
        fs::rename(machine.seen("/etc/hosts.new"), machine.seen("/etc/hosts")).unwrap();
    };
    let _webs =
        ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|address| Listener::web(&machine, address));
    let servers = || {
        let status = status(&machine);
        let servers = status["services"][0]["servers"].as_array().unwrap().clone();
        let shown = servers.iter().map(|it| {
            format!("{} {}", it["address"].as_str().unwrap(), it["state"].as_str().unwrap())
        });
        shown.collect::<Vec<_>>()
    };
    hosts(9, &[3, 2], 11);
    start(&machine);
    wait_for("both are up", || servers() == ["127.0.0.2:8001 up", "127.0.0.3:8001 up"]);
    // An editor is in the middle of something, which is nobody's wish yet.
    fs::write(machine.seen(CONFIG), text.replace("pool.example", "127.0.0.9")).unwrap();
    hosts(8, &[4, 3], 12);
    wait_for("the new one is up", || servers() == ["127.0.0.3:8001 up", "127.0.0.4:8001 up"]);
    let line = "pool.example has changed: 127.0.0.4 added, 127.0.0.2 removed";
    assert!(log(&machine).contains(line), "{}", log(&machine));
    let listing = machine.ldirectord("web.cf status --listing").succeeds().stdout;
    assert!(listing.contains("10.9.9.9:80"), "the service keeps its address: {listing}");
    hosts(9, &[], 12);
    wait_for("it is told", || log(&machine).contains("cannot look up pool.example: "));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(log(&machine).matches("cannot look up pool.example").count(), 1, "once");
    assert_eq!(servers(), ["127.0.0.3:8001 up", "127.0.0.4:8001 up"]);
    hosts(9, &[3], 12);
    wait_for("it is told", || log(&machine).contains("pool.example can be looked up again"));
    wait_for("one is left", || servers() == ["127.0.0.3:8001 up"]);
    // Nobody serves any more but the fallback, at its new address.
    hosts(9, &[7], 13);
    wait_for("it is down", || servers() == ["127.0.0.7:8001 down"]);
    let listing = machine.ldirectord("web.cf status --listing").succeeds().stdout;
    assert!(listing.contains("127.0.0.13:"), "{listing}");
}

#[test]
fn a_file_in_the_middle_of_a_write_is_not_taken_for_one_without_services() {
    for way in ["reload", "autoreload", "restart"] {
        let settings = global(if way == "autoreload" { "autoreload=yes\n" } else { "" });
        let text = settings + &service("10.9.9.9", "127.0.0.2", "");
        let machine = machine(&text);
        let _web = Listener::web(&machine, "127.0.0.2");
        start(&machine);
        wait_for("up", || state(&machine, 0) == "up");
        // The editor truncates, and is not done yet when the file is read.
        let path = machine.seen(CONFIG);
        let mut file = fs::File::create(&path).unwrap();
        let edited = text.replace("checktimeout=2", "checktimeout=3");
        let writer = std::thread::spawn(move || {
            let (first, rest) = edited.split_at(edited.len() / 2);
            for part in [first, rest] {
                std::thread::sleep(Duration::from_millis(20));
                std::io::Write::write_all(&mut file, part.as_bytes()).unwrap();
            }
        });
        match way {
            "reload" => drop(machine.ldirectord("web.cf reload").succeeds()),
            "restart" => drop(machine.ldirectord("--table memory web.cf restart").succeeds()),
            _ => wait_for("it is noticed", || log(&machine).contains("reread new configuration")),
        }
        writer.join().unwrap();
        wait_for("up", || state(&machine, 0) == "up");
        let log = log(&machine);
        assert!(!log.contains("Purged") && !log.contains("Deleted"), "{way}: {log}");
    }
}

#[test]
fn autoreload_leaves_a_file_that_has_lost_its_services_and_a_reload_says_so() {
    let text = global("autoreload=yes\n") + &service("10.9.9.9", "127.0.0.2", "");
    let machine = machine(&text);
    let _web = Listener::web(&machine, "127.0.0.2");
    start(&machine);
    wait_for("up", || state(&machine, 0) == "up");
    fs::write(machine.seen(CONFIG), "").unwrap();
    wait_for("it is refused", || log(&machine).contains("has no virtual service; autoreload"));
    assert_eq!(state(&machine, 0), "up");
    fs::write(machine.seen(CONFIG), text.replace("checktimeout=2", "checktimeout=3")).unwrap();
    wait_for("the next edit is read", || {
        log(&machine).contains("reload: 1 of 1 services changed, 0 added, 0 removed")
    });
    fs::write(machine.seen(CONFIG), global("")).unwrap();
    machine.ldirectord("web.cf reload").succeeds();
    wait_for("told loudly", || {
        log(&machine).contains("has no virtual service any more; all 1 services are removed")
    });
    wait_for("gone", || status(&machine)["services"].as_array().unwrap().is_empty());
}

#[test]
fn autoreload_notices_a_change_of_a_file_that_defines_a_service() {
    let own = "\tservice=greets\n".to_owned();
    let section = service("10.9.9.9", "127.0.0.2", &own).replace("connect", "negotiate");
    let machine = machine(&(global("autoreload=yes\n") + &section));
    let path = "/etc/ha.d/services.d/greets";
    fs::create_dir_all(machine.seen("/etc/ha.d/services.d")).unwrap();
    let define = |text: &str| fs::write(machine.seen(path), text).unwrap();
    define("expect = \"^hello\"\n");
    let _greets = Listener::start(
        &machine,
        "socket(my $s, PF_INET, SOCK_STREAM, 0); bind($s, sockaddr_in(8001, inet_aton('127.0.0.2'))) \
         or die; listen($s, 100); $SIG{ALRM} = sub { while (1) { my $c; accept($c, $s); \
         syswrite($c, \"hello\\n\"); close $c } }; alarm 1;",
    );
    start(&machine);
    wait_for("up", || state(&machine, 0) == "up");
    define("expect = \"^goodbye\"\n");
    wait_for("another answer is expected", || state(&machine, 0) == "down");
    let changed = format!("Configuration file '{path}' has changed on disk");
    assert_eq!(log(&machine).matches(&changed).count(), 1);
    let refusals = || log(&machine).matches("reload refused").count();
    define("expect = \n");
    wait_for("it is refused", || refusals() == 1);
    define("expect = \"^hello\"\n");
    wait_for("it is mended", || state(&machine, 0) == "up");
    fs::remove_file(machine.seen(path)).unwrap();
    wait_for("it is missed", || refusals() == 2);
    define("expect = \"^hello\"\n\n");
    wait_for("it is back", || log(&machine).matches("reload: 1 of 1 services").count() == 3);
    assert_eq!((state(&machine, 0), refusals()), ("up".to_owned(), 2));
}

#[test]
fn autoreload_notices_what_happens_to_included_files() {
    let machine = machine(&global("autoreload=yes\ninclude = conf.d/*.cf\n"));
    let directory = machine.seen("/etc/ha.d/conf.d");
    fs::create_dir_all(&directory).unwrap();
    let put = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    put("a.cf", &service("10.9.9.1", "127.0.0.2", ""));
    put("web.cf.orig", "no part of it");
    start(&machine);
    let services = || {
        let status = status(&machine);
        let addresses = status["services"].as_array().unwrap().iter();
        addresses.map(|it| it["address"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(services(), ["10.9.9.1:80"]);
    put("b.cf", &service("10.9.9.2", "127.0.0.2", ""));
    wait_for("a file has come", || services() == ["10.9.9.1:80", "10.9.9.2:80"]);
    put("a.cf", &service("10.9.9.3", "127.0.0.2", ""));
    wait_for("one has changed", || services() == ["10.9.9.3:80", "10.9.9.2:80"]);
    put("b.cf", "nonsense\n");
    let refusal = "reading file /etc/ha.d/conf.d/b.cf at line 1: Unknown command nonsense";
    wait_for("one is wrong", || log(&machine).contains(refusal));
    assert_eq!(services(), ["10.9.9.3:80", "10.9.9.2:80"]);
    fs::remove_file(directory.join("b.cf")).unwrap();
    wait_for("it is gone", || services() == ["10.9.9.3:80"]);
    for name in ["a.cf", "b.cf"] {
        let changed = format!("Configuration file '/etc/ha.d/conf.d/{name}' has changed on disk");
        assert!(log(&machine).contains(&changed), "{}", log(&machine));
    }
}

/// Has the daemon end by a fault of its own; only programs with debug checks know how.
fn fail(machine: &Sandbox) {
    let script = "use Socket; socket(my $s, PF_UNIX, SOCK_STREAM, 0); \
                  connect($s, pack_sockaddr_un('/run/ldirectord-rs/web.cf.sock')) or die; \
                  syswrite($s, \"fail\\n\"); sysread($s, my $b, 10);";
    machine.shell(&format!("perl -e '{}'", script.replace('\'', "\"")));
}

#[test]
fn after_a_fault_the_daemon_goes_on_in_place_and_after_five_it_ends() {
    let machine = Sandbox::new();
    let hook = slow_hook(&machine, 0.0);
    let own = format!("\tfallbackcommand={hook}\n");
    fs::write(machine.seen(CONFIG), global("") + &service("10.9.9.9", "127.0.0.2", &own)).unwrap();
    let web = Listener::web(&machine, "127.0.0.2");
    start(&machine);
    wait_for("up", || state(&machine, 0) == "up" && told(&machine) == ["stop"]);
    let pid = machine.pid("web.cf");
    for time in 1..=5 {
        fail(&machine);
        wait_for("it goes on", || {
            let ran = machine.ldirectord("web.cf status --json");
            ran.stdout.contains(&format!("\"restarts\":{time}"))
        });
        assert_eq!(machine.pid("web.cf"), pid, "in the same process");
        let running = machine.ldirectord("web.cf status").succeeds();
        assert!(running.stderr.contains(&format!("is running with pid: {pid}")), "{running:?}");
        machine.ldirectord("--table memory web.cf start").expect(0, "", "");
        assert_eq!(machine.daemons(), 1, "the lock is kept");
        wait_for("up", || state(&machine, 0) == "up");
    }
    assert_eq!(told(&machine), ["stop"], "what the hook was told is not forgotten");
    drop(web);
    wait_for("it still watches", || told(&machine) == ["stop", "start"]);
    let why = status(&machine)["faults"]["last_restart"].as_str().unwrap().to_owned();
    assert!(why.contains("thread 'test'"), "{why}");
    let table = machine.ldirectord("web.cf status --table").succeeds().stdout;
    assert!(table.contains("started itself anew 5 times"), "{table}");
    fail(&machine);
    wait_for("it ends", || machine.daemons() == 0);
    assert!(!machine.has_pid_file("web.cf"));
    assert!(log(&machine).contains("the daemon ends, the table stays as it is"));
}

#[test]
fn what_a_process_that_started_itself_anew_runs_holds_nothing_of_its() {
    let machine = Sandbox::new();
    let check = machine.program("check", "exec sleep 4");
    let external = format!(
        "virtual=10.9.9.9:80\n\treal=127.0.0.2:8001 masq\n\tchecktype=external\n\
         \tcheckcommand={check}\n\tchecktimeout=30\n"
    );
    fs::write(machine.seen(CONFIG), global("") + &external).unwrap();
    start(&machine);
    fail(&machine);
    let anew = || machine.ldirectord("web.cf status --json").stdout.contains("\"restarts\":1");
    wait_for("it goes on", anew);
    // Those of before the fault are over by then.
    wait_for("a check of its own", || state(&machine, 0) == "up");
    let checks = "for check in $(pgrep -x sleep); do ls -l /proc/$check/fd; done";
    wait_for("another one", || machine.shell(checks).stdout.contains("/dev/null"));
    let held = machine.shell(checks).stdout;
    assert!(!held.contains(".pid"), "{held}");
    machine.signal("web.cf", "KILL");
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    assert!(machine.has_pid_file("web.cf"));
}

#[test]
fn a_process_that_started_itself_anew_ends_reloads_and_hands_over_as_any_other() {
    let machine = machine(&(global("") + &service("10.9.9.9", "127.0.0.2", "")));
    let _web = Listener::web(&machine, "127.0.0.2");
    start(&machine);
    fail(&machine);
    let anew = || machine.ldirectord("web.cf status --json").stdout.contains("\"restarts\":1");
    wait_for("it goes on", anew);
    machine.ldirectord("web.cf reload").succeeds();
    wait_for("reloaded", || log(&machine).contains("reload: 0 of 1 services changed"));
    let pid = machine.pid("web.cf");
    machine.ldirectord("--table memory web.cf restart").succeeds();
    assert_ne!(machine.pid("web.cf"), pid);
    fail(&machine);
    wait_for("it goes on", anew);
    machine.ldirectord("web.cf stop").succeeds();
    assert_eq!(machine.daemons(), 0);
    assert!(!machine.has_pid_file("web.cf"));
}
