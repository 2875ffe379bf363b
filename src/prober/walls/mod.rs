//! The walls: what keeps a prober that was overrun from doing anything but checks.
//!
//! They are raised once, in this order, while there is one thread, before the first byte of a
//! server is read. Each stands for itself: what a kernel does not have is left out and told, and
//! the others stand all the same.

mod calls;
mod files;
mod identity;

pub(super) use files::RESOLVER;

use super::seam::{Rights, Walls};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

/// Gives up every right that checks do not need.
pub(super) fn raise(rights: Rights) -> Walls {
    let mut missing = Vec::new();
    limits();
    let (user, net_raw) = identity::drop_rights(rights, &mut missing);
    files::load_what_is_loaded_late();
    note("not dumpable", prctl::set_dumpable(false), &mut missing);
    // A change of the user forgets it, hence here.
    note("end with the director", prctl::set_pdeathsig(Signal::SIGKILL), &mut missing);
    note("no new privileges", prctl::set_no_new_privs(), &mut missing);
    let landlock = files::restrict(rights, &mut missing);
    let seccomp = calls::restrict(&mut missing);
    Walls { user, landlock, seccomp, net_raw, missing }
}

/// As many descriptors as there may be; no core file, and no file that grows. A service that may not
/// set limits has fewer connects at a time, and other walls for the rest.
fn limits() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    for resource in [Resource::RLIMIT_CORE, Resource::RLIMIT_FSIZE] {
        let _ = setrlimit(resource, 0, 0);
    }
}

fn note<E: std::fmt::Display>(what: &str, result: Result<(), E>, missing: &mut Vec<String>) {
    if let Err(error) = result {
        missing.push(format!("{what}: {error}"));
    }
}
