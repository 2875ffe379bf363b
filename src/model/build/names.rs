//! Names looked up once each.

use crate::model::resolver::literal;
use crate::model::{Family, Located, Protocol, Resolver, is_service_name};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

/// The resolver, with a memory: a configuration names the same hosts over and over, and a slow
/// name server must be waited for only once.
pub(super) struct Names<'a> {
    resolver: &'a dyn Resolver,
    hosts: RefCell<HashMap<(String, Family), Option<IpAddr>>>,
    /// Those that stand for all their addresses.
    all: RefCell<HashMap<(String, Family), Vec<IpAddr>>>,
    /// Those of services.
    located: RefCell<HashMap<(String, Family), Vec<Located>>>,
    /// Whether names of real servers and fallbacks are followed.
    follow: bool,
}

impl<'a> Names<'a> {
    pub(super) fn new(resolver: &'a dyn Resolver, follow: bool) -> Self {
        Self {
            resolver,
            hosts: RefCell::default(),
            all: RefCell::default(),
            located: RefCell::default(),
            follow,
        }
    }

    /// A host as it is written, in brackets or not.
    pub(super) fn host(&self, written: &str, family: Family) -> Option<IpAddr> {
        match host_name(written, family)? {
            Host::Address(address) => Some(address),
            Host::Name(name) => {
                let key = (name.to_owned(), family);
                let mut hosts = self.hosts.borrow_mut();
                *hosts.entry(key).or_insert_with(|| self.resolver.host(name, family).ok())
            }
        }
    }

    /// The addresses that a real server or a fallback has, in their own order if names are followed,
    /// so that a name server's order changes nothing; one otherwise. None is a name without any.
    pub(super) fn servers(&self, written: &str, family: Family) -> Vec<IpAddr> {
        match host_name(written, family) {
            Some(Host::Name(name)) if self.follow => {
                let key = (name.to_owned(), family);
                let mut all = self.all.borrow_mut();
                let found = all.entry(key).or_insert_with(|| {
                    let mut addresses = self.resolver.addresses(name, family).unwrap_or_default();
                    addresses.sort_unstable();
                    addresses.dedup();
                    addresses
                });
                found.clone()
            }
            _ => self.host(written, family).into_iter().collect(),
        }
    }

    /// The servers of a service, by its SRV records, in their own order; `None` if this is no such
    /// name, or names are not followed.
    pub(super) fn located(&self, written: &str, family: Family) -> Option<Vec<Located>> {
        if !self.follow || !is_service_name(written) {
            return None;
        }
        let key = (written.to_owned(), family);
        let mut located = self.located.borrow_mut();
        let found = located.entry(key).or_insert_with(|| {
            let mut servers = self.resolver.servers(written, family).unwrap_or_default();
            servers.sort_unstable();
            servers.dedup_by_key(|server| server.address);
            servers
        });
        Some(found.clone())
    }

    /// A port number or service name; `None` for any protocol.
    pub(super) fn port(&self, written: &str, protocol: Option<Protocol>) -> Option<u16> {
        if written.bytes().all(|byte| byte.is_ascii_digit()) {
            return written.parse().ok();
        }
        self.resolver.port(written, protocol).ok()
    }
}

/// A host as it is written.
enum Host<'t> {
    Address(IpAddr),
    Name(&'t str),
}

/// compat: IPv6 addresses need the brackets, names and IPv4 addresses do without
fn host_name(written: &str, family: Family) -> Option<Host<'_>> {
    let bare = written.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && family == Family::Inet6 && written.contains(':') {
        return None;
    }
    let name = bare.unwrap_or(written);
    Some(literal(name, family).map_or(Host::Name(name), Host::Address))
}
