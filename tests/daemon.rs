//! The program as a daemon, over the memory table: commands, pid file, signals, logs, hooks.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

#[path = "support/sandbox.rs"]
mod sandbox;

use sandbox::{PROGRAM, Ran, Sandbox, wait_for};
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// One service with one real server that is up, and one that refuses.
fn config(more_global: &str, more: &str) -> String {
    format!(
        "checkinterval=1\nchecktimeout=2\n{more_global}\
         virtual=10.9.9.9:80\n\treal=127.0.0.2:8001 masq\n\tchecktype=connect\n{more}"
    )
}

/// A sandbox with a configuration `web.cf` in the place where it is looked up, whose real server
/// listens.
fn machine(more_global: &str, more: &str) -> (Sandbox, Listener) {
    let sandbox = Sandbox::new();
    fs::write(sandbox.seen("/etc/ha.d/web.cf"), config(more_global, more)).unwrap();
    let listener = Listener::start(&sandbox);
    (sandbox, listener)
}

fn set_config(sandbox: &Sandbox, text: &str) {
    fs::write(sandbox.seen("/etc/ha.d/web.cf"), text).unwrap();
}

/// Accepts connections at 127.0.0.2:8001 inside.
struct Listener(std::process::Child);

impl Listener {
    fn start(sandbox: &Sandbox) -> Self {
        let script = "use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, \
                      SO_REUSEADDR, 1); bind($s, sockaddr_in(8001, inet_aton('127.0.0.2'))) or die; \
                      listen($s, 100); $| = 1; print \"ready\\n\"; \
                      while (accept(my $c, $s)) { close $c }";
        let mut command = sandbox.command("perl");
        let mut child =
            command.args(["-e", script]).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        Self(child)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

fn log(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.seen("/var/log/ldirectord.log")).unwrap_or_default()
}

fn wait_for_log(sandbox: &Sandbox, text: &str) {
    wait_for(&format!("{text} in the log"), || log(sandbox).contains(text));
}

#[test]
fn a_daemon_s_life_in_the_original_s_words() {
    let (machine, _listener) = machine("", "");
    machine.ldirectord("web.cf status").expect(
        3,
        "ldirectord is stopped for /etc/ha.d/web.cf\n",
        "",
    );
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    // All of this holds at once, since the parent returns only when the table is up.
    let pid = machine.pid("web.cf");
    let listing = machine.ldirectord("web.cf status --listing").succeeds().stdout;
    assert!(listing.contains("TCP  10.9.9.9:80 wrr\n"), "{listing}");
    let running = format!("ldirectord for /etc/ha.d/web.cf is running with pid: {pid}\n");
    machine.ldirectord("web.cf status").expect(0, "", &running);
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    assert_eq!(machine.pid("web.cf"), pid);
    assert_eq!(machine.daemons(), 1);
    wait_for_log(&machine, "Added real server: 127.0.0.2:8001 (10.9.9.9:80) (Weight set to 1)");

    machine.ldirectord("web.cf reload").expect(0, "", "");
    wait_for_log(&machine, "Reloading Linux Director Daemon config on signal");
    machine.ldirectord("--table memory web.cf restart").expect(0, "", "");
    let second = machine.pid("web.cf");
    assert_ne!(second, pid);
    machine.ldirectord("--table memory web.cf try-restart").expect(0, "", "");
    assert_ne!(machine.pid("web.cf"), second);

    machine.ldirectord("web.cf stop").expect(0, "", "");
    assert_eq!(machine.daemons(), 0, "stop waits");
    assert!(!machine.has_pid_file("web.cf"));
    let log = log(&machine);
    assert!(log.contains("] Purged virtual server (stop): 10.9.9.9:80\n"), "{log}");
    assert!(log.contains("] Linux Director Daemon terminated on signal: TERM\n"), "{log}");
    let line = log.lines().next().unwrap();
    let year = format!("|web.cf|{}] ", line.split(['|', ']']).nth(2).unwrap());
    assert!(line.contains(&year) && line.contains("Invoking ldirectord invoked as: "), "{line}");
}

#[test]
fn without_a_daemon() {
    let (machine, _listener) = machine("", "");
    machine.ldirectord("web.cf stop").expect(0, "", "");
    machine.ldirectord("web.cf try-restart").expect(0, "", "");
    machine.ldirectord("web.cf reload").expect(1, "", "");
    assert!(log(&machine).contains("ldirectord is stopped for /etc/ha.d/web.cf\n"));
    for verb in ["start", "stop", "status"] {
        let missing = "Config file nosuch.cf not found\n";
        machine.ldirectord(&format!("nosuch.cf {verb}")).expect(1, "", missing);
    }
    set_config(&machine, "nonsense\n");
    for verb in ["start", "stop", "restart", "reload", "status"] {
        let ran = machine.ldirectord(&format!("web.cf {verb}"));
        assert_eq!(ran.status, 2, "{verb}");
        let error = "reading file /etc/ha.d/web.cf at line 1: Unknown command nonsense";
        assert!(ran.stderr.starts_with("Error [") && ran.stderr.contains(error), "{}", ran.stderr);
    }
    assert!(!machine.has_pid_file("web.cf"));
}

#[test]
fn a_question_that_may_be_asked_every_second_leaves_no_line_in_the_log() {
    let (machine, _listener) = machine("", "");
    let forms = ["--table", "--json", "--listing"];
    let all = |status| {
        for form in forms {
            assert_eq!(
                machine.ldirectord(&format!("web.cf status {form}")).status,
                status,
                "{form}"
            );
        }
    };
    all(3);
    machine.shell("echo 999999 >/run/ldirectord.web.cf.pid").succeeds();
    all(1);
    set_config(&machine, "nonsense\n");
    all(2);
    assert_eq!(log(&machine), "", "stopped, stale and broken");
    set_config(&machine, &config("", ""));
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    wait_for_log(&machine, "Added real server: 127.0.0.2:8001");
    let before = log(&machine);
    all(0);
    set_config(&machine, &config("supervised=yes\n", ""));
    let json = machine.ldirectord("web.cf status --json").succeeds().stdout;
    assert!(json.starts_with('{'), "the log is not in it: {json}");
    assert_eq!(log(&machine), before);
    set_config(&machine, &config("", ""));
    machine.ldirectord("web.cf status").succeeds();
    assert!(
        log(&machine).ends_with("] Exiting from ldirectord status\n"),
        "the original's is logged"
    );
    machine.ldirectord("web.cf stop").expect(0, "", "");
}

#[test]
fn a_start_right_behind_the_end_of_the_daemon_starts_one() {
    let (machine, _listener) = machine("", "");
    for round in 0..10 {
        machine.ldirectord("--table memory web.cf start").expect(0, "", "");
        let verb = ["start", "restart"][round % 2];
        let script = format!(
            "kill -9 $(cat /run/ldirectord.web.cf.pid) && {PROGRAM} --table memory web.cf {verb}"
        );
        let first = machine.pid("web.cf");
        machine.shell(&script).expect(0, "", "");
        assert_ne!(machine.pid("web.cf"), first, "{verb}");
        machine.ldirectord("web.cf status").succeeds();
        machine.ldirectord("web.cf stop").expect(0, "", "");
    }
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    let script = |verb: &str| {
        format!("kill -9 $(cat /run/ldirectord.web.cf.pid) && {PROGRAM} web.cf {verb}")
    };
    machine.shell(&script("reload")).expect(1, "", "");
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    assert_eq!(machine.shell(&script("status")).status, 1, "a stale pid file");
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    machine.shell(&script("stop")).expect(0, "", "");
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    machine.shell(&script("try-restart")).expect(0, "", "");
    // A killed daemon's prober ends a moment later.
    wait_for("the end of all", || machine.daemons() == 0);
}

#[test]
fn a_daemon_that_cleans_up_is_waited_for() {
    let hook = "\tfallbackcommand=\"sleep 2; :\"\n\tfallbackcommandonstop=yes\n";
    let (machine, _listener) = machine("", hook);
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    wait_for_log(&machine, "Added real server: 127.0.0.2:8001");
    let first = machine.pid("web.cf");
    let term = "kill -TERM $(cat /run/ldirectord.web.cf.pid); sleep 0.2;";
    machine.shell(&format!("{term} {PROGRAM} --table memory web.cf start")).expect(0, "", "");
    assert_ne!(machine.pid("web.cf"), first);
    assert_eq!(machine.daemons(), 1);
    let table = machine.shell(&format!("{term} {PROGRAM} web.cf status --json")).succeeds().stdout;
    assert!(table.contains("\"phase\":\"stopping\""), "{table}");
    machine.ldirectord("web.cf reload").expect(1, "", "");
    assert_eq!(machine.daemons(), 0);
}

#[test]
fn a_table_that_cannot_be_had_is_the_caller_s_to_know() {
    let (machine, _listener) = machine("", "");
    let script = format!("exec setpriv --bounding-set -net_admin {PROGRAM} web.cf start");
    let ran = machine.shell(&script);
    assert_eq!(ran.status, 1, "{ran:?}");
    let says = ["modprobe ip_vs", "CAP_NET_ADMIN"];
    assert!(says.iter().any(|what| ran.stderr.contains(what)), "{ran:?}");
    assert!(!machine.has_pid_file("web.cf"));
}

#[test]
fn a_broken_file_harms_no_running_daemon() {
    let (machine, _listener) = machine("", "");
    machine.ldirectord("--table memory web.cf start").succeeds();
    let pid = machine.pid("web.cf");
    set_config(&machine, "nonsense\n");
    let running = format!("ldirectord for /etc/ha.d/web.cf is running with pid: {pid}\n");
    machine.ldirectord("web.cf status").expect(0, "", &running);
    for verb in ["start", "reload", "restart", "try-restart"] {
        assert_eq!(machine.ldirectord(&format!("web.cf {verb}")).status, 2, "{verb}");
    }
    machine.signal("web.cf", "HUP");
    wait_for_log(&machine, "at line 1: Unknown command nonsense");
    assert_eq!(machine.pid("web.cf"), pid);
    let table = machine.ldirectord("web.cf status --table").succeeds().stdout;
    assert!(table.contains("RELOAD REFUSED"), "{table}");
    fs::remove_file(machine.seen("/etc/ha.d/web.cf")).unwrap();
    machine.ldirectord("web.cf stop").expect(0, "", "");
    assert_eq!(machine.daemons(), 0);
}

#[test]
fn pid_files_that_are_stale_empty_or_nonsense() {
    let (machine, _listener) = machine("", "");
    let pid_file = machine.seen("/run/ldirectord.web.cf.pid");
    machine.ldirectord("--table memory web.cf start").succeeds();
    machine.signal("web.cf", "KILL");
    wait_for("it is dead", || machine.daemons() == 0);
    let stale = "ldirectord stale pid file /var/run/ldirectord.web.cf.pid for /etc/ha.d/web.cf\n";
    let stopped = "ldirectord is stopped for /etc/ha.d/web.cf\n";
    machine.ldirectord("web.cf status").expect(1, stopped, stale);
    machine.ldirectord("web.cf stop").expect(0, "", "");
    fs::write(&pid_file, "junk").unwrap();
    machine.ldirectord("web.cf status").expect(1, stopped, stale);
    fs::write(&pid_file, "").unwrap();
    machine.ldirectord("web.cf status").expect(3, stopped, "");
    // A living process that is no ldirectord, whatever its arguments.
    fs::write(&pid_file, "1\n").unwrap();
    machine.ldirectord("web.cf status").expect(1, stopped, stale);
    machine.ldirectord("--table memory web.cf start").succeeds();
    assert_eq!(machine.daemons(), 1);
}

#[test]
fn many_starts_at_once_make_one_daemon() {
    let (machine, _listener) = machine("", "");
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let mut command = machine.command(PROGRAM);
            command.args(["--table", "memory", "web.cf", "start"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for start in starts {
        let output = start.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    wait_for("one daemon", || machine.daemons() == 1);
    machine.ldirectord("web.cf stop").succeeds();
    assert_eq!(machine.daemons(), 0);
}

#[test]
fn a_running_original_is_recognised_and_stopped() {
    let (machine, _listener) = machine("", "");
    // What the original looks like: a script of this name under perl, with its pid in its file.
    let script = "$SIG{TERM} = sub { unlink '/var/run/ldirectord.web.cf.pid'; exit 0 }; \
                  open(my $f, '>', '/var/run/ldirectord.web.cf.pid'); print $f \"$$\\n\"; close $f; \
                  sleep 1 while 1;";
    let path = machine.path("ldirectord");
    fs::write(&path, script).unwrap();
    let mut original = machine.command("perl");
    let mut original = original.args(["-w", &path, "web.cf", "start"]).spawn().unwrap();
    let found =
        || machine.has_pid_file("web.cf") && machine.ldirectord("web.cf status").status == 0;
    wait_for("the original is found", found);
    let pid = machine.pid("web.cf");
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    assert_eq!(machine.pid("web.cf"), pid, "it goes on");
    assert_eq!(machine.ldirectord("web.cf status --table").status, 1, "it has no control socket");
    machine.ldirectord("web.cf stop").expect(0, "", "");
    assert_eq!(original.wait().unwrap().code(), Some(0));
    assert!(!machine.has_pid_file("web.cf"));
}

#[test]
fn signals() {
    let (machine, _listener) = machine("", "");
    for name in ["TERM", "INT", "QUIT"] {
        machine.ldirectord("--table memory web.cf start").succeeds();
        for harmless in ["USR1", "USR2", "ALRM", "PIPE", "CHLD", "VTALRM", "XFSZ"] {
            machine.signal("web.cf", harmless);
        }
        machine.ldirectord("web.cf status --listing").succeeds();
        machine.signal("web.cf", name);
        wait_for("it has ended", || machine.daemons() == 0);
        assert!(!machine.has_pid_file("web.cf"));
        let last = format!("Linux Director Daemon terminated on signal: {name}\n");
        assert!(log(&machine).ends_with(&last), "{}", log(&machine));
    }
}

#[test]
fn two_instances_live_side_by_side() {
    let (machine, _listener) = machine("", "");
    let other = config("", "").replace("10.9.9.9", "10.9.9.8");
    fs::write(machine.seen("/etc/ha.d/conf/other.cf"), other).unwrap();
    fs::write(machine.seen("/etc/ha.d/ldirectord.cf"), config("", "")).unwrap();
    machine.ldirectord("--table memory web.cf start").succeeds();
    machine.ldirectord("--table memory other.cf start").succeeds();
    machine.ldirectord("--table memory start").succeeds();
    assert_eq!(machine.daemons(), 3);
    let running = |words: &str, file: &str, instance: &str| {
        let pid = machine.pid(instance);
        let text = format!("ldirectord for /etc/ha.d/{file} is running with pid: {pid}\n");
        machine.ldirectord(words).expect(0, "", &text);
    };
    running("other.cf status", "conf/other.cf", "other.cf");
    running("status", "ldirectord.cf", "ldirectord");
    machine.ldirectord("web.cf stop").succeeds();
    assert!(!machine.has_pid_file("web.cf") && machine.has_pid_file("other.cf"));
    machine.ldirectord("ldirectord.cf status").expect(
        3,
        "ldirectord is stopped for /etc/ha.d/ldirectord.cf\n",
        "",
    );
}

#[test]
fn supervised_and_debug_stay_in_the_foreground() {
    let (machine, _listener) = machine("supervised=yes\n", "");
    let in_foreground = |arguments: &[&str]| {
        let mut command = machine.command(PROGRAM);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        wait_for("it answers", || {
            machine.ldirectord("web.cf status").status == 3 && machine.daemons() == 1
        });
        wait_for("the socket", || machine.seen("/run/ldirectord-rs/web.cf.sock").exists());
        assert!(!machine.has_pid_file("web.cf"));
        machine.shell("pkill -x -TERM ldirectord").succeeds();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let (stdout, stderr) = in_foreground(&["--table", "memory", "web.cf", "start"]);
    assert_eq!(stderr, "");
    let line = stdout.lines().find(|line| line.contains("Added virtual server")).unwrap();
    assert!(
        line.starts_with('[') && line.ends_with("] Added virtual server: 10.9.9.9:80"),
        "{line}"
    );
    assert!(stdout.contains("] Starting Linux Director v1.186-ha with pid: "));

    set_config(&machine, &config("", ""));
    let (stdout, stderr) = in_foreground(&["-d", "--table", "memory", "web.cf", "start"]);
    assert_eq!(stdout, "");
    let both = "DEBUG2: Added virtual server: 10.9.9.9:80\nAdded virtual server: 10.9.9.9:80\n";
    assert!(stderr.contains(both), "{stderr}");
}

#[test]
fn systemd_is_told() {
    let (machine, _listener) = machine("", "");
    let path = machine.path("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(sandbox::PATIENCE)).unwrap();
    let next = || {
        let mut buffer = [0; 4096];
        let length = systemd.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut command = machine.command("env");
    command.arg(format!("NOTIFY_SOCKET={path}")).arg("WATCHDOG_USEC=500000");
    command.args([PROGRAM, "--foreground", "--table", "memory", "web.cf", "start"]);
    let mut daemon = command.spawn().unwrap();
    assert!(next().contains("READY=1"));
    let running = machine.ldirectord("web.cf status").succeeds();
    assert!(running.stderr.contains("is running with pid: "), "it has a pid file");
    assert!((0..50).any(|_| next().contains("WATCHDOG=1")));
    machine.ldirectord("web.cf stop").succeeds();
    assert!((0..50).any(|_| next().contains("STOPPING=1")));
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert!(log(&machine).contains("|web.cf|"), "the log is the configured one");

    // In the background, the socket may be somebody else's.
    let mut command = machine.command("env");
    command.arg(format!("NOTIFY_SOCKET={path}"));
    command.args([PROGRAM, "--table", "memory", "web.cf", "start"]);
    Ran::new(&mut command).succeeds();
    machine.ldirectord("web.cf stop").succeeds();
    systemd.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length) = systemd.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(text.contains("WATCHDOG"), "{text}");
    }
}

#[test]
fn hooks_get_a_clean_process_and_run_once_per_change() {
    let (machine, listener) = machine("", "");
    let calls = machine.path("calls");
    // The masks are those of grep, which inherits them: the shell blocks its own while it starts it.
    let hook = machine.program(
        "hook",
        &format!(
            "echo \"$*\" >> {calls}\n\
             ls -l /proc/$$/fd > {calls}.fds\n\
             grep -E '^Sig(Blk|Ign)' /proc/self/status > {calls}.signals"
        ),
    );
    let own = format!("\tfallbackcommand={hook}\n");
    set_config(&machine, &config("", &own));
    machine.ldirectord("--table memory web.cf start").succeeds();
    let told = || -> Vec<String> { machine.read("calls").lines().map(Into::into).collect() };
    wait_for("the first run", || told() == ["stop 10.9.9.9:80 tcp"]);
    drop(listener);
    wait_for("a run at the death", || told().last().unwrap() == "start 10.9.9.9:80 tcp");
    let listener = Listener::start(&machine);
    wait_for("a run at the return", || told().len() == 3);
    assert_eq!(told(), ["stop 10.9.9.9:80 tcp", "start 10.9.9.9:80 tcp", "stop 10.9.9.9:80 tcp"]);

    // Crash and reload change nothing, so nothing is run.
    wait_for("the memory", || {
        let hooks = fs::read_to_string(machine.seen("/run/ldirectord-rs/web.cf.hooks"));
        hooks.is_ok_and(|text| text.matches("\"done\"").count() == 3)
    });
    machine.signal("web.cf", "KILL");
    wait_for("it is dead", || machine.daemons() == 0);
    machine.ldirectord("--table memory web.cf start").succeeds();
    let up = || machine.ldirectord("web.cf status --json").stdout.contains("\"state\":\"up\"");
    wait_for("a verdict", up);
    machine.ldirectord("web.cf reload").succeeds();
    wait_for_log(&machine, "Reloading Linux Director Daemon config on signal");
    machine.ldirectord("web.cf status --json").succeeds();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(told().len(), 3);
    drop(listener);

    for line in machine.read("calls.fds").lines().skip(1) {
        // The shell has its script and what it writes open, and nothing else but /dev/null.
        assert!(line.ends_with(" -> /dev/null") || line.contains(&machine.path("")), "{line}");
    }
    for line in machine.read("calls.signals").lines() {
        let mask = line.split_whitespace().nth(1).unwrap();
        // Beyond 31 are those that the C library keeps for itself.
        assert_eq!(u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff, 0, "{line}");
    }
}

#[test]
fn a_hook_that_hangs_delays_no_stop_for_long_and_is_ended() {
    let (machine, _listener) =
        machine("", "\tfallbackcommand=\"sleep 1000 #\"\n\tfallbackcommandtimeout=1\n");
    machine.ldirectord("--table memory web.cf start").succeeds();
    wait_for_log(&machine, "failed: timed out after 1 s, ended");
    wait_for("its process is gone", || {
        machine.shell("pgrep -x sleep -a | grep -c 1000").stdout == "0\n"
    });
    let begun = Instant::now();
    machine.ldirectord("web.cf stop").expect(0, "", "");
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(machine.daemons(), 0, "{}", machine.shell("ps -ef").stdout);
}

#[test]
fn further_instances_come_and_go_with_this_one() {
    let (machine, _listener) = machine("execute=other.cf\n", "");
    // The further instance chooses its table itself; here there is none but the kernel's. A stand-in
    // for the program notes what it is told.
    let other = config("supervised=no\n", "").replace("10.9.9.9", "10.9.9.8");
    fs::write(machine.seen("/etc/ha.d/other.cf"), other).unwrap();
    machine.ldirectord("--table memory web.cf start").succeeds();
    wait_for_log(&machine, "other.cf start");
    let status = machine.ldirectord("web.cf status").succeeds();
    assert!(status.stdout.contains("ldirectord is stopped for /etc/ha.d/other.cf\n"), "{status:?}");
    set_config(&machine, &config("", ""));
    machine.ldirectord("web.cf reload").succeeds();
    wait_for_log(&machine, "Invoking ldirectord invoked as: ");
    wait_for_log(&machine, "other.cf stop");
    machine.ldirectord("web.cf stop").succeeds();
    assert_eq!(machine.daemons(), 0);
}

#[test]
fn the_log_survives_rotation_and_a_full_disk() {
    let (machine, listener) = machine("logfile=\"/run/small/log\"\n", "");
    machine.shell("mkdir /run/small && mount -t tmpfs -o size=64k tmpfs /run/small").succeeds();
    machine.ldirectord("--table memory web.cf start").succeeds();
    let log = machine.seen("/run/small/log");
    let has = |text: &str| fs::read_to_string(&log).unwrap_or_default().contains(text);
    wait_for("the first lines", || has("Added real server"));
    fs::rename(&log, machine.seen("/run/small/log.1")).unwrap();
    drop(listener);
    wait_for("a new file", || has("Deleted real server"));
    assert_ne!(machine.shell("cat /dev/zero > /run/small/zero").status, 0, "the disk is full");
    let listener = Listener::start(&machine);
    let up = || machine.ldirectord("web.cf status --json").stdout.contains("\"state\":\"up\"");
    wait_for("it goes on", up);
    fs::remove_file(machine.seen("/run/small/zero")).unwrap();
    drop(listener);
    wait_for("the log goes on", || {
        fs::read_to_string(&log).unwrap_or_default().matches("Deleted real server").count() == 2
    });
}

#[test]
fn syslog_gets_the_log_also_after_its_restart() {
    let (machine, listener) = machine("logfile=\"local3\"\n", "");
    // A /dev of its own, so that the host's gets no file.
    let devices = "mkdir /run/dev; for name in null zero urandom; do touch /run/dev/$name; \
                   mount --bind /dev/$name /run/dev/$name; done; mount --rbind /run/dev /dev";
    machine.shell(devices).succeeds();
    // Bound where the test can, then shown where the program looks.
    let bind = || {
        let path = machine.path("l");
        let _ = fs::remove_file(&path);
        let daemon = UnixDatagram::bind(&path).unwrap();
        daemon.set_read_timeout(Some(sandbox::PATIENCE)).unwrap();
        machine.shell(&format!("touch /dev/log && mount --bind {path} /dev/log")).succeeds();
        daemon
    };
    let wait = |daemon: &UnixDatagram, text: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = daemon.recv(&mut buffer).unwrap();
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            assert!(message.starts_with("<158>") && message.contains(" ldirectord["), "{message}");
            if message.ends_with(text) {
                return;
            }
        }
    };
    let first = bind();
    machine.ldirectord("--table memory web.cf start").succeeds();
    wait(&first, "Added real server: 127.0.0.2:8001 (10.9.9.9:80) (Weight set to 1)");
    drop(first);
    machine.shell("umount /dev/log").succeeds();
    let second = bind();
    drop(listener);
    wait(&second, "Deleted real server: 127.0.0.2:8001 (10.9.9.9:80)");
}

#[test]
fn the_callback_and_autoreload() {
    let (machine, _listener) = machine("", "");
    let calls = machine.path("calls");
    let callback = machine.program("callback", &format!("echo \"$*\" >> {calls}"));
    let text = |more: &str| config(&format!("autoreload=yes\ncallback=\"{callback}\"\n{more}"), "");
    set_config(&machine, &text(""));
    machine.ldirectord("--table memory web.cf start").succeeds();
    set_config(&machine, &text("checktimeout=3\n"));
    wait_for_log(&machine, "Configuration file '/etc/ha.d/web.cf' has changed on disk");
    wait_for_log(&machine, " - reread new configuration");
    wait_for("the callback", || machine.read("calls") == "/etc/ha.d/web.cf\n");
}

#[test]
fn a_server_that_was_never_up_is_reminded_of() {
    let (machine, listener) =
        machine("emailalert=ops@example.org\nemailalertfreq=1\nsmtp=127.0.0.1\n", "");
    drop(listener);
    machine.ldirectord("--table memory web.cf start").succeeds();
    wait_for_log(&machine, "emailalert: Inaccessible real server: 127.0.0.2:8001 (10.9.9.9:80)");
    let _listener = Listener::start(&machine);
    wait_for_log(&machine, "Added real server: 127.0.0.2:8001");
    let reminders = || log(&machine).matches("Inaccessible real server").count();
    let before = reminders();
    std::thread::sleep(Duration::from_millis(2500));
    assert!(reminders() <= before + 1, "none once it is up");
}
