//! The conformance harness: one case, two programs, the same observations.
//!
//! * `case` reads a case file, `record` reads and writes what was observed.
//! * `host` selects cases, boots the lab's guests and reports; `guest` runs many cases at a time inside one.
//! * `world` prepares the namespaces of one case, `run` goes through its steps, `observe` looks,
//!   `server` answers the checks.
//! * `random` makes configurations at random and gives them to both programs.
//! * `compare` says what counts as a difference, `known` which of them are listed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod case;
mod compare;
mod guest;
mod host;
mod known;
mod normalise;
mod observe;
mod random;
mod record;
mod rhythm;
mod run;
mod server;
mod words;
mod world;

use std::process::ExitCode;

const USAGE: &str = "\
usage: compat COMMAND [--binary PATH] [CASE…]
  run        ours against the records (default binary target/debug/ldirectord)
  record     the original; writes the records
  original   the original against its records
  daily      the original against its records, ten cases, others each day
  both       `original`, then `run`
  accept     ours; writes what ours does where KNOWN_DIFFERENCES.md lists a difference
  random     both on configurations at random: [--count 3000] [--tables 12] [--seed N]
  list       the cases with the statements that they cover
CASE is a part of a case's name; none means all.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let outcome = match command.as_str() {
        "run" | "record" | "original" | "both" | "accept" | "daily" | "list" | "random" => {
            host::main(command, rest)
        }
        "guest" => guest::main(rest),
        "init" => world::init(rest),
        "one" => run::main(rest),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compat: {error}");
            ExitCode::from(2)
        }
    }
}
