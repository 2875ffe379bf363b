//! `status --watch` in a terminal: tmux's.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

#[path = "support/sandbox.rs"]
mod sandbox;

use sandbox::{PROGRAM, Ran, Sandbox, wait_for};
use std::fs;
use std::process::Command;

const CONFIG: &str = "checkinterval=1
checktimeout=1
quiescent=yes
virtual=10.9.0.1:80
    real=127.0.0.2:80 masq 2
    real=127.0.0.3:80 masq 3
    checktype=on
virtual=10.9.0.2:80
    real=127.0.0.3:80 masq
    checktype=on
";

/// A daemon with everything up, and a shell in a terminal beside it.
struct Terminal(Sandbox);

impl Terminal {
    fn new() -> Self {
        let deps = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deps");
        assert!(Command::new(deps).arg("tmux").status().unwrap().success());
        let sandbox = Sandbox::new();
        fs::write(sandbox.seen("/etc/ha.d/web.cf"), CONFIG).unwrap();
        sandbox.ldirectord("--table memory web.cf start").expect(0, "", "");
        wait_for("all servers to be up", || {
            !sandbox.ldirectord("web.cf status --json").succeeds().stdout.contains("\"unknown\"")
        });
        let terminal = Self(sandbox);
        terminal.tmux(&["new-session", "-d", "-x", "100", "-y", "20", "sh"]);
        terminal.keys(&["PS1=ready:", "Enter"]);
        terminal.wait("a shell", |screen| screen.trim_end().ends_with("ready:"));
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = self.0.command("tmux");
        let socket = self.0.path("tmux");
        command.args(["-u", "-f", "/dev/null", "-S", &socket]).args(arguments);
        command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("TMUX");
        Ran::new(&mut command).succeeds().stdout
    }

    fn keys(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.tmux(&arguments);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// How the terminal treats keys, and whether a program has it for itself.
    fn modes(&self) -> String {
        let shown = "#{alternate_on} #{cursor_flag} #{wrap_flag} #{pane_tty}";
        let shown = self.tmux(&["display-message", "-p", shown]);
        let (flags, tty) = shown.trim_end().rsplit_once(' ').unwrap();
        flags.to_owned() + " " + &self.0.shell(&format!("stty -g <{tty}")).succeeds().stdout
    }

    #[track_caller]
    fn wait(&self, what: &str, so: impl Fn(&str) -> bool) {
        wait_for(what, || so(&self.screen()));
    }

    /// Runs it, and waits until it shows something.
    fn watch(&self, words: &str) {
        self.keys(&[
            &format!("clear; {PROGRAM} web.cf status {words}; echo ended with $?"),
            "Enter",
        ]);
        self.wait("the table", |screen| {
            screen.contains("real servers: ") && !screen.contains("$?")
        });
    }

    fn resize(&self, columns: &str, rows: &str) {
        self.tmux(&["resize-window", "-x", columns, "-y", rows]);
    }

    /// That the shell has its terminal as it was.
    #[track_caller]
    fn is_back(&self, modes: &str) {
        self.wait("the shell", |screen| screen.trim_end().ends_with("ended with 0\nready:"));
        assert_eq!(self.modes(), modes);
        assert!(!self.screen().contains("real servers"), "{}", self.screen());
    }
}

#[test]
fn it_follows_what_happens_and_marks_it() {
    let terminal = Terminal::new();
    terminal.watch("--watch");
    terminal.0.ldirectord("web.cf drain 127.0.0.2:80 --reason disks").succeeds();
    terminal.wait("the drain, marked", |screen| {
        let marked: Vec<&str> = screen.lines().filter(|line| line.starts_with('*')).collect();
        marked.len() == 1
            && marked[0].starts_with("*  drained  127.0.0.2:80")
            && marked[0].contains("drained by root")
    });
    terminal.wait("no mark any more", |screen| {
        !screen.contains('*') && screen.contains("   drained  127.0.0.2:80")
    });
    let coloured = terminal.tmux(&["capture-pane", "-p", "-e"]);
    assert!(coloured.contains("\u{1b}[33m  drained"), "{coloured}");
    terminal.0.ldirectord("web.cf stop").succeeds();
    terminal.wait("its end", |screen| screen.contains(" NO ANSWER for "));
    terminal.0.ldirectord("--table memory web.cf start").succeeds();
    terminal.wait("the next one", |screen| screen.ends_with("\n q ends\n"));
}

#[test]
fn every_size_is_drawn_at_once_and_scrolled() {
    let terminal = Terminal::new();
    terminal.watch("--watch");
    terminal.resize("20", "1");
    terminal.wait("one line", |screen| screen == " 0 down of 3\n");
    terminal.resize("60", "4");
    terminal
        .wait("four lines", |screen| screen.lines().count() == 4 && screen.contains("1-3 of 6"));
    terminal.keys(&["G"]);
    terminal.wait("the end", |screen| screen.contains("lines 4-6 of 6"));
    terminal.keys(&["Up"]);
    terminal.wait("a line up", |screen| screen.contains("lines 3-5 of 6"));
    terminal.resize("1", "1");
    terminal.wait("nothing", |screen| screen.trim().is_empty());
    terminal.resize("120", "30");
    terminal.wait("everything", |screen| {
        let lines: Vec<&str> = screen.lines().collect();
        lines.len() == 30
            && lines[0].contains("memory table")
            && lines[29] == " q ends"
            && screen.matches("REAL SERVER").count() == 2
    });
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.trim_end().ends_with("ended with 0\nready:"));
}

#[test]
fn whatever_ends_it_leaves_the_terminal_as_it_was() {
    let terminal = Terminal::new();
    let modes = terminal.modes();
    assert!(modes.starts_with("0 1 1 "), "{modes}");
    let kill = |signal: &str| {
        terminal.0.shell(&format!("pkill -{signal} -f 'status --watch$'")).succeeds();
    };
    let ends: [(&str, &dyn Fn()); 4] = [
        ("q", &|| terminal.keys(&["q"])),
        ("Ctrl-C", &|| terminal.keys(&["C-c"])),
        ("TERM", &|| kill("TERM")),
        ("HUP", &|| kill("HUP")),
    ];
    for (name, end) in ends {
        terminal.watch("--watch");
        assert!(terminal.modes().starts_with("1 0 0 "), "{name}");
        end();
        terminal.is_back(&modes);
    }
    // Stopped, and gone on with.
    terminal.keys(&["clear; set -m", "Enter"]);
    terminal.watch("--watch");
    terminal.keys(&["C-z"]);
    terminal.wait("the shell", |screen| screen.trim_end().ends_with("ready:"));
    assert!(terminal.modes().starts_with("0 1 1 "));
    terminal.keys(&["clear; fg", "Enter"]);
    terminal.wait("the table", |screen| screen.contains("real servers: "));
    assert!(terminal.modes().starts_with("1 0 0 "));
    // The terminal is closed.
    terminal.tmux(&["kill-server"]);
    wait_for("the end of the program", || terminal.0.daemons() == 1);
}

#[test]
fn what_is_watched_may_be_a_part() {
    let terminal = Terminal::new();
    terminal.watch("10.9.0.2:80 --watch");
    assert!(!terminal.screen().contains("10.9.0.1"), "{}", terminal.screen());
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.trim_end().ends_with("ended with 0\nready:"));
    terminal.watch("--down --watch");
    terminal.wait("nothing", |screen| screen.contains("\n no such real server is down\n"));
    terminal.keys(&["q"]);
    terminal.keys(&["clear", "Enter"]);
    terminal.keys(&[&format!("clear; {PROGRAM} web.cf status --watch 10.9.0.9"), "Enter"]);
    terminal.wait("a refusal", |screen| {
        screen.contains("there is no real server or virtual service 10.9.0.9\nready:")
    });
}
