//! Which files the prober may read (Landlock): what names and certificates are looked up in.
//!
//! It may write none and execute none. It may choose no TCP port, unless checks go through their
//! service, and neither signal other processes nor talk to their abstract sockets.

use crate::prober::seam::Rights;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use openssl::ssl::{SslContextBuilder, SslMethod};
use std::collections::BTreeSet;
use std::fs;
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};

/// The newest restrictions that we know and have tried; older kernels have fewer.
const KNOWN: ABI = ABI::V6;

/// Entries of a directory of certificates that are looked at for where they point.
const ENTRIES: usize = 10_000;

/// Single files of the system's resolver. One that is replaced is another file to Landlock: the
/// director starts a new prober then.
pub(in crate::prober) const RESOLVER: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/networks",
];

/// What the resolver's modules need: the libraries themselves, and where they keep answers.
const MODULES: &[&str] = &[
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/nscd",
    "/var/cache/nscd",
    "/var/lib/sss",
    "/dev/urandom",
    "/dev/random",
];

/// Where distributions keep the files that a store's links point to.
const CERTIFICATES: &[&str] = &[
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// What libraries open when they are first used is opened now, so that the walls need no gap for it:
/// OpenSSL's configuration and modules, the resolver's.
pub(super) fn load_what_is_loaded_late() {
    openssl::init();
    // Whatever is wrong with it will be told by the first check.
    drop(SslContextBuilder::new(SslMethod::tls_client()).map(SslContextBuilder::build));
    drop(("localhost", 0).to_socket_addrs());
    let _ = std::thread::available_parallelism();
}

/// Tells whether anything is restricted.
pub(super) fn restrict(rights: Rights, missing: &mut Vec<String>) -> bool {
    match landlock(rights) {
        Ok(RulesetStatus::FullyEnforced) => true,
        Ok(RulesetStatus::PartiallyEnforced) => true,
        Ok(RulesetStatus::NotEnforced) => {
            missing.push("Landlock: this kernel has none".to_owned());
            false
        }
        Err(error) => {
            missing.push(format!("Landlock: {error}"));
            false
        }
    }
}

fn landlock(rights: Rights) -> Result<RulesetStatus, RulesetError> {
    let files = AccessFs::from_all(KNOWN);
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut ruleset = Ruleset::default().handle_access(files)?.scope(Scope::from_all(KNOWN))?;
    if !rights.marks {
        ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
    }
    let mut ruleset = ruleset.create()?.add_rules(path_beneath_rules(readable(), read))?;
    if !rights.marks {
        // `checkfrom`: an address of this machine with any free port. Nobody can be listened for on it.
        ruleset = ruleset.add_rule(NetPort::new(0, AccessNet::BindTcp))?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

fn readable() -> BTreeSet<PathBuf> {
    let listed = [RESOLVER, MODULES, CERTIFICATES].concat();
    let mut readable: BTreeSet<PathBuf> = listed.into_iter().map(PathBuf::from).collect();
    for store in stores() {
        readable.extend(targets(&store));
        readable.insert(store);
    }
    readable.extend(openssl_directory().map(|directory| directory.join("openssl.cnf")));
    readable
}

/// OpenSSL's own stores and those of the environment.
fn stores() -> Vec<PathBuf> {
    let own = openssl_directory().map(|at| [at.join("cert.pem"), at.join("certs")]);
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(std::env::var_os);
    let named = named.flat_map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>());
    own.into_iter().flatten().chain(named).collect()
}

/// From `OPENSSLDIR: "/usr/lib/ssl"`.
fn openssl_directory() -> Option<PathBuf> {
    let line = openssl::version::dir();
    line.split('"').nth(1).filter(|path| path.starts_with('/')).map(PathBuf::from)
}

/// The directories that the links in a store point into: Landlock looks at where a file is.
fn targets(store: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = fs::read_dir(store) else { return BTreeSet::new() };
    let links = entries
        .take(ENTRIES)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    links.filter_map(|link| target(store, &link.path())).collect()
}

/// The directory that a link's file is in; `None` if that is the store, or a link of the store that is
/// looked at for itself. A store has hundreds of links, most of them by way of another of its own, and to
/// resolve each to its end would take a third of a prober's start.
fn target(store: &Path, link: &Path) -> Option<PathBuf> {
    let target = store.join(fs::read_link(link).ok()?);
    let directory = target.parent()?;
    if directory == store {
        return None;
    }
    match fs::symlink_metadata(&target).ok()?.is_symlink() {
        true => Some(fs::canonicalize(&target).ok()?.parent()?.to_owned()),
        false => Some(directory.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_of_certificates_may_be_read_and_secrets_may_not() {
        let readable = readable();
        let covers =
            |path: &str| readable.iter().any(|allowed| Path::new(path).starts_with(allowed));
        assert!(covers("/etc/ssl/certs/ca-certificates.crt"));
        assert!(covers("/usr/share/ca-certificates/mozilla/x.crt"));
        for secret in [
            "/etc/shadow",
            "/etc/ssl/private/key.pem",
            "/etc/ha.d/ldirectord.cf",
            "/root/.ssh",
            "/proc/1/environ",
        ] {
            assert!(!covers(secret), "{secret}");
        }
    }
}
