//! Arguments, texts and exit statuses of the program that need no daemon.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

use std::process::{Command, Output};

fn ldirectord(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ldirectord")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn misuse_shows_the_usage_on_standard_output_and_ends_with_255() {
    for (arguments, complaint) in [
        (&[][..], ""),
        (&["bogus"], ""),
        (&["x.cf", "bogus"], ""),
        (&["start", "-d"], ""),
        (&["--nope", "start"], "Unknown option: nope\n"),
        (&["-dx", "start"], "Unknown option: x\n"),
    ] {
        let output = ldirectord(arguments);
        assert_eq!(output.status.code(), Some(255), "{arguments:?}");
        assert!(text(&output.stdout).starts_with("Usage:\n"), "{arguments:?}");
        assert!(text(&output.stdout).contains("\nOptions:\n"), "{arguments:?}");
        assert_eq!(text(&output.stderr), complaint, "{arguments:?}");
    }
}

#[test]
fn the_version_is_the_original_s_and_help_goes_to_standard_output() {
    for arguments in [["-v"], ["--version"], ["-dv"]] {
        let output = ldirectord(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout).lines().next(), Some("Linux Director v1.186-ha"));
    }
    for arguments in [["-h"], ["-?"], ["--help"]] {
        let output = ldirectord(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("Exit status"), "{arguments:?}");
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn completions_are_scripts_of_each_shell() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef ldirectord"),
        ("fish", "complete -c ldirectord"),
    ] {
        let output = ldirectord(&["--completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains(part), "{shell}");
        for command in ["start", "try-restart", "status"] {
            assert!(text(&output.stdout).contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(ldirectord(&["--completions", "csh"]).status.code(), Some(255));
}

#[test]
fn check_tells_what_a_file_means_or_what_is_wrong_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.cf");
    let name = file.to_str().unwrap();
    let log = directory.path().join("log");
    let monitor = directory.path().join("monitor");
    let good = format!(
        "logfile=\"{}\"\nvirtual=10.0.0.1:80\n\treal=10.0.0.2:80 gate\n\tmonitorfile={}\n",
        log.display(),
        monitor.display()
    );
    std::fs::write(&file, good).unwrap();
    let output = ldirectord(&["--check", name]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("10.0.0.2:80"));
    assert!(!log.exists() && !monitor.exists(), "nothing is touched");

    std::fs::write(&file, "checkinterval=x\nvirtual=10.0.0.1:80\n\treal=10.0.0.2:80 route\n")
        .unwrap();
    let output = ldirectord(&["--check", name]);
    assert_eq!(output.status.code(), Some(2));
    let errors = text(&output.stderr);
    assert!(errors.contains("at line 1: "), "{errors}");
    assert!(errors.contains("at line 3: "), "all errors are told: {errors}");
    assert!(output.stdout.is_empty());

    std::fs::write(&file, "logfile=\"/nonexistent/log\"\n").unwrap();
    let output = ldirectord(&["--check", name]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("at line 1: unable to open logfile: /nonexistent/log\n"));

    let output = ldirectord(&["--check", "/nonexistent.cf"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "Config file /nonexistent.cf not found\n");
}

#[test]
fn a_closed_standard_output_is_no_reason_to_panic() {
    let script = format!("{} -h | true; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_ldirectord"));
    let output = Command::new("bash").arg("-c").arg(script).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
}
