//! `make bench`: what a check costs, how soon a death is seen, how long a start and a reload take.
//!
//! `bench host` runs in a network namespace of its own, ours with the table in memory; `bench lab`
//! boots the lab's guest, runs `bench guest` there and looks from outside at the CPU that the whole
//! guest takes. See `compat/BENCH.md` for how each figure is made and what it was.
#![allow(clippy::print_stdout)]

mod accounting;
mod configuration;
mod floor;
mod host;
mod lab;
mod network;
mod program;
mod report;
mod server;

use std::process::ExitCode;

/// Anything that goes wrong ends the run; the text says what.
type Result<T> = std::result::Result<T, String>;

/// A measurement's name, and what does it and reports.
type Measurement = (&'static str, fn() -> Result<()>);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["host", names @ ..] => host::run(names),
        ["lab", names @ ..] => lab::outside(names),
        ["guest", names @ ..] => lab::inside(names),
        ["serve", method] => host::serve(method),
        ["floor", method, servers, rounds] => floor::run(method, servers, rounds),
        _ => Err("usage: bench host [NAME…] | bench lab [NAME…]".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
