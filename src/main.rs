//! argv in, exit status out.

use ldirectord::cli;
use ldirectord::daemon::Paths;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), &Paths::of_this_user()).into()
}
