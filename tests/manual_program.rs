//! The page ldirectord(8) agrees with the program and with the table of directives.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

use ldirectord::config::DIRECTIVES;
use ldirectord::doctor::{RULES, Rule, Severity};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

const BEGIN: &str = "table of directives by tests/manual_program.rs.\n";

const FINDINGS: &str = "against the rules by tests/manual_program.rs.\n";

/// Tests run side by side, and two of them may write the page.
static PAGE: Mutex<()> = Mutex::new(());

#[test]
fn every_directive_is_listed() {
    let _alone = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/ldirectord.8");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(".Sh HOOKS").unwrap();
    let names: Vec<&str> = DIRECTIVES.iter().map(|row| row.name).collect();
    let (last, others) = names.split_last().unwrap();
    let mut list = String::new();
    for name in others {
        list += &format!(".Ic {name} ,\n");
    }
    let wanted = format!("{head}{BEGIN}{list}.Ic {last} .\n.Sh HOOKS{tail}");
    if std::env::var_os("UPDATE_MAN").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(page == wanted, "run UPDATE_MAN=1 cargo test --test manual_program");
    }
}

/// The findings of `doctor`: their names are an interface.
#[test]
fn every_finding_is_listed() {
    let _alone = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/ldirectord.8");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(FINDINGS).unwrap();
    let (_, tail) = rest.split_once(".El\n").unwrap();
    let mut list = String::new();
    for Rule { id, severity, about, .. } in RULES {
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        list += &format!(".It Cm {id} Pq {severity}\n{about}\n");
    }
    let wanted = format!("{head}{FINDINGS}{list}.El\n{tail}");
    if std::env::var_os("UPDATE_MAN").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(page == wanted, "run UPDATE_MAN=1 cargo test --test manual_program");
    }
}

#[test]
fn every_option_and_command_of_the_help_is_there() {
    let page = include_str!("../man/ldirectord.8");
    let help = Command::new(env!("CARGO_BIN_EXE_ldirectord")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let options: Vec<&str> = help
        .split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
        .filter_map(|word| word.strip_prefix("--"))
        .filter(|word| !word.is_empty())
        .collect();
    assert!(options.len() >= 8, "{help}");
    for option in options {
        assert!(page.contains(&format!("Fl Fl {option}")), "--{option} is not in the page");
    }
    let commands = [
        "start",
        "stop",
        "restart",
        "try-restart",
        "reload",
        "force-reload",
        "status",
        "drain",
        "disable",
        "enable",
        "weight",
        "events",
        "plan",
        "confirm",
        "probe",
        "doctor",
    ];
    for command in commands {
        assert!(help.contains(command) && page.contains(command), "{command}");
    }
}

#[test]
fn no_page_has_an_error_in_its_markup() {
    let Ok(pages) = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/man")) else {
        panic!("there is no man/");
    };
    for page in pages {
        let path = page.unwrap().path();
        // groff is everywhere where there is man(1).
        let output = Command::new("groff")
            .args(["-mandoc", "-Tutf8", "-ww", "-z"])
            .arg(&path)
            .output()
            .expect("groff is installed (Debian: groff-base)");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    }
}
