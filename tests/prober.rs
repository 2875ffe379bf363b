//! The prober as a process: its walls, its deaths, and what a hostile one can do.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

#[path = "support/sandbox.rs"]
mod sandbox;

use ldirectord::check::CheckOutcome;
use ldirectord::director::{CheckId, Checked};
use ldirectord::model::{CheckMethod, CheckPlan, ClientCertificate, Script, Service, Step};
use ldirectord::prober::seam::{Inbox, Order, Rights, TO_DIRECTOR, TO_PROBER, Walls, Word, put};
use ldirectord::prober::{Prober, ProberOptions, Report, Run};
use sandbox::Sandbox;
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::certificate::{Identity, chain};
use support::plan::{exchange, plan, words};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ldirectord");

/// Far beyond what anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// CAP_NET_RAW as /proc shows it.
const NET_RAW: &str = "0000000000002000";
const NONE: &str = "0000000000000000";

fn options(program: impl Into<PathBuf>) -> ProberOptions {
    ProberOptions { program: program.into(), ..ProberOptions::new("web.cf") }
}

/// A prober with its reports.
struct Kept {
    prober: Prober,
    reports: Receiver<Report>,
    plans: HashMap<CheckId, Arc<CheckPlan>>,
    next_run: u64,
}

impl Kept {
    fn start(options: ProberOptions, plans: Vec<CheckPlan>) -> Self {
        let (sender, reports) = channel();
        let sender = std::sync::Mutex::new(sender);
        let prober = Prober::start(options, move |report| {
            let _ = sender.lock().unwrap().send(report);
        })
        .unwrap();
        let mut kept = Self { prober, reports, plans: HashMap::new(), next_run: 0 };
        kept.install(plans);
        kept
    }

    fn install(&mut self, plans: Vec<CheckPlan>) {
        self.plans = (1..).map(CheckId).zip(plans.into_iter().map(Arc::new)).collect();
        let plans = self.plans.iter().map(|(&id, plan)| (id, Arc::clone(plan)));
        self.prober.install(plans.collect::<Vec<_>>().into_iter());
    }

    fn begin_all(&mut self) {
        let runs: Vec<Run> = self
            .plans
            .keys()
            .map(|&check| {
                self.next_run += 1;
                Run { check, step: Step::Full, run: self.next_run }
            })
            .collect();
        self.prober.begin(&runs);
    }

    /// Outcomes of all checks, begun again when they are lost.
    fn outcomes(&mut self) -> HashMap<CheckId, Checked> {
        let mut outcomes = HashMap::new();
        let patience = Instant::now() + PATIENCE;
        while outcomes.len() < self.plans.len() {
            let left = patience.saturating_duration_since(Instant::now());
            match self.reports.recv_timeout(left).expect("an outcome in time") {
                Report::Outcomes(checked) => {
                    for checked in checked {
                        let twice = outcomes.insert(checked.check, checked);
                        assert!(twice.is_none(), "one outcome for each run: {twice:?}");
                    }
                }
                Report::Lost(runs) => self.prober.begin(&runs),
            }
        }
        outcomes
    }

    fn verdicts(&mut self) -> Vec<String> {
        self.begin_all();
        let outcomes = self.outcomes();
        let mut outcomes: Vec<_> = outcomes.into_values().collect();
        outcomes.sort_by_key(|checked| checked.check);
        outcomes.iter().map(|checked| words(&checked.outcome)).collect()
    }

    /// The process, once its walls stand.
    fn pid(&self) -> u32 {
        wait_for("the walls", || self.prober.status().walls.is_some());
        self.prober.status().pid.unwrap()
    }

    fn status(&self) -> HashMap<String, String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.split_whitespace().next().unwrap_or_default().to_owned()))
        };
        status.lines().filter_map(line).collect()
    }
}

#[track_caller]
fn wait_for(what: &str, so: impl Fn() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < patience, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

fn connect_to(target: SocketAddr) -> CheckPlan {
    plan(CheckMethod::Connect, target, Duration::from_secs(5))
}

fn ping(target: &str) -> CheckPlan {
    let target = SocketAddr::new(target.parse().unwrap(), 0);
    plan(CheckMethod::Ping { attempts: 1 }, target, Duration::from_secs(5))
}

#[test]
fn the_walls_stand_around_a_running_prober() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut kept = Kept::start(options(PROGRAM), vec![connect_to(server.local_addr().unwrap())]);
    assert_eq!(kept.verdicts(), ["up"]);
    let status = kept.status();
    for (field, value) in [
        ("CapInh", NONE),
        ("CapPrm", NONE),
        ("CapEff", NONE),
        ("CapAmb", NONE),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("Name", "ldir-prober"),
    ] {
        assert_eq!(status[field], value, "{field}");
    }
    if nix::unistd::geteuid().is_root() {
        assert_ne!(status["Uid"], "0");
        assert_eq!(status["Groups"], "");
    }
    let pid = kept.pid();
    let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(title.starts_with("ldirectord: prober for web.cf\0"), "{title}");
    let Walls { missing, .. } = kept.prober.status().walls.unwrap();
    let kernel_lacks = |what: &String| what.starts_with("Landlock: this kernel has none");
    assert!(missing.iter().all(kernel_lacks), "{missing:?}");
    // Only root may look at these of a process that cannot be dumped.
    if nix::unistd::geteuid().is_root() {
        let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        let inherited =
            |it: &str| ["PATH=", "HOME=", "CARGO"].iter().any(|name| it.starts_with(name));
        assert!(!environment.split('\0').any(inherited), "{environment:?}");
        let held = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let held = held.map(|entry| fs::read_link(entry.unwrap().path()).unwrap());
        let harmless = ["/dev/null", "socket:", "anon_inode:[event"];
        for held in held {
            let held = held.to_str().unwrap().to_owned();
            assert!(harmless.iter().any(|known| held.starts_with(known)), "{held}");
        }
    }
    drop(kept);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it ends with its keeper");
}

#[test]
fn pings_get_the_right_they_need_and_only_as_long_as_there_are_any() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = || connect_to(server.local_addr().unwrap());
    let mut kept = Kept::start(options(PROGRAM), vec![connect(), ping("127.0.0.1")]);
    assert_eq!(kept.verdicts(), ["up", "up"]);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap();
    let closed = range.split_whitespace().collect::<Vec<_>>() == ["1", "0"];
    let expected = if closed { NET_RAW } else { NONE };
    for field in ["CapEff", "CapPrm"] {
        assert_eq!(kept.status()[field], expected, "{field}");
    }
    let first = kept.pid();
    kept.begin_all();
    kept.install(vec![connect()]);
    wait_for("another prober", || kept.prober.status().pid != Some(first));
    assert_eq!(kept.status()["CapPrm"], NONE);
    wait_for("the first one's end", || !Path::new(&format!("/proc/{first}")).exists());
    let mut answered = 0;
    while answered < 2 {
        match kept.reports.recv_timeout(PATIENCE).unwrap() {
            Report::Outcomes(checked) => answered += checked.len(),
            Report::Lost(lost) => panic!("it had the time for them: {lost:?}"),
        }
    }
    assert_eq!(kept.verdicts(), ["up"]);
    assert_eq!(kept.prober.status().last_reason, None, "nothing has died");
}

/// Starts a prober without a director, and returns what it has said until its walls stood.
fn attempts(directory: &Path) -> Vec<String> {
    let (mut ours, its) = UnixStream::pair().unwrap();
    let mut child = Command::new(PROGRAM)
        .arg("--prober")
        .env_clear()
        .env("LDIRECTORD_PROBER_ATTEMPTS", directory)
        .stdin(OwnedFd::from(its))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut frames = Vec::new();
    put(&Order::Begin { rights: Rights::default(), verbosity: 3 }, TO_PROBER, &mut frames).unwrap();
    ours.write_all(&frames).unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut inbox, mut lines) = (Inbox::new(TO_DIRECTOR), Vec::new());
    let walls = loop {
        let mut chunk = [0; 4096];
        let count = ours.read(&mut chunk).unwrap();
        assert_ne!(count, 0, "it has ended: {lines:?}");
        inbox.push(&chunk[..count]);
        let mut ready = None;
        while let Some(word) = inbox.take::<Word>().unwrap() {
            match word {
                Word::Line { text, .. } => lines.push(text),
                Word::Ready(walls) => ready = Some(walls),
                other => panic!("{other:?}"),
            }
        }
        if let Some(walls) = ready {
            break walls;
        }
    };
    drop(ours);
    assert!(child.wait().unwrap().success(), "it ends when its director does");
    if !walls.landlock {
        // What only Landlock refuses is left open by a kernel without it.
        lines.retain(|line| !line.starts_with("read "));
    }
    lines
}

#[cfg(debug_assertions)]
#[test]
fn each_forbidden_thing_is_refused_and_what_checks_need_is_not() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
    fs::write(directory.path().join("readable"), "x").unwrap();
    let lines = attempts(directory.path());
    assert!(lines.len() > 10, "{lines:?}");
    for line in &lines {
        let done = line.ends_with(": done");
        assert_eq!(done, line.starts_with("may "), "{line}");
    }
    assert!(directory.path().join("readable").exists());
    assert!(!directory.path().join("written").exists());
}

#[test]
fn a_prober_that_is_killed_again_and_again_loses_no_check() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = server.local_addr().unwrap();
    std::thread::spawn(move || server.incoming().for_each(drop));
    let mut kept = Kept::start(options(PROGRAM), vec![connect_to(target); 200]);
    for death in 0..10 {
        let pid = kept.pid();
        kept.begin_all();
        if death % 2 == 0 {
            std::thread::sleep(Duration::from_millis(3));
        }
        kill(pid);
        let begun = Instant::now();
        let outcomes = kept.outcomes();
        assert!(outcomes.values().all(|checked| checked.outcome == CheckOutcome::up()));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        wait_for("its end is seen", || kept.prober.status().pid != Some(pid));
    }
    let status = kept.prober.status();
    assert!(status.starts > 10, "{status:?}");
    assert_eq!(status.last_reason.as_deref(), Some("signal 9 (SIGKILL)"));
}

#[test]
fn external_checks_stay_with_the_director() {
    let scripts = tempfile::tempdir().unwrap();
    let path = scripts.path().join("check");
    let text = format!(
        "#!/bin/sh\nid -u > {0}/user\nps -o comm= -p $PPID > {0}/parent\n",
        scripts.path().display()
    );
    let draft = scripts.path().join("draft");
    let status = Command::new("sh")
        .args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\" && mv \"$2\" \"$3\"", "sh"])
        .args([text.as_ref(), draft.as_os_str(), path.as_os_str()])
        .status()
        .unwrap();
    assert!(status.success());
    let script = Script {
        command: path.to_str().unwrap().to_owned(),
        arguments: ["10.0.0.1", "80", "192.0.2.1", "8080"].map(str::to_owned),
        user: None,
    };
    let external = plan(CheckMethod::External(script), connect_to_nobody(), PATIENCE);
    let always = plan(CheckMethod::On, connect_to_nobody(), PATIENCE);
    let mut kept = Kept::start(options("/nonexistent/ldirectord"), vec![external, always]);
    assert_eq!(kept.verdicts(), ["up", "up"], "no prober is needed");
    let user = fs::read_to_string(scripts.path().join("user")).unwrap();
    assert_eq!(user.trim(), nix::unistd::geteuid().to_string());
    let parent = fs::read_to_string(scripts.path().join("parent")).unwrap();
    assert_ne!(parent.trim(), "ldir-prober");
}

fn connect_to_nobody() -> SocketAddr {
    "192.0.2.1:80".parse().unwrap()
}

#[test]
fn a_check_file_that_only_root_may_read_is_passed_on_and_read_again_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ours.pem");
    let ((right, server), (wrong, _)) = (chain("right"), chain("wrong"));
    let target = serve_https(&server);
    let write = |pem: Vec<u8>| {
        fs::write(&file, pem).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    };
    write(wrong.certificate.to_pem().unwrap());
    let mut https = exchange(Service::Https);
    https.ca_file = Some(file.clone());
    let check = plan(CheckMethod::Negotiate(Arc::new(https)), target, Duration::from_secs(20));
    let mut kept = Kept::start(options(PROGRAM), vec![check]);
    let verdicts = kept.verdicts();
    assert!(verdicts[0].contains("certificate not trusted"), "{verdicts:?}");
    write([wrong.certificate.to_pem().unwrap(), right.certificate.to_pem().unwrap()].concat());
    wait_for_verdict(&mut kept, "up: 200 OK");
    fs::remove_file(&file).unwrap();
    let gone = format!("checkcafile {}: No such file or directory (os error 2)", file.display());
    wait_for_verdict(&mut kept, &gone);
}

#[test]
fn a_client_key_that_only_root_may_read_is_passed_on() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, server) = chain("right");
    let target = serve_https(&server);
    let file = |name: &str| directory.path().join(name);
    server.write(&file("our.pem"), &file("our.key"));
    fs::write(file("ca.pem"), authority.certificate.to_pem().unwrap()).unwrap();
    for name in ["our.pem", "our.key", "ca.pem"] {
        fs::set_permissions(file(name), PermissionsExt::from_mode(0o600)).unwrap();
    }
    let mut https = exchange(Service::Https);
    https.ca_file = Some(file("ca.pem"));
    https.client = Some(ClientCertificate { certificate: file("our.pem"), key: file("our.key") });
    let check = plan(CheckMethod::Negotiate(Arc::new(https)), target, Duration::from_secs(20));
    let mut kept = Kept::start(options(PROGRAM), vec![check]);
    assert_eq!(kept.verdicts(), ["up: 200 OK"]);
    fs::remove_file(file("our.key")).unwrap();
    let key = file("our.key");
    let gone = format!("checkkey {}: No such file or directory (os error 2)", key.display());
    wait_for_verdict(&mut kept, &gone);
}

fn serve_https(identity: &Identity) -> SocketAddr {
    let (acceptor, listener) = (identity.acceptor(), TcpListener::bind("127.0.0.1:0").unwrap());
    let target = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            // Who does not trust us hangs up.
            let Ok(mut client) = acceptor.accept(client.unwrap()) else { continue };
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    target
}

fn wait_for_verdict(kept: &mut Kept, expected: &str) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let verdicts = kept.verdicts();
        if verdicts[0] == expected {
            return;
        }
        assert!(Instant::now() < patience, "{verdicts:?}, not {expected}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A program in the prober's place.
fn imposter(directory: &Path, script: &str) -> PathBuf {
    let path = directory.join("imposter");
    let draft = directory.join("draft");
    let text = format!("#!/bin/sh\n{script}\n");
    let status = Command::new("sh")
        .args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\" && mv \"$2\" \"$3\"", "sh"])
        .args([text.as_ref(), draft.as_os_str(), path.as_os_str()])
        .status()
        .unwrap();
    assert!(status.success());
    path
}

#[test]
fn hostile_probers_are_ended_and_change_nothing() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = server.local_addr().unwrap();
    for (script, reason) in [
        ("printf '\\377\\377\\377\\177' >&0; sleep 1000", "a message of 2147483647 bytes"),
        ("printf '\\003\\000\\000\\000abc' >&0; sleep 1000", "no message"),
        // An outcome: check 99, step 0, run 1, up without a word, a certificate or an agent, no time.
        (
            "printf '\\012\\000\\000\\000\\001\\001\\143\\000\\001\\000\\000\\000\\000\\000' >&0; sleep 1000",
            "run 1 of check 99, which nobody asked",
        ),
        // A sign of life that nobody asked for, with number 77.
        ("printf '\\003\\000\\000\\000\\002\\115\\000' >&0; sleep 1000", "sign of life"),
        ("exec cat /dev/zero >&0", "no message"),
        ("exec sleep 1000", "did not answer"),
        ("kill -STOP $$", "did not answer"),
        ("exit 3", "exit status 3"),
        ("kill -SEGV $$", "signal 11 (SIGSEGV)"),
        ("exec 0<&-; sleep 1000", "it closed its socket"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let program = imposter(directory.path(), script);
        let patience = Duration::from_millis(400);
        let hostile = ProberOptions { patience, ..options(&program) };
        let mut kept = Kept::start(hostile, vec![connect_to(target)]);
        kept.begin_all();
        wait_for(script, || kept.prober.status().last_reason.is_some());
        let said = kept.prober.status().last_reason.unwrap();
        assert!(said.contains(reason), "{script}: {said}, not {reason}");
        // Whatever it said, a check has an outcome only from an honest one.
        fs::remove_file(&program).unwrap();
        std::os::unix::fs::symlink(PROGRAM, &program).unwrap();
        let outcomes = kept.outcomes();
        assert_eq!(words(&outcomes[&CheckId(1)].outcome), "up", "{script}");
    }
}

#[test]
fn a_prober_that_cannot_be_started_is_tried_again() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("ldirectord");
    let plans = vec![connect_to(server.local_addr().unwrap())];
    let mut kept = Kept::start(options(&program), plans);
    kept.begin_all();
    wait_for("the reason", || kept.prober.status().last_reason.is_some());
    let status = kept.prober.status();
    let reason = status.last_reason.unwrap();
    assert!(reason.starts_with("it cannot be started: "), "{reason}");
    assert_eq!((status.pid, status.starts), (None, 0));
    std::os::unix::fs::symlink(PROGRAM, &program).unwrap();
    let outcomes = kept.outcomes();
    assert_eq!(words(&outcomes[&CheckId(1)].outcome), "up");
}

#[test]
fn the_argument_is_of_no_use_to_people() {
    let output = Command::new(PROGRAM).arg("--prober").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}

/// A daemon in a machine of its own; `check` are the directives of its service.
fn daemon(check: &str) -> Sandbox {
    let machine = Sandbox::new();
    let text = format!(
        "checkinterval=1\nchecktimeout=5\nvirtual=10.9.9.9:80\n\treal=127.0.0.2:8001 masq\n{check}"
    );
    fs::write(machine.seen("/etc/ha.d/web.cf"), text).unwrap();
    machine.ldirectord("--table memory web.cf start").succeeds();
    machine
}

fn log_of(machine: &Sandbox) -> String {
    fs::read_to_string(machine.seen("/var/log/ldirectord.log")).unwrap_or_default()
}

#[test]
fn a_daemon_s_prober_is_a_child_that_may_die_without_a_change() {
    let machine = daemon("\tchecktype=ping\n");
    let added = "Added real server: 127.0.0.2:8001";
    wait_for("the server is up", || log_of(&machine).contains(added));
    let listing = || machine.ldirectord("web.cf status --listing").succeeds().stdout;
    let before = listing();
    assert_eq!(machine.daemons(), 1, "scripts that count daemons find one");
    for death in 1..=3 {
        machine.shell("pkill -KILL -x ldir-prober").succeeds();
        let told = || log_of(&machine).matches("is no more: signal 9 (SIGKILL)").count();
        wait_for("the log tells", || told() == death);
        wait_for("another one", || machine.shell("pgrep -x ldir-prober").status == 0);
    }
    assert_eq!(listing(), before);
    let (pid, log) = (machine.pid("web.cf"), log_of(&machine));
    assert!(!log.contains("Deleted") && log.matches(added).count() == 1, "{log}");
    let parent = machine.shell("ps -o ppid= -C ldir-prober").stdout;
    assert_eq!(parent.trim(), pid.to_string());
    // The resolver's files are read anew, and one that is another file is another file to Landlock.
    let prober = || machine.shell("pgrep -x -o ldir-prober").stdout;
    let (first, deaths) = (prober(), log_of(&machine).matches("is no more").count());
    machine.shell("cp /etc/hosts /etc/new && mv /etc/new /etc/hosts").succeeds();
    if !log_of(&machine).contains("Landlock: this kernel has none") {
        wait_for("a prober that may read it", || !["", &first].contains(&prober().as_str()));
        assert_eq!(log_of(&machine).matches("is no more").count(), deaths);
    }
    // Whoever kills the director takes the prober with it.
    machine.signal("web.cf", "KILL");
    wait_for("all are gone", || machine.shell("pgrep -x ldir-prober").status == 1);
}

#[test]
fn a_fallback_command_is_run_by_its_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let machine = Sandbox::new();
    machine.shell("chmod 777 . && useradd -U announcer").succeeds();
    let at = machine.path("");
    let text = format!(
        "checkinterval=1\nfallbackcommand=\"f() {{ echo $(id -un) $* >> {at}/calls; }}; f\"\n\
         fallbackcommanduser=announcer\n\
         virtual=10.9.9.9:80\n\treal=127.0.0.2:8001 masq\n\tchecktype=on\n"
    );
    fs::write(machine.seen("/etc/ha.d/web.cf"), text).unwrap();
    machine.ldirectord("--table memory web.cf start").succeeds();
    wait_for("the command runs", || !machine.read("calls").is_empty());
    assert_eq!(machine.read("calls"), "announcer stop 10.9.9.9:80 tcp\n");
}

#[test]
fn commands_of_another_user_have_his_groups_and_home() {
    if !nix::unistd::geteuid().is_root() {
        // A namespace of somebody else has no other users.
        return;
    }
    for kind in ["external", "external-perl"] {
        let machine = Sandbox::new();
        machine.shell("chmod 777 . && useradd --home-dir /var/empty -U checker && useradd -U other && usermod -a -G other checker").succeeds();
        let script = match kind {
            "external" => machine.program(
                "check",
                "[ $# = 4 ] || exit 1\n{ id -un; id -Gn; echo $HOME; pwd; } > $(dirname $0)/seen.new\n\
                 mv $(dirname $0)/seen.new $(dirname $0)/seen",
            ),
            _ => machine.write(
                "check",
                "my $all = `id -un; id -Gn; echo \\$HOME; pwd`; my $at = '__HOME__'; \
                 open(my $f, '>', \"$at/seen.new\") or exit 3; print $f $all; close $f; \
                 rename(\"$at/seen.new\", \"$at/seen\"); exit 0;"
                    .replace("__HOME__", &machine.path(""))
                    .as_str(),
            ),
        };
        let text = format!(
            "checkinterval=1\ncheckcommanduser=checker\nvirtual=10.9.9.9:80\n\treal=127.0.0.2:8001 masq\n\
             \tchecktype={kind}\n\tcheckcommand={script}\n"
        );
        fs::write(machine.seen("/etc/ha.d/web.cf"), &text).unwrap();
        machine.ldirectord("--table memory web.cf start").succeeds();
        wait_for("the check runs", || !machine.read("seen").is_empty());
        assert_eq!(machine.read("seen"), "checker\nchecker other\n/var/empty\n/\n", "{kind}");
        wait_for("its verdict", || log_of(&machine).contains("Added real server: 127.0.0.2:8001"));
        // What cannot be executed is told as ever.
        if kind == "external" {
            machine.shell("rm check").succeeds();
            let failed = "failed: No such file or directory";
            wait_for("its failure", || log_of(&machine).contains(failed));
        }
    }
}
