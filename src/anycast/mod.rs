//! `ldirectord-anycast`: a director's verdicts to addresses that a routing daemon announces.
//!
//! ```text
//!  start|stop VIP:port proto ─▶ invocation ─▶ ledger ─▶ policy ─▶ act ─▶ kernel
//!     fallbackcommand            checked      /run      pure     rim    rtnetlink
//! ```
//!
//! It is run as `fallbackcommand`: `start` (the fallback is needed: no real server is left) lowers
//! the address of the service, `stop` raises it. An external FRR, Quagga or BIRD announces what is
//! up. Nothing runs between the calls but, where it is wanted, the [`guard`], which lowers addresses
//! that no living director stands for; all there is to know is in the state directory and in the
//! kernel.
//!
//! **Services that are gone.** Several services may share an address, and one that left the
//! configuration must neither hold it down nor up. The rule needs no help from the director: at
//! each call, services of that address that ip_vs no longer lists are forgotten
//! ([`policy::is_gone`]). `forget` does the same by hand, for one service or for all.

mod act;
mod called;
mod failure;
mod foresee;
mod guard;
mod invocation;
mod kernel;
mod ledger;
pub(crate) mod listed;
mod policy;
pub(crate) mod rtnetlink;
mod status;
mod store;
mod subnet;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use failure::Failure;
use invocation::Invocation;
use kernel::Kernel;
use store::Store;

use crate::daemon::Paths;

pub(crate) use foresee::foresee;

/// Runs the program: 0 done, 1 not done, 2 refused. A failure is one line on standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let failure = match perform(arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    say(&failure.to_string());
    ExitCode::from(failure.exit_status())
}

/// Says one line on standard error.
fn say(text: &str) {
    // The words of a caller may hold anything, and one line was promised.
    let line = text.replace(char::is_control, " ");
    // Where nobody can be told, exit status and addresses still tell.
    let _ = writeln!(io::stderr(), "ldirectord-anycast: {line}");
}

fn perform(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    match invocation::read(arguments)? {
        Invocation::Report { called, verdict, site, state } => {
            act::report(called, verdict, &site, &Store::new(state))
        }
        Invocation::Forget { called: Some(called), site, state } => {
            act::forget(called, &site, &Store::new(state))
        }
        Invocation::Forget { called: None, site, state } => {
            act::forget_all_gone(&site, &Store::new(state))
        }
        Invocation::Guard { lease, site, state } => {
            guard::run(&site, lease, &Store::new(state), &Paths::default())
        }
        Invocation::Status { state } => show_status(&Store::new(state)),
        Invocation::Print(text) => {
            print(&text);
            Ok(())
        }
    }
}

fn show_status(store: &Store) -> Result<(), Failure> {
    let ledger = store.read()?;
    let mut kernel = Kernel::open()?;
    let mut present = BTreeMap::new();
    for (address, _) in ledger.addresses() {
        let placements = kernel.placements(address)?;
        let names = placements.iter().map(|placement| kernel::interface_name(placement.index));
        present.insert(address, names.collect::<Vec<_>>());
    }
    // Without ip_vs, or without the right to list it, nothing is said about it.
    let listed = listed::services().unwrap_or_default();
    let report = status::render(&ledger, &present, &listed, &store.lapsed()?, local_time);
    print(&report.text);
    match report.differing[..] {
        [] => Ok(()),
        [first, ..] => Err(Failure::Differs(format!(
            "{} addresses are not as decided, {first} first; somebody else changed them, the next \
             change of a service puts them right",
            report.differing.len()
        ))),
    }
}

fn local_time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| format!("second {seconds}"),
        |time| time.to_zoned(jiff::tz::TimeZone::system()).strftime("%F %T").to_string(),
    )
}

/// A reader that has gone away (`| head`) is no failure.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
