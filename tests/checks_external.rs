//! external and external-perl: commands and scripts in every state of obedience.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use ldirectord::model::{CheckMethod, Script};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::plan::{plan, run, words};

/// Any; external checks do not look at it.
const TARGET: &str = "192.0.2.1:80";

/// Enough for anything that ends by itself.
const LONG: Duration = Duration::from_secs(30);

fn script(command: impl AsRef<Path>) -> Script {
    let command = command.as_ref().to_str().unwrap().to_owned();
    let arguments = ["10.0.0.1", "80", "192.0.2.1", "8080"].map(str::to_owned);
    Script { command, arguments, user: None }
}

fn target() -> SocketAddr {
    TARGET.parse().unwrap()
}

fn external(command: impl AsRef<Path>, timeout: Duration) -> String {
    words(&run(&plan(CheckMethod::External(script(command)), target(), timeout)).outcome)
}

fn perl(command: impl AsRef<Path>, timeout: Duration) -> String {
    words(&run(&plan(CheckMethod::ExternalPerl(script(command)), target(), timeout)).outcome)
}

/// A directory to write scripts into.
struct Scripts(tempfile::TempDir);

impl Scripts {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        // Written under another name: a file that is open for writing somewhere, for instance in a
        // process that another test is just starting, cannot be executed (ETXTBSY).
        let draft = self.path("draft");
        let status = std::process::Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\" && mv \"$2\" \"$3\"", "sh"])
            .args([text.as_ref(), draft.as_os_str(), path.as_os_str()])
            .status()
            .unwrap();
        assert!(status.success());
        path
    }

    fn shell(&self, name: &str, text: &str) -> PathBuf {
        self.write(name, &format!("#!/bin/sh\n{text}\n"))
    }
}

fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let patience = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < patience, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_gone(pid: &str) -> bool {
    match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Err(_) => true,
        Ok(stat) => stat.contains(") Z "),
    }
}

#[test]
fn the_exit_status_is_the_verdict() {
    let scripts = Scripts::new();
    for (text, expected) in [
        ("exit 0", "up"),
        ("exit 1", "exit status 1"),
        ("exit 255", "exit status 255"),
        // differs: the original takes a signal for success (K2)
        ("kill -9 $$", "ended by signal 9"),
        ("kill -TERM $$", "ended by signal 15"),
    ] {
        assert_eq!(external(scripts.shell("check", text), LONG), expected, "{text}");
    }
}

#[test]
fn a_command_gets_four_arguments_and_a_clean_place() {
    let scripts = Scripts::new();
    let seen = scripts.path("seen");
    let text = format!(
        "{{ echo \"$# $*\"; pwd; ls -l /proc/$$/fd | grep -c /dev/null; \
         ls -x -w 10000 /proc/$$/fd; ps -o pgid= -p $$ | tr -d ' '; echo $$; }} > {}",
        seen.display()
    );
    let check = scripts.shell("check", &text);
    assert_eq!(external(check, LONG), "up");
    let seen = fs::read_to_string(seen).unwrap();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], "4 10.0.0.1 80 192.0.2.1 8080");
    assert_eq!(lines[1], "/");
    let descriptors: Vec<&str> = lines[3].split_whitespace().collect();
    // 0, 1, 2, and what the shell holds itself: its script and what it redirects. Without a pipe: its
    // ends are the shell's for a moment.
    assert!(
        descriptors.iter().all(|it| it.parse::<u32>().unwrap() <= 2 || it.len() >= 2),
        "{seen}"
    );
    assert_eq!(lines[4], lines[5], "leads its own process group");
}

#[test]
fn a_command_is_found_in_the_path_or_not_at_all() {
    assert_eq!(external("true", LONG), "up");
    assert_eq!(external("false", LONG), "exit status 1");
    let missing = "cannot run the command: No such file or directory";
    assert_eq!(external("/nonexistent/check", LONG), missing);
    // compat: arguments in checkcommand are part of the name (K4)
    assert_eq!(external("true -x", LONG), missing);
    let scripts = Scripts::new();
    let check = scripts.shell("check", "exit 0");
    fs::set_permissions(&check, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(external(check, LONG), "cannot run the command: Permission denied");
}

#[test]
fn a_late_command_is_ended_with_all_it_started() {
    let scripts = Scripts::new();
    for (name, text) in [
        ("obeys", "sleep 1000 & echo $! > $0.pids; echo $$ >> $0.pids; wait"),
        (
            "ignores",
            "trap '' TERM; sleep 1000 & echo $! > $0.pids; echo $$ >> $0.pids; \
             while :; do sleep 1; done",
        ),
    ] {
        let check = scripts.shell(name, text);
        let begun = Instant::now();
        assert_eq!(external(&check, Duration::from_secs(1)), "no answer in time", "{name}");
        assert!(begun.elapsed() < Duration::from_secs(20));
        let pids = fs::read_to_string(scripts.path(&format!("{name}.pids"))).unwrap();
        for pid in pids.lines() {
            wait_until(&format!("{name}: process {pid} stays"), || is_gone(pid));
        }
    }
}

#[test]
fn perl_scripts_end_in_every_way() {
    let scripts = Scripts::new();
    for (text, expected) in [
        ("exit 0;", "up"),
        ("exit;", "up"),
        ("1;", "up"),
        ("0;", "up"),
        ("", "up"),
        ("return 0;", "up"),
        ("exit 1;", "exit status 1"),
        ("exit(300);", "exit status 44"),
        ("sub verdict { exit 3 } verdict();", "exit status 3"),
        ("eval { exit 4 }; exit 5;", "exit status 4"),
        ("die \"no pulse\\n\";", "the script died: no pulse"),
        ("eval { die 1 }; exit 0;", "up"),
        ("use strict; $undeclared = 1;", "the script died: Global symbol"),
        ("if (;", "the script died: syntax error"),
        ("exit 0; # no line end", "up"),
        ("exit 6;\n__END__\nnot Perl at all (", "exit status 6"),
        ("my $line = <DATA>; exit $line;\n__DATA__\n7\n", "exit status 7"),
        ("exit scalar(@ARGV);", "exit status 4"),
        ("exit(\"@ARGV\" ne '10.0.0.1 80 192.0.2.1 8080');", "up"),
        ("use POSIX (); POSIX::_exit(8);", "exit status 8"),
        ("exec 'sh', '-c', 'exit 9';", "exit status 9"),
        ("kill 9, $$; sleep 10;", "ended by signal 9"),
        (
            "my $pid = fork(); if (!$pid) { exit 3 } waitpid($pid, 0); exit($? >> 8);",
            "exit status 3",
        ),
        ("print \"exit 1\\n\"; exit 0;", "up"),
        ("print STDERR \"noise\\n\"; warn 'more'; exit 0;", "up"),
        ("close(STDIN); close(STDOUT); exit 0;", "up"),
        ("my $name = $0; exit($name =~ /check/ ? 0 : 1);", "up"),
        ("package Other; sub new { bless {} } exit(ref(Other->new) ne 'Other');", "up"),
    ] {
        let verdict = perl(scripts.write("check.pl", text), LONG);
        assert!(verdict.starts_with(expected), "{text}: {verdict}, not {expected}");
    }
    let missing = perl(scripts.path("missing"), LONG);
    assert!(missing.contains("missing: No such file or directory"), "{missing}");
}

#[test]
fn a_perl_script_runs_anew_each_time() {
    let scripts = Scripts::new();
    // A lexical variable is new, also to the script's own subs; a package variable stays.
    let text = "use strict; my $x = 0; our $runs; $runs++;
        sub inner { return $x } $x = $ENV{CHANGED} ? 99 : 1; $ENV{CHANGED} = 1; exit(inner());";
    let path = scripts.write("lexical.pl", text);
    for _ in 0..3 {
        assert_eq!(perl(&path, LONG), "exit status 1");
    }
    let path = scripts.write("edited.pl", "exit 2;");
    assert_eq!(perl(&path, LONG), "exit status 2");
    scripts.write("edited.pl", "exit 30;");
    assert_eq!(perl(&path, LONG), "exit status 30");
    let path = scripts
        .write("process.pl", "open(my $out, '>>', \"$0.pids\"); print $out \"$$\\n\"; exit 0;");
    for _ in 0..3 {
        assert_eq!(perl(&path, LONG), "up");
    }
    let pids = fs::read_to_string(scripts.path("process.pl.pids")).unwrap();
    let mut pids: Vec<&str> = pids.lines().collect();
    assert_eq!(pids.len(), 3);
    pids.dedup();
    assert_eq!(pids.len(), 1, "one process for all");
}

#[test]
fn a_late_perl_script_is_replaced() {
    let scripts = Scripts::new();
    let text = "open(my $out, '>', \"$0.pid\"); print $out $$; close $out;
        $SIG{TERM} = 'IGNORE'; sleep 1000 while -e \"$0.slow\"; exit 0;";
    let path = scripts.write("slow.pl", text);
    let slow = scripts.path("slow.pl.slow");
    fs::write(&slow, "").unwrap();
    let begun = Instant::now();
    assert_eq!(perl(&path, Duration::from_secs(1)), "no answer in time");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let pid = fs::read_to_string(scripts.path("slow.pl.pid")).unwrap();
    wait_until("the late process stays", || is_gone(&pid));
    fs::remove_file(slow).unwrap();
    assert_eq!(perl(&path, LONG), "up");
}

#[test]
fn many_checks_of_one_perl_script_run_side_by_side() {
    let scripts = Scripts::new();
    let path = scripts.write("sleeps.pl", "select(undef, undef, undef, 1); exit 0;");
    perl(&path, LONG);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| assert_eq!(perl(&path, LONG), "up"));
        }
    });
    // One after another would take ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}

/// A script that notes its process; and that process.
fn noting(scripts: &Scripts, name: &str) -> (PathBuf, impl Fn() -> Vec<String> + use<>) {
    let path =
        scripts.write(name, "open(my $out, '>>', \"$0.pids\"); print $out \"$$\\n\"; exit 0;");
    let file = scripts.path(&format!("{name}.pids"));
    let pids = move || fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    (path, pids)
}

fn kill(pid: &str, signal: Signal) {
    nix::sys::signal::kill(Pid::from_raw(pid.parse().unwrap()), signal).unwrap();
}

#[test]
fn a_perl_process_that_died_with_nothing_to_do_is_no_verdict() {
    let scripts = Scripts::new();
    let (path, pids) = noting(&scripts, "idle.pl");
    for round in 1..=20 {
        assert_eq!(perl(&path, LONG), "up", "round {round}");
        assert_eq!(pids().len(), round, "the script has run once more");
        // At once, and after a while: before, while and after it has ended.
        kill(&pids()[round - 1], Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(round as u64 % 4));
    }
}

#[test]
fn a_perl_process_that_dies_before_it_reads_what_it_is_asked_is_no_verdict() {
    let scripts = Scripts::new();
    let (path, pids) = noting(&scripts, "stopped.pl");
    assert_eq!(perl(&path, LONG), "up");
    let first = pids().remove(0);
    // It cannot read; then it never will.
    kill(&first, Signal::SIGSTOP);
    std::thread::scope(|scope| {
        let check = scope.spawn(|| perl(&path, LONG));
        std::thread::sleep(Duration::from_millis(300));
        kill(&first, Signal::SIGKILL);
        assert_eq!(check.join().unwrap(), "up");
    });
    assert_eq!(pids().len(), 2);
}

#[test]
fn a_perl_process_that_has_died_is_no_zombie_for_long() {
    let scripts = Scripts::new();
    let (path, pids) = noting(&scripts, "zombie.pl");
    assert_eq!(perl(&path, LONG), "up");
    kill(&pids()[0], Signal::SIGKILL);
    let proc = PathBuf::from(format!("/proc/{}", pids()[0]));
    wait_until("it is a zombie, and no check comes by to reap it", || !proc.exists());
}
