//! The network in which it all happens: a namespace of its own, and what its kernel counts.

use std::fs;
use std::process::Command;

use crate::Result;

/// A network of 16 bits that swallows packets.
pub(crate) const HOLE: [u8; 2] = [10, 66];

/// Moves this process into a new network namespace with loopback up and room for many connections.
pub(crate) fn enter() -> Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
        .map_err(|e| format!("unshare: {e} (root is needed)"))?;
    prepare()
}

/// Brings up loopback and the network that swallows packets, and lifts limits.
pub(crate) fn prepare() -> Result<()> {
    ip("link set lo up")?;
    // Without ARP, frames carry an address that the other end does not take for its own.
    ip("link add hole type veth peer name abyss")?;
    ip("link set hole arp off up")?;
    ip("link set abyss up")?;
    ip("addr add 10.66.255.254/16 dev hole")?;
    for (variable, value) in [
        ("net/core/somaxconn", "1048576"),
        ("net/ipv4/tcp_max_syn_backlog", "1048576"),
        ("net/ipv4/ip_local_port_range", "10000 65535"),
    ] {
        fs::write(format!("/proc/sys/{variable}"), value)
            .map_err(|e| format!("{variable}: {e}"))?;
    }
    Ok(())
}

/// Has the addresses of [`HOLE`] answered by this machine.
pub(crate) fn fill_hole() -> Result<()> {
    ip("route add local 10.66.0.0/16 dev lo table local")
}

/// Undoes [`fill_hole`]: packets are swallowed again.
pub(crate) fn open_hole() -> Result<()> {
    ip("route del local 10.66.0.0/16 dev lo table local")
}

/// Connections that were taken by servers in this namespace since it was made.
pub(crate) fn connections() -> Result<u64> {
    let path = "/proc/thread-self/net/snmp";
    let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let value = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "PassiveOpens");
    value.and_then(|(_, value)| value.parse().ok()).ok_or_else(|| format!("{path}: {text}"))
}

fn ip(arguments: &str) -> Result<()> {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("ip {arguments}: {other:?}")),
    }
}
