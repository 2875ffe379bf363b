//! Who the prober is: nobody in particular, in no group, with no capability.

use super::note;
use crate::prober::seam::Rights;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::unistd::{Gid, Uid, User, geteuid, setgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities,
};

/// The package makes the first; the second is everywhere.
const USERS: [&str; 2] = ["ldirectord", "nobody"];

/// What the kernel takes for nobody.
const NOBODY: u32 = 65_534;

/// Becomes another user, if this is root, and gives up every capability, but CAP_NET_RAW if pings
/// or marks need it. Returns the user, and whether CAP_NET_RAW was kept.
pub(super) fn drop_rights(rights: Rights, missing: &mut Vec<String>) -> (u32, bool) {
    for capability in CapabilitySet::all().iter() {
        // Systemd's service may not do so. What cannot be executed needs no bound.
        let _ = remove_capability_from_bounding_set(capability);
    }
    if geteuid().is_root() {
        note("keep capabilities", prctl::set_keepcaps(rights.pings || rights.marks), missing);
        become_another(missing);
        note("keep capabilities", prctl::set_keepcaps(false), missing);
    }
    let net_raw = (rights.marks || rights.pings && !may_ping()) && may_have_net_raw();
    let kept = if net_raw { CapabilitySet::NET_RAW } else { CapabilitySet::empty() };
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    note("no capabilities", set_capabilities(None, sets), missing);
    (geteuid().as_raw(), net_raw)
}

fn become_another(missing: &mut Vec<String>) {
    let known = USERS.iter().find_map(|name| User::from_name(name).ok().flatten());
    let (user, group) = match known.filter(|user| !user.uid.is_root()) {
        Some(user) => (user.uid, user.gid),
        None => (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY)),
    };
    note("no groups", setgroups(&[]), missing);
    note("another group", setresgid(group, group, group), missing);
    note("another user", setresuid(user, user, user), missing);
}

/// Whether ping sockets are open to this group (`net.ipv4.ping_group_range`).
fn may_ping() -> bool {
    let flags = SockFlag::SOCK_CLOEXEC;
    let made = socket(AddressFamily::Inet, SockType::Datagram, flags, SockProtocol::Icmp);
    // Without IPv4 there is nobody to ask.
    !matches!(made, Err(Errno::EACCES | Errno::EPERM))
}

fn may_have_net_raw() -> bool {
    capabilities(None).is_ok_and(|sets| sets.permitted.contains(CapabilitySet::NET_RAW))
}
