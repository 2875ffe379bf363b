//! The owner's step in a simulated world; see `simulation/README.md`.
//!
//! `cargo test --test simulation` runs as many histories as fit into a minute. With `SEED` it runs
//! that one and, if it fails, shows it shortened; with `COUNT` or `STEPS` so many from `SEED` on.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

#[path = "simulation/event.rs"]
mod event;
#[path = "simulation/expect.rs"]
mod expect;
#[path = "simulation/file.rs"]
mod file;
#[path = "simulation/hooks.rs"]
mod hooks;
#[path = "simulation/life.rs"]
mod life;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/orders.rs"]
mod orders;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/shorten.rs"]
mod shorten;
#[path = "simulation/table.rs"]
mod table;
#[path = "simulation/world.rs"]
mod world;

use shorten::{Outcome, run, shorten, show};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long the tests take when nobody asks for more.
const MINUTE: Duration = Duration::from_secs(55);

/// And what they do at least, however slow the machine.
const LEAST_STEPS: u64 = 200_000;

/// A run that fails goes on until it has so many different violations.
const KINDS: usize = 5;

/// A long run says how far it is.
const PROGRESS: u64 = 10_000_000;

/// And so many of them are shortened and shown.
const SHOWN: usize = 1;

/// Seeds that have found something once, each kept with what it found in the README.
const REMEMBERED: &[u64] = &[
    4,
    7,
    36,
    41,
    45,
    60,
    188,
    224,
    270,
    462,
    554,
    559,
    1076,
    2189,
    11829,
    6523,
    7868,
    12345,
    19229,
    20048,
    1_099_511_628_592,
    1_099_911_636_541,
    1_100_011_683_259,
    600_016_724,
];

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    // A panic of the step is shown as what it is: a rule that does not hold.
    std::panic::set_hook(Box::new(|_| {}));
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("SEED");
    let (count, steps) = (number("COUNT"), number("STEPS"));
    let begun = Instant::now();
    let first = seed.unwrap_or(1);
    let mut total = 0;
    let mut histories = 0;
    let mut failures = Vec::new();
    let is_enough = |histories: u64, total: u64| match (count, steps, seed) {
        (Some(count), _, _) => histories >= count,
        (None, Some(steps), _) => total >= steps,
        (None, None, Some(_)) => histories >= 1,
        (None, None, None) => begun.elapsed() >= MINUTE && total >= LEAST_STEPS,
    };
    let remembered: &[u64] = if seed.is_none() { REMEMBERED } else { &[] };
    // Every third one once more, with operators.
    let all = (first..).flat_map(|seed| {
        let with_operators =
            (seed % 3 == 0 && seed & event::OPERATORS == 0).then_some(seed | event::OPERATORS);
        std::iter::once(seed).chain(with_operators)
    });
    let mut seeds = remembered.iter().copied().chain(all);
    let mut kinds = std::collections::BTreeSet::new();
    while failures.len() < KINDS && !is_enough(histories, total) {
        let seed = seeds.next().expect("there is no last one");
        let (size, events) = event::history(seed);
        let Outcome { steps, violation, digest } = run(seed, size, &events, false);
        histories += 1;
        if (total + steps) / PROGRESS > total / PROGRESS {
            println!("{histories} histories, {} steps, {:.0?}", total + steps, begun.elapsed());
        }
        total += steps;
        if let Some(violation) = violation {
            if kinds.insert(violation.kind()) {
                println!("SEED={seed}: after {total} steps: {}", violation.0);
                failures.push((seed, size, events, violation));
            }
        } else if histories % 64 == 1 {
            let again = run(seed, size, &events, false);
            if again.digest != digest {
                println!("SEED={seed} does not do the same twice");
                return ExitCode::FAILURE;
            }
        }
    }
    for (seed, size, events, violation) in failures.iter().take(SHOWN) {
        let events = shorten(*seed, *size, events.clone(), violation);
        show(*seed, *size, &events);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let speed = total as f64 / seconds;
    println!(
        "simulation: {histories} histories, {total} steps, {seconds:.1} s, {speed:.0} steps/s"
    );
    let passed = usize::from(failures.is_empty());
    println!("test result: {passed} passed; {} failed", 1 - passed);
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
