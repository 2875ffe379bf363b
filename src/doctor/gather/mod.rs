//! The rim: reads this machine, and changes nothing of it.

mod files;
mod keepalived;
mod limits;
mod modules;
mod network;
mod routing;
mod sysctls;

use super::facts::{Facts, Surroundings};
use crate::anycast::listed;
use crate::model::{Model, ServiceAddress};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads all that the rules judge.
pub(super) fn gather(model: &Model, surroundings: Surroundings) -> Facts {
    let mut unread = Vec::new();
    let network = network::network(model, &mut unread);
    let daemon = surroundings.daemon.as_ref().map(|daemon| daemon.pid);
    Facts {
        sysctls: sysctls::sysctls(network.interfaces.keys().map(String::as_str)),
        modules: modules::modules(&mut unread),
        network,
        programs: files::programs(model),
        unwritable: files::unwritable(model, &surroundings),
        limits: limits::limits(daemon),
        clock: limits::clock(&surroundings.config),
        routing: routing::routing(model, &mut unread),
        table: table(&mut unread),
        keepalived: keepalived::services(&mut unread),
        surroundings,
        unread,
    }
}

/// The services that ip_vs lists; asked only if it is loaded, since asking would load it.
fn table(unread: &mut Vec<String>) -> BTreeSet<ServiceAddress> {
    if !Path::new(IP_VS).exists() {
        return BTreeSet::new();
    }
    match listed::services() {
        Ok(services) => services.into_iter().collect(),
        Err(why) => {
            unread.push(format!("the table of ip_vs: {why}"));
            BTreeSet::new()
        }
    }
}

/// Is there when ip_vs is.
const IP_VS: &str = "/proc/net/ip_vs";

/// A file's text, at most so many bytes of it. Where a file of the system should be and a FIFO is, nobody
/// waits.
fn read(path: impl AsRef<Path>, limit: u64) -> io::Result<String> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut bytes = Vec::new();
    let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The names of all processes.
fn processes() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_process = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let is_number = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        let comm = || read(entry.path().join("comm"), 64).ok();
        is_number.then(comm).flatten().map(|comm| comm.trim().to_owned())
    };
    entries.filter_map(of_process)
}
