//! The crate against a real ip_vs, cross-checked with `ipvsadm`.
//!
//! On a host (`cargo test -p ipvs-rs --test kernel [FILTER]`) this program runs itself inside the
//! repository's lab, a user-mode-linux guest, and there runs the tests one after the other. No lab
//! is a failure.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitCode};

use ipvs_rs::{Ipvs, Service, ServiceKey};

mod batch;
mod examples;
mod options;
mod refusals;
mod settings;
mod size;
mod surroundings;
mod sync;
mod traffic;

/// Name and body of a test.
type Test = (&'static str, fn());

/// The named functions as tests.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn())),*] };
}
use tests;

/// The surroundings last, since they unload ip_vs.
const TESTS: [&[Test]; 9] = [
    settings::TESTS,
    options::TESTS,
    refusals::TESTS,
    batch::TESTS,
    sync::TESTS,
    traffic::TESTS,
    examples::TESTS,
    size::TESTS,
    surroundings::TESTS,
];

/// Set for a child that only opens the table, says how many services it lists, or why it cannot.
const PROBE: &str = "IPVS_RS_PROBE";

fn main() -> ExitCode {
    if std::env::var_os(PROBE).is_some() {
        match Ipvs::open().and_then(|mut ipvs| ipvs.services()) {
            Ok(services) => println!("{} services", services.len()),
            Err(error) => println!("{error}"),
        }
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter =
        arguments.iter().find(|argument| !argument.starts_with('-')).map_or("", String::as_str);
    let selected: Vec<&Test> =
        TESTS.into_iter().flatten().filter(|test| test.0.contains(filter)).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        selected.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if !selected.is_empty() && std::env::var_os("LDIRECTORD_LAB").is_none() {
        return boot(&arguments);
    }
    run(&selected)
}

fn boot(arguments: &[String]) -> ExitCode {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/lab/run");
    match Command::new(&lab).arg(std::env::current_exe().unwrap()).args(arguments).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            println!("kernel tests failed: {} ended with {status}", lab.display());
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("kernel tests need the lab: {}: {error}", lab.display());
            ExitCode::FAILURE
        }
    }
}

fn run(selected: &[&Test]) -> ExitCode {
    println!("\nrunning {} tests", selected.len());
    let mut failed = 0;
    for (name, test) in selected {
        ipvsadm(&["-C"]);
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored\n",
        selected.len() - failed
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ipvsadm(arguments: &[&str]) -> String {
    let output = Command::new("ipvsadm").args(arguments).output().unwrap();
    assert!(output.status.success(), "ipvsadm {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn run_ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}

/// The table in `ipvsadm -Sn` form.
fn saved() -> String {
    ipvsadm(&["-Sn"])
}

fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn web() -> Service {
    Service::new(key("tcp 10.0.0.1:80"), "wlc")
}
