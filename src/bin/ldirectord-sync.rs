//! argv in, exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    ldirectord::syncd::run(std::env::args_os())
}
