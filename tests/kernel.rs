//! The director against a real ip_vs: real connections, real tables.
//!
//! On a host (`cargo test --test kernel [FILTER]`) this program runs itself inside the lab, a
//! user-mode-linux guest, and there runs the tests, several at a time. No lab is a failure.
//! `LDIRECTORD_PROGRAM` is the program under test if it is not the one that cargo has built; those
//! tests that ask for nothing that the original does not do pass with it too.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant};

#[path = "kernel/commands.rs"]
mod commands;
#[path = "kernel/director.rs"]
mod director;
#[path = "kernel/forwarding.rs"]
mod forwarding;
#[path = "kernel/hashing.rs"]
mod hashing;
#[path = "kernel/lifecycle.rs"]
mod lifecycle;
#[path = "kernel/operators.rs"]
mod operators;
#[path = "kernel/paths.rs"]
mod paths;
#[path = "kernel/refusals.rs"]
mod refusals;
#[path = "kernel/server.rs"]
mod server;
#[path = "kernel/weights.rs"]
mod weights;
#[path = "kernel/world.rs"]
mod world;

/// Name and body of a test.
type Test = (&'static str, fn());

/// The named functions as tests.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn())),*] };
}
use tests;

/// Within which a change must have reached the table: the interval of all the tests, 1 s, and what
/// a loaded machine may add. How soon it does is measured by `make bench`.
const SEEN: Duration = Duration::from_secs(30);

/// Long enough for several checks.
const SEVERAL_CHECKS: Duration = Duration::from_secs(4);

/// Run several at a time: most of their time is waiting.
const TOGETHER: [&[Test]; 7] = [
    forwarding::TESTS,
    paths::TESTS,
    operators::TESTS,
    lifecycle::TESTS,
    commands::TESTS,
    hashing::TESTS,
    weights::TESTS,
];

/// Run one after the other.
const ALONE: [&[Test]; 1] = [refusals::TESTS];

/// How many of the first kind run at a time.
const AT_A_TIME: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter =
        arguments.iter().find(|argument| !argument.starts_with('-')).map_or("", String::as_str);
    let select = |groups: &[&'static [Test]]| -> Vec<Test> {
        groups.iter().copied().flatten().copied().filter(|test| test.0.contains(filter)).collect()
    };
    let (together, alone) = (select(&TOGETHER), select(&ALONE));
    let count = together.len() + alone.len();
    if arguments.iter().any(|argument| argument == "--list") {
        together.iter().chain(&alone).for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if count > 0 && std::env::var_os("LDIRECTORD_LAB").is_none() {
        return boot(&arguments);
    }
    println!("\nrunning {count} tests");
    let failed = run(together, AT_A_TIME) + run(alone, 1);
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored\n", count - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn boot(arguments: &[String]) -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = Command::new(root.join("tests/deps")).args(["iptables", "ipvsadm"]).status();
    if !installed.is_ok_and(|status| status.success()) {
        println!("kernel tests need iptables and ipvsadm");
        return ExitCode::FAILURE;
    }
    let lab = root.join("tests/lab/run");
    let limit = ["--timeout", "1800"];
    match Command::new(&lab)
        .args(limit)
        .arg(std::env::current_exe().unwrap())
        .args(arguments)
        .status()
    {
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

/// How many of them fail.
fn run(tests: Vec<Test>, at_a_time: usize) -> usize {
    let queue = Mutex::new(tests.into_iter());
    let failed = Mutex::new(0);
    let work = || {
        loop {
            let next = queue.lock().unwrap().next();
            let Some((name, test)) = next else { return };
            let begun = Instant::now();
            let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
            let verdict = if passed { "ok" } else { "FAILED" };
            println!("test {name} ... {verdict} ({:.1} s)", begun.elapsed().as_secs_f64());
            *failed.lock().unwrap() += usize::from(!passed);
        }
    };
    std::thread::scope(|scope| (0..at_a_time).for_each(|_| drop(scope.spawn(work))));
    failed.into_inner().unwrap()
}
