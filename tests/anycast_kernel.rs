//! `ldirectord-anycast` against a real kernel: addresses, local routes and ip_vs.
//!
//! On a host (`cargo test --test anycast_kernel [FILTER]`) this program runs itself inside the
//! lab, a user-mode-linux guest, and there runs the tests one after the other, each in a network
//! namespace of its own. No lab is a failure.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const TESTS: &[(&str, fn())] = &[
    ("stop_raises_and_start_lowers_however_often", stop_raises_and_start_lowers_however_often),
    ("an_ipv6_address_is_usable_at_once_and_never_a_source", an_ipv6_address_is_usable_at_once),
    ("services_of_one_address_are_combined", services_of_one_address_are_combined),
    ("a_mark_has_the_address_it_is_given", a_mark_has_the_address_it_is_given),
    ("a_service_that_left_ip_vs_is_forgotten", a_service_that_left_ip_vs_is_forgotten),
    ("a_table_without_the_service_is_not_believed", a_table_without_the_service_is_not_believed),
    ("forget_lowers_what_nobody_stands_for", forget_lowers_what_nobody_stands_for),
    ("what_others_have_put_there_is_left_alone", what_others_have_put_there_is_left_alone),
    ("an_interface_must_be_there_and_up", an_interface_must_be_there_and_up),
    ("an_address_that_stays_elsewhere_is_a_failure", an_address_that_stays_elsewhere_is_a_failure),
    ("settling_takes_packets_after_the_address_is_gone", settling_takes_packets),
    ("a_stop_during_settling_wins", a_stop_during_settling_wins),
    ("a_run_killed_while_it_settles_is_cleaned_up_by_the_next", a_killed_run_is_cleaned_up),
    ("two_runs_that_settle_one_address_end_with_the_later", two_runs_that_settle_one_address),
    ("many_runs_at_once_do_not_lose_a_word", many_runs_at_once_do_not_lose_a_word),
    ("status_shows_what_somebody_else_changed", status_shows_what_somebody_else_changed),
    ("a_hostile_state_is_tolerated", a_hostile_state_is_tolerated),
    ("the_guard_lowers_what_no_living_director_stands_for", the_guard_lowers),
    ("without_the_right_to_it_says_so", without_the_right_to_it_says_so),
    ("the_shell_hook_of_the_example_does_the_same", the_shell_hook_of_the_example_does_the_same),
];

const STATE: &str = "/run/anycast-test";
const V4: &str = "198.51.100.1:53";
const V6: &str = "[2001:db8:53::1]:53";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("LDIRECTORD_LAB").is_none() {
        return boot(&arguments);
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    run_all(filter.map_or("", String::as_str))
}

fn boot(arguments: &[String]) -> ExitCode {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/run");
    match Command::new(&lab).arg(std::env::current_exe().unwrap()).args(arguments).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        ended => {
            println!("kernel tests failed: {}: {ended:?}", lab.display());
            ExitCode::FAILURE
        }
    }
}

fn run_all(filter: &str) -> ExitCode {
    let selected: Vec<_> = TESTS.iter().filter(|(name, _)| name.contains(filter)).collect();
    println!("\nrunning {} tests", selected.len());
    let mut failed = 0;
    for (name, test) in &selected {
        let _ = fs::remove_dir_all(STATE);
        ip("netns add t");
        inside("ip link set lo up");
        for interface in ["any0", "anycast0"] {
            inside(&format!("ip link add {interface} type dummy"));
            inside(&format!("ip link set {interface} up"));
        }
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
        ip("netns del t");
    }
    let passed = selected.len() - failed;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored\n");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().unwrap();
    assert!(status.success(), "ip {words}");
}

/// Runs a command in the namespace and returns what it printed.
fn inside(command: &str) -> String {
    let output =
        Command::new("ip").args(["netns", "exec", "t"]).args(command.split(' ')).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn program(words: &str) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", "t", env!("CARGO_BIN_EXE_ldirectord-anycast")])
        .args(["--state-dir", STATE, "--interface", "any0"])
        .args(["--subnet", "198.51.100.0/24", "--subnet", "2001:db8:53::/64"])
        .args(words.split(' '));
    command
}

/// Exit status and the one line of standard error, which there is exactly when it is not 0.
fn call(words: &str) -> (i32, String) {
    let output = program(words).output().unwrap();
    let (status, stderr) =
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(stderr.lines().count(), usize::from(status != 0), "{words}: {stderr}");
    (status, stderr)
}

fn succeed(words: &str) {
    assert_eq!(call(words), (0, String::new()), "{words}");
}

fn fail(words: &str, why: &str) {
    let (status, stderr) = call(words);
    assert!(status != 0 && stderr.contains(why), "{words}: {status} {stderr}");
}

/// The global addresses of the test's interface: `198.51.100.1/32 2001:db8:53::1/128`.
fn addresses() -> String {
    let listed = inside("ip -o address show dev any0 scope global");
    let words = listed.lines().filter_map(|line| line.split_whitespace().nth(3));
    words.collect::<Vec<_>>().join(" ")
}

fn status() -> String {
    String::from_utf8(program("status").output().unwrap().stdout).unwrap()
}

fn stop_raises_and_start_lowers_however_often() {
    for (service, address) in [(V4, "198.51.100.1/32"), (V6, "2001:db8:53::1/128")] {
        for (word, expected) in
            [("start", ""), ("stop", address), ("stop", address), ("start", ""), ("start", "")]
        {
            succeed(&format!("{word} {service} udp"));
            assert_eq!(addresses(), expected, "{word} {service}");
        }
    }
}

fn an_ipv6_address_is_usable_at_once() {
    succeed(&format!("stop {V6} udp"));
    let listed = inside("ip -6 address show dev any0 scope global");
    assert!(listed.contains("nodad") && listed.contains("preferred_lft 0sec"), "{listed}");
    assert!(!listed.contains("tentative"), "{listed}");
    inside("ip -6 address add 2001:db8:1::1/64 dev any0 nodad");
    let route = inside("ip -6 route get 2001:db8:1::2");
    assert!(route.contains("src 2001:db8:1::1"), "{route}");
}

fn services_of_one_address_are_combined() {
    for (policy, steps) in [
        (
            "all",
            [
                ("stop", "udp", true),
                ("start", "tcp", false),
                ("stop", "tcp", true),
                ("start", "udp", false),
                ("start", "tcp", false),
                ("stop", "udp", false),
            ],
        ),
        (
            "any",
            [
                ("stop", "udp", true),
                ("start", "tcp", true),
                ("stop", "tcp", true),
                ("start", "udp", true),
                ("start", "tcp", false),
                ("stop", "udp", true),
            ],
        ),
    ] {
        let _ = fs::remove_dir_all(STATE);
        for (word, protocol, up) in steps {
            succeed(&format!("--policy {policy} {word} {V4} {protocol}"));
            assert_eq!(!addresses().is_empty(), up, "{policy}: {word} {protocol}\n{}", status());
        }
    }
}

fn a_mark_has_the_address_it_is_given() {
    fail("stop 7:0 fwm", "--address");
    succeed("--address 198.51.100.7 stop 7:0 fwm");
    assert_eq!(addresses(), "198.51.100.7/32");
    succeed("--address 198.51.100.7 start 7:0 fwm");
    assert_eq!(addresses(), "");
}

fn a_service_that_left_ip_vs_is_forgotten() {
    inside(&format!("ipvsadm -A -t {V4}"));
    inside(&format!("ipvsadm -A -u {V4}"));
    succeed(&format!("stop {V4} udp"));
    succeed(&format!("start {V4} tcp"));
    assert_eq!(addresses(), "");
    inside(&format!("ipvsadm -D -t {V4}"));
    assert!(status().contains("not in ip_vs any more"), "{}", status());
    succeed(&format!("stop {V4} udp"));
    assert_eq!(addresses(), "198.51.100.1/32");
    assert!(!status().contains("tcp"), "{}", status());
}

fn a_table_without_the_service_is_not_believed() {
    inside("ipvsadm -A -t 192.0.2.1:80");
    succeed(&format!("stop {V4} udp"));
    succeed(&format!("start {V4} tcp"));
    succeed(&format!("stop {V4} udp"));
    assert_eq!(addresses(), "");
}

fn forget_lowers_what_nobody_stands_for() {
    inside(&format!("ipvsadm -A -u {V4}"));
    for words in [format!("stop {V4} udp"), format!("stop {V6} udp"), format!("stop {V6} tcp")] {
        succeed(&words);
    }
    succeed(&format!("forget {V6} tcp"));
    fail(&format!("forget {V6} tcp"), "no such service");
    assert_eq!(addresses(), "198.51.100.1/32 2001:db8:53::1/128");
    succeed("forget");
    assert_eq!(addresses(), "198.51.100.1/32");
    inside("ipvsadm -C");
    succeed("forget");
    assert_eq!(addresses(), "");
    assert_eq!(status(), "no service has been reported yet\n");
}

fn what_others_have_put_there_is_left_alone() {
    for (own, service) in
        [("198.51.100.1/24", V4), ("198.51.100.1 peer 198.51.100.2", V4), ("2001:db8:53::1/64", V6)]
    {
        inside(&format!("ip address add {own} dev any0"));
        let before = addresses();
        for word in ["stop", "start"] {
            fail(&format!("{word} {service} udp"), "the interface's own");
            assert_eq!(addresses(), before);
        }
        inside("ip address flush dev any0 scope global");
    }
}

fn an_interface_must_be_there_and_up() {
    fail(&format!("--interface any1 stop {V4} udp"), "no such interface");
    succeed(&format!("--interface any1 start {V4} udp"));
    inside("ip link set any0 down");
    fail(&format!("stop {V4} udp"), "ip link set any0 up");
    inside("ip link set any0 up");
    succeed(&format!("stop {V4} udp"));
}

fn an_address_that_stays_elsewhere_is_a_failure() {
    succeed(&format!("stop {V4} udp"));
    inside("ip address add 198.51.100.1/32 dev lo");
    succeed(&format!("stop {V4} udp"));
    fail(&format!("start {V4} udp"), "still on lo");
    assert_eq!(addresses(), "");
}

fn spawned(words: &str) -> Child {
    program(words).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// Whether the machine takes packets for the address.
fn is_local(address: &str) -> bool {
    // Without any route to it, ip fails.
    let output = Command::new("ip").args(["-n", "t", "route", "get", address]).output().unwrap();
    output.stdout.starts_with(b"local ")
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(50));
    }
}

fn settling_takes_packets() {
    for (service, address) in [(V4, "198.51.100.1"), (V6, "2001:db8:53::1")] {
        succeed(&format!("stop {service} udp"));
        let mut settling = spawned(&format!("--settle 4 start {service} udp"));
        wait_until("the address goes", || addresses().is_empty());
        assert!(is_local(address), "{address} while settling");
        assert!(settling.wait().unwrap().success());
        assert!(!is_local(address), "{address} after settling");
    }
}

fn a_stop_during_settling_wins() {
    succeed(&format!("stop {V4} udp"));
    let mut settling = spawned(&format!("--settle 3 start {V4} udp"));
    wait_until("the address goes", || addresses().is_empty());
    succeed(&format!("stop {V4} udp"));
    assert!(settling.wait().unwrap().success());
    assert_eq!(addresses(), "198.51.100.1/32");
    assert_eq!(inside("ip route show table local proto 172"), "");
    assert!(is_local("198.51.100.1"));
}

fn held() -> String {
    ["-4", "-6"]
        .map(|family| inside(&format!("ip {family} -o route show table local proto 172")))
        .concat()
}

/// Kills the program itself, not `ip netns exec` in front of it, which has become it.
fn kill_while_it_settles(service: &str) {
    succeed(&format!("stop {service} udp"));
    let mut settling = spawned(&format!("--settle 40 start {service} udp"));
    wait_until("the address goes", || addresses().is_empty());
    settling.kill().unwrap();
    settling.wait().unwrap();
    assert_eq!(held().lines().count(), 1, "{}", held());
}

fn a_killed_run_is_cleaned_up() {
    // Any word about any address of the subnets, whatever comes of it.
    for (service, next, done) in [
        (V4, "stop 198.51.100.9:80 tcp", true),
        (V6, "start 198.51.100.9:80 tcp", true),
        (V4, "--settle 1 start 198.51.100.9:80 tcp", true),
        (V4, "forget 198.51.100.9:80 tcp", true),
        (V6, "forget 198.51.100.8:80 tcp", false),
        (V4, "forget", true),
    ] {
        kill_while_it_settles(service);
        assert_eq!(call(next).0 == 0, done, "{next}");
        assert_eq!(held(), "", "{next}");
        assert!(!is_local(service.rsplit_once(':').unwrap().0.trim_matches(['[', ']'])), "{next}");
        call("start 198.51.100.9:80 tcp");
    }
    // One of another site is left alone.
    inside("ip route add local 192.0.2.1/32 dev lo table local proto 172 metric 1024");
    succeed("forget");
    assert_eq!(held().lines().count(), 1, "{}", held());
}

fn two_runs_that_settle_one_address() {
    succeed(&format!("stop {V4} udp"));
    let mut first = spawned(&format!("--settle 2 start {V4} udp"));
    wait_until("the address goes", || addresses().is_empty());
    succeed(&format!("stop {V4} udp"));
    let mut second = spawned(&format!("--settle 5 start {V4} udp"));
    wait_until("the address goes", || addresses().is_empty());
    assert!(first.wait().unwrap().success());
    succeed("stop 198.51.100.9:80 tcp");
    assert!(is_local("198.51.100.1"), "the second run still settles");
    assert!(second.wait().unwrap().success());
    assert_eq!(held(), "");
}

fn many_runs_at_once_do_not_lose_a_word() {
    let all = |word: &str| {
        let runs: Vec<_> =
            (1..=24).map(|n| spawned(&format!("{word} 198.51.100.1:{n} tcp"))).collect();
        for mut run in runs {
            assert!(run.wait().unwrap().success());
        }
    };
    all("stop");
    assert_eq!(status().lines().count(), 25);
    assert_eq!(addresses(), "198.51.100.1/32");
    all("start");
    assert_eq!(addresses(), "");
    assert_eq!(status().matches("  down  since").count(), 24, "{}", status());
}

fn status_shows_what_somebody_else_changed() {
    succeed(&format!("stop {V4} udp"));
    succeed("status");
    inside("ip address del 198.51.100.1/32 dev any0");
    assert!(status().starts_with("198.51.100.1  MISSING, should be on any0"), "{}", status());
    fail("status", "198.51.100.1 first");
    succeed(&format!("stop {V4} udp"));
    succeed("status");
}

fn a_hostile_state_is_tolerated() {
    succeed(&format!("stop {V4} udp"));
    let state = format!("{STATE}/state");
    for hostile in [
        b"\xff\0\x1b[2J\n".repeat(1000),
        b"0.0.0.0 tcp 0.0.0.0:0 up 0 any0 all\n192.0.2.1 tcp 192.0.2.1:53 up 0 eth0 any".to_vec(),
    ] {
        fs::write(&state, hostile).unwrap();
        program("status").output().unwrap();
        succeed(&format!("start {V4} udp"));
        succeed("forget");
        assert_eq!(addresses(), "");
        succeed(&format!("stop {V4} udp"));
        assert_eq!(addresses(), "198.51.100.1/32");
    }
}

/// A process inside, ended when dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    fn end(mut self, signal: &str) {
        self.signal(signal);
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for_addresses(expected: &str, what: &str) -> Duration {
    let begun = Instant::now();
    while addresses() != expected {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {}", status());
        sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}

fn the_guard_lowers() {
    const UP: &str = "198.51.100.1/32";
    let lease = Duration::from_secs(2);
    let config = "/run/guard-test.cf";
    fs::write(
        config,
        format!(
            "checkinterval=1\nsupervised=yes\nvirtual=198.51.100.1:53\n\
             \treal=127.0.0.2:8053 masq\n\tchecktype=connect\n\
             \tfallbackcommand=\"{} --state-dir {STATE} --interface any0 --subnet 198.51.100.0/24\"\n",
            env!("CARGO_BIN_EXE_ldirectord-anycast"),
        ),
    )
    .unwrap();
    let in_namespace = |words: &[&str]| {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", "t"]).args(words);
        command
    };
    let _server = Running::start(in_namespace(&[
        "perl",
        "-MIO::Socket::INET",
        "-e",
        "my $s = IO::Socket::INET->new(Listen => 9, LocalAddr => '127.0.0.2:8053', ReuseAddr => 1) \
         or die; while (my $c = $s->accept) { close $c }",
    ]));
    let director =
        || Running::start(in_namespace(&[env!("CARGO_BIN_EXE_ldirectord"), config, "start"]));
    let guard = || Running::start(program("guard --lease 2"));

    let first = director();
    wait_for_addresses(UP, "the director");
    let guarding = guard();
    sleep(2 * lease);
    assert_eq!(addresses(), UP, "the director stands for it");

    first.end("-9");
    let lowered = wait_for_addresses("", "a director that was killed");
    println!("    lowered {lowered:?} after the kill, lease {lease:?}");
    assert!(lowered > lease / 2, "a short silence is none: {lowered:?}");
    assert!(status().contains("the guard: no living director stands for it"), "{}", status());
    succeed("status");

    // The guard remembers what is to be raised: the director has said all it has to say.
    guarding.end("-9");
    let guarding = guard();
    for _ in 0..30 {
        sleep(lease / 10);
        assert_eq!(addresses(), "", "a guard that is started anew, and no director");
    }
    guarding.end("-9");
    let second = director();
    sleep(lease);
    assert_eq!(addresses(), "");
    let guarding = guard();
    wait_for_addresses(UP, "a director that is back");

    second.signal("-STOP");
    wait_for_addresses("", "a director that hangs");
    second.signal("-CONT");
    wait_for_addresses(UP, "a director that goes on");

    inside("ipvsadm -D -u 198.51.100.1:53");
    wait_for_addresses("", "a service that ip_vs lacks");
    second.signal("-HUP");
    wait_for_addresses(UP, "a service that is listed again");

    second.end("-TERM");
    wait_for_addresses("", "a director that was stopped");
    drop(guarding);
    let _ = fs::remove_dir_all("/run/ldirectord-rs");
}

fn without_the_right_to_it_says_so() {
    let output = Command::new("ip")
        .args(["netns", "exec", "t", "setpriv", "--bounding-set=-net_admin"])
        .args([env!("CARGO_BIN_EXE_ldirectord-anycast"), "--state-dir", STATE, "--interface"])
        .args(["any0", "--subnet", "198.51.100.0/24", "stop", V4, "udp"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "ldirectord-anycast: add 198.51.100.1: not permitted; run as root or with CAP_NET_ADMIN\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

fn the_shell_hook_of_the_example_does_the_same() {
    let hook = |words: &str| {
        Command::new("ip")
            .args(["netns", "exec", "t"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/anycast-frr/hook.sh"))
            .args(words.split(' '))
            .output()
            .unwrap()
    };
    let up = || inside("ip -o address show dev anycast0 scope global").contains("/32");
    let up6 = || inside("ip -o address show dev anycast0 scope global").contains("/128");
    for (words, four, six) in [
        (format!("start {V4} udp"), false, false),
        (format!("stop {V4} udp"), true, false),
        (format!("stop {V4} udp"), true, false),
        (format!("stop {V6} udp"), true, true),
        (format!("start {V4} udp"), false, true),
        (format!("start {V6} udp"), false, false),
        (format!("start {V6} udp"), false, false),
    ] {
        let output = hook(&words);
        assert!(output.status.success(), "{words}: {output:?}");
        assert_eq!((up(), up6()), (four, six), "{words}");
    }
    // 198.51.100.1 is a part of 198.51.100.11, and no reason to remove anything.
    hook("stop 198.51.100.11:53 udp");
    assert!(hook("start 198.51.100.1:53 udp").status.success());
    assert!(up());
    for words in ["stop 192.0.2.1:53 udp", "stop :0 fwm", "restart 198.51.100.1:53 udp"] {
        let output = hook(words);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{output:?}");
    }
}
