//! `ldirectord-sync`: which side of ip_vs's connection synchronisation this director is on.
//!
//! The kernel does the work: a master tells of its connections by multicast, a backup takes them on, so
//! that they go on when it takes the addresses over. This program starts and stops the two, for cluster
//! managers: it may be called in any state, any number of times.

mod invocation;

use invocation::{Invocation, Wanted};
use ipvs_rs::{Error, Ipvs, SyncDaemon, SyncRole};
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// What `status` says if neither daemon runs: as of an init script.
const NOT_RUNNING: u8 = 3;

/// Runs the program: 0 done, 1 not done, 2 misused; `status` 3 if nothing runs. A failure is one line on
/// standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let invocation = match invocation::read(arguments) {
        Ok(invocation) => invocation,
        Err(misuse) => return fail(&misuse, 2),
    };
    let done = match invocation {
        Invocation::Print(text) => return say(&text, 0),
        Invocation::Become(wanted) => Ipvs::open().and_then(|mut ipvs| reach(&mut ipvs, &wanted)),
        Invocation::Status => Ipvs::open().and_then(|mut ipvs| ipvs.sync_daemons()).map(Some),
    };
    match done {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(daemons)) if daemons.is_empty() => {
            say("no synchronisation daemon runs\n", NOT_RUNNING)
        }
        Ok(Some(daemons)) => say(&daemons.iter().map(line).collect::<String>(), 0),
        Err(error) => fail(&error.to_string(), 1),
    }
}

fn say(text: &str, status: u8) -> ExitCode {
    // Where nobody listens, the exit status still tells.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::from(status)
}

fn fail(text: &str, status: u8) -> ExitCode {
    let line = text.replace(char::is_control, " ");
    let _ = writeln!(io::stderr(), "ldirectord-sync: {line}");
    ExitCode::from(status)
}

fn line(daemon: &SyncDaemon) -> String {
    let SyncDaemon { role, interface, sync_id, max_length, group, port, ttl } = daemon;
    let mut line = format!("{role} on {interface}, id {sync_id}");
    let group = group.map(|it| format!(", group {it}"));
    let port = port.map(|it| format!(", port {it}"));
    let ttl = ttl.map(|it| format!(", ttl {it}"));
    let length = max_length.map(|it| format!(", {it} bytes at most"));
    line.extend([group, port, ttl, length].into_iter().flatten());
    line + "\n"
}

/// The new side begins before the old one ends: between the two, no connection is missed.
fn reach(ipvs: &mut Ipvs, wanted: &Wanted) -> Result<Option<Vec<SyncDaemon>>, Error> {
    let running = ipvs.sync_daemons()?;
    for role in [SyncRole::Master, SyncRole::Backup] {
        let Some(daemon) = wanted.daemon(role) else { continue };
        match running.iter().find(|it| it.role == role) {
            Some(running) if is_as(running, &daemon) => {}
            Some(_) => {
                stop(ipvs, role)?;
                ipvs.start_sync_daemon(&daemon)?;
            }
            None => ipvs.start_sync_daemon(&daemon)?,
        }
    }
    for role in running.iter().map(|it| it.role).filter(|role| wanted.daemon(*role).is_none()) {
        stop(ipvs, role)?;
    }
    Ok(None)
}

/// Somebody else may have been quicker.
fn stop(ipvs: &mut Ipvs, role: SyncRole) -> Result<(), Error> {
    match ipvs.stop_sync_daemon(role) {
        Err(error) if error.is_no_such_sync_daemon() => Ok(()),
        result => result,
    }
}

/// Whether a running daemon is as wanted; what is not asked for may be anything.
fn is_as(running: &SyncDaemon, wanted: &SyncDaemon) -> bool {
    let same =
        |of: fn(&SyncDaemon) -> Option<u16>| of(wanted).is_none_or(|it| of(running) == Some(it));
    running.interface == wanted.interface
        && running.sync_id == wanted.sync_id
        && wanted.group.is_none_or(|group| running.group == Some(group))
        && same(|it| it.port)
        && same(|it| it.max_length)
        && same(|it| it.ttl.map(u16::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_may_be_anything() {
        let wanted = SyncDaemon::new(SyncRole::Master, "eth1");
        let running = SyncDaemon {
            max_length: Some(1472),
            group: Some([224, 0, 0, 81].into()),
            port: Some(8848),
            ttl: Some(1),
            ..wanted.clone()
        };
        assert!(is_as(&running, &wanted));
        for other in [
            SyncDaemon::new(SyncRole::Master, "eth2"),
            SyncDaemon { sync_id: 1, ..wanted.clone() },
            SyncDaemon { ttl: Some(2), ..wanted.clone() },
            SyncDaemon { port: Some(9000), ..wanted.clone() },
            SyncDaemon { group: Some([239, 0, 0, 1].into()), ..wanted.clone() },
        ] {
            assert!(!is_as(&running, &other), "{other:?}");
        }
        let text = "master on eth1, id 0, group 224.0.0.81, port 8848, ttl 1, 1472 bytes at most\n";
        assert_eq!(line(&running), text);
        assert_eq!(line(&wanted), "master on eth1, id 0\n");
    }
}
