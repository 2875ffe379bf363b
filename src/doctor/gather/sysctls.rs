//! Values below `/proc/sys`.

use super::read;
use std::collections::BTreeMap;
use std::path::Path;

/// Those that the rules ask for, beside the ones of each interface.
const PATHS: [&str; 10] = [
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv4/conf/all/accept_local",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/vs/conntrack",
    "net/ipv4/vs/expire_quiescent_template",
    "net/ipv4/vs/expire_nodest_conn",
    "net/ipv4/vs/sloppy_tcp",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
];

/// The values that exist on this machine.
pub(super) fn sysctls<'a>(interfaces: impl Iterator<Item = &'a str>) -> BTreeMap<String, i64> {
    let of_interfaces = interfaces.flat_map(|name| {
        ["accept_local", "rp_filter"].map(|it| format!("net/ipv4/conf/{name}/{it}"))
    });
    let paths = PATHS.into_iter().map(str::to_owned).chain(of_interfaces);
    let value = |path: String| {
        let text = read(Path::new("/proc/sys").join(&path), 64).ok()?;
        Some((path, text.trim().parse().ok()?))
    };
    paths.filter_map(value).collect()
}
