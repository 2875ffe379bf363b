//! The built daemon on a real ip_vs for as long as asked, with everything happening to it that can.
//!
//! Two daemons, each in a world of its own: servers come, die, hang and babble, the file is edited and
//! spoilt, the table is changed behind their backs, hooks, mail and disks fail. One of them is also
//! killed, stopped, frozen and made to fail; the other one lives as long as the run, and must not
//! grow. After each burst the world stands still, and what an oracle says from configuration and
//! world alone must come true: table, hooks, status.
//!
//! `cargo test --test soak` runs it in the lab for a minute and a half, `make soak` for an hour;
//! `SOAK_MINUTES` and `SOAK_SEED` say otherwise. All that happens follows from the seed, when it
//! happens does not.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

#[path = "soak/dice.rs"]
mod dice;
#[allow(dead_code, reason = "the kernel tests use all of it")]
#[path = "kernel/director.rs"]
mod director;
#[path = "soak/events.rs"]
mod events;
#[path = "soak/gauge.rs"]
mod gauge;
#[path = "soak/life.rs"]
mod life;
#[path = "soak/oracle.rs"]
mod oracle;
#[path = "soak/peers.rs"]
mod peers;
#[path = "soak/pulse.rs"]
mod pulse;
#[path = "soak/site.rs"]
mod site;
#[allow(dead_code, reason = "the kernel tests use all of it")]
#[path = "kernel/world.rs"]
mod world;

use life::Life;
use pulse::Pulse;
use world::World;

/// How long the form that is part of all tests takes.
const SHORT: f64 = 1.5;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        println!("soak: test");
        return ExitCode::SUCCESS;
    }
    let number = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let minutes = number("SOAK_MINUTES").map_or(SHORT, |text| text.parse().unwrap());
    let seed = number("SOAK_SEED").map(|text| text.parse::<u64>().unwrap());
    if std::env::var_os("LDIRECTORD_LAB").is_none() {
        return boot(minutes);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = seed.unwrap_or(now.as_secs());
    println!("\nrunning 1 test\nsoak: {minutes} minutes, seed {seed}");
    prepare();
    std::panic::set_hook(Box::new(|fault| println!("soak: {fault}")));
    let passed = run(Duration::from_secs_f64(minutes * 60.0), seed);
    let (verdict, counts) =
        if passed { ("ok", "1 passed; 0 failed") } else { ("FAILED", "0 passed; 1 failed") };
    println!("soak: seed {seed}\n\ntest result: {verdict}. {counts}; 0 ignored\n");
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn boot(minutes: f64) -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = Command::new(root.join("tests/deps")).arg("ipvsadm").status();
    if !installed.is_ok_and(|status| status.success()) {
        println!("the soak needs ipvsadm");
        return ExitCode::FAILURE;
    }
    let lab = root.join("tests/lab/run");
    // What has begun may settle, and be told.
    let limit = (minutes * 60.0) as u64 + 400;
    let mut guest = Command::new(&lab);
    guest.args(["--mem", "1500M", "--timeout", &limit.to_string()]);
    match guest.arg(std::env::current_exe().unwrap()).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            println!("the soak failed: {} ended with {status}", lab.display());
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("the soak needs the lab: {}: {error}", lab.display());
            ExitCode::FAILURE
        }
    }
}

/// The guest's files are the host's: a daemon without settings must not log there.
fn prepare() {
    let mount = ["-t", "tmpfs", "soak", "/var/log"];
    assert!(Command::new("mount").args(mount).status().unwrap().success());
}

/// Both lives; whether all went well.
fn run(duration: Duration, seed: u64) -> bool {
    let (stop, pulse) = (Arc::new(AtomicBool::new(false)), Pulse::start());
    let passed = thread::scope(|scope| {
        let lives = [("rough", true), ("steady", false)].map(|(name, rough)| {
            let (stop, pulse) = (Arc::clone(&stop), pulse.clone());
            let seed = seed ^ u64::from(rough);
            scope.spawn(move || live(name, rough, seed, duration, &stop, pulse))
        });
        lives.map(|life| life.join().unwrap_or(false)).into_iter().all(|passed| passed)
    });
    println!("soak: {}", pulse.summary());
    passed
}

fn live(
    name: &str,
    rough: bool,
    seed: u64,
    duration: Duration,
    stop: &Arc<AtomicBool>,
    pulse: Pulse,
) -> bool {
    // Two starts at a time are more than one processor needs.
    thread::sleep(Duration::from_secs(if rough { 0 } else { 15 }));
    let world = World::full(name);
    let mut life = Life::new(&world, rough, seed, Arc::clone(stop), pulse);
    let lived = catch_unwind(AssertUnwindSafe(|| life.live(duration)));
    if lived.is_err() {
        stop.store(true, Ordering::Relaxed);
        // The console is slow; the guest's root is the host's.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/soak");
        let file = folder.join(format!("{name}-{seed}.txt"));
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&file, life.story()).unwrap();
        println!("soak: {name} failed: {}; last events:\n{}", file.display(), life.last_events(15));
    }
    println!("soak: {}", life.summary());
    lived.is_ok()
}
