//! argv in, exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    ldirectord::anycast::run(std::env::args_os())
}
