//! Modules of the kernel, without loading any.

use super::{IP_VS, read};
use crate::doctor::facts::Modules;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A list of all modules has some hundred kilobytes.
const LIMIT: u64 = 16 << 20;

pub(super) fn modules(unread: &mut Vec<String>) -> Modules {
    let release = read("/proc/sys/kernel/osrelease", 256).unwrap_or_default().trim().to_owned();
    let loaded = match read("/proc/modules", LIMIT) {
        Ok(text) => loaded(&text),
        Err(error) => {
            // A kernel without modules has no such file.
            if error.kind() != std::io::ErrorKind::NotFound {
                unread.push(format!("/proc/modules: {error}"));
            }
            BTreeMap::new()
        }
    };
    let directory = Path::new("/lib/modules").join(&release);
    let list = |name: &str| read(directory.join(name), LIMIT).ok();
    // Without one of them the other says nothing: a module may be in it.
    let available = list("modules.dep").zip(list("modules.builtin"));
    let available = available.map(|(files, built_in)| {
        files.lines().chain(built_in.lines()).filter_map(of_ip_vs).collect::<BTreeSet<String>>()
    });
    if available.is_none() {
        unread.push(format!(
            "which schedulers the kernel has: there is no {} with modules.dep and modules.builtin",
            directory.display()
        ));
    }
    Modules { release, ip_vs: Path::new(IP_VS).exists(), loaded, available }
}

/// `nf_conntrack 180224 4 nft_ct,ip_vs, Live 0x0`: names and users.
fn loaded(text: &str) -> BTreeMap<String, u64> {
    let module = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, users) = (words.next()?, words.nth(1)?);
        Some((name.to_owned(), users.parse().ok()?))
    };
    text.lines().filter_map(module).collect()
}

/// `kernel/net/netfilter/ipvs/ip_vs_mh.ko.xz: kernel/…`: the name, if it is one of ip_vs.
fn of_ip_vs(line: &str) -> Option<String> {
    let file = line.split(':').next()?.rsplit('/').next()?;
    let name = file.split_once(".ko")?.0.replace('-', "_");
    name.starts_with("ip_vs").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_modules_are_understood() {
        let text = "nf_conntrack 180224 4 nft_ct,ip_vs, Live 0x0\nnft_ct 24576 2 - Live 0x0\nx\n";
        let expected = BTreeMap::from([("nf_conntrack".to_owned(), 4), ("nft_ct".to_owned(), 2)]);
        assert_eq!(loaded(text), expected);
        for (line, name) in [
            (
                "kernel/net/netfilter/ipvs/ip_vs_mh.ko.xz: kernel/net/netfilter/ipvs/ip_vs.ko.xz",
                Some("ip_vs_mh"),
            ),
            ("kernel/net/netfilter/ipvs/ip_vs.ko", Some("ip_vs")),
            ("kernel/net/netfilter/nft_ct.ko:", None),
            ("", None),
            ("ip_vs", None),
        ] {
            assert_eq!(of_ip_vs(line).as_deref(), name, "{line}");
        }
    }
}
